package flows_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/flowtest"
)

// place makes files below a directory: "a/b" with a text, or "a -> b", a link.
func place(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		err := error(nil)
		if isLink {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(files[name]), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretsAreFound(t *testing.T) {
	for _, tt := range []struct {
		what, name string
		files, env map[string]string
		want       string
	}{
		{"a file", "KEY", map[string]string{"KEY": "s3cret"}, nil, "s3cret"},
		{"a line", "KEY", map[string]string{"KEY": "s3cret\n"}, nil, "s3cret"},
		{"a line of another system", "KEY", map[string]string{"KEY": "s3cret\r\n"}, nil, "s3cret"},
		{"one line break alone goes", "KEY", map[string]string{"KEY": " s3cret \n\n"}, nil, " s3cret \n"},
		{"a file before a variable", "KEY", map[string]string{"KEY": "of the file"}, map[string]string{"KEY": "of the env"}, "of the file"},
		{"a variable", "KEY", nil, map[string]string{"KEY": "of the env"}, "of the env"},
		{"a directory of Docker's", "db-password", map[string]string{"db-password": "s3cret"}, nil, "s3cret"},
		{"a file in a directory", "db/password", map[string]string{"db/password": "s3cret"}, nil, "s3cret"},
		{"a volume of Kubernetes", "tls.key", map[string]string{"..2026_01_01/tls.key": "s3cret", "..data -> ..2026_01_01": "", "tls.key -> ..data/tls.key": ""}, nil, "s3cret"},
		{"volumes of Kubernetes", "api/token", map[string]string{"api/..1/token": "s3cret", "api/..data -> ..1": "", "api/token -> ..data/token": ""}, nil, "s3cret"},
		{"the longest", "KEY", map[string]string{"KEY": strings.Repeat("k", 64<<10) + "\r\n"}, nil, strings.Repeat("k", 64<<10)},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir, tt.files)
			store := flows.SecretStore{Dir: dir, Env: func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }, Redactor: &dsl.Redactor{}}
			got := store.Read([]string{tt.name}).Values()
			if want := map[string]string{"secret." + strings.ReplaceAll(tt.name, "/", "."): tt.want}; !maps.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			if !strings.Contains(store.Redactor.String("it is "+tt.want), "[secret.") {
				t.Error("the redactor was not told")
			}
		})
	}
}

