package main

import (
	"fmt"
	"strings"
)

// people is how many users there are: requests go round them, so an answer that belongs to another request shows.
const people = 8

const blobSize = 1 << 20

func segment(id int) string { return [...]string{"vip", "regular"}[id%2] }

func addressJSON(id int) string {
	return fmt.Sprintf(`{"street":"%d St James's Square","city":"London","zip":"SW1Y 4J%d","country":"GB","geo":{"lat":51.50%d7,"lon":-0.13%d5}}`, 10+id, id, id, id)
}

// userJSON is some 700 bytes, of which the flows read a handful of fields.
func userJSON(id int) string {
	return fmt.Sprintf(`{"id":%d,"first":"Ada","last":"Lovelace-%d","email":"ada.%d@example.com","phone":"+44 20 7946 000%d",`+
		`"active":true,"segment":"%s","created":"2021-03-04T05:06:07Z","address":%s,`+
		`"preferences":{"language":"en","currency":"EUR","newsletter":true,"channels":["email","post"],"theme":"dark"},`+
		`"tags":["early","analyst","patron"],"score":97.%d,"notes":"Prefers deliveries in the morning; ring twice, the engine is loud."}`,
		id, id, id, id, segment(id), addressJSON(id), id)
}

// ordersJSON is an array of some 4 KB that is passed on as it is.
func ordersJSON(user int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range 20 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"sku":"SKU-%05d","title":"Punched cards, box of %d","qty":%d,"price":%d,"currency":"EUR",`+
			`"status":"shipped","placed":"2025-06-%02dT10:11:12Z","tracking":"TRK%08d"}`,
			user*1000+i, 100+i, 100+i, 1+i%4, 1999+i*25, 1+i, user*1000+i)
	}
	b.WriteByte(']')
	return b.String()
}

func offerItemsJSON(segment string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range 8 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%s-%d","title":"%d %% off difference engines","discount":%d,"until":"2026-12-%02d","terms":"Not with other offers."}`,
			segment, i, 10+i, 10+i, 10+i)
	}
	b.WriteByte(']')
	return b.String()
}

func offersJSON(segment string) string {
	return fmt.Sprintf(`{"segment":"%s","generated":"2026-01-02T03:04:05Z","items":%s,"count":8,"next":"/segments/%s/offers?page=2","source":"campaigns"}`,
		segment, offerItemsJSON(segment), segment)
}

// profileJSON is the answer of the composition and of the chain.
func profileJSON(id int) string {
	return fmt.Sprintf(`{"id":%d,"name":"Ada Lovelace-%d","segment":"%s","address":%s,"orders":%s,"offers":%s}`,
		id, id, segment(id), addressJSON(id), ordersJSON(id), offerItemsJSON(segment(id)))
}

// documentJSON is a JSON object of exactly size bytes.
func documentJSON(size int) string {
	const start, end = `{"kind":"document","text":"`, `"}`
	const filler = "The Analytical Engine weaves algebraical patterns just as the Jacquard loom weaves flowers and leaves. "
	text := strings.Repeat(filler, size/len(filler)+1)
	return start + text[:size-len(start)-len(end)] + end
}
