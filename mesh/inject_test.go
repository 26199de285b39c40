package mesh

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestInject(t *testing.T) {
	for _, c := range []struct {
		name     string
		inject   Inject
		deadline time.Duration
		caller   time.Duration
		cause    error
		status   int // 0: an error
		class    Class
		took     time.Duration
		sent     bool
	}{
		{"a delay", Inject{Delay: time.Second}, 0, 0, nil, 200, OK, time.Second, true},
		{"an abort", Inject{Abort: 503}, 0, 0, nil, 503, Status, 0, false},
		{"a delay, then an abort", Inject{Abort: 404, Delay: time.Second}, 0, 0, nil, 404, OK, time.Second, false},
		{"a delay beyond the service's deadline", Inject{Delay: time.Hour}, time.Second, 0, nil, 0, Timeout, time.Second, false},
		{"a delay beyond the caller's deadline", Inject{Delay: time.Hour}, 0, time.Second, nil, 0, Deadline, time.Second, false},
		{"a delay beyond the caller's bound for the service", Inject{Delay: time.Hour}, 0, time.Second, os.ErrDeadlineExceeded, 0, Timeout, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := always(status(200), nil)
				s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Inject: c.inject, Deadline: c.deadline, Retry: Retry{Attempts: 3}})
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if c.caller > 0 {
					ctx, cancel = context.WithTimeoutCause(ctx, c.caller, c.cause)
				}
				defer cancel()
				body := &closedBody{Reader: strings.NewReader("hello")}
				began := time.Now()
				resp, err := s.RoundTrip(newRequest(t, "PUT", "/", body).WithContext(ctx))
				if got := classOf(t, err); c.status == 0 && got != c.class {
					t.Errorf("class %v, want %v", got, c.class)
				}
				if c.status > 0 && (err != nil || resp.StatusCode != c.status) {
					t.Errorf("%v, %v", resp, err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				st := s.Stats()
				if st.Injected != 1 || (len(f.hosts) > 0) != c.sent || c.class != OK && st.Failures[c.class] != 1 {
					t.Errorf("%d sent, %+v", len(f.hosts), st)
				}
				if !c.sent && !body.closed {
					t.Error("the request's body is left open")
				}
			})
		})
	}
}

type closedBody struct {
	io.Reader
	closed bool
}

func (c *closedBody) Close() error { c.closed = true; return nil }

func TestInjectedIntoAShareOfTheCalls(t *testing.T) {
	const calls = 10_000
	s := open(t, Config{
		Endpoints: []string{"http://a"}, Transport: always(status(200), nil),
		Inject: Inject{Abort: 500, Share: 0.1}, Random: rand.NewPCG(1, 2).Uint64,
	})
	aborted := 0
	for range calls {
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", http.NoBody))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 500 {
			aborted++
		}
	}
	if math.Abs(float64(aborted)/calls-0.1) > 0.01 || s.Stats().Injected != int64(aborted) {
		t.Errorf("%d of %d", aborted, calls)
	}
}
