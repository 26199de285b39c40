package connectors_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// What a caller of the flow sends is not what the service knows us by.
func TestAuthOfAService(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-the-pod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Authorization"]) })
	const basic = `{ basic: { user: shop, password: $(secret.TOKEN) } }`
	bearer := fmt.Sprintf("{ bearer_file: %q }", file)
	for name, tt := range map[string]struct{ auth, steps, want string }{
		"a password, for a call":       {basic, "- { id: a, call: GET b / }\n- return: $(a)", "[Basic c2hvcDptYWRlLXVwLVRPS0VO]"},
		"a password, for a forward":    {basic, "- forward: b", "[Basic c2hvcDptYWRlLXVwLVRPS0VO]"},
		"a token, for a call":          {bearer, "- { id: a, call: GET b / }\n- return: $(a)", "[Bearer of-the-pod]"},
		"a token, for a forward":       {bearer, "- forward: b", "[Bearer of-the-pod]"},
		"a call that sets another one": {bearer, "- { id: a, call: GET b /, headers: { authorization: mine } }\n- return: $(a)", "[mine]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps, `services: { b: { endpoints: ["http://b"], auth: `+tt.auth+` } }`), flowtest.Backends{"b": told})
			for range 2 {
				r := w.Request("GET", "/", "")
				r.Header.Set("Authorization", "of the caller")
				w.Send(r).Is(t, 200, tt.want)
			}
		})
	}
}
