package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProblemDocument(t *testing.T) {
	tests := []struct {
		name    string
		problem Problem
		want    string
	}{
		{"nothing known", Problem{}, `{"title":"Internal Server Error","status":500}`},
		{"no such status", Problem{Status: 42}, `{"title":"Internal Server Error","status":500}`},
		{"status and code", Problem{Status: 404, Code: "route-not-found"}, `{"title":"Not Found","status":404,"code":"route-not-found"}`},
		{
			"all members",
			Problem{Type: "https://x.example/p", Title: "T", Status: 409, Detail: "d", Instance: "/i", Code: "c", RequestID: "r",
				Extensions: map[string]any{"b": 1, "a": []string{"x"}}},
			`{"type":"https://x.example/p","title":"T","status":409,"detail":"d","instance":"/i","code":"c","request_id":"r","a":["x"],"b":1}`,
		},
		{"extensions take no member's place", Problem{Status: 400, Extensions: map[string]any{"status": 200, "detail": "x", "type": "y"}}, `{"title":"Bad Request","status":400}`},
		{"extensions without a JSON form", Problem{Status: 400, Extensions: map[string]any{"n": math.NaN()}}, `{"title":"Bad Request","status":400}`},
		{"hostile text", Problem{Status: 400, Detail: "a\"\n</script>\xff"}, `{"title":"Bad Request","status":400,"detail":"a\"\n\u003c/script\u003e\ufffd"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("ETag", `"x"`)
			WriteProblem(w, httptest.NewRequest("GET", "/", nil), tt.problem)
			if got := w.Body.String(); got != tt.want+"\n" {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			h := w.Header()
			if h.Get("Content-Type") != "application/problem+json" || h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) ||
				h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" {
				t.Errorf("header %v", h)
			}
		})
	}
}

func TestProblemOfErrors(t *testing.T) {
	tests := []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("body: %w", tooLarge(7)), 413, "body-too-large"},
		{fmt.Errorf("body: %w", &http.MaxBytesError{Limit: 7}), 413, "body-too-large"},
		{fmt.Errorf("body: %w", ErrBodyTooSlow), 408, "body-too-slow"},
		{fmt.Errorf("call: %w", context.DeadlineExceeded), 504, "deadline-exceeded"},
		{errors.New("some other"), 0, ""},
		{nil, 0, ""},
	}
	for _, tt := range tests {
		p, ok := ProblemOf(tt.err)
		if p.Status != tt.status || p.Code != tt.code || ok != (tt.status != 0) {
			t.Errorf("%v: got %+v, %v", tt.err, p, ok)
		}
	}
}
