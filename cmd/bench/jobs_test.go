package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHandWrittenServicesAnswerEveryJob runs the whole path but the processes: load, service, backend.
func TestHandWrittenServicesAnswerEveryJob(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- newBackend().serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	d, err := newDuties(newSigner().keys())
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range map[string]func(string, *duties) http.Handler{"floor": newFloor, "hybrid": newHybrid} {
		server := httptest.NewServer(service(l.Addr().String(), d))
		defer server.Close()
		for _, j := range jobs() {
			t.Run(name+"/"+j.name, func(t *testing.T) {
				client, err := dial(server.Listener.Addr().String(), 2, j.calls)
				if err != nil {
					t.Fatal(err)
				}
				defer client.close()
				if _, err := client.run(ctx, 20); err != nil {
					t.Fatal(err)
				}
				if n := len(client.latencies()); n != 20 {
					t.Errorf("%d latencies of 20 requests", n)
				}
			})
		}
	}
}

func TestAWrongAnswerIsFound(t *testing.T) {
	body := `{"a": 1, "b": 2.50}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusNotFound)
		case "/text":
			w.Write([]byte("plain"))
		default:
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.Write([]byte(body))
		}
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		call call
		want string
	}{
		"same bytes":       {newCall("GET", "/", "", body, false), ""},
		"same document":    {newCall("GET", "/", "", `{"b":2.50,"a":1}`, true), ""},
		"other order":      {newCall("GET", "/", "", `{"b":2.50,"a":1}`, false), "answer of 19 bytes"},
		"number rewritten": {newCall("GET", "/", "", `{"a":1,"b":2.5}`, true), "answer of 19 bytes"},
		"status":           {newCall("GET", "/gone", "", body, true), "status 404, want 200"},
		"not JSON's type":  {newCall("GET", "/text", "", "plain", false), `Content-Type "text/plain"`},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := dial(server.Listener.Addr().String(), 1, []call{c.call})
			if err == nil {
				client.close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFixturesAreJSONOfTheirSizes(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		low, high int
	}{
		"user":     {userJSON(7), 500, 1000},
		"orders":   {ordersJSON(7), 3500, 4500},
		"offers":   {offersJSON("vip"), 800, 2000},
		"document": {documentJSON(1024), 1024, 1024},
		"blob":     {documentJSON(blobSize), blobSize, blobSize},
	} {
		if !json.Valid([]byte(c.text)) {
			t.Errorf("%s is not JSON", name)
		}
		if n := len(c.text); n < c.low || n > c.high {
			t.Errorf("%s has %d bytes, want %d to %d", name, n, c.low, c.high)
		}
	}
}

func TestFlowsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	flows := manyFlows(250)
	for _, f := range flows {
		if strings.Contains(f, "%!") {
			t.Fatalf("badly formatted:\n%s", f)
		}
		if n := strings.Count(f, "$(") + strings.Count(f, "when:"); n != 10 {
			t.Fatalf("%d expressions, want 10:\n%s", n, f)
		}
	}
	if err := writeFlows(dir, flows, "127.0.0.1:1", "127.0.0.1:2"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v: want three files of flows and one of the site", files, err)
	}
	names := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "flow: "); ok {
				names[name] = true
			}
		}
	}
	if len(names) != len(flows) {
		t.Errorf("%d flows were written, want %d", len(names), len(flows))
	}
}
