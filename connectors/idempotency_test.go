package connectors_test

import (
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// The key is the same for what is the same request, and for nothing else.
func TestIdempotencyKeys(t *testing.T) {
	var (
		mu   sync.Mutex
		keys []string
	)
	w := flowtest.Serve(t, flowtest.Flow(`
- { id: first, call: POST b /pay, body: { n: 1 }, idempotency: idempotency-key, retry: { attempts: 3, on: [503], backoff: 1ms } }
- { call: POST b /pay, body: { n: 2 }, idempotency: Idempotency-Key }
- { call: POST b /pay, body: { n: 2 }, idempotency: Idempotency-Key }
- return: done`), flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) < 3 {
			w.WriteHeader(503)
		}
		fmt.Fprint(w, "ok")
	})})
	r := w.Request("GET", "/", "")
	r.Header.Set("X-Request-Id", "one")
	w.Send(r).Is(t, 200, "done")
	if len(keys) != 5 || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Fatalf("attempts of a step: %q", keys)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(keys[0]) {
		t.Errorf("%s is not a UUID of version 8", keys[0])
	}
	if keys[3] == keys[2] || keys[4] == keys[3] {
		t.Errorf("steps share a key: %q", keys)
	}
	once := keys
	keys = nil
	w.Send(r).Is(t, 200, "done")
	if again := keys; len(again) != 5 || again[0] != once[0] || again[4] != once[4] {
		t.Errorf("the request came again, and got keys of its own: %q, %q", once, again)
	}
	keys = []string{"", "", ""}
	w.Get("/").Is(t, 200, "done")
	if keys[3] == once[0] {
		t.Error("runs share a key")
	}
}
