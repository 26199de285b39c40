package policies

import (
	"net/url"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func compiledOrigins(t testing.TB, texts ...string) *origins {
	var ds dsl.Diagnostics
	var all []dsl.String
	for _, text := range texts {
		all = append(all, dsl.String{Value: text})
	}
	o := compileOrigins(&ds, all)
	for _, d := range ds.All() {
		t.Error(d.Message)
	}
	return o
}

// FuzzOrigin: an origin that is taken is what was written, or a host below it;
// whatever comes is read without fault.
func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{"https://shop.example", "https://a.shop.example", "null", "https://evil.example/.shop.example", "http://localhost:80", "http://localhost:99999", "https://.shop.example", "https://a..shop.example", "https://*.shop.example"} {
		f.Add(seed)
	}
	o := compiledOrigins(f, "https://shop.example", "https://*.shop.example", "http://localhost:*")
	f.Fuzz(func(t *testing.T, text string) {
		message, _, meant := originFault(text)
		if message == "" && !strings.Contains(text, "*") {
			if !(&origins{exact: []string{text}}).have(text) {
				t.Errorf("%q is not itself", text)
			}
		}
		if again, _, _ := originFault(meant); meant != "" && again != "" {
			t.Errorf("%q, meant by %q, is none either: %s", meant, text, again)
		}
		if !o.have(text) {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q was taken: %v", text, err)
		}
		host := u.Hostname()
		if !(host == "shop.example" || strings.HasSuffix(host, ".shop.example") || host == "localhost") {
			t.Errorf("%q was taken", text)
		}
	})
}
