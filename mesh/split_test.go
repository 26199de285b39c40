package mesh

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// canary are two versions with two endpoints each; v2 gets a tenth.
func canary() []Version {
	return []Version{
		{Name: "v1", Endpoints: []string{"http://a1", "http://b1"}, Weight: 90},
		{Name: "v2", Endpoints: []string{"http://a2", "http://b2"}, Weight: 10},
	}
}

func versionOf(t testing.TB, s *Service, header http.Header) string {
	t.Helper()
	req := newRequest(t, "GET", "/", http.NoBody)
	req.Header = header
	var call Call
	resp, err := s.Do(req, &call)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return "v" + call.Endpoint[len(call.Endpoint)-1:]
}

func TestWeightsOfVersionsAreExact(t *testing.T) {
	for _, weights := range [][]int{{90, 10}, {1, 1, 1}, {997, 2, 1}, {5, 0, 3}, {1000}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			var cfg Config
			total := 0
			for i, w := range weights {
				cfg.Versions = append(cfg.Versions, Version{Name: fmt.Sprint("v", i), Endpoints: []string{fmt.Sprint("http://host", i)}, Weight: w})
				total += w
			}
			cfg.Transport = always(status(200), nil)
			s := open(t, cfg)
			const calls = 10_000
			for range calls {
				resp, err := s.RoundTrip(newRequest(t, "GET", "/", http.NoBody))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			st := s.Stats()
			for i, w := range weights {
				share := float64(w) / float64(total)
				if got := float64(st.Versions[i].Calls) / calls; math.Abs(got-share) > 0.0005 {
					t.Errorf("v%d got %v of the calls, want %v", i, got, share)
				}
				if st.Endpoints[i].Attempts != st.Versions[i].Calls || st.Endpoints[i].Target.Version != fmt.Sprint("v", i) {
					t.Errorf("v%d: %+v", i, st.Endpoints[i])
				}
			}
		})
	}
}

func TestTurnsOfVersionsAreSpread(t *testing.T) {
	if got := turns([]Version{{Weight: 50}, {Weight: 10}, {Weight: 10}}); !slices.Equal(got, []uint8{0, 0, 1, 0, 2, 0, 0}) {
		t.Errorf("%v", got)
	}
}

func TestWhatDecidesTheVersion(t *testing.T) {
	versions := canary()
	versions[1].When = When{"x-canary", "true"}
	for _, c := range []struct {
		name   string
		sticky Sticky
		header http.Header
		want   string // of every call; empty: calls are shared
	}{
		{"nothing", Sticky{}, http.Header{}, ""},
		{"a header that matches", Sticky{}, http.Header{"X-Canary": {"true"}}, "v2"},
		{"one of several values that matches", Sticky{}, http.Header{"X-Canary": {"no", "true"}}, "v2"},
		{"a header that does not match", Sticky{}, http.Header{"X-Canary": {"TRUE"}}, ""},
		{"a header before the user", Sticky{Header: "x-user"}, http.Header{"X-Canary": {"true"}, "X-User": {"ada"}}, "v2"},
		{"a user, by header", Sticky{Header: "x-user"}, http.Header{"X-User": {"ada"}}, "v1"},
		{"a user, by cookie", Sticky{Cookie: "session"}, http.Header{"Cookie": {"a=b; session=ada"}}, "v1"},
		{"no user", Sticky{Cookie: "session"}, http.Header{"Cookie": {"a=b"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, Config{Versions: versions, Sticky: c.sticky, Transport: always(status(200), nil)})
			counts := map[string]int{}
			for range 100 {
				counts[versionOf(t, s, c.header)]++
			}
			if c.want != "" && counts[c.want] != 100 || c.want == "" && counts["v2"] != 10 {
				t.Errorf("%v, want %q", counts, c.want)
			}
		})
	}
}

