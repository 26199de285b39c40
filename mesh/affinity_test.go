package mesh

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// visitor is a caller that keeps cookies.
type visitor struct {
	cookie string // NAME=VALUE
	header http.Header
}

// visit makes a call and gives the host that replied.
func (v *visitor) visit(t *testing.T, s *Service) string {
	t.Helper()
	req := newRequest(t, "GET", "/", nil)
	for k, values := range v.header {
		req.Header[k] = values
	}
	if v.cookie != "" {
		req.Header.Set("Cookie", "a=b; "+v.cookie)
	}
	var call Call
	resp, err := s.Do(req, &call)
	text(t, resp, err)
	if set := resp.Header.Get("Set-Cookie"); set != "" {
		v.cookie, _, _ = strings.Cut(set, ";")
	}
	return strings.TrimPrefix(call.Endpoint, "http://")
}

func TestACallerKeepsItsEndpointWhoeverComesAndGoes(t *testing.T) {
	eachBalancer(t, func(t *testing.T, name string) {
		s := balanced(t, Config{Balance: name, Affinity: Affinity{Cookie: "server"}, Transport: always(status(200), nil)}, alike(5)...)
		visitors, homes := make([]visitor, 100), make([]string, 100)
		for i := range visitors {
			homes[i] = visitors[i].visit(t, s)
		}
		again := func() (moved int) {
			for i := range visitors {
				if visitors[i].visit(t, s) != homes[i] {
					moved++
				}
			}
			return moved
		}
		s.update(alike(11)) // more than twice as many
		if moved := again(); moved != 0 {
			t.Errorf("%d moved when endpoints came", moved)
		}
		s.update(alike(11)[1:])
		gone := 0
		for _, home := range homes {
			if home == "host0" {
				gone++
			}
		}
		if moved := again(); moved != gone {
			t.Errorf("%d moved when the endpoint of %d left", moved, gone)
		}
		if st := s.Stats().Affinity; st.Given != 100 || st.Kept != int64(200-gone) || st.Moved != int64(gone) {
			t.Errorf("%+v", st)
		}
	})
}

func TestWhenACallerMoves(t *testing.T) {
	for _, c := range []struct {
		name  string
		does  func(s *Service, home *Endpoint)
		fails bool // calls of its endpoint, from then on
		away  bool // the call goes elsewhere
		moves bool
	}{
		{"nothing happens", func(*Service, *Endpoint) {}, false, false, false},
		{"its breaker opens", func(_ *Service, e *Endpoint) { e.breaker.open(time.Hour) }, false, true, true},
		{"it is ejected", func(_ *Service, e *Endpoint) { eject(e, time.Hour) }, false, true, true},
		{"it is about to end", func(s *Service, e *Endpoint) {
			targets := at(hosts(4)...)
			targets[e.index].Draining = true
			s.update(targets)
		}, false, true, true},
		{"it is gone", func(s *Service, e *Endpoint) {
			s.update(append(at(hosts(4)[:e.index]...), at(hosts(4)[e.index+1:]...)...))
		}, false, true, true},
		{"it fails, and another replies", func(*Service, *Endpoint) {}, true, true, true},
		{"it is full", func(_ *Service, e *Endpoint) { e.inFlight.Store(5) }, false, true, false},
		{"a better zone is found", func(s *Service, e *Endpoint) {
			targets := at(hosts(4)...)
			for i := range targets {
				targets[i].Priority = 1
			}
			targets[(e.index+1)%4].Priority = 0
			s.update(targets)
		}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failing := sick{}
				s := open(t, Config{Endpoints: hosts(4), Affinity: Affinity{Cookie: "server"}, Transport: failing, Limit: Limit{PerEndpoint: 5},
					Retry: Retry{Attempts: 2, On: []string{"500"}}, Breaker: Breaker{Failures: 10}, Ejection: Ejection{Failures: 10}})
				var v visitor
				home := v.visit(t, s)
				before := v.cookie
				c.does(s, endpointAt(t, s, "http://"+home))
				failing[home] = c.fails
				at := v.visit(t, s)
				if (at != home) != c.away || (v.cookie != before) != c.moves {
					t.Errorf("from %s to %s, and from %s to %s", home, at, before, v.cookie)
				}
				failing[home] = false
				if next := v.visit(t, s); c.moves && next != at {
					t.Errorf("it moved to %s, and then to %s", at, next)
				}
			})
		})
	}
}

func TestTheCookieOfAnEndpoint(t *testing.T) {
	for _, c := range []struct {
		name     string
		affinity Affinity
		header   http.Header
		want     string // behind the value
	}{
		{"by default", Affinity{}, nil, "; Path=/; HttpOnly; SameSite=Lax"},
		{"all that can be said", Affinity{Path: "/shop", MaxAge: time.Hour, SameSite: "none", Secure: true}, nil, "; Path=/shop; Max-Age=3600; HttpOnly; SameSite=None; Secure"},
		{"over TLS", Affinity{}, http.Header{"X-Forwarded-Proto": {"https"}}, "; Path=/; HttpOnly; SameSite=Lax; Secure"},
		{"not over TLS", Affinity{}, http.Header{"X-Forwarded-Proto": {"http"}}, "; Path=/; HttpOnly; SameSite=Lax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.affinity.Cookie = "server"
			s := open(t, Config{Endpoints: []string{"http://10.1.2.3:8080"}, Affinity: c.affinity, Transport: always(status(200), nil)})
			req := newRequest(t, "GET", "/", nil)
			req.Header = c.header
			resp, err := s.RoundTrip(req)
			text(t, resp, err)
			name, rest, _ := strings.Cut(resp.Header.Get("Set-Cookie"), "=")
			value, rest, _ := strings.Cut(rest, ";")
			if name != "server" || len(value) != 16 || strings.Contains(value, "10") && strings.Contains(value, "8080") || ";"+rest != c.want {
				t.Errorf("%q", resp.Header.Get("Set-Cookie"))
			}
		})
	}
}

