package policies_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestComposedAnswersAreAsGoodAsTheirParts(t *testing.T) {
	const flow = `flow: page
trigger: { http: GET /page, policies: [{ cache: { ttl: 5m } }] }
steps:
  - compose:
      user: { call: GET users / }
      offers: { call: GET offers /, fallback: [] }
  - return: { user: $(user), offers: $(offers) }
---
services: { users: { endpoints: ["http://users"] }, offers: { endpoints: ["http://offers"] } }
`
	type header = []string
	for _, c := range []struct {
		name          string
		users, offers header
		status        int // of offers
		control, vary string
		kept          bool
	}{
		{name: "the least freshness", users: header{"Cache-Control", "max-age=60"}, offers: header{"Cache-Control", "max-age=90, s-maxage=20"}, control: "max-age=20", kept: true},
		{name: "less what has passed", users: header{"Cache-Control", "max-age=60", "Age", "50"}, offers: header{"Cache-Control", "max-age=90"}, control: "max-age=10", kept: true},
		{name: "public if all are", users: header{"Cache-Control", "public, max-age=60"}, offers: header{"Cache-Control", "s-maxage=20"}, control: "public, max-age=20", kept: true},
		{name: "private if one is", users: header{"Cache-Control", "private, max-age=60"}, offers: header{"Cache-Control", "max-age=90"}, control: "private, max-age=60"},
		{name: "or sets a cookie", users: header{"Cache-Control", "max-age=60", "Set-Cookie", "a=1"}, offers: header{"Cache-Control", "max-age=90"}, control: "private, max-age=60"},
		{name: "not stored if one may not be", users: header{"Cache-Control", "no-store"}, offers: header{"Cache-Control", "max-age=90"}, control: "no-store"},
		{name: "all that they depend on", users: header{"Cache-Control", "max-age=60", "Vary", "Accept-Language"}, offers: header{"Cache-Control", "max-age=90", "Vary", "Accept, accept-language"}, control: "max-age=60", vary: "Accept, Accept-Language", kept: true},
		{name: "never stored when a fallback was used", users: header{"Cache-Control", "max-age=60"}, status: 503, control: "no-store"},
		{name: "what one does not say ttl does", users: header{"Cache-Control", "max-age=60"}, kept: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				status := max(c.status, 200)
				users := &origin{serve: saying(200, `{"id":1}`, append(c.users, "Content-Type", "application/json")...)}
				w := flowtest.Serve(t, flow, flowtest.Backends{"users": users, "offers": saying(status, `[]`, append(c.offers, "Content-Type", "application/json")...)})
				first := w.Get("/page")
				first.Is(t, http.StatusOK, `{"user":{"id":1},"offers":[]}`)
				if got := first.Header.Get("Cache-Control"); got != c.control || first.Header.Get("Vary") != c.vary {
					t.Errorf("Cache-Control: %s, Vary: %s", got, first.Header.Get("Vary"))
				}
				time.Sleep(time.Second)
				w.Get("/page").Is(t, http.StatusOK, `{"user":{"id":1},"offers":[]}`)
				if kept := users.times() == 1; kept != c.kept {
					t.Errorf("it was kept: %v", kept)
				}
			})
		})
	}
}
