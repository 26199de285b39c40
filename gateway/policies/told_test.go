package policies_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// item is one member of a list of structured fields: its name, and its parameters.
type item struct {
	name   string
	params map[string]string
}

var memberOf = regexp.MustCompile(`^("[^"\\]*"|[A-Za-z*][-A-Za-z0-9_.*!#$%&'+^|~:/]*)((?:; ?[a-z*][-a-z0-9_.*]*(?:=(?:-?[0-9]{1,15}|"[^"\\]*"|\?[01]|[A-Za-z*][-A-Za-z0-9_.*!#$%&'+^|~:/]*))?)*)$`)

// members reads a list of structured fields (RFC 9651, section 3.1) whose strings
// hold no comma or semicolon.
func members(t *testing.T, lines []string) (all []item) {
	t.Helper()
	for _, line := range lines {
		for text := range strings.SplitSeq(line, ",") {
			m := memberOf.FindStringSubmatch(strings.TrimSpace(text))
			if m == nil {
				t.Fatalf("%q is no member of a structured field", text)
			}
			one := item{strings.Trim(m[1], `"`), map[string]string{}}
			for param := range strings.SplitSeq(strings.TrimPrefix(m[2], ";"), ";") {
				if name, value, _ := strings.Cut(strings.TrimSpace(param), "="); name != "" {
					one.params[name] = value
				}
			}
			all = append(all, one)
		}
	}
	return all
}

func TestCacheStatusTells(t *testing.T) {
	at := func(wait time.Duration, header ...string) func(s *cachedSite) reply {
		return func(s *cachedSite) reply {
			s.get()
			time.Sleep(wait)
			return s.get(header...)
		}
	}
	for _, c := range []struct {
		name, policy string
		serve        http.HandlerFunc
		last         func(s *cachedSite) reply
		want         string
	}{
		{"RFC 9211 2.1: a hit, and no reason to go forward", "cache: {}", says("one", "Cache-Control", fresh), at(0), "weir; hit; ttl=60"},
		{"RFC 9211 2.1: an answer that was validated is none", "cache: {}", says("one", "Cache-Control", fresh, "Etag", `"a"`), func(s *cachedSite) reply {
			s.get()
			time.Sleep(61 * time.Second)
			s.becomes(saying(304, "", "Etag", `"a"`))
			return s.get()
		}, "weir; fwd=stale; fwd-status=304"},
		{"RFC 9211 2.2: nothing is stored of the URL", "cache: {}", says("one"), func(s *cachedSite) reply { return s.get() }, "weir; fwd=uri-miss"},
		{"RFC 9211 2.2: nothing is stored of the fields", "cache: {}", says("one", "Cache-Control", fresh, "Vary", "Accept"), at(0, "Accept", "text/plain"), "weir; fwd=vary-miss; stored"},
		{"RFC 9211 2.2: what is stored is stale", "cache: {}", says("one", "Cache-Control", fresh), at(61 * time.Second), "weir; fwd=stale; stored"},
		{"RFC 9211 2.2: the request wants another than is stored", "cache: {}", says("one", "Cache-Control", fresh), at(0, "Cache-Control", "no-cache"), "weir; fwd=request; stored"},
		{"RFC 9211 2.2: the method is not one for caches", "cache: {}", says("one"), func(s *cachedSite) reply { return s.ask("POST", "/thing") }, "weir; fwd=method"},
		{"RFC 9211 2.2: the cache does not serve the request", "cache: { ttl: 60s }", says("one"), at(0, "Authorization", "Bearer x"), "weir; fwd=bypass"},
		{"RFC 9211 2.4: what is stale is so since", "cache: { stale_while_revalidate: 1h }", says("one", "Cache-Control", fresh), at(65 * time.Second), "weir; hit; ttl=-5"},
		{"RFC 9211 2.5: what is not stored is not said to be", "cache: {}", says("one", "Cache-Control", "private"), func(s *cachedSite) reply { return s.get() }, "weir; fwd=uri-miss"},
	} {
		virtual(t, c.name, c.policy, c.serve, func(s *cachedSite) {
			got := c.last(s).header["Cache-Status"]
			if len(got) != 1 || got[0] != c.want {
				s.T.Errorf("%q, not %q", got, c.want)
			}
			one := members(s.T, got)[0].params
			_, hit := one["hit"]
			_, forward := one["fwd"]
			_, stored := one["stored"]
			if hit == forward || stored && !forward {
				s.T.Errorf("RFC 9211 2: %q", got)
			}
		})
	}
}

