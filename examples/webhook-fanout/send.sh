#!/bin/sh
# send.sh ID TYPE [AGE]: sends an event as the shop would, signed AGE seconds ago.
key=${WEBHOOK_KEY:-MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
at=$(($(date +%s) - ${3:-0}))
body="{\"type\":\"$2\"}"
signature=$(bin/weir eval --raw "hmac('$1.$at.$body', fromBase64('$key'), 'sha256', 'base64')")
curl -s localhost:8080/webhooks/orders -d "$body" -H 'Content-Type: application/json' \
	-H "webhook-id: $1" -H "webhook-timestamp: $at" -H "webhook-signature: v1,$signature"
