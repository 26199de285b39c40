package flows_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/mesh"
)

// shownBy says for each number of the mesh which metric shows it and under which
// key /services does, or "-" and why there is none. A field that is not here
// fails the test: whoever adds one decides who is to see it.
var shownBy = map[string][2]string{
	"Stats.Requests":     {"weir_service_requests_total", "requests"},
	"Stats.InFlight":     {"weir_service_in_flight", "in_flight"},
	"Stats.Retries":      {"weir_service_retries_total", "retries"},
	"Stats.Hedges":       {"weir_service_hedges_total", "started"},
	"Stats.HedgesWon":    {"weir_service_hedges_won_total", "won"},
	"Stats.HedgesSpared": {"weir_service_hedges_spared_total", "spared"},
	"Stats.HedgeAfter":   {"weir_service_hedge_delay_seconds", "- until there are answers"},
	"Stats.Denied":       {"weir_service_budget_denied_total", "denied"},
	"Stats.Budget":       {"weir_service_budget_left", "left"},
	"Stats.Injected":     {"weir_service_injected_total", "- where any were: injected"},
	"Stats.Failures":     {"weir_service_failures_total", "count"},
	"Stats.Failed":       {"- the rate of weir_service_failures_total tells it", "last"},
	"Stats.Breaker":      {"weir_service_breaker_open", "breaker"},
	"Stats.Endpoints":    {"weir_service_endpoint_attempts_total", "endpoints"},
	"Stats.Sources":      {"weir_service_discovery_targets", "sources"},

	"EndpointStats.Address":  {"weir_service_endpoint_attempts_total", "address"},
	"EndpointStats.Target":   {"- what an endpoint is, not what it does", "weight"},
	"EndpointStats.Attempts": {"weir_service_endpoint_attempts_total", "attempts"},
	"EndpointStats.InFlight": {"weir_service_endpoint_in_flight", "in_flight"},
	"EndpointStats.Failures": {"weir_service_endpoint_failures_total", "count"},
	"EndpointStats.Failed":   {"- the rate of weir_service_endpoint_failures_total tells it", "last"},
	"EndpointStats.Breaker":  {"weir_service_endpoint_breaker_open", "breaker"},
	"EndpointStats.Dialed":   {"weir_service_endpoint_connections_opened_total", "dialed"},
	"EndpointStats.Closed":   {"weir_service_endpoint_connections", "connections"},

	"BreakerStats.State":        {"weir_service_endpoint_breaker_open", "state"},
	"BreakerStats.Since":        {"- the series of weir_service_endpoint_breaker_open tells it", "since"},
	"BreakerStats.Because":      {"- words", "because"},
	"BreakerStats.FailedProbes": {"- it explains one opening, and starts anew with the next", "- until a probe has failed"},
	"BreakerStats.NextProbe":    {"- it is of use while one looks", "next_probe"},
	"BreakerStats.Openings":     {"weir_service_breaker_openings_total", "openings"},

	"SourceStats.Source":      {"weir_service_discovery_targets", "source"},
	"SourceStats.How":         {"- words", "how"},
	"SourceStats.Targets":     {"weir_service_discovery_targets", "targets"},
	"SourceStats.LastSuccess": {"weir_service_discovery_last_success_timestamp_seconds", "last_success"},
	"SourceStats.LastFailure": {"- until a look has failed: weir_service_discovery_last_failure_timestamp_seconds", "- until a look has failed"},
	"SourceStats.Failures":    {"weir_service_discovery_failures_total", "failures"},
	"SourceStats.Failure":     {"- words", "- until a look has failed"},

	"Stats.Limit":        {"weir_service_limit_in_use", "limit"},
	"LimitStats.InUse":   {"weir_service_limit_in_use", "in_use"},
	"LimitStats.Waiting": {"weir_service_limit_waiting", "waiting"},
	"LimitStats.Refused": {"weir_service_limit_refused_total", "refused"},
	"LimitStats.Limit":   {"weir_service_limit", "limit"},
	"LimitStats.Late":    {"weir_service_limit_late_total", "late"},

	"LimitStats.RefusedBy": {"weir_service_limit_refused_total", "- where any were: refused_by"},
	"LimitStats.Adaptive":  {"- where it is: weir_service_limit_usual_seconds", "- where it is: usual"},
	"AdaptiveStats.Usual":  {"- where it is: weir_service_limit_usual_seconds", "- where it is: usual"},
	"AdaptiveStats.Last":   {"- where it is: weir_service_limit_last_seconds", "- where it is: last"},

	"Stats.Rate":        {"weir_service_rate_waited_total", "rate"},
	"RateStats.Waited":  {"weir_service_rate_waited_total", "waited"},
	"RateStats.Refused": {"weir_service_rate_refused_total", "refused"},

	"Stats.Panic":            {"weir_service_panic", "panic"},
	"PanicStats.Now":         {"weir_service_panic", "now"},
	"PanicStats.Attempts":    {"weir_service_panic_attempts_total", "attempts"},
	"EndpointStats.Ejection": {"- with ejection: weir_service_endpoint_ejected", "- with ejection: ejection"},
	"EjectionStats.Out":      {"- with ejection: weir_service_endpoint_ejected", "state"},
	"EjectionStats.Until":    {"- weir_service_endpoint_ejected tells when it is over", "- with ejection: until"},
	"EjectionStats.Because":  {"- words", "- with ejection: because"},
	"EjectionStats.Times":    {"- with ejection: weir_service_endpoint_ejections_total", "- with ejection: times"},

	"EndpointStats.Health":    {"weir_service_endpoint_healthy", "health"},
	"HealthStats.Healthy":     {"weir_service_endpoint_healthy", "state"},
	"HealthStats.Since":       {"- the series of weir_service_endpoint_healthy tells it", "since"},
	"HealthStats.Checks":      {"weir_service_endpoint_checks_total", "checks"},
	"HealthStats.Failures":    {"weir_service_endpoint_check_failures_total", "failures"},
	"HealthStats.LastFailure": {"- the rate of weir_service_endpoint_check_failures_total tells it", "last_failure"},
	"HealthStats.Failure":     {"- words", "failure"},

	"Stats.Versions":         {"- with versions: weir_service_version_requests_total", "- with versions: versions"},
	"VersionStats.Name":      {"- with versions: a label", "- with versions: version"},
	"VersionStats.Calls":     {"- with versions: weir_service_version_requests_total", "- with versions: requests"},
	"VersionStats.Fallbacks": {"- with versions: weir_service_version_fallbacks_total", "- with versions: fallbacks"},

	"Stats.Affinity":      {"- with affinity: weir_service_affinity_requests_total", "- with affinity: affinity"},
	"AffinityStats.Kept":  {"- with affinity: weir_service_affinity_requests_total", "- with affinity: kept"},
	"AffinityStats.Given": {"- with affinity: weir_service_affinity_requests_total", "- with affinity: given"},
	"AffinityStats.Moved": {"- with affinity: weir_service_affinity_requests_total", "- with affinity: moved"},

	"Stats.Mirror":          {"- with mirror: weir_service_mirror_requests_total", "- with mirror: mirror"},
	"MirrorStats.To":        {"- with mirror: a label", "- with mirror: to"},
	"MirrorStats.InFlight":  {"- with mirror: weir_service_mirror_in_flight", "- with mirror: in_flight"},
	"MirrorStats.Sent":      {"- with mirror: weir_service_mirror_requests_total", "- with mirror: sent"},
	"MirrorStats.Dropped":   {"- with mirror: weir_service_mirror_omitted_total", "- with mirror: dropped"},
	"MirrorStats.Skipped":   {"- with mirror: weir_service_mirror_omitted_total", "- with mirror: skipped"},
	"MirrorStats.Failed":    {"- with mirror: weir_service_mirror_failures_total", "- with mirror: failed"},
	"MirrorStats.Same":      {"- with mirror: weir_service_mirror_replies_total", "- with mirror: same_status"},
	"MirrorStats.Different": {"- with mirror: weir_service_mirror_replies_total", "- with mirror: different_status"},

	"Stats.TLS":            {"- where there are files: weir_service_tls_reload_failures_total", "- where there are files: tls"},
	"TLSStats.Loaded":      {"- weir_service_tls_certificate_expiry_timestamp_seconds moves", "- where there are files: loaded"},
	"TLSStats.NotAfter":    {"- where there are files: weir_service_tls_certificate_expiry_timestamp_seconds", "- where there are files: expires"},
	"TLSStats.LastFailure": {"- the rate of weir_service_tls_reload_failures_total tells it", "- where there are files: last_failure"},
	"TLSStats.Failures":    {"- where there are files: weir_service_tls_reload_failures_total", "- where there are files: failures"},
	"TLSStats.Failure":     {"- words", "- where there are files: failure"},

	"Stats.Credentials":            {"- with auth: weir_service_credentials_refreshes_total", "- with auth: credentials"},
	"CredentialsStats.Kind":        {"- words", "- with auth: kind"},
	"CredentialsStats.Refreshed":   {"- with auth: weir_service_credentials_last_refresh_timestamp_seconds", "- with auth: refreshed"},
	"CredentialsStats.Expires":     {"- with auth: weir_service_credentials_expiry_timestamp_seconds", "- with auth: expires"},
	"CredentialsStats.Refreshes":   {"- with auth: weir_service_credentials_refreshes_total", "- with auth: refreshes"},
	"CredentialsStats.Refused":     {"- with auth: weir_service_credentials_refused_total", "- with auth: refused"},
	"CredentialsStats.Failures":    {"- with auth: weir_service_credentials_failures_total", "- with auth: failures"},
	"CredentialsStats.LastFailure": {"- the rate of weir_service_credentials_failures_total tells it", "- with auth: last_failure"},
	"CredentialsStats.Failure":     {"- words", "- with auth: failure"},

	"Target.URL":      {"weir_service_endpoint_attempts_total", "address"},
	"Target.Host":     {"- what an endpoint is, not what it does", "host"},
	"Target.Weight":   {"- what an endpoint is, not what it does", "weight"},
	"Target.Zone":     {"- what an endpoint is, not what it does", "- where there are zones"},
	"Target.Priority": {"- what an endpoint is, not what it does", "- where it is not 0"},
	"Target.Version":  {"- what an endpoint is, not what it does", "- where it is told"},
	"Target.Draining": {"- what an endpoint is, not what it does", "state"},
}