func TestUsersThatMoveWhenAWeightGrows(t *testing.T) {
	const users = 10_000
	of := func(weight int) (all []string) {
		versions := canary()
		versions[0].Weight, versions[1].Weight = 100-weight, weight
		s := open(t, Config{Versions: versions, Sticky: Sticky{Header: "X-User"}, Transport: always(status(200), nil)})
		for i := range users {
			all = append(all, versionOf(t, s, http.Header{"X-User": {fmt.Sprint("user", i)}}))
		}
		return all
	}
	before, after := of(10), of(20)
	moved := 0
	for i := range before {
		if before[i] == "v2" && after[i] != "v2" {
			t.Fatalf("user%d went back to v1", i)
		}
		if before[i] != after[i] {
			moved++
		}
	}
	if share := float64(moved) / users; math.Abs(share-0.1) > 0.01 {
		t.Errorf("%v of the users moved, want 0.1", share)
	}
}

func TestRetriesStayWithinTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(status(503), nil)
		versions := canary()
		versions[1].When, versions[1].Fallback = When{"X-Canary", "true"}, "v1"
		s := open(t, Config{Versions: versions, Transport: f, Retry: Retry{Attempts: 4, MinPerSecond: 100}})
		if v := versionOf(t, s, http.Header{"X-Canary": {"true"}}); v != "v2" {
			t.Error(v)
		}
		if len(f.hosts) != 4 || slices.ContainsFunc(f.hosts, func(h string) bool { return !strings.HasSuffix(h, "2") }) {
			t.Errorf("attempts at %v", f.hosts)
		}
	})
}

func TestAVersionWithoutUsableEndpoints(t *testing.T) {
	for _, c := range []struct {
		name     string
		fallback string
		found    bool // it has endpoints, whose breakers are open
		class    Class
		says     string
	}{
		{"fails", "", true, BreakerOpen, "version v2: the breakers of all endpoints"},
		{"fails if none is found", "", false, NoEndpoint, "version v2: there is no endpoint"},
		{"falls back if that is said", "v1", true, OK, ""},
		{"falls back if none is found", "v1", false, OK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			versions := canary()
			versions[0].Fallback = "v2" // followed once: this is no circle
			versions[1].When, versions[1].Fallback = When{"X-Canary", "true"}, c.fallback
			s := open(t, Config{Versions: versions, Transport: always(status(200), nil), Breaker: Breaker{Failures: 1, Open: time.Hour}})
			if !c.found {
				s.update([]discovery.Target{{URL: "http://a1", Version: "v1"}})
			}
			trip := func(version int) {
				for _, e := range s.set.Load().endpoints {
					if e.version == version {
						leave, _ := e.breaker.acquire()
						leave.record(true, 0)
					}
				}
			}
			trip(1)
			send := func() error {
				req := newRequest(t, "GET", "/", http.NoBody)
				req.Header.Set("X-Canary", "true")
				resp, err := s.RoundTrip(req)
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			err := send()
			if classOf(t, err) != c.class || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if st := s.Stats().Versions[1]; st.Calls != 1 || st.Fallbacks != int64(len(c.fallback)/2) {
				t.Errorf("%+v", st)
			}
			if trip(0); send() == nil {
				t.Error("a call was made though no version is usable")
			}
		})
	}
}

func TestTargetsAreOfTheVersionThatLooksForThem(t *testing.T) {
	s := open(t, Config{Versions: canary(), Transport: always(status(200), nil), Random: rand.NewPCG(1, 2).Uint64})
	f := &finder{service: s, known: make(chan struct{})}
	v1, v2 := &sighting{version: "v1"}, &sighting{version: "v2"}
	f.sources = []*sighting{v1, v2}
	f.found(v1, []discovery.Target{{URL: "http://x1"}, {URL: "http://y1", Version: "v2"}, {URL: "http://z1", Priority: 1}})
	f.found(v2, []discovery.Target{{URL: "http://x2"}})
	for range 100 {
		versionOf(t, s, http.Header{})
	}
	for _, e := range s.Stats().Endpoints {
		want := map[string]int64{"http://x1": 45, "http://y1": 45, "http://x2": 10}[e.Address]
		if e.Attempts != want || e.Target.Version != "v"+e.Address[len(e.Address)-1:] {
			t.Errorf("%+v, want %d attempts", e, want)
		}
	}
}