func TestCodesOfEndpoints(t *testing.T) {
	e := func(url, host string) *Endpoint { return &Endpoint{target: discovery.Target{URL: url, Host: host}} }
	plain, keyed := Affinity{Cookie: "c"}, Affinity{Cookie: "c", Key: "k"}
	if first, again := plain.code(e("http://a", "")), plain.code(e("http://a", "")); first != again {
		t.Error("an endpoint has two codes")
	}
	if plain.code(e("http://a", "")) == keyed.code(e("http://a", "")) {
		t.Error("the key changes nothing")
	}
	if plain.code(e("http://a", "x")) == plain.code(e("http://a", "y")) {
		t.Error("two endpoints have one code")
	}
}

func TestCookiesThatNobodyWasGiven(t *testing.T) {
	s := open(t, Config{Endpoints: hosts(3), Affinity: Affinity{Cookie: "server"}, Transport: sick{}})
	for _, value := range []string{"x", `"`, "http://a", strings.Repeat("a", 10_000), "=", "a; server=b"} {
		v := visitor{cookie: "server=" + value}
		if first := v.visit(t, s); v.visit(t, s) != first || v.cookie == "server="+value {
			t.Errorf("%.20q was not replaced", value)
		}
	}
}

func TestACallThatHasItsEndpointIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hedging(t, Config{Affinity: Affinity{Cookie: "server"}}, func(host string, req *http.Request) (*http.Response, error) {
			return reply(200), sleep(req.Context(), time.Second)
		})
		var v visitor
		v.visit(t, s) // may be hedged: any will do
		before, home := s.Stats().Hedges, v.cookie
		for range 10 {
			v.visit(t, s)
		}
		if st := s.Stats(); st.Hedges != before || v.cookie != home {
			t.Errorf("%d hedges, from %s to %s", st.Hedges-before, home, v.cookie)
		}
	})
}

func TestTheEndpointOfACallerDecidesItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		versions := canary()
		versions[1].When = When{"X-Canary", "true"}
		s := open(t, Config{Versions: versions, Affinity: Affinity{Cookie: "server"}, Transport: sick{}, Breaker: Breaker{Failures: 1}})
		v := visitor{header: http.Header{"X-Canary": {"true"}}}
		home := v.visit(t, s)
		v.header = nil
		for range 20 {
			if at := v.visit(t, s); at != home || at[1] != '2' {
				t.Fatalf("from %s to %s", home, at)
			}
		}
		old := visitor{}
		old.visit(t, s)
		old.header = http.Header{"X-Canary": {"true"}}
		if at := old.visit(t, s); at[1] != '2' {
			t.Errorf("it went to %s in spite of its header", at)
		}
		// One that is out says nothing of the version.
		s.set.Load().endpoints[2].breaker.open(time.Hour)
		s.set.Load().endpoints[3].breaker.open(time.Hour)
		if at := v.visit(t, s); at[1] != '1' {
			t.Errorf("it went to %s, which is out", at)
		}
	})
}

func TestAnEndpointIsKeptWithoutAllocating(t *testing.T) {
	s := open(t, Config{Endpoints: hosts(3), Affinity: Affinity{Cookie: "server"}, Transport: sick{}})
	var v visitor
	v.visit(t, s)
	req := newRequest(t, "GET", "/", nil)
	req.Header.Set("Cookie", v.cookie)
	if n := testing.AllocsPerRun(100, func() { pickOnce(t, s, req) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	var tried tried
	if p, err := tried.pick(s, req, time.Now()); err != nil || p.why != pickedKept {
		t.Errorf("%v because %s", err, p.why)
	}
}

func TestFaultsOfAffinity(t *testing.T) {
	for _, c := range []struct {
		affinity Affinity
		want     string // empty is none
	}{
		{Affinity{Cookie: "server"}, ""},
		{Affinity{Path: "/"}, "affinity.cookie"},
		{Affinity{Cookie: "a b"}, "affinity.cookie"},
		{Affinity{Cookie: "a", Path: "shop"}, "affinity.path"},
		{Affinity{Cookie: "a", Path: "/; Domain=x"}, "affinity.path"},
		{Affinity{Cookie: "a", Path: "/\r\nX: y"}, "affinity.path"},
		{Affinity{Cookie: "a", MaxAge: -1}, "affinity.max_age"},
		{Affinity{Cookie: "a", MaxAge: time.Millisecond}, "affinity.max_age"},
		{Affinity{Cookie: "a", SameSite: "Lax"}, "affinity.same_site"},
		{Affinity{Cookie: "a", SameSite: "none"}, "affinity.same_site"},
		{Affinity{Cookie: "a", SameSite: "none", Secure: true}, ""},
		{Affinity{Cookie: "__Secure-a"}, "affinity.cookie"},
		{Affinity{Cookie: "__Host-a", Secure: true, Path: "/shop"}, "affinity.path"},
		{Affinity{Cookie: "a", MaxAge: math.MaxInt64}, ""},
	} {
		var fields []string
		for _, fault := range Validate(Config{Endpoints: hosts(1), Affinity: c.affinity}) {
			fields = append(fields, fault.Field)
		}
		if strings.Join(fields, " ") != c.want {
			t.Errorf("%+v: faults of %v, want %q", c.affinity, fields, c.want)
		}
	}
}
