package flows_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

// watched is a directory of flow files with a Host that follows it.
type watched struct {
	t        *testing.T
	dir      string
	host     *flows.Host
	metrics  *prometheus.Registry
	reloader *flows.Reloader
	reloads  chan flows.Reload
}

// watch starts to serve a directory whose one flow answers with a word.
func watch(t *testing.T, dir string) *watched {
	t.Helper()
	return watchWith(t, dir, nil)
}

// watchWith is watch with secrets.
func watchWith(t *testing.T, dir string, secrets *flows.SecretStore) *watched {
	t.Helper()
	w := &watched{t: t, dir: dir, metrics: prometheus.NewRegistry(), reloads: make(chan flows.Reload, 100)}
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := gateway.NewMetrics(w.metrics)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	w.host = flows.NewHost(flows.HostOptions{Log: log, Metrics: m, Drain: time.Second})
	w.reloader, err = flows.NewReloader(w.host, flows.ReloadOptions{
		Paths: []string{dir}, Catalog: &flows.Catalog{Steps: verbs}, Interval: 5 * time.Millisecond, Metrics: w.metrics,
		Environment: flows.Environment{Env: func(string) (string, bool) { return "", false }, Log: log},
		Secrets:     secrets,
		Report:      func(r flows.Reload) { w.reloads <- r },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := w.reloader.Load(); !r.OK() {
		t.Fatalf("first load: %v %v", r.Err, r.Diagnostics)
	}
	<-w.reloads
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.reloader.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := w.host.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func flowSaying(word string) string {
	return fmt.Sprintf("flow: hello\ntrigger: { http: GET / }\nsteps:\n  - return: %s\n---\ngateways: { public: { listen: \"127.0.0.1:0\" } }\n", word)
}

func (w *watched) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// answer asks the flow.
func (w *watched) answer() string {
	w.t.Helper()
	resp, err := http.Get("http://" + w.host.Addr("public").String() + "/")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(body)
}

// next waits for the outcome of the next attempt.
func (w *watched) next() flows.Reload {
	w.t.Helper()
	select {
	case r := <-w.reloads:
		return r
	case <-time.After(20 * time.Second):
		w.t.Fatal("nothing was loaded")
		return flows.Reload{}
	}
}

// written waits for the next attempt at files that somebody has written: a
// busy machine can show one that was only emptied yet.
func (w *watched) written() flows.Reload {
	w.t.Helper()
	r := w.next()
	for r.Err != nil && strings.Contains(r.Err.Error(), "is empty") {
		r = w.next()
	}
	return r
}

// becomes waits until the flow answers with word.
func (w *watched) becomes(word string) {
	w.t.Helper()
	if r := w.written(); !r.OK() {
		w.t.Fatalf("not loaded: %v %v", r.Err, r.Diagnostics)
	}
	if got := w.answer(); got != word {
		w.t.Errorf("answer is %q, want %q", got, word)
	}
}

func TestChangesOfEveryKindAreServed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, w *watched)
	}{
		{"written in place", func(t *testing.T, w *watched) { w.write("hello.yaml", flowSaying("two")) }},
		{"replaced as editors do", func(t *testing.T, w *watched) {
			w.write(".hello.yaml.swp", flowSaying("two"))
			if err := os.Rename(filepath.Join(w.dir, ".hello.yaml.swp"), filepath.Join(w.dir, "hello.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
		{"moved to a directory that is new", func(t *testing.T, w *watched) {
			if err := os.Mkdir(filepath.Join(w.dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			w.write("sub/.new", flowSaying("two"))
			if err := os.Remove(filepath.Join(w.dir, "hello.yaml")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(w.dir, "sub/.new"), filepath.Join(w.dir, "sub/hello.yml")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
				t.Fatal(err)
			}
			w := watch(t, dir)
			c.change(t, w)
			for w.answer() != "two" {
				w.next() // a state in between may have been loaded, or found faulty
			}
		})
	}
}

// Kubernetes swaps the link ..data behind the links that a pod sees.
func TestSwappedConfigMapIsServedOnce(t *testing.T) {
	dir := t.TempDir()
	version := func(n int, word string) {
		t.Helper()
		at := filepath.Join(dir, fmt.Sprintf("..v%d", n))
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "hello.yaml"), []byte(flowSaying(word)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Base(at), filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version(1, "one")
	if err := os.Symlink("..data/hello.yaml", filepath.Join(dir, "hello.yaml")); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	version(2, "two")
	w.becomes("two")
	version(3, "three")
	w.becomes("three")
}

func TestFaultyFilesChangeNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	w.write("hello.yaml", strings.Replace(flowSaying("two"), "steps", "stepz", 1))
	r := w.written()
	if r.OK() || !slices.ContainsFunc(r.Diagnostics, func(d dsl.Diagnostic) bool { return d.Code == "unknown-key" }) {
		t.Fatalf("got %+v", r)
	}
	if got := w.answer(); got != "one" {
		t.Errorf("answer is %q, want that of the good files", got)
	}
	w.successful(0)
	w.write("hello.yaml", flowSaying("three"))
	w.becomes("three")
	w.successful(1)
}

func (w *watched) successful(want int) {
	w.t.Helper()
	expected := fmt.Sprintf(`
# HELP weir_config_last_reload_successful 1 if the files as they are now are served, 0 if they have faults and an earlier state is served.
# TYPE weir_config_last_reload_successful gauge
weir_config_last_reload_successful %d
`, want)
	if err := testutil.GatherAndCompare(w.metrics, strings.NewReader(expected), "weir_config_last_reload_successful"); err != nil {
		w.t.Error(err)
	}
}

func TestFileThatWasOnlyEmptiedYetChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	w.write("hello.yaml", "")
	if r := w.next(); r.Err == nil || !strings.Contains(r.Err.Error(), "is empty") {
		t.Fatalf("got %+v", r)
	}
	if got := w.answer(); got != "one" {
		t.Errorf("answer is %q, want that of the good files", got)
	}
	w.write("hello.yaml", flowSaying("two"))
	for w.answer() != "two" {
		w.next()
	}
}

func TestAddressThatCannotBeOpenedChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	taken := w.host.Addr("public").String()
	w.write("hello.yaml", strings.Replace(flowSaying("two"), "127.0.0.1:0", taken, 1))
	if r := w.written(); r.Err == nil || !strings.Contains(r.Err.Error(), "in use") || !strings.Contains(r.Err.Error(), "holds the port") {
		t.Fatalf("got %+v", r)
	}
	if got := w.answer(); got != "one" {
		t.Errorf("answer is %q, want that of the good files", got)
	}
}

func TestAddressThatComesFreeIsTaken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.write("hello.yaml", strings.Replace(flowSaying("two"), "127.0.0.1:0", taken.Addr().String(), 1))
	if r := w.next(); r.Err == nil {
		t.Fatalf("got %+v", r)
	}
	taken.Close()
	for w.answer() != "two" {
		w.next()
	}
	w.successful(1)
}

func TestReloadOnRequestLoadsUnchangedFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(flowSaying("one")), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	w.reloader.Reload()
	w.becomes("one")
}
