package gateway

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/gateway/h1/h1test"
)

// Each is followed by a request that must not be seen, be it a part of the first
// or not.
func TestWhatMaySmuggleIsRefusedAndTheConnectionClosed(t *testing.T) {
	var hidden bool
	seen := route("", "/hidden")
	seen.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hidden = true })
	reads := route("", "/{rest:.*}")
	reads.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			p, ok := ProblemOf(err)
			if !ok {
				p = Problem{Status: http.StatusBadRequest}
			}
			WriteProblem(w, r, p)
		}
	})
	addr := serve(t, seen, reads)
	cases := h1test.Smuggled()
	if len(cases) < 300 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got := send(t, addr, c.Raw+"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n")
			if len(got) != 1 || got[0] != 400 && got[0] != 501 || hidden {
				t.Errorf("got %v, the hidden request seen: %v, for %q", got, hidden, c.Raw)
			}
			hidden = false
		})
	}
}

func TestSoundRequestsGetThrough(t *testing.T) {
	reads := route("", "/{rest:.*}")
	reads.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
	})
	addr := serve(t, reads)
	for _, c := range h1test.Sound() {
		t.Run(c.Name, func(t *testing.T) {
			want := []int{200, 200}
			if c.Name == "Expect" {
				want = []int{100, 200, 200}
			}
			if got := send(t, addr, c.Raw+"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"); !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A request that has begun ends as it would have, whatever comes behind it.
func TestAMalformedRequestLeavesTheOneBeforeAlone(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	r := route("", "/{rest:.*}")
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-end
		if err := r.Context().Err(); err != nil {
			t.Errorf("cancelled: %v", err)
		}
	})
	addr := serve(t, r)
	answered := make(chan []int)
	go func() { answered <- send(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\nHost: x\r\n\r\n") }()
	<-begun
	close(end)
	if got := <-answered; !slices.Equal(got, []int{200, 400}) {
		t.Errorf("got %v", got)
	}
}

func TestTooManyFieldsAreRefused(t *testing.T) {
	addr := serve(t, route("GET", "/a"))
	for n, want := range map[int]int{98: 200, 99: 200, 100: 431} {
		raw := "GET /a HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", n) + "\r\n"
		if got := send(t, addr, raw); len(got) != 1 || got[0] != want {
			t.Errorf("%d fields beside Host: got %v, want %d", n, got, want)
		}
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	addr := serve(t, route("GET", "/a"))
	got := sendRaw(t, addr, "GET /a HTTP/1.1\nHost: x\r\n\r\n")
	if !bytes.Contains(got, []byte(`"code":"bad-request"`)) || !bytes.Contains(got, []byte("does not end with CRLF")) && !bytes.Contains(got, []byte("HTTP/1.1.")) {
		t.Errorf("got %s", got)
	}
}
