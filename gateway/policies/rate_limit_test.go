package policies_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/flows/flowtest"
)

// limited is a program with the policy rate_limit at its gateway.
func limited(policy string) string { return site("{ rate_limit: { "+policy+" } }", "") }

func TestRateLimitRefusesWhatIsTooMuchAndTellsWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, limited("rate: 2/m"), nil)
		for i, want := range []string{`"2/m";r=1;t=30`, `"2/m";r=0;t=30`} {
			got := ask(t, w, "GET", "/open")
			if got.status != 200 || got.header.Get("RateLimit") != want || got.header.Get("RateLimit-Policy") != `"2/m";q=2;w=60` {
				t.Errorf("request %d: %d %v", i, got.status, got.header)
			}
		}
		time.Sleep(8500 * time.Millisecond)
		got := ask(t, w, "GET", "/open")
		if got.status != 429 || got.problem.Code != "rate-limited" || got.header.Get("Proxy-Status") != `weir; error=http_request_denied; details="rate_limit"` {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
		if got.header.Get("Retry-After") != "22" || got.header.Get("RateLimit") != `"2/m";r=0;t=22` {
			t.Errorf("%v", got.header)
		}
		for _, part := range []string{`"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"`, `"violated-policies":["2/m"]`} {
			if !strings.Contains(got.body, part) {
				t.Errorf("no %s in %s", part, got.body)
			}
		}
		time.Sleep(22 * time.Second)
		if got := ask(t, w, "GET", "/open"); got.status != 200 {
			t.Errorf("after Retry-After: %d", got.status)
		}
		if got := ask(t, w, "GET", "/nowhere"); got.status != 429 {
			t.Errorf("what no route takes is not counted: %d", got.status)
		}
	})
}

func TestRateLimitCountsCallersApart(t *testing.T) {
	for _, c := range []struct {
		name, by   string
		one, other []string // headers
		together   bool
	}{
		{"by header", `by: '$(headers["X-Client"])'`, []string{"X-Client", "a"}, []string{"X-Client", "b"}, false},
		{"by header, by address where it is absent", `by: '$(headers["X-Client"])'`, nil, []string{"X-Client", "127.0.0.1"}, false},
		{"all together", `by: all`, []string{"X-Client", "a"}, []string{"X-Client", "b"}, true},
		{"by address alone", `by: $(request.remote)`, []string{"X-Client", "a"}, []string{"X-Client", "b"}, true},
		{"by what is there anyway", ``, []string{"X-Client", "a"}, []string{"X-Client", "b"}, true},
		{"by text that cannot be made, as if there were none", `by: '$(fromJSON(headers["X-Client"]).name)'`, []string{"X-Client", "{"}, []string{"X-Client", "["}, true},
		{"by several", `by: '$(request.method) $(headers["X-Client"])'`, []string{"X-Client", "a"}, []string{"X-Client", "b"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, limited("rate: 1/h, "+c.by), nil)
			if got := ask(t, w, "GET", "/open", c.one...); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			want := 200
			if c.together {
				want = 429
			}
			if got := ask(t, w, "GET", "/open", c.other...); got.status != want {
				t.Errorf("%d, not %d", got.status, want)
			}
			if got := ask(t, w, "GET", "/open", c.one...); got.status != 429 {
				t.Errorf("a second time: %d", got.status)
			}
		})
	}
}

func TestRateLimitCountsAgainstAllOfSeveralLimitsOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, limited("rate: 1/s, burst: 2, also: [{ rate: 3/h }]"), nil)
		got := ask(t, w, "GET", "/open")
		if got.header.Get("RateLimit") != `"1/s";r=1;t=1, "3/h";r=2;t=1200` || got.header.Get("RateLimit-Policy") != `"1/s";q=1;w=1;weir-burst=2, "3/h";q=3;w=3600` {
			t.Errorf("%v", got.header)
		}
		ask(t, w, "GET", "/open")
		for range 10 {
			got = ask(t, w, "GET", "/open")
		}
		if got.status != 429 || got.header.Get("Retry-After") != "1" || got.header.Get("RateLimit") != `"1/s";r=0;t=1` {
			t.Errorf("%d %v", got.status, got.header)
		}
		time.Sleep(10 * time.Second)
		if got := ask(t, w, "GET", "/open"); got.status != 200 {
			t.Errorf("what one limit refused, another has counted: %d %v", got.status, got.header)
		}
		if got := ask(t, w, "GET", "/open"); got.status != 429 || got.header.Get("Retry-After") != "1190" || !strings.Contains(got.body, `"violated-policies":["3/h"]`) {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
	})
}

