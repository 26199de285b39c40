package policies_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestMaintenanceAnswersInsteadOfTheFlow(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		sent         []string
		want         int
	}{
		{"always", `maintenance: {}`, nil, 503},
		{"not at all", `maintenance: { on: false }`, nil, 200},
		{"but not for a network", `maintenance: { allow: [127.0.0.0/8] }`, nil, 200},
		{"but for another network", `maintenance: { allow: [10.0.0.0/8] }`, nil, 503},
		{"but not for who sends a header", `maintenance: { unless: 'headers["X-Probe"] == "deploy"' }`, []string{"X-Probe", "deploy"}, 200},
		{"but for who does not", `maintenance: { unless: 'headers["X-Probe"] == "deploy"' }`, nil, 503},
		{"for whom nobody can say", `maintenance: { unless: 'int(headers["X-Probe"]) > 1' }`, []string{"X-Probe", "x"}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, site("{ cors: { origins: [https://shop.example] }, "+c.policy+" }", ""), nil)
			got := ask(t, w, "GET", "/orders/1", append(c.sent, "Origin", "https://shop.example")...)
			if got.status != c.want {
				t.Fatalf("%d, not %d: %s", got.status, c.want, got.body)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
				t.Error("pages cannot read it")
			}
			if c.want == 503 && (got.problem.Code != "maintenance" || got.header.Get("Retry-After") != "300" || got.problem.Detail == "") {
				t.Errorf("%s %v", got.body, got.header)
			}
		})
	}
}

func TestMaintenanceComesAndGoesWithAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "maintenance")
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, site(`{ maintenance: { file: `+path+`, retry_after: 90s, message: Back at noon. } }`, ""), nil)
		is := func(want int) {
			t.Helper()
			if got := ask(t, w, "GET", "/open"); got.status != want || want == 503 && (got.header.Get("Retry-After") != "90" || got.problem.Detail != "Back at noon.") {
				t.Errorf("%d, not %d: %s %v", got.status, want, got.body, got.header)
			}
		}
		is(200)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		is(200) // it was looked for less than a second ago
		time.Sleep(time.Second)
		is(503)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		is(200)
	})
}
