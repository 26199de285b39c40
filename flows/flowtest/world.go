// Package flowtest runs flow files in a test: a whole program behind its
// gateways, with backends that the test plays. All connections are in memory,
// so that inside testing/synctest time is virtual, and whatever a request sets
// off has happened when synctest.Wait returns.
package flowtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/policies"
)

// Flow is a flow file whose steps run for GET and for POST /, for at most 10s,
// with further documents behind it. Further sections of the flow can follow
// the steps.
func Flow(steps string, more ...string) string {
	var docs []string
	for _, method := range []string{"GET", "POST"} {
		docs = append(docs, fmt.Sprintf("flow: %s\ntrigger: { http: %s /, deadline: 10s }\nsteps:\n%s", strings.ToLower(method), method, strings.TrimSpace(steps)))
	}
	return strings.Join(append(docs, more...), "\n---\n")
}

// World is a program at work, with its backends and a client.
type World struct {
	*Network
	Host   *flows.Host
	Client *http.Client // keeps connections

	t        testing.TB
	log      *journal
	redactor *dsl.Redactor
	backends Backends
	verbs    []engine.StepKind
}

// Serve checks text as a flow file and serves it until the test ends. What
// text does not say is added: a service for each backend, and a gateway named
// public. Secrets are made up: secret.KEY is made-up-KEY. A backend listens at its name, the gateway at public:80. The flows
// can use all verbs of the language, and those of the test.
func Serve(t testing.TB, text string, backends Backends, verbs ...engine.StepKind) *World {
	t.Helper()
	return serve(t, &Network{}, nil, text, backends, verbs)
}

// ServeOnSockets is Serve with connections of TCP, and so in the time of the clock.
func ServeOnSockets(t testing.TB, text string, backends Backends) *World {
	t.Helper()
	return serve(t, &Network{Sockets: true}, nil, text, backends, nil)
}

// ServeTraced is Serve with a tracer.
func ServeTraced(t testing.TB, tracer *trace.Tracer, text string, backends Backends) *World {
	t.Helper()
	return serve(t, &Network{}, tracer, text, backends, nil)
}

func serve(t testing.TB, network *Network, tracer *trace.Tracer, text string, backends Backends, verbs []engine.StepKind) *World {
	t.Helper()
	w := &World{Network: network, t: t, log: &journal{}, redactor: &dsl.Redactor{}, backends: backends, verbs: verbs}
	for name, handler := range backends {
		if handler != nil {
			w.Start(name, handler)
		}
	}
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.Host = flows.NewHost(flows.HostOptions{
		Log: w.logger(), Metrics: metrics, Redactor: w.redactor, Drain: 10 * time.Second, Listen: w.Listen, Dial: w.Dial, Tracer: tracer,
	})
	t.Cleanup(func() {
		if err := w.Host.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.Client = w.NewClient()
	if err := w.Apply(text); err != nil {
		t.Fatal(err)
	}
	return w
}

// Start lets a server listen at name:80 until the test ends, or until stop is
// called. It speaks HTTP/1.1 and, to who begins with that, HTTP/2.
func (w *World) Start(name string, handler http.Handler) (stop func()) {
	w.t.Helper()
	l, err := w.Listen("memory", name+":80")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with ErrServerClosed
	stop = func() {
		_ = s.Close()
		serving.Wait()
	}
	w.t.Cleanup(stop)
	return stop
}

// NewClient makes another client, which shares no connections with Client.
func (w *World) NewClient() *http.Client {
	transport := &http.Transport{DialContext: w.Dial, DisableCompression: true, MaxIdleConnsPerHost: 64}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Check compiles text with what Serve adds. Faults in it end the test. Text that is
// an archive (txtar) begins with the files that the last of it, the flows, refers to.
func (w *World) Check(text string) *flows.Program {
	w.t.Helper()
	p := check(w.t, w.complete(text), w.logger(), w.verbs)
	w.redactor.Add(p.Secrets.Values())
	return p
}

// Check compiles text, in which nothing is left out.
func Check(t testing.TB, text string) *flows.Program {
	t.Helper()
	return check(t, text, slog.New(slog.DiscardHandler), nil)
}

func check(t testing.TB, text string, log *slog.Logger, own []engine.StepKind) *flows.Program {
	t.Helper()
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All(), own)...)
	if err != nil {
		t.Fatal(err)
	}
	files := &flows.Files{Hash: text}
	archive := txtar.Parse([]byte(text))
	for _, f := range archive.Files {
		files.Documents = append(files.Documents, dsl.NewSource(f.Name, string(f.Data)))
		text = string(f.Data)
	}
	if n := len(archive.Files); n > 0 {
		files.Documents = files.Documents[:n-1]
	}
	files.Sources = []*dsl.Source{dsl.NewSource("test.yaml", text)}
	draft := flows.Parse(files)
	env := flows.Environment{Env: func(string) (string, bool) { return "", false }, Secrets: draft.MadeUp(nil), Log: log}
	guards, err := policies.NewCatalog(policies.All()...)
	if err != nil {
		t.Fatal(err)
	}
	p, faults := draft.Check(&flows.Catalog{Steps: verbs, Policies: guards}, env)
	if p == nil {
		faults = slices.DeleteFunc(faults, func(d dsl.Diagnostic) bool { return d.Severity != dsl.Error })
		var b strings.Builder
		dsl.Render(&b, faults, dsl.RenderOptions{})
		t.Fatalf("the flows of the test do not compile:\n%s", b.String())
	}
	return p
}

// Apply makes text the program that is served.
func (w *World) Apply(text string) error {
	w.t.Helper()
	return w.Host.Apply(w.Check(text))
}

func (w *World) complete(text string) string {
	var b strings.Builder
	b.WriteString(text)
	if !strings.Contains(text, "services:") && len(w.backends) > 0 {
		b.WriteString("\n---\nservices:\n")
		for name := range w.backends {
			fmt.Fprintf(&b, "  %s: { endpoints: [\"http://%s\"] }\n", name, name)
		}
	}
	if !strings.Contains(text, "gateways:") {
		b.WriteString("\n---\ngateways: { public: { listen: \"public:80\" } }\n")
	}
	return b.String()
}

// Get asks the gateway named public.
func (w *World) Get(path string) Answer { return w.Send(w.Request("GET", path, "")) }

// Post sends JSON to the gateway named public.
func (w *World) Post(path, body string) Answer { return w.Send(w.Request("POST", path, body)) }

// Request makes a request to the gateway named public. A body is JSON.
func (w *World) Request(method, path, body string) *http.Request {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, "http://public"+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// Send sends a request and reads the whole answer.
func (w *World) Send(r *http.Request) Answer { return Read(w.Client.Do(r)) }

// Log is what was logged so far, one JSON object a line.
func (w *World) Log() string { return w.log.String() }

func (w *World) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(w.redactor.Writer(w.log), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}
