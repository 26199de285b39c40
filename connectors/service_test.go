package connectors_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

const serviceWithHeaders = `
services:
  b:
    endpoints: ["http://b"]
    headers: { authorization: "Bearer $(secret.TOKEN)", x-where: here, host: inner.example, X-API-Key: 1 }
`

func TestHeadersOfAService(t *testing.T) {
	told := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s", r.Header["Authorization"], r.Header["X-Where"], r.Host, r.Header["X-Api-Key"])
	})
	const all = "[Bearer made-up-TOKEN]|[here]|inner.example|[1]"
	for name, tt := range map[string]struct{ steps, want string }{
		"a call":                        {"- { id: a, call: GET b / }\n- return: $(a)", all},
		"a call that sets others":       {"- { id: a, call: GET b /, headers: { X-Where: [there, now], authorization: mine } }\n- return: $(a)", "[mine]|[there now]|inner.example|[1]"},
		"a call that leaves one to it":  {"- { id: a, call: GET b /, headers: { x-where: null } }\n- return: $(a)", all},
		"a forward":                     {"- forward: b", all},
		"a forward that sets one":       {"- { forward: b, headers: { authorization: mine } }", "[mine]|[here]|inner.example|[1]"},
		"rounds that share its headers": {"- { id: a, each: 'x in [1, 2, 3]', limit: 3, steps: [{ id: s, call: GET b / }], yield: $(s) }\n- return: $(a[2])", all},
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps, serviceWithHeaders), flowtest.Backends{"b": told})
			for range 2 { // what one request sets is none of the next
				r := w.Request("GET", "/", "")
				r.Header.Set("Authorization", "of the caller")
				w.Send(r).Is(t, 200, tt.want)
			}
		})
	}
}

// The client of a service can be taken over by one with other headers: they are
// no part of a connection. And what tells them apart is no secret.
func TestHeadersAreNoPartOfTheKeyOfAService(t *testing.T) {
	key := func(text string) string {
		return flowtest.Check(t, flowtest.Flow("- forward: b", text, `gateways: { public: { listen: ":80" } }`)).Services[0].Key()
	}
	with, without := key(serviceWithHeaders), key(`services: { b: { endpoints: ["http://b"] } }`)
	if with != without {
		t.Errorf("%q is not %q", with, without)
	}
}

// What is known of a service is what is written.
func TestASecretOfAServiceIsNotShown(t *testing.T) {
	p := flowtest.Check(t, flowtest.Flow("- forward: b", serviceWithHeaders, `gateways: { public: { listen: ":80" } }`))
	for _, s := range p.Services {
		for _, setting := range s.Written() {
			if strings.Contains(setting.Span.Text(), "made-up") {
				t.Errorf("%s is %s", setting.Key, setting.Span.Text())
			}
		}
		if shown := fmt.Sprintf("%+v", s.Config()); strings.Contains(shown, "made-up") {
			t.Error(shown)
		}
	}
}