// troubled has a service that is found, one that fails, and one that is unhealthy.
const troubled = `
flow: orders
trigger: { http: GET /orders, deadline: 2s }
steps:
  - { id: all, call: GET orders /all }
  - return: $(all)
---
flow: stock
trigger: { http: GET /stock, deadline: 2s }
steps:
  - { id: all, call: "GET stock /private/Ada" }
  - return: $(all)
---
flow: offers
trigger: { http: GET /offers, deadline: 2s }
steps:
  - { id: all, call: GET offers /all }
  - return: $(all)
---
services:
  orders: { endpoints: ["consul://orders/v2?server=http://consul"] }
  stock:
    endpoints: ["http://stock-1", "http://stock-2"]
    balance: round_robin
    retry: { attempts: 2, on: [503], backoff: 1ms }
    hedge: { extra: 1% }
    breaker: { failures: 2, open: 10s }
    service_breaker: { failures: 20, open: 10s }
  offers:
    endpoints: ["http://offers-1"]
    rate: { limit: 1000/s }
    health: { http: { path: /health } }
`

func inTrouble(t *testing.T) *flowtest.World {
	backends := places(&registry{})
	backends["stock-1"] = flowtest.JSON(503, `"who is Ada"`)
	backends["stock-2"] = flowtest.JSON(503, `"who is Ada"`)
	backends["offers-1"] = flowtest.JSON(503, `"who is Ada"`)
	w := flowtest.Serve(t, troubled, backends)
	w.Get("/orders").Is(t, 200, `"orders.service.consul/v2/all"`)
	for _, status := range []int{502, 502, 503} {
		if a := w.Get("/stock"); a.Status != status {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	return w
}

func servicesOf(t *testing.T, w *flowtest.World) (text string) {
	t.Helper()
	page := httptest.NewRecorder()
	w.Host.ServicesHandler().ServeHTTP(page, httptest.NewRequest("GET", "/services", nil))
	if page.Code != 200 || page.Header().Get("Content-Type") != "application/json" || page.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", page.Code, page.Header())
	}
	return page.Body.String()
}

// metricsOf are the names of the metrics of w that have a series.
func metricsOf(t *testing.T, w *flowtest.World) (names []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(w.Host.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Error(err)
	}
	for _, f := range families {
		names = append(names, f.GetName())
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	return names
}

func TestWhatTheMeshCountsIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inTrouble(t)
		metrics, page := metricsOf(t, w), servicesOf(t, w)
		fields := 0
		for _, of := range []any{mesh.Stats{}, mesh.EndpointStats{}, mesh.BreakerStats{}, mesh.SourceStats{}, mesh.TLSStats{}, mesh.LimitStats{}, mesh.AdaptiveStats{}, mesh.RateStats{}, mesh.PanicStats{}, mesh.EjectionStats{}, mesh.HealthStats{}, mesh.VersionStats{}, mesh.MirrorStats{}, mesh.AffinityStats{}, mesh.CredentialsStats{}, mesh.EndpointStats{}.Target} {
			typ := reflect.TypeOf(of)
			for i := range typ.NumField() {
				fields++
				name := typ.Name() + "." + typ.Field(i).Name
				shown, known := shownBy[name]
				if !known {
					t.Errorf("%s is not shown: show it in flows/metrics.go and flows/services.go, and say in shownBy where, or why not", name)
					continue
				}
				if metric := shown[0]; !strings.HasPrefix(metric, "- ") && !slices.Contains(metrics, metric) {
					t.Errorf("%s: there is no metric %s", name, metric)
				}
				if key := shown[1]; !strings.HasPrefix(key, "- ") && !strings.Contains(page, `"`+key+`":`) {
					t.Errorf("%s: there is no %q in %s", name, key, page)
				}
			}
		}
		if fields != len(shownBy) {
			t.Errorf("%d fields, and %d that are said to be shown", fields, len(shownBy))
		}
	})
}

func TestServicesShowWhyCallsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inTrouble(t)
		text := servicesOf(t, w)
		if strings.Contains(text, "Ada") || strings.Contains(text, "private") {
			t.Error("it holds what is of requests: " + text)
		}
		var got struct {
			Services []struct {
				Service   string
				Requests  int
				Budget    struct{ Left int }
				Failures  []map[string]any
				Breaker   map[string]any
				Endpoints []map[string]any
				Sources   []map[string]any
			}
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Services) != 3 {
			t.Fatal(err, text)
		}
		offers, orders, stock := got.Services[0], got.Services[1], got.Services[2]
		if health, _ := offers.Endpoints[0]["health"].(map[string]any); health["checks"] != 1.0 || health["failures"] != 1.0 || health["failure"] != "the status is 503, and not 2xx" {
			t.Errorf("%+v", offers)
		}
		if orders.Service != "orders" || orders.Requests != 1 || len(orders.Failures) != 0 || orders.Breaker != nil ||
			orders.Endpoints[0]["state"] != "ready" || orders.Endpoints[0]["host"] != "orders.service.consul" ||
			orders.Sources[0]["targets"] != 1.0 || orders.Sources[0]["last_success"] == nil {
			t.Errorf("%+v", orders)
		}
		blocked := stock.Endpoints[0]
		breaker, _ := blocked["breaker"].(map[string]any)
		if stock.Requests != 3 || stock.Budget.Left == 0 || stock.Breaker["state"] != "closed" || blocked["address"] != "http://stock-1" ||
			blocked["state"] != "blocked" || breaker["because"] == nil || breaker["next_probe"] == nil || breaker["openings"] != 1.0 {
			t.Errorf("%+v", stock)
		}
		classes := map[any]any{}
		for _, f := range stock.Failures {
			classes[f["class"]] = f["count"]
			if last, err := time.Parse(time.RFC3339Nano, f["last"].(string)); err != nil || time.Since(last) > time.Second {
				t.Errorf("%v, %v", f, err)
			}
		}
		if classes["status"] != 2.0 || classes["breaker_open"] != 1.0 {
			t.Errorf("%v", classes)
		}
		// What is gone is not shown.
		if err := w.Apply("flow: none\ntrigger: { http: GET /none }\nsteps: [ return: 1 ]\n---\nservices: {}\n"); err != nil {
			t.Fatal(err)
		}
		if text := servicesOf(t, w); text != "{\n  \"services\": []\n}\n" || len(metricsOf(t, w)) != 2 { // what is served is told always
			t.Errorf("%s, %v", text, metricsOf(t, w))
		}
	})
}

func TestEndpointsOfOneAddressAreOneSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &registry{}
		w := flowtest.Serve(t, strings.Replace(orders, `["consul://orders/v2?server=http://consul"]`,
			`["consul://orders?server=http://consul", "consul://sales?server=http://consul"], balance: round_robin`, 1), places(c))
		for range 2 {
			w.Get("/")
		}
		metricsOf(t, w)
		err := testutil.CollectAndCompare(w.Host.Collector(), strings.NewReader(`
# HELP weir_service_endpoint_attempts_total Attempts at an endpoint.
# TYPE weir_service_endpoint_attempts_total counter
weir_service_endpoint_attempts_total{endpoint="http://orders-1:80",service="orders"} 2
`), "weir_service_endpoint_attempts_total")
		if err != nil {
			t.Error(err)
		}
	})
}

func TestVersionsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, `
flow: search
trigger: { http: GET /search }
steps:
  - { id: all, call: GET search /all }
  - return: $(all)
---
services:
  search:
    versions:
      old: { endpoints: ["http://old"], weight: 1 }
      new: { endpoints: ["http://new"], weight: 1 }
    mirror: { to: new }
`, flowtest.Backends{"old": flowtest.JSON(200, `"old"`), "new": flowtest.JSON(200, `"new"`)})
		w.Get("/search").Is(t, 200, `"old"`)
		w.Get("/search").Is(t, 200, `"new"`)
		synctest.Wait() // for the copy of the first
		metrics, page := metricsOf(t, w), servicesOf(t, w)
		for _, name := range []string{"version_requests_total", "version_fallbacks_total", "mirror_requests_total", "mirror_in_flight",
			"mirror_omitted_total", "mirror_failures_total", "mirror_replies_total"} {
			if !slices.Contains(metrics, "weir_service_"+name) {
				t.Errorf("there is no metric %s", name)
			}
		}
		for _, text := range []string{`"versions":`, `"version": "old"`, `"version": "new"`, `"fallbacks": 0`, `"to": "new"`, `"sent": 1`, `"same_status": 1`} {
			if !strings.Contains(page, text) {
				t.Errorf("there is no %s in %s", text, page)
			}
		}
	})
}

func TestCredentialsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"verysecret","token_type":"Bearer","expires_in":3600}`)
		})
		w := flowtest.Serve(t, `
flow: entries
trigger: { http: GET /entries }
steps:
  - { id: all, call: GET ledger /all }
  - return: $(all)
---
services:
  ledger: { endpoints: ["http://ledger"], auth: { oauth2: { service: login, path: /token, client_id: shop, client_secret: $(secret.LEDGER) } } }
  login: { endpoints: ["http://login"] }
`, flowtest.Backends{"ledger": flowtest.JSON(200, `[]`), "login": login})
		w.Get("/entries").Is(t, 200, `[]`)
		metrics, page := metricsOf(t, w), servicesOf(t, w)
		for _, name := range []string{"refreshes_total", "refused_total", "failures_total", "last_refresh_timestamp_seconds", "expiry_timestamp_seconds"} {
			if name = "weir_service_credentials_" + name; !slices.Contains(metrics, name) {
				t.Errorf("there is no metric %s", name)
			}
		}
		for _, text := range []string{`"kind": "oauth2"`, `"refreshed": "`, `"expires": "`, `"refreshes": 1`, `"refused": 0`} {
			if !strings.Contains(page, text) {
				t.Errorf("there is no %s in %s", text, page)
			}
		}
		if strings.Contains(page, "verysecret") || strings.Contains(page, "made-up") {
			t.Error(page)
		}
	})
}
