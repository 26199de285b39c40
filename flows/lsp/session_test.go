package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
)

// session is a client of a server, as an editor is one.
type session struct {
	t    *testing.T
	rpc  *jrpc2.Client
	out  io.Closer // what the server reads
	done chan bool // whether the end was clean

	mu        sync.Mutex
	told      map[uri]publishParams
	order     []string // of what was published
	callbacks []string
}

func connect(t *testing.T, o Options) *session {
	t.Helper()
	in, out := io.Pipe()
	back, answers := io.Pipe()
	c := &session{t: t, out: out, done: make(chan bool, 1), told: map[uri]publishParams{}}
	go func() {
		clean, err := Serve(context.Background(), in, answers, o)
		if err != nil {
			t.Error(err)
		}
		in.Close()
		c.done <- clean
	}()
	c.rpc = jrpc2.NewClient(channel.LSP(back, out), &jrpc2.ClientOptions{
		OnNotify: func(r *jrpc2.Request) {
			var p publishParams
			if r.Method() == "textDocument/publishDiagnostics" && r.UnmarshalParams(&p) == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.told[p.URI] = p
				var all []string
				for _, d := range p.Diagnostics {
					all = append(all, fmt.Sprintf("%d:%d %s", d.Range.Start.Line, d.Range.Start.Character, d.Code))
				}
				c.order = append(c.order, filepath.Base(string(p.URI))+" ["+strings.Join(all, ", ")+"]")
			}
		},
		OnCallback: func(_ context.Context, r *jrpc2.Request) (any, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.callbacks = append(c.callbacks, r.Method())
			return nil, nil
		},
	})
	return c
}

func (c *session) call(method string, params, result any) {
	c.t.Helper()
	if err := c.try(method, params, result); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *session) try(method string, params, result any) error {
	r, err := c.rpc.Call(context.Background(), method, params)
	if err != nil || result == nil {
		return err
	}
	return r.UnmarshalResult(result)
}

func (c *session) notify(method string, params any) {
	c.t.Helper()
	if err := c.rpc.Notify(context.Background(), method, params); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *session) open(path, text string) {
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": fileURI(path), "version": 1, "languageId": "yaml", "text": text}})
}

func (c *session) change(path string, version int, changes ...any) {
	c.notify("textDocument/didChange", map[string]any{"textDocument": map[string]any{"uri": fileURI(path), "version": version}, "contentChanges": changes})
}

// settle waits until the server has told what it has to tell, and gives that.
func (c *session) settle() string {
	time.Sleep(2 * quiet)
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Sorted(slices.Values(c.order))
	c.order = nil
	return strings.Join(out, "\n")
}

// leave ends the session as an editor does.
func (c *session) leave() {
	c.call("shutdown", nil, nil)
	c.notify("exit", nil)
	if !<-c.done {
		c.t.Error("the end was not clean")
	}
	c.rpc.Close()
}

func greeting(dir string) map[string]any {
	return map[string]any{
		"processId": 1, "rootUri": fileURI(dir), "workspaceFolders": []map[string]any{{"uri": fileURI(dir), "name": "x"}},
		"capabilities": map[string]any{
			"general":   map[string]any{"positionEncodings": []string{"utf-16"}},
			"workspace": map[string]any{"didChangeWatchedFiles": map[string]any{"dynamicRegistration": true}},
		},
	}
}

func begin(t *testing.T, dir string) *session {
	c := connect(t, options(t))
	c.call("initialize", greeting(dir), nil)
	c.notify("initialized", struct{}{})
	return c
}

const sound = `flow: profile
trigger: { http: 'GET /customers/{id}' }
steps:
  - id: user
    call: GET users /users/$(params.id)
  - return: { name: $(user.first), orders: $(user.orders) }
`

func TestAnEditorsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, shop)
		path := filepath.Join(dir, "profile.yaml")
		c := connect(t, options(t))
		var greeted initializeResult
		c.call("initialize", greeting(dir), &greeted)
		if greeted.ServerInfo.Name != "weir" || !greeted.Capabilities.Hover || greeted.Capabilities.PositionEncoding != inUTF16 {
			t.Errorf("got %+v", greeted)
		}
		c.notify("initialized", struct{}{})

		c.open(path, strings.Replace(sound, "users /users", "usres /users", 1))
		if got := c.settle(); !strings.Contains(got, "profile.yaml [4:14 unknown-service]") {
			t.Errorf("for a fault the server tells %s", got)
		}
		if !slices.Contains(c.callbacks, "client/registerCapability") {
			t.Error("the server does not ask for changes of files")
		}
		d := c.told[fileURI(path)]
		if d.Version == nil || *d.Version != 1 || !strings.Contains(d.Diagnostics[0].Message, `did you mean "users"?`) || d.Diagnostics[0].Severity != 1 {
			t.Errorf("got %+v", d)
		}

		// One change, of the word alone; of many only the last is checked.
		c.change(path, 2, map[string]any{"range": span{position{4, 14}, position{4, 19}}, "text": "user"})
		c.change(path, 3, map[string]any{"range": span{position{4, 18}, position{4, 18}}, "text": "s"})
		if got := c.settle(); !strings.Contains(got, "profile.yaml []") || strings.Count(got, "profile.yaml") != 1 {
			t.Errorf("when it is repaired the server tells %s", got)
		}

		at := func(line, character int) cursorParams {
			return cursorParams{documentID{fileURI(path)}, position{line, character}}
		}
		var items []completionItem
		c.call("textDocument/completion", at(5, 30), &items)
		if got := labels(items); !strings.Contains(got, "first") {
			t.Errorf("the completions are %s", got)
		}
		var h hover
		c.call("textDocument/hover", at(5, 24), &h)
		if !strings.HasPrefix(h.Contents.Value, "**user**: { address?: { city: text") {
			t.Errorf("the hover is %s", h.Contents.Value)
		}
		var places []location
		c.call("textDocument/definition", at(5, 24), &places)
		if len(places) != 1 || places[0].Range.Start != (position{3, 8}) {
			t.Errorf("user is defined at %v", places)
		}
		var symbols []documentSymbol
		c.call("textDocument/documentSymbol", map[string]any{"textDocument": documentID{fileURI(path)}}, &symbols)
		if len(symbols) != 1 || symbols[0].Name != "profile" || len(symbols[0].Children) != 2 {
			t.Errorf("the symbols are %+v", symbols)
		}
		c.leave()
	})
}

func TestDiagnosticsAreOfAllFilesAndGoWithTheirCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, shop+"-- profile.yaml --\n"+sound)
		site := filepath.Join(dir, "site.yaml")
		c := begin(t, dir)
		c.open(site, "gateways: { public: { listen: ':0' } }\n")
		if got := c.settle(); !strings.Contains(got, "profile.yaml [4:14 unknown-service]") {
			t.Errorf("of a file that is not open the server tells %s", got)
		}
		c.notify("textDocument/didClose", documentParams{documentID{fileURI(site)}})
		if got := c.settle(); !strings.Contains(got, "profile.yaml []") {
			t.Errorf("when nothing is open any more the server tells %s", got)
		}
		c.leave()
	})
}

func TestRelatedPlacesAndTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, shop)
		path := filepath.Join(dir, "profile.yaml")
		c := begin(t, dir)
		c.open(path, sound+"---\nservices: { users: { endpoints: ['http://127.0.0.1:1'] } }\n")
		c.settle()
		d := c.told[fileURI(filepath.Join(dir, "site.yaml"))].Diagnostics
		i := slices.IndexFunc(d, func(d diagnostic) bool { return d.Code == "duplicate-service" })
		if i < 0 || d[i].Related[0].Location.URI != fileURI(path) {
			t.Errorf("got %+v", d)
		}
		c.change(path, 2, map[string]any{"text": sound})
		c.settle()
		d = c.told[fileURI(filepath.Join(dir, "site.yaml"))].Diagnostics
		i = slices.IndexFunc(d, func(d diagnostic) bool { return d.Code == "unused-service" })
		if i < 0 || !slices.Equal(d[i].Tags, []int{unnecessary}) || d[i].Severity == 1 {
			t.Errorf("got %+v", d)
		}
		c.leave()
	})
}

func TestEachProgramOfAFolderIsOnItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		program := "-- %s/site.yaml --\ngateways: { public: { listen: ':0' } }\n-- %[1]s/flows/a.yaml --\nflow: a\ntrigger: { http: GET / }\nsteps: [{ return: 1 }]\n"
		dir := write(t, fmt.Sprintf(program, "one")+fmt.Sprintf(program, "two")+"-- compose.yaml --\nservices: { web: { image: x } }\n")
		c := begin(t, dir)
		one := filepath.Join(dir, "one", "flows", "a.yaml")
		c.open(one, "flow: a\ntrigger: { http: GET / }\nsteps: [{ retrun: 1 }]\n")
		c.open(filepath.Join(dir, "two", "flows", "a.yaml"), "flow: a\ntrigger: { http: GET / }\nsteps: [{ return: 1 }]\n")
		c.open(filepath.Join(dir, "compose.yaml"), "services: { web: { image: x } }\n")
		if got := c.settle(); got != "a.yaml [2:10 no-verb]" {
			t.Errorf("got %s", got)
		}
		other := write(t, "-- a.yaml --\nflow: b\nsteps: [{}]\n")
		c.notify("workspace/didChangeWorkspaceFolders", map[string]any{"event": map[string]any{"added": []folder{{fileURI(other)}}, "removed": []folder{}}})
		c.open(filepath.Join(other, "a.yaml"), "flow: b\nsteps: [{}]\n")
		if got := c.settle(); !strings.Contains(got, "a.yaml [1:8 no-verb]") {
			t.Errorf("of a folder that was added the server tells %s", got)
		}
		c.leave()
	})
}

func TestWhatAProgramImportsIsToldWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, "-- flows/a.yaml --\nimports: [../shared]\n---\ngateways: { public: { listen: ':0' } }\n---\n"+
			"flow: a\ntrigger: { http: GET / }\nsteps: [{ run: b, with: { x: 1 } }]\n---\nservices: { users: { endpoints: ['http://127.0.0.1:1'] } }\n"+
			"-- shared/b.yaml --\nflow: b\ninput: { x: {} }\nsteps: [{ call: GET users / }, { return: $(input.x) }]\n")
		c := begin(t, dir)
		shared := filepath.Join(dir, "shared", "b.yaml")
		c.open(shared, "flow: b\ninput: { x: {} }\nsteps: [{ call: GET users / }, { return: $(input.x) }]\n")
		if got := c.settle(); !strings.Contains(got, "unknown-service") {
			t.Errorf("alone it has %s", got)
		}
		c.open(filepath.Join(dir, "flows", "a.yaml"), contentOf(t, filepath.Join(dir, "flows", "a.yaml")))
		if got := c.settle(); !strings.Contains(got, "b.yaml []") {
			t.Errorf("with the program that imports it: %s", got)
		}
		var places []location
		c.call("textDocument/definition", cursorParams{documentID{fileURI(shared)}, position{2, 22}}, &places)
		if len(places) != 1 || filepath.Base(places[0].URI.path()) != "a.yaml" {
			t.Errorf("its service is defined at %v", places)
		}
		c.leave()
	})
}

func TestWhatOthersImportIsNotInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shared = "template: a\nsteps: [{ parallel: x }]\n---\nservices: { users: { endpoints: ['http://127.0.0.1:1'] } }\n"
		dir := write(t, "-- shared/a.yaml --\n"+shared)
		c := begin(t, dir)
		c.open(filepath.Join(dir, "shared", "a.yaml"), shared)
		if got := c.settle(); got != "a.yaml [1:10 no-verb]" {
			t.Errorf("got %s", got)
		}
		c.change(filepath.Join(dir, "shared", "a.yaml"), 2, map[string]any{"text": strings.Replace(shared, "parallel: x", "log: x", 1)})
		if got := c.settle(); got != "a.yaml []" {
			t.Errorf("got %s", got)
		}
		c.leave()
	})
}

func TestTheProgramThatWasNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, "-- a/site.yaml --\ngateways: { public: { listen: ':0' } }\n-- b/a.yaml --\nflow: a\ntrigger: { http: GET /, gateway: publik }\nsteps: [{ return: 1 }]\n")
		o := options(t)
		o.Paths = []string{"a", "b"}
		c := connect(t, o)
		c.call("initialize", greeting(dir), nil)
		c.notify("workspace/didChangeWatchedFiles", map[string]any{"changes": []any{}})
		if got := c.settle(); got != "a.yaml [1:33 unknown-gateway]" {
			t.Errorf("got %s", got)
		}
		c.leave()
	})
}

func TestTheOrderOfTheProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, shop)
		c := connect(t, options(t))
		code := func(err error) int {
			if e, ok := err.(*jrpc2.Error); ok {
				return int(e.Code)
			}
			t.Errorf("no error of the protocol: %v", err)
			return 0
		}
		if got := code(c.try("textDocument/hover", struct{}{}, nil)); got != -32002 {
			t.Errorf("before initialize: %d", got)
		}
		c.call("initialize", greeting(dir), nil)
		if got := code(c.try("initialize", greeting(dir), nil)); got != -32600 {
			t.Errorf("a second initialize: %d", got)
		}
		if got := code(c.try("textDocument/unheard", struct{}{}, nil)); got != -32601 {
			t.Errorf("an unknown method: %d", got)
		}
		if got := code(c.try("textDocument/hover", []int{1}, nil)); got != -32602 {
			t.Errorf("bad parameters: %d", got)
		}
		var null json.RawMessage
		c.call("textDocument/hover", cursorParams{documentID{"file:///nowhere.yaml"}, position{9, 9}}, &null)
		if string(null) != "null" {
			t.Errorf("a document that is not open: %s", null)
		}
		c.notify("$/unheard", struct{}{})
		c.call("shutdown", nil, nil)
		if got := code(c.try("textDocument/hover", struct{}{}, nil)); got != -32600 {
			t.Errorf("behind shutdown: %d", got)
		}
		c.notify("exit", nil)
		if !<-c.done {
			t.Error("the end was not clean")
		}
		c.rpc.Close()
	})
}

func TestTheServerEndsWithItsInput(t *testing.T) {
	for name, end := range map[string]func(c *session){
		"the input ends": func(c *session) { c.out.Close() },
		"exit alone":     func(c *session) { c.notify("exit", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, write(t, shop))
			end(c)
			if <-c.done {
				t.Error("this is a clean end")
			}
			c.rpc.Close()
		})
	}
}

func TestARequestCanBeCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := newServer(options(t))
	s.stage = greeted
	h := method(s, greeted, func(context.Context, *struct{}) (any, error) { return 1, nil })
	req, err := jrpc2.ParseRequests([]byte(`{"jsonrpc":"2.0","id":1,"method":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h(ctx, req[0].ToRequest()); err == nil || err.(*jrpc2.Error).Code != requestCancelled {
		t.Errorf("got %v", err)
	}
}

func TestAFaultOfTheServerIsAnAnswer(t *testing.T) {
	s := newServer(options(t))
	s.stage = greeted
	s.Log = slogDiscard()
	h := method(s, greeted, func(context.Context, *struct{}) (any, error) { panic("oops") })
	req, _ := jrpc2.ParseRequests([]byte(`{"jsonrpc":"2.0","id":1,"method":"x"}`))
	if _, err := h(context.Background(), req[0].ToRequest()); err == nil || err.(*jrpc2.Error).Code != jrpc2.InternalError {
		t.Errorf("got %v", err)
	}
}

func TestColumnsAreOfTheEncodingThatWasAgreedOn(t *testing.T) {
	for _, c := range []struct {
		offered []string
		want    encoding
		column  int
	}{
		{nil, inUTF16, 21}, {[]string{"utf-32", "utf-16"}, inUTF16, 21}, {[]string{"utf-16", "utf-8"}, inUTF8, 24},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := write(t, shop)
			path := filepath.Join(dir, "a.yaml")
			client := connect(t, options(t))
			hello := greeting(dir)
			hello["capabilities"] = map[string]any{"general": map[string]any{"positionEncodings": c.offered}}
			var greeted initializeResult
			client.call("initialize", hello, &greeted)
			if greeted.Capabilities.PositionEncoding != c.want {
				t.Errorf("of %v it is %s", c.offered, greeted.Capabilities.PositionEncoding)
			}
			client.open(path, "flow: a\r\ntrigger: { http: GET / }\r\nsteps:\r\n  - log: 'ü😀 $(x) $(usr)'\r\n")
			if got, want := client.settle(), fmt.Sprintf("3:%d unknown-name", c.column); !strings.Contains(got, want) {
				t.Errorf("%s: %s has no %s", c.want, got, want)
			}
			// The change is of what stands behind both characters.
			from := position{3, c.column - len("$(x) $(")}
			client.change(path, 2, map[string]any{"range": span{from, position{3, c.column + 4}}, "text": ""})
			if got := client.settle(); strings.Contains(got, "unknown-name") {
				t.Errorf("%s: when they are cut: %s", c.want, got)
			}
			client.leave()
		})
	}
}