func TestRateLimitTakesWhatARequestCosts(t *testing.T) {
	for _, c := range []struct {
		name, policy, path string
		status             int
		left               string
	}{
		{"the number that is written", "cost: 4", "/open", 200, "6"},
		{"nothing", "cost: 0", "/open", 200, "10"},
		{"what an expression gives", `cost: '$(int(query.n ?? "1"))'`, "/open?n=3", 200, "7"},
		{"a fraction is rounded up", `cost: '$(int(query.n) / 2)'`, "/open?n=3", 200, "8"},
		{"null is one", `cost: $(query.n)`, "/open", 200, "9"},
		{"more than there is, when nothing is used", `cost: '$(int(query.n))'`, "/open?n=1000000", 200, "0"},
		{"too much", `cost: '$(int(query.n))'`, "/open?n=1000001", 400, ""},
		{"less than nothing", `cost: '$(int(query.n))'`, "/open?n=-1", 400, ""},
		{"no number", `cost: '$(float(query.n))'`, "/open?n=NaN", 400, ""},
		{"text", `cost: $(query.n)`, "/open?n=0", 400, ""},
		{"a failure", `cost: '$(int(query.n))'`, "/open?n=many", 400, ""},
		{"a failure, in the shadow", `shadow: true, cost: '$(int(query.n))'`, "/open?n=many", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, limited("rate: 10/h, "+c.policy), nil)
				got := ask(t, w, "GET", c.path)
				if got.status != c.status || c.left != "" && !strings.HasPrefix(got.header.Get("RateLimit"), `"10/h";r=`+c.left+`;`) {
					t.Errorf("%d %s %s", got.status, got.body, got.header.Get("RateLimit"))
				}
				if got.status == 400 && (got.problem.Code != "bad-request" || got.header.Get("RateLimit") != "") {
					t.Errorf("%s %v", got.body, got.header)
				}
			})
		})
	}
}

func TestRateLimitSettlesByTheAnswer(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cost := r.URL.Query().Get("cost"); cost != "" {
			w.Header().Set("X-Cost", cost)
		}
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "page")
	})
	text := `flow: page
trigger: { http: GET /page, policies: [{ rate_limit: { rate: 10/h, cost: 2, answer_cost: { header: x-cost, status: { 5xx: 0, 404: 5, 4xx: 1 } } } }] }
steps: [{ forward: backend }]
`
	for query, left := range map[string]string{
		"status=200":           "8",
		"status=503":           "10",
		"status=404":           "5",
		"status=403":           "9",
		"status=200&cost=7":    "3",
		"status=503&cost=0.5":  "9",
		"status=200&cost=0":    "10",
		"status=200&cost=99":   "0",
		"status=200&cost=dear": "8",
		"status=200&cost=-3":   "8",
		"status=503&cost=1e9":  "10",
	} {
		t.Run(query, func(t *testing.T) {
			w := flowtest.Serve(t, text, flowtest.Backends{"backend": backend})
			got := ask(t, w, "GET", "/page?"+query)
			if !strings.HasPrefix(got.header.Get("RateLimit"), `"10/h";r=`+left+`;`) {
				t.Errorf("%d %s, not %s left", got.status, got.header.Get("RateLimit"), left)
			}
		})
	}
}

func TestRateLimitInTheShadowOnlyCounts(t *testing.T) {
	w := flowtest.Serve(t, limited("rate: 1/h, shadow: true"), nil)
	for range 3 {
		if got := ask(t, w, "GET", "/open"); got.status != 200 || got.header.Get("RateLimit") != "" || got.header.Get("RateLimit-Policy") != "" {
			t.Errorf("%d %v", got.status, got.header)
		}
	}
	seen := numbers(t, w)
	if seen["granted"] != 1 || seen["refused"] != 2 || seen["keys"] != 1 {
		t.Errorf("%v", seen)
	}
}

func TestRateLimitTellsNothingWhereItIsNotTo(t *testing.T) {
	w := flowtest.Serve(t, limited("rate: 1/h, fields: false"), nil)
	for _, status := range []int{200, 429} {
		got := ask(t, w, "GET", "/open")
		if got.status != status || got.header.Get("RateLimit") != "" || got.header.Get("RateLimit-Policy") != "" || strings.Contains(got.body, "1/h") {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
	}
}

func TestRateLimitsOfGatewayAndRouteApplyBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, site("{ rate_limit: { rate: 3/h } }", "{ rate_limit: { rate: 2/m } }"), nil)
		got := ask(t, w, "GET", "/orders/1")
		if fields := got.header.Values("RateLimit"); len(fields) != 2 || fields[0] != `"2/m";r=1;t=30` || fields[1] != `"3/h";r=2;t=1200` {
			t.Errorf("%q", fields)
		}
		if fields := got.header.Values("RateLimit-Policy"); len(fields) != 2 {
			t.Errorf("%q", fields)
		}
		ask(t, w, "GET", "/orders/1")
		got = ask(t, w, "GET", "/orders/1")
		if fields := got.header.Values("RateLimit"); got.status != 429 || len(fields) != 1 || fields[0] != `"2/m";r=0;t=30` || got.header.Get("Retry-After") != "30" {
			t.Errorf("%d %v", got.status, got.header)
		}
		if got := ask(t, w, "GET", "/open"); got.status != 429 || !strings.Contains(got.body, `["3/h"]`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestRateLimitOutlivesReloadsThatLeaveItAsItIs(t *testing.T) {
	w := flowtest.Serve(t, limited("rate: 1/h"), nil)
	if got := ask(t, w, "GET", "/open"); got.status != 200 {
		t.Fatal(got.status)
	}
	again := strings.Replace(limited("rate: 1/h"), "return: 1", "return: 2", 1)
	if err := w.Apply(again); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, w, "GET", "/open"); got.status != 429 {
		t.Errorf("after a reload: %d", got.status)
	}
	if err := w.Apply(limited("rate: 2/h")); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, w, "GET", "/open"); got.status != 200 {
		t.Errorf("after a change: %d", got.status)
	}
}

// numbers are the metrics of what policies keep.
func numbers(t *testing.T, w *flowtest.World) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Host.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "event" || l.GetName() == "of" {
					all[l.GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return all
}