func TestHostileSecretsAreRefused(t *testing.T) {
	for what, tt := range map[string]struct {
		name  string
		files map[string]string
	}{
		"outside":                {"../outside", map[string]string{"../outside": "s3cret"}},
		"outside by a directory": {"a/../../outside", map[string]string{"a/x": "", "../outside": "s3cret"}},
		"absolute":               {"/etc/hostname", nil},
		"hidden":                 {".hidden", map[string]string{".hidden": "s3cret"}},
		"of Kubernetes":          {"..data/KEY", map[string]string{"..data/KEY": "s3cret"}},
		"a NUL":                  {"KEY\x00", map[string]string{"KEY": "s3cret"}},
		"a backslash":            {`a\b`, map[string]string{`a\b`: "s3cret"}},
		"a line break":           {"a\nb", map[string]string{"a\nb": "s3cret"}},
		"no name":                {"", map[string]string{"x": "s3cret"}},
		"an empty segment":       {"a//b", map[string]string{"a/b": "s3cret"}},
		"a long name":            {strings.Repeat("n", 300), nil},
		"a deep one":             {strings.Repeat("n/", 20) + "n", nil},
		"a directory":            {"db", map[string]string{"db/password": "s3cret"}},
		"below a file":           {"KEY/x", map[string]string{"KEY": "s3cret"}},
		"a loop":                 {"KEY", map[string]string{"KEY -> KEY": ""}},
		"a link to nothing":      {"KEY", map[string]string{"KEY -> ..data/KEY": ""}},
		"empty":                  {"KEY", map[string]string{"KEY": ""}},
		"a line break alone":     {"KEY", map[string]string{"KEY": "\n"}},
		"too short":              {"KEY", map[string]string{"KEY": "abc\n"}},
		"too long":               {"KEY", map[string]string{"KEY": strings.Repeat("k", 64<<10+1)}},
		"endless":                {"KEY", map[string]string{"KEY -> /dev/zero": ""}},
		"not text":               {"KEY", map[string]string{"KEY": "\xff\xfe\x00\x01"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "secrets")
			place(t, dir, tt.files)
			store := flows.SecretStore{Dir: dir, Env: func(name string) (string, bool) { return "", false }}
			if got := store.Read([]string{tt.name}).Values(); len(got) > 0 {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("a pipe", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, "KEY"), 0o600); err != nil {
			t.Skip("this system has no named pipes:", err)
		}
		if got := (&flows.SecretStore{Dir: dir}).Read([]string{"KEY"}).Values(); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestSecretsThatFilesName(t *testing.T) {
	draft := flows.Parse(&flows.Files{Sources: []*dsl.Source{dsl.NewSource("a.yaml", `
a: $(secret.ONE + secret["two-2"] + secret['three'] + secret?.four ?? "")
b: [$(secret.db.password), "$(secret[\"five\"].six)"]
c: "$(secret\n  .SEVEN)"
when: sameSecret(headers.x, secret.EIGHT)
d: our secret. And "secretary.x"
e: $(secret["a/b"]) $(secret[query.x]) $(secret["../x"])
`)}})
	want := []string{"EIGHT", "ONE", "SEVEN", "And", "db/password", "five/six", "four", "three", "two-2"}
	slices.Sort(want)
	if got := draft.Secrets(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

const withToken = `
flow: hello
trigger: { http: GET / }
steps:
  - id: who
    call: GET backend /
    headers: { x-own: $(secret.OWN) }
  - return: $(who)
---
services: { backend: { endpoints: [%q], headers: { authorization: 'Bearer $(secret.TOKEN)' } } }
---
gateways: { public: { listen: "127.0.0.1:0" } }
`

// backendThatTells answers with the digits that the secrets it got end with. It
// keeps count of its connections.
func backendThatTells(t *testing.T) (url string, connections *atomic.Int64) {
	connections = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := func(s string) string { return s[max(0, len(s)-1):] }
		fmt.Fprint(w, last(r.Header.Get("Authorization")), last(r.Header.Get("X-Own")))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections
}

// TestRotationUnderLoad replaces secrets as Kubernetes does, by one link, while
// requests come. All are answered, each with secrets of one moment, and what did
// not change is kept.
func TestRotationUnderLoad(t *testing.T) {
	url, connections := backendThatTells(t)
	dir, secrets := t.TempDir(), t.TempDir()
	place(t, secrets, map[string]string{
		"..1/TOKEN": "token-number-1\n", "..1/OWN": "own-number-1\n", "..data -> ..1": "",
		"TOKEN -> ..data/TOKEN": "", "OWN -> ..data/OWN": "",
	})
	place(t, dir, map[string]string{"flow.yaml": fmt.Sprintf(withToken, url)})
	redactor := &dsl.Redactor{}
	w := watchWith(t, dir, &flows.SecretStore{Dir: secrets, Redactor: redactor})
	if got := w.answer(); got != "11" {
		t.Fatalf("the service saw %q", got)
	}
	hash := w.host.Program().Hash

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.answer(); len(got) != 2 {
					t.Errorf("a request got %q", got)
					return
				}
			}
		})
	}
	for i := 2; i <= 4; i++ {
		next := fmt.Sprintf("..%d", i)
		place(t, secrets, map[string]string{
			next + "/TOKEN": fmt.Sprintf("token-number-%d\n", i), next + "/OWN": fmt.Sprintf("own-number-%d\n", i), "..tmp -> " + next: "",
		})
		if err := os.Rename(filepath.Join(secrets, "..tmp"), filepath.Join(secrets, "..data")); err != nil {
			t.Fatal(err)
		}
		for r := w.next(); ; r = w.next() {
			if !r.OK() {
				t.Fatal(r.Err, r.Diagnostics)
			}
			if got := w.answer(); got == fmt.Sprintf("%d%d", i, i) {
				break // not between two looks
			}
		}
	}
	close(stop)
	clients.Wait()
	if got := w.host.Program().Hash; got != hash {
		t.Error("the hash of the files tells of secrets")
	}
	if n := connections.Load(); n > 6 {
		t.Errorf("the service has seen %d connections: they were not kept", n)
	}
	if got := redactor.String("token-number-1 and own-number-4"); got != "[secret.TOKEN] and [secret.OWN]" {
		t.Error("old and new ones are secrets:", got)
	}
}

func TestASecretThatGoesKeepsWhatIsServed(t *testing.T) {
	url, _ := backendThatTells(t)
	dir, secrets := t.TempDir(), t.TempDir()
	place(t, secrets, map[string]string{"TOKEN": "token-number-1", "OWN": "own-number-1"})
	place(t, dir, map[string]string{"flow.yaml": fmt.Sprintf(withToken, url)})
	w := watchWith(t, dir, &flows.SecretStore{Dir: secrets})
	if err := os.Remove(filepath.Join(secrets, "OWN")); err != nil {
		t.Fatal(err)
	}
	r := w.next()
	if r.OK() || len(r.Diagnostics) == 0 || r.Diagnostics[0].Code != "no-secret" {
		t.Fatalf("loaded: %v %v", r.Err, r.Diagnostics)
	}
	if got := w.answer(); got != "11" {
		t.Errorf("the service saw %q", got)
	}
	place(t, secrets, map[string]string{"OWN": "own-number-2"})
	for r = w.next(); !r.OK(); r = w.next() {
		continue // it was only made yet, and is empty
	}
	if got := w.answer(); got != "12" {
		t.Errorf("the service saw %q", got)
	}
}

// TestSecretsAreTakenOutOfWhatOthersSee is about the ways that nobody can see
// before: a service says what it was sent, a failure quotes it.
func TestSecretsAreTakenOutOfWhatOthersSee(t *testing.T) {
	const secret = "made-up-API_KEY"
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"you":%q}`, r.Header.Get("Authorization"))
	})
	const asked = `
- id: said
  call: GET echo /
  headers: { authorization: "Bearer $(secret.API_KEY)" }
`
	for what, tt := range map[string]struct {
		steps string
		told  bool // in words that hold it
	}{
		"a failure of the author's": {asked + "- fail: they said $(said.you)", true},
		"a failure by a problem":    {asked + "- fail: they said $(said.you)\nerrors:\n- return: { title: bad, detail: $(error.message) }", true},
		"an answer that is one":     {asked + "- return: { title: they said $(said.you) }\n  status: 400\n  headers: { content-type: application/problem+json }", true},
		"a line of the log":         {asked + "- log: they said $(said.you)\n  fields: { said: $(said), also: '$(toBase64(said.you))' }\n- return: 1", true},
		"a function that quotes":    {asked + "- return: $(parseTime(said.you, \"2006\"))", true},
		"a tap that fails":          {asked + "- tap:\n  - fail: they said $(said.you)\n- return: 1", true},
		"an undo that is left":      {asked + "- saga:\n  - call: GET echo /\n    undo: [{ fail: they said $(said.you) }]\n  - fail: they said $(said.you)\n- return: 1", true},
		"several failures as one":   {asked + "- first:\n    a: { fail: they said $(said.you) }\n    b: { fail: they said $(said.you) }\n- return: 1", true},
		"an expression about it":    {"- id: n\n  set: $(int(secret.API_KEY))\n- when: n != 1\n  return: 1", false},
		"a schema that it fails":    {asked + "- validate: $(said)\n  schema: { type: object, properties: { you: { const: nobody, pattern: x } } }\n- return: 1", false},
		"a decoder of it":           {asked + "- id: x\n  transform: $(said.you)\n  from: xml\n- return: $(x)", false},
		"a path to nobody":          {"- call: GET gone /keys/$(secret.API_KEY)\n- return: 1", false},
		"a query to nobody":         {"- call: GET gone /\n  query: { key: $(secret.API_KEY) }\n- return: 1", false},
		"a header that cannot be":   {"- call: GET echo /\n  headers: { x: \"$(secret.API_KEY)$(fromBase64('Cg=='))\" }\n- return: 1", false},
		"a part that it has not":    {asked + "- return: $(said.you.more)", false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, flowtest.Flow(tt.steps), flowtest.Backends{"echo": echo, "gone": nil})
				a := w.Get("/")
				synctest.Wait()
				seen := a.Body + w.Log()
				if strings.Contains(seen, secret) || strings.Contains(seen, "bWFkZS11cC1BUElfS0VZ") {
					t.Errorf("seen: %s", seen)
				}
				if tt.told != strings.Contains(seen, "[secret.API_KEY]") {
					t.Errorf("this was to hold it: %t\n%s", tt.told, seen)
				}
			})
		})
	}
}