func TestProxyStatusTells(t *testing.T) {
	serve := func(t *testing.T, status string) reply {
		w := flowtest.Serve(t, `flow: passed
trigger: { http: GET /, policies: [{ cache: {} }] }
steps: [{ forward: b }]
---
gateways: { public: { listen: "public:80" } }
---
services: { b: { endpoints: ["http://b"] } }
`, flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Status", status)
			w.Header().Set("Cache-Control", fresh)
			_, _ = io.WriteString(w, "one")
		})})
		first := ask(t, w, "GET", "/")
		if again := ask(t, w, "GET", "/"); again.header["Proxy-Status"] != nil || again.header["Cache-Status"] == nil {
			t.Errorf("what is stored tells of how it came: %v", again.header)
		}
		return first
	}
	t.Run("RFC 9209 2: what proxies nearer to the origin say is passed on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if got := serve(t, "near; received-status=200").header["Proxy-Status"]; !slices.Equal(got, []string{"near; received-status=200"}) {
				t.Error(got)
			}
		})
	})
	w := flowtest.Serve(t, site("", `{ authorize: { when: "false" } }`), nil)
	t.Run("RFC 9209 2.1.1: who refused says so with a type of error that is registered", func(t *testing.T) {
		got := members(t, ask(t, w, "GET", "/orders/7").header["Proxy-Status"])
		if len(got) != 1 || got[0].name != "weir" || got[0].params["error"] != "http_request_denied" {
			t.Error(got)
		}
	})
	t.Run("RFC 9209 2.1.5: and in words, which policy", func(t *testing.T) {
		if got := members(t, ask(t, w, "GET", "/orders/7").header["Proxy-Status"]); got[0].params["details"] != `"authorize"` {
			t.Error(got)
		}
	})
	t.Run("RFC 9209 2: what nobody refused has no status of a proxy", func(t *testing.T) {
		if got := ask(t, w, "GET", "/open"); got.status != 200 || got.header["Proxy-Status"] != nil {
			t.Error(got.header)
		}
	})
}

func TestRateLimitTellsInFields(t *testing.T) {
	number := func(t *testing.T, text string) int {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			t.Errorf("%q is no number from 0 on", text)
		}
		return n
	}
	each := func(name string, check func(t *testing.T, got reply, policies, limits []item)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, limited("rate: 2/m, also: [{ rate: 100/h, burst: 3 }]"), nil)
				for range 5 {
					got := ask(t, w, "GET", "/open")
					check(t, got, members(t, got.header["Ratelimit-Policy"]), members(t, got.header["Ratelimit"]))
					time.Sleep(time.Second)
				}
			})
		})
	}
	each("RateLimit: each policy tells its quota, and the window in seconds", func(t *testing.T, _ reply, policies, _ []item) {
		if len(policies) != 2 {
			t.Errorf("%v", policies)
		}
		for _, p := range policies {
			if number(t, p.params["q"]) == 0 || number(t, p.params["w"]) == 0 {
				t.Errorf("%v", p)
			}
		}
	})
	each("RateLimit: what is left is told for policies that are told", func(t *testing.T, _ reply, policies, limits []item) {
		if len(limits) == 0 {
			t.Error("none")
		}
		for _, l := range limits {
			if !slices.ContainsFunc(policies, func(p item) bool { return p.name == l.name }) {
				t.Errorf("%v is of no policy of %v", l, policies)
			}
		}
	})
	each("RateLimit: no policy is told twice", func(t *testing.T, _ reply, policies, limits []item) {
		for _, list := range [][]item{policies, limits} {
			seen := map[string]bool{}
			for _, one := range list {
				if seen[one.name] {
					t.Errorf("%v", list)
				}
				seen[one.name] = true
			}
		}
	})
	each("RateLimit: what is left, and until when, are numbers from 0 on", func(t *testing.T, got reply, _, limits []item) {
		for _, l := range limits {
			left := number(t, l.params["r"])
			number(t, l.params["t"])
			if got.status == 429 && left != 0 {
				t.Errorf("%d are left of what is spent", left)
			}
		}
	})
	each("RateLimit: Retry-After agrees with it", func(t *testing.T, got reply, _, limits []item) {
		if wait := got.header.Get("Retry-After"); (wait != "") != (got.status == 429) || got.status == 429 && (len(limits) != 1 || limits[0].params["t"] != wait) {
			t.Errorf("%d: %s, %v", got.status, wait, limits)
		}
	})
	each("RateLimit: what is refused is a problem of the type quota-exceeded", func(t *testing.T, got reply, _, _ []item) {
		if got.status == 429 && !strings.Contains(got.body, `"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"`) {
			t.Error(got.body)
		}
	})
	t.Run("RateLimit: what a service behind the gateway tells of its own stays", func(t *testing.T) {
		w := flowtest.Serve(t, `flow: passed
trigger: { http: GET /, policies: [{ rate_limit: { rate: 2/m } }] }
steps: [{ forward: b }]
---
gateways: { public: { listen: "public:80" } }
---
services: { b: { endpoints: ["http://b"] } }
`, flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("RateLimit", `"inside";r=0;t=9`)
			w.Header().Set("RateLimit-Policy", `"inside";q=1`)
		})})
		got := ask(t, w, "GET", "/")
		for _, name := range []string{"Ratelimit", "Ratelimit-Policy"} {
			if all := members(t, got.header[name]); len(all) != 2 || !slices.ContainsFunc(all, func(one item) bool { return one.name == "inside" }) {
				t.Errorf("%s: %v", name, got.header[name])
			}
		}
	})
}