func TestFaultsOfVersions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // empty is none
	}{
		{"none", func(*Config) {}, ""},
		{"a weight of 0", func(c *Config) { c.Versions[1].Weight = 0 }, ""},
		{"no weights", func(c *Config) { c.Versions[0].Weight, c.Versions[1].Weight = 0, 0 }, "versions"},
		{"a weight below 0", func(c *Config) { c.Versions[1].Weight = -1 }, "versions.v2.weight"},
		{"endpoints, too", func(c *Config) { c.Endpoints = []string{"http://x"} }, "versions"},
		{"no endpoints", func(c *Config) { c.Versions[1].Endpoints = nil }, "versions.v2.endpoints"},
		{"an endpoint of two versions", func(c *Config) { c.Versions[1].Endpoints[1] = "http://a1/" }, "versions.v2.endpoints[1]"},
		{"a name with a dot", func(c *Config) { c.Versions[1].Name = "v2.1" }, "versions.v2.1"},
		{"one name twice", func(c *Config) { c.Versions[1].Name = "v1" }, "versions.v1"},
		{"a strange header", func(c *Config) { c.Versions[1].When = When{"x canary", "1"} }, "versions.v2.when.header"},
		{"one condition twice", func(c *Config) {
			c.Versions[0].When, c.Versions[1].When = When{"x-canary", "1"}, When{"X-Canary", "1"}
		}, "versions.v2.when"},
		{"itself for a fallback", func(c *Config) { c.Versions[1].Fallback = "v2" }, "versions.v2.fallback"},
		{"a fallback that is not there", func(c *Config) { c.Versions[1].Fallback = "v3" }, "versions.v2.fallback"},
		{"sticky by two", func(c *Config) { c.Sticky = Sticky{"a", "b"} }, "sticky"},
		{"sticky by a strange cookie", func(c *Config) { c.Sticky.Cookie = "a b" }, "sticky.cookie"},
		{"sticky without versions", func(c *Config) { *c = Config{Endpoints: []string{"http://x"}, Sticky: Sticky{Header: "a"}} }, "sticky"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Versions: canary()}
			c.change(&cfg)
			var fields []string
			for _, fault := range Validate(cfg) {
				fields = append(fields, fault.Field)
			}
			if strings.Join(fields, " ") != c.want {
				t.Errorf("faults of %v, want %q", fields, c.want)
			}
		})
	}
}

func TestChoosingAVersionAllocatesNothing(t *testing.T) {
	versions := canary()
	versions[1].When = When{"X-Canary", "true"}
	s := open(t, Config{Versions: versions, Sticky: Sticky{Cookie: "session"}, Affinity: Affinity{Cookie: "server"}})
	req := newRequest(t, "GET", "/", http.NoBody)
	req.Header.Set("Cookie", "a=b; session=ada")
	if n := testing.AllocsPerRun(100, func() { s.split.choose(req, "", s, s.clock()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEjectionComparesEndpointsOfOneVersion(t *testing.T) {
	versions := canary()
	versions[1].Endpoints = versions[1].Endpoints[:1]
	s := open(t, Config{Versions: versions, Transport: always(status(200), nil), Ejection: Ejection{Failures: 3}})
	all := s.set.Load().endpoints
	for range 10 {
		all[0].ejection.end(s, all[0], OK, s.clock(), 0)
	}
	for range 10 {
		for _, e := range all[1:] {
			e.ejection.end(s, e, Status, s.clock(), 0)
		}
	}
	for i, want := range []bool{false, true, false} {
		if all[i].ejection.out(s.clock()) != want {
			t.Errorf("%s is out: %v", all[i].Address(), !want)
		}
	}
}
