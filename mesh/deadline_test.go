package mesh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Each attempt tells what is left, which is what its endpoint has and no more.
func TestTheDeadlineTravels(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Join(append(r.Header.Values("X-Left"), r.Header.Values("Grpc-Timeout")...), "|"))
	}))
	defer srv.Close()
	for _, c := range []struct {
		name              string
		header            string
		timeout, deadline time.Duration
		caller            time.Duration
		stream            bool
		from, to          int // what is told; 0: the caller's own word is left
		suffix            string
	}{
		{"the attempt's", "x-left", time.Minute, 0, 0, false, 50_000, 60_000, ""},
		{"the service's", "X-Left", time.Minute, 30 * time.Second, 0, false, 20_000, 30_000, ""},
		{"the caller's", "X-Left", time.Minute, 0, 20 * time.Second, false, 10_000, 20_000, ""},
		{"of a stream", "X-Left", time.Minute, 0, time.Hour, true, 3_500_000, 3_600_000, ""},
		{"gRPC's form", "grpc-timeout", time.Minute, 0, 0, false, 50_000, 60_000, "m"},
		{"none", "X-Left", 0, 0, 0, false, 0, 0, "own"},
		{"off", "", time.Minute, 0, time.Hour, false, 0, 0, "own"},
	} {
		for name, over := range map[string]func(*Service) *Service{"h1": func(s *Service) *Service { return s }, "net/http": overStd} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				s := over(open(t, Config{Endpoints: []string{srv.URL}, DeadlineHeader: c.header, Timeout: c.timeout, Deadline: c.deadline}))
				req := newRequest(t, "GET", "/", nil)
				if c.suffix != "m" {
					req.Header.Set("X-Left", "own")
				}
				if c.caller > 0 {
					ctx, cancel := context.WithTimeout(req.Context(), c.caller)
					defer cancel()
					req = req.WithContext(ctx)
				}
				resp, err := s.Do(req, &Call{Stream: c.stream})
				got, ok := strings.CutSuffix(text(t, resp, err), c.suffix)
				n, _ := strconv.Atoi(got)
				if !ok || n < c.from || n > c.to {
					t.Errorf("told %q", got+c.suffix)
				}
				if own := req.Header.Get("X-Left"); c.suffix != "m" && own != "own" {
					t.Errorf("the caller's request was changed: %q", own)
				}
			})
		}
	}
}

// A stream may last, but not fall silent.
func TestAStreamThatFallsSilent(t *testing.T) {
	const idle = 300 * time.Millisecond
	for _, silent := range []bool{false, true} {
		stop := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 8 { // longer than idle in all
				fmt.Fprint(w, "x")
				http.NewResponseController(w).Flush()
				time.Sleep(idle / 5)
			}
			if silent {
				<-stop
			}
		}))
		for name, over := range map[string]func(*Service) *Service{"h1": func(s *Service) *Service { return s }, "net/http": overStd} {
			s := over(open(t, Config{Endpoints: []string{srv.URL}, StreamIdleTimeout: idle, Timeout: time.Minute}))
			resp, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: true})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != "xxxxxxxx" || silent != (classOf(t, err) == Timeout) {
				t.Errorf("%s, silent %v: %q, %v", name, silent, b, err)
			}
		}
		close(stop)
		srv.Close()
	}
}
