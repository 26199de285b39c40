package policies_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is what a caller sees.
type reply struct {
	status  int
	header  http.Header
	body    string
	problem struct{ Code, Detail string }
}

// ask sends a request to the gateway public.
func ask(t *testing.T, w *flowtest.World, method, path string, header ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, "http://public:80"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := w.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: res.StatusCode, header: res.Header, body: string(text)}
	if res.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(text, &out.problem); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// site is a program with two routes and the policies given, in YAML.
func site(gateway, route string, more ...string) string {
	return strings.Join(append([]string{
		`flow: order
trigger: { http: "ANY /orders/{id}", policies: [` + route + `] }
steps: [{ return: { id: $(params.id) } }]
---
flow: open
trigger: { http: GET /open }
steps: [{ return: 1 }]
---
gateways: { public: { listen: "public:80", policies: [` + gateway + `] } }
`}, more...), "---\n")
}

func TestIPLetsInByAddress(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		want         int
	}{
		{"allowed", `ip: { allow: [127.0.0.0/8] }`, 200},
		{"not allowed", `ip: { allow: [10.0.0.0/8, "::1"] }`, 403},
		{"not denied", `ip: { deny: [10.0.0.0/8] }`, 200},
		{"denied", `ip: { deny: [127.0.0.1] }`, 403},
		{"allowed and denied", `ip: { allow: [127.0.0.0/8], deny: [127.0.0.1] }`, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, site("{ "+c.policy+" }", ""), nil)
			for _, path := range []string{"/orders/1", "/open", "/nowhere"} {
				got := ask(t, w, "GET", path)
				want := c.want
				if path == "/nowhere" && want == 200 {
					want = 404
				}
				if got.status != want {
					t.Errorf("%s: %d, not %d: %s", path, got.status, want, got.body)
				}
				if want == 403 && (got.problem.Code != "forbidden" || got.header.Get("Proxy-Status") != `weir; error=http_request_denied; details="ip"`) {
					t.Errorf("%s: %s %v", path, got.body, got.header)
				}
			}
		})
	}
}

func TestAuthorizeLetsInWhatIsTrue(t *testing.T) {
	w := flowtest.Serve(t, site(
		`{ authorize: { when: 'request.method != "DELETE"' } }`,
		`{ authorize: { when: 'params.id == "7" && (headers["X-Role"] ?? "") startsWith "staff"' } }`), nil)
	for _, c := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"all conditions hold", "GET", "/orders/7", []string{"X-Role", "staff-1"}, 200},
		{"that of the route does not", "GET", "/orders/8", []string{"X-Role", "staff-1"}, 403},
		{"a header is absent", "GET", "/orders/7", nil, 403},
		{"that of the gateway does not", "DELETE", "/orders/7", []string{"X-Role", "staff-1"}, 403},
		{"another route has that of the gateway only", "GET", "/open", nil, 200},
		{"that of the gateway comes before the method is refused", "DELETE", "/open", nil, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, c.path, c.header...)
			if got.status != c.want || got.status == 403 && got.problem.Code != "forbidden" {
				t.Errorf("%d, not %d: %s", got.status, c.want, got.body)
			}
		})
	}
}

func TestAConditionThatCannotBeEvaluatedLetsNobodyIn(t *testing.T) {
	w := flowtest.Serve(t, site("", `{ authorize: { when: 'int(headers["X-Level"]) > 3' } }`), nil)
	if got := ask(t, w, "GET", "/orders/1", "X-Level", "high"); got.status != 403 || strings.Contains(got.body, "high") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := ask(t, w, "GET", "/orders/1", "X-Level", "4"); got.status != 200 {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

func TestPoliciesOfTheRouteStandInPlaceOfThoseOfTheGateway(t *testing.T) {
	t.Run("a route can do without", func(t *testing.T) {
		text := strings.Replace(site(`{ ip: { deny: [127.0.0.1] } }`, ""), "policies: [] }", "without: [ip] }", 1)
		w := flowtest.Serve(t, text, nil)
		if got := ask(t, w, "GET", "/orders/1"); got.status != 200 {
			t.Errorf("%d: %s", got.status, got.body)
		}
		if got := ask(t, w, "GET", "/open"); got.status != 403 {
			t.Errorf("%d: %s", got.status, got.body)
		}
	})
}
