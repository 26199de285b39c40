package explain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/explain"
)

const servicesAnswer = `{"services": [{
  "service": "users\u001b[31m", "requests": 120, "in_flight": 1, "retries": 4, "injected": 0,
  "budget": {"left": 98, "denied": 2}, "hedges": {"after": "80ms", "started": 3, "won": 2},
  "breaker": {"state": "half-open", "since": "2026-01-01T00:00:00Z", "because": "5 calls failed in a row", "failed_probes": 2, "openings": 3},
  "limit": {"limit": 20, "in_use": 1, "waiting": 2, "refused": 3, "late": 1},
  "mirror": {"to": "v2", "sent": 9, "dropped": 1, "failed": 2, "different_status": 3},
  "credentials": {"kind": "oauth2", "refreshed": "2026-01-01T00:00:55Z", "expires": "2026-01-01T00:02:00Z", "last_failure": "2026-01-01T00:00:59Z", "failure": "status 503"},
  "panic": {"now": true, "attempts": 4},
  "failures": [{"class": "timeout", "count": 7, "last": "2026-01-01T00:00:59.5Z"}],
  "versions": [{"version": "v1", "requests": 110, "fallbacks": 0}, {"version": "v2", "requests": 10, "fallbacks": 1}],
  "endpoints": [
    {"address": "http://10.0.0.1:80", "state": "ejected", "weight": 1, "zone": "a", "version": "v1", "attempts": 1, "in_flight": 0, "connections": 2, "dialed": 2,
     "ejection": {"until": "2026-01-01T00:01:30Z", "because": "9 of 10 attempts failed", "times": 1}, "failures": [{"class": "status", "count": 9, "last": "2026-01-01T00:00:50Z"}]},
    {"address": "http://10.0.0.11:80", "state": "blocked", "weight": 1, "attempts": 60, "in_flight": 1, "connections": 0, "dialed": 0,
     "breaker": {"state": "open", "since": "2026-01-01T00:00:57Z", "because": "12 of 20 attempts failed", "next_probe": "2026-01-01T00:01:07Z", "openings": 1},
     "health": {"since": "2026-01-01T00:00:00Z", "checks": 9, "failures": 1, "last_failure": "2026-01-01T00:00:58Z", "failure": "status 500"}, "failures": []},
    {"address": "http://10.0.0.12:80", "state": "ready", "weight": 1, "attempts": 2, "breaker": {"state": "closed", "openings": 0}, "failures": []}],
  "sources": [
    {"source": "dns://users:80", "how": "every 30s", "targets": 3, "last_success": "2026-01-01T00:00:30Z", "failures": 0},
    {"source": "consul://users", "how": "held", "targets": 0, "last_failure": "2026-01-01T00:00:50Z", "failures": 1, "failure": "no route"}],
  "tls": {"loaded": "2026-01-01T00:00:00Z", "last_failure": "2026-01-01T00:00:40Z", "failures": 1, "failure": "no such file"},
  "of_a_later_version": 7
}]}`

func TestLiveState(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	l, err := explain.ReadLive(strings.NewReader(servicesAnswer), now)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := l.Text(&b); err != nil {
		t.Fatal(err)
	}
	want := `
  users [31m: 120 calls, 1 under way, 4 retries, 3 hedges
      breaker half-open for 1m0s: 5 calls failed in a row; 2 probes failed
      too few endpoints are usable: all are used
      budget  98 retries left, 2 denied
      limit   1 of 20 in use, 2 waiting, 3 refused (1 too late)
      mirror  v2: 9 sent, 1 dropped, 2 failed, 3 with another status
      oauth2  a token had 5s ago, good for 1m0s; failed 1s ago: status 503
      hedges  after 80ms; 2 won
      failed  timeout 7, the last 500ms ago
      version v1: 110 calls
      version v2: 10 calls, 1 taken by another
      source  dns://users:80: 3 found 30s ago
      source  consul://users: nothing found yet; failed 10s ago: no route
      tls     failed 20s ago: no such file
      http://10.0.0.1:80   ejected  1 attempt, 2 connections, v1, a
          ejected for 30s more: 9 of 10 attempts failed
          failed  status 9, the last 10s ago
      http://10.0.0.11:80  blocked  60 attempts, 1 under way
          breaker open for 3s: 12 of 20 attempts failed; next probe in 7s
          checks  failed 2s ago: status 500
      http://10.0.0.12:80  ready    2 attempts
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestLiveStateOfNothing(t *testing.T) {
	for answer, want := range map[string]string{`{"services": []}`: "  no services\n", `{}`: "  no services\n"} {
		l, err := explain.ReadLive(strings.NewReader(answer), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := l.Text(&b); err != nil || b.String() != want {
			t.Errorf("%v, %q", err, b.String())
		}
	}
	if _, err := explain.ReadLive(strings.NewReader("<html>"), time.Now()); err == nil {
		t.Error("that is no state")
	}
}
