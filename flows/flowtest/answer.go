package flowtest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Answer is what a client got.
type Answer struct {
	Status  int // 0: none
	Header  http.Header
	Trailer http.Header
	Body    string
	Err     error // why there is no answer, or not all of it
}

// Read reads an answer to its end.
func Read(resp *http.Response, err error) Answer {
	if err != nil {
		return Answer{Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer, Body: string(body), Err: err}
}

// Is checks that an answer is whole and says this.
func (a Answer) Is(t testing.TB, status int, body string) {
	t.Helper()
	if a.Err != nil {
		t.Errorf("no whole answer: %v", a.Err)
	} else if a.Status != status || a.Body != body {
		t.Errorf("got %d %s, want %d %s", a.Status, a.Body, status, body)
	}
}

// Problem is a problem document (RFC 9457) as a gateway writes it.
type Problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

// insides are pieces of what no caller may see: addresses, files, the texts of
// Go's errors, and the word that backends of tests put into their bodies.
var insides = []string{"inside", ":80", "test.yaml", "EOF", "dial", "refused", "context", "goroutine", "panic", ".go"}

// IsProblem checks that an answer is a problem document with this code, which
// agrees with its own status and request id and shows nothing of the inside.
func (a Answer) IsProblem(t testing.TB, status int, code string) Problem {
	t.Helper()
	var p Problem
	if a.Err != nil {
		t.Errorf("no answer: %v", a.Err)
		return p
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("status %d with content type %q and body %s, want a problem document", a.Status, got, a.Body)
		return p
	}
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
		t.Errorf("%v in %s", err, a.Body)
	}
	if a.Status != status || p.Status != status || p.Code != code {
		t.Errorf("got %d %s, want %d %q", a.Status, a.Body, status, code)
	}
	if id := a.Header.Get("X-Request-Id"); id == "" || p.RequestID != id {
		t.Errorf("the document speaks of request %q, the header of %q", p.RequestID, id)
	}
	for _, inside := range insides {
		if strings.Contains(a.Body, inside) {
			t.Errorf("the caller is told of the inside (%q): %s", inside, a.Body)
		}
	}
	return p
}
