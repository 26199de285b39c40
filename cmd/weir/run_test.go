package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is the command in this process, serving one flow whose backend answers
// when it is told to.
type world struct {
	t       *testing.T
	log     transcript
	signals chan os.Signal
	exit    chan int
	arrived chan struct{} // a request has reached the backend
	release chan struct{} // lets the backend answer
	public  string
	admin   string
}

func newWorld(t *testing.T, args ...string) *world { return newWorldIn(t, nil, args...) }

// newWorldIn is newWorld with variables of the environment.
func newWorldIn(t *testing.T, env map[string]string, args ...string) *world {
	w := &world{t: t, signals: make(chan os.Signal, 2), exit: make(chan int, 1), arrived: make(chan struct{}, 1), release: make(chan struct{})}
	backend := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.arrived <- struct{}{}
		select {
		case <-w.release:
			io.WriteString(rw, `"done"`)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(backend.Close)
	dir := t.TempDir()
	access := ""
	if env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" {
		access = ", access_log: { otlp: true }"
	}
	program := fmt.Sprintf(`
flow: slow
trigger: { http: GET / }
steps: [{ id: work, call: GET backend / }, { return: $(work) }]
---
services: { backend: { endpoints: [%q] } }
---
gateways: { public: { listen: "127.0.0.1:0"%s } }
`, backend.URL, access)
	if err := os.WriteFile(filepath.Join(dir, "flow.yaml"), []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	p := &process{
		args:   append([]string{"run", dir, "--admin", "127.0.0.1:0", "--log-format", "json"}, args...),
		stdout: io.Discard, stderr: &w.log,
		env:      func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		terminal: func(io.Writer) bool { return false },
		notify:   func() (<-chan os.Signal, func()) { return w.signals, func() {} },
	}
	go func() { w.exit <- p.run(context.Background()) }()
	w.until("serving", func() bool {
		line, _, _ := strings.Cut(w.log.String(), "\n")
		var s serving
		if json.Unmarshal([]byte(line), &s) != nil {
			return false
		}
		w.public, w.admin = s.Gateways["public"].Address, s.Admin
		return true
	})
	return w
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %v; logged:\n%s", what, patience, w.log.String())
		}
	}
}

// status is that of one GET, or 0 if there is no answer.
func status(address, path string) int {
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// ask sends a request and returns when the backend has it.
func (w *world) ask() (answered <-chan int) {
	c := make(chan int, 1)
	go func() { c <- status(w.public, "/") }()
	<-w.arrived
	return c
}

func TestShutdownLosesNoRequest(t *testing.T) {
	w := newWorld(t, "--shutdown-delay", "100ms")
	if got := status(w.admin, "/readyz"); got != 200 {
		t.Fatalf("readyz answers %d while serving", got)
	}
	answered := w.ask()
	w.signals <- syscall.SIGTERM
	w.until("readyz says 503", func() bool { return status(w.admin, "/readyz") == 503 })
	if got := status(w.admin, "/healthz"); got != 200 {
		t.Errorf("healthz answers %d while draining: the process would be killed", got)
	}
	w.until("no new connections", func() bool { return status(w.public, "/none") == 0 })
	close(w.release)
	if got := <-answered; got != 200 {
		t.Errorf("the request in progress got %d", got)
	}
	if got := <-w.exit; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

func TestDrainIsBounded(t *testing.T) {
	w := newWorld(t, "--drain", "1ms")
	answered := w.ask()
	w.signals <- os.Interrupt
	if got := <-w.exit; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	if got := <-answered; got == 200 {
		t.Error("the backend never answered, but the request was")
	}
	if !strings.Contains(w.log.String(), "some requests did not end in time") {
		t.Errorf("nobody was told: %s", w.log.String())
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	w := newWorld(t, "--drain", "1h")
	answered := w.ask()
	w.signals <- syscall.SIGTERM
	w.signals <- syscall.SIGHUP // asks for nothing any more
	w.signals <- syscall.SIGTERM
	if got := <-w.exit; got != exitFailed {
		t.Errorf("exit code %d", got)
	}
	if !strings.Contains(w.log.String(), "stopped at once by a second signal") {
		t.Errorf("logged %s", w.log.String())
	}
	close(w.release)
	<-answered
}

func TestColorIsForTerminalsOfThoseWhoWantIt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		env      map[string]string
		terminal bool
		want     bool
	}{
		{"a terminal", nil, true, true},
		{"a file", nil, false, false},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1"}, true, false},
		{"an empty NO_COLOR", map[string]string{"NO_COLOR": ""}, true, true},
		{"a dumb terminal", map[string]string{"TERM": "dumb"}, true, false},
	} {
		p := &process{
			env:      func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok },
			terminal: func(io.Writer) bool { return tt.terminal },
		}
		if got := p.color(io.Discard); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
