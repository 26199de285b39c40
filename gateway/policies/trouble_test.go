package policies_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway/policies"
)

// told are the lines of the log of a policy: LEVEL MESSAGE.
func told(t *testing.T, w *flowtest.World, policy string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(w.Log()) {
		var l struct{ Level, Msg, Policy, Of, Error string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Policy == policy {
			if l.Of == "" || l.Level != "INFO" && l.Error == "" {
				t.Errorf("it does not say whose it is, or what: %s", line)
			}
			lines = append(lines, l.Level+" "+l.Msg)
		}
	}
	return lines
}

func TestOperatorsHearOnceThatAFileCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, line, _ := policies.NewAPIKey("till", "", time.Time{})
		path, write := file(t, line)
		w := flowtest.Serve(t, guarded(`api_key: { file: `+path+` }`), nil)
		hears := func(want ...string) {
			t.Helper()
			for range 5 {
				ask(t, w, "GET", "/who", "X-API-Key", key)
				time.Sleep(5 * time.Second)
			}
			if got := told(t, w, "api_key"); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%q", got)
			}
		}
		const begins, ends = "WARN a file of a policy cannot be used", "INFO the file of a policy can be used again"
		hears()
		write("this is no list of keys")
		hears(begins)
		write("# better\nbut not good")
		hears(begins, begins)
		write(line)
		hears(begins, begins, ends)
		if strings.Contains(w.Log(), key) {
			t.Error("a key is in the log")
		}
	})
}

func TestOperatorsHearOfAnOutageOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mints()["ES256"]
		var down atomic.Bool
		issuer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				w.WriteHeader(500)
				return
			}
			flowtest.JSON(200, `{"keys":`+publicKeys(m)+`}`).ServeHTTP(w, r)
		})
		w := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, jwks: "http://keys/jwks", refresh: 10s }`), flowtest.Backends{"keys": issuer})
		hears := func(want ...string) {
			t.Helper()
			for range 10 {
				ask(t, w, "GET", "/who", bearer(m.token(claimsOf()))...)
				time.Sleep(15 * time.Second)
			}
			if got := told(t, w, "jwt"); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%q", got)
			}
		}
		hears()
		down.Store(true)
		hears("WARN what a policy needs from elsewhere cannot be had")
		down.Store(false)
		hears("WARN what a policy needs from elsewhere cannot be had", "INFO what a policy needs from elsewhere can be had again")
	})
}
