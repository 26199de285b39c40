package mesh

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

func TestRecords(t *testing.T) {
	const ms = time.Millisecond
	outcomes := func(list ...any) *fake { // each takes 10ms; the last is repeated
		return &fake{play: func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(10 * ms)
			switch o := list[min(n, len(list))-1].(type) {
			case int:
				return reply(o), nil
			default:
				return nil, o.(error)
			}
		}}
	}
	for _, c := range []struct {
		name     string
		method   string
		f        *fake
		ledger   Ledger
		deadline time.Duration
		want     []string // endpoint, why it was picked, outcome, what followed
	}{
		{"success", "GET", outcomes(200), nil, 0, []string{"a balanced ok 200 done"}},
		{"a failure of the caller", "GET", outcomes(404), nil, 0, []string{"a balanced ok 404 done"}},
		{"until it succeeds", "GET", outcomes(errRefused, 503, errReset, 200), nil, 0, []string{
			"a balanced connect 0 retried", "b not tried yet status 503 retried", "b all were tried reset 0 retried", "a not tried yet ok 200 done"}},
		{"exhausted", "GET", outcomes(503), nil, 0, []string{
			"a balanced status 503 retried", "b not tried yet status 503 retried", "b all were tried status 503 retried", "a not tried yet status 503 exhausted"}},
		{"not listed", "GET", outcomes(500), nil, 0, []string{"a balanced status 500 not_listed"}},
		{"unsafe", "POST", outcomes(503), nil, 0, []string{"a balanced status 503 unsafe"}},
		{"no time", "GET", outcomes(503), nil, 10*ms + 1, []string{"a balanced status 503 no_time"}},
		{"the caller's time is up", "GET", outcomes(context.DeadlineExceeded), nil, 0, []string{"a balanced deadline 0 ended"}},
		{"the ledger is spent", "GET", outcomes(503), new(ledger), 0, []string{"a balanced status 503 ledger_spent"}},
		{"the ledger has one", "GET", outcomes(503), &ledger{left: 1}, 0, []string{"a balanced status 503 retried", "b not tried yet status 503 ledger_spent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var observed []Attempt
				s := open(t, Config{
					Endpoints: []string{"http://a", "http://b"}, Transport: c.f, Deadline: c.deadline,
					Retry:   Retry{Attempts: 4, Backoff: ms, MaxBackoff: ms},
					Observe: func(_ context.Context, a Attempt) { observed = append(observed, a) },
				})
				call := Call{Record: true, Ledger: c.ledger}
				began := time.Now()
				if resp, err := s.Do(newRequest(t, c.method, "/", nil), &call); err == nil {
					resp.Body.Close()
				}
				if len(call.Records) != len(c.want) || len(observed) != len(c.want) || call.Attempts != len(c.want) {
					t.Fatalf("%d attempts, %d records, %d observed", call.Attempts, len(call.Records), len(observed))
				}
				for i, a := range call.Records {
					got := strings.Join([]string{strings.TrimPrefix(a.Endpoint, "http://"), a.Picked, a.Class.String(), strconv.Itoa(a.Status), a.Next.String()}, " ")
					if got != c.want[i] {
						t.Errorf("got %s, want %s", got, c.want[i])
					}
					if a != observed[i] || a.Number != i+1 || a.Service != "test" || a.Took != 10*ms || a.Wait > ms || a.Start.Before(began.Add(a.Wait)) {
						t.Errorf("%+v", a)
					}
					if i > 0 && a.Wait != call.Records[i-1].Pause {
						t.Errorf("waited %v, not %v", a.Wait, call.Records[i-1].Pause)
					}
				}
				if last := call.Records[len(call.Records)-1]; last.Next != call.Stopped || last.Budget != 100-(call.Attempts-1) {
					t.Errorf("%+v", last)
				}
			})
		})
	}
}

// The endpoints of a service may have changed while a call waited: it goes to
// one that is there now, and knows those again that it has tried.
func TestARetryGoesWhereTheServiceIsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(nil, errReset)
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f, Retry: Retry{Attempts: 4}})
		play := f.play
		f.play = func(n int, req *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				s.update([]discovery.Target{{URL: "http://c"}, {URL: "http://d"}, {URL: "http://a"}})
			case 3:
				s.update([]discovery.Target{{URL: "http://d"}, {URL: "http://e"}, {URL: "http://c"}})
			}
			return play(n, req)
		}
		s.RoundTrip(newRequest(t, "GET", "/", nil))
		if got := strings.ReplaceAll(strings.Join(f.hosts, " "), "http://", ""); got != "a d c e" {
			t.Errorf("tried %v", got)
		}
	})
}

func TestTheDeadlineOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Timeout: time.Second, Deadline: 2500 * time.Millisecond,
			Transport: &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
				<-req.Context().Done()
				return nil, context.Cause(req.Context())
			}},
			Breaker: Breaker{Failures: 100},
			Retry:   Retry{Attempts: 10, On: []string{"timeout"}, Backoff: 1, MaxBackoff: 1}})
		start := time.Now()
		var call Call
		_, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		if classOf(t, err) != Timeout || call.Attempts != 3 || call.Stopped != NoTime || time.Since(start).Round(time.Millisecond) != 2500*time.Millisecond {
			t.Errorf("%v after %v, %d attempts", err, time.Since(start), call.Attempts)
		}
		if want := "service test: timeout after 3 attempts, not repeated for lack of time: "; !strings.HasPrefix(err.Error(), want) {
			t.Error(err)
		}
		if got := s.Stats().Endpoints[0].Failures[Timeout]; got != 3 {
			t.Errorf("%d timeouts count against the endpoint", got)
		}
	})
}

// A transport may go on reading for an attempt that has failed. What it gets is
// not lost to the next one.
func TestAnUploadThatOutlivesItsAttemptIsReplayed(t *testing.T) {
	for _, limit := range []int64{100, 5} {
		synctest.Test(t, func(t *testing.T) {
			source, sender := io.Pipe()
			var sending sync.WaitGroup
			sending.Go(func() {
				for _, part := range []string{"abc", "def", "ghi"} {
					time.Sleep(time.Second)
					io.WriteString(sender, part)
				}
				sender.Close()
			})
			late := make(chan string, 1)
			var got []byte
			f := transportFunc(func(req *http.Request) (*http.Response, error) {
				if body := req.Body; got == nil {
					got = []byte{}
					go func() {
						b := make([]byte, 6)
						n, _ := io.ReadFull(body, b)
						late <- string(b[:n])
						body.Close()
					}()
					time.Sleep(1500 * time.Millisecond)
					return nil, errReset
				}
				var err error
				got, err = io.ReadAll(req.Body)
				req.Body.Close()
				if err != nil {
					return nil, errReset
				}
				return reply(200), nil
			})
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Retry: Retry{Attempts: 2, Backoff: 1, MaxBackoff: 1, Replay: limit}})
			req := newRequest(t, "PUT", "/", source)
			resp, err := s.RoundTrip(req)
			if limit == 100 {
				if text(t, resp, err) != "body" || string(got) != "abcdefghi" || <-late != "abcdef" {
					t.Errorf("the second attempt sent %q", got)
				}
			} else if classOf(t, err) != Rejected || !errors.Is(err, errBodyGone) || len(got) != 0 || <-late != "abcdef" {
				t.Errorf("%v, the second attempt sent %q", err, got)
			}
			if _, err := sender.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
				t.Error("the body was not closed")
			}
			sending.Wait()
		})
	}
}

func TestAKeyMakesAnyMethodRepeatable(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		call   Call
		want   int
	}{
		"no key":           {"", Call{}, 1},
		"the header":       {"Idempotency-Key", Call{}, 2},
		"the older header": {"X-Idempotency-Key", Call{}, 2},
		"the caller says":  {"", Call{Idempotent: true}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(status(503), nil), Retry: Retry{Attempts: 2}})
			req := newRequest(t, "POST", "/", strings.NewReader("data"))
			if c.header != "" {
				req.Header.Set(c.header, "7")
			}
			resp, err := s.Do(req, &c.call)
			text(t, resp, err)
			if c.call.Attempts != c.want {
				t.Errorf("%s: %d attempts", name, c.call.Attempts)
			}
		})
	}
}

// numbering has each attempt carry its number, and keeps what it is told of.
type numbering struct {
	mu    sync.Mutex
	begun []int
	ended []int
}

func (o *numbering) Begin(number int, h http.Header) http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = append(o.begun, number)
	h = h.Clone()
	h.Set("Attempt", strconv.Itoa(number))
	return h
}

func (o *numbering) End(a Attempt) { o.ended = append(o.ended, a.Number) }

func TestAnObserverGivesEachAttemptAHeaderOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent []string
		f := &fake{play: func(n int, req *http.Request) (*http.Response, error) {
			mu.Lock()
			sent = append(sent, strings.Join(req.Header["Attempt"], ","))
			mu.Unlock()
			if n < 3 {
				return nil, errReset
			}
			return reply(200), nil
		}}
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f, Retry: Retry{Attempts: 3}})
		o := &numbering{}
		req := newRequest(t, "GET", "/", nil)
		resp, err := s.Do(req, &Call{Observer: o})
		text(t, resp, err)
		if !slices.Equal(sent, []string{"1", "2", "3"}) || !slices.Equal(o.begun, []int{1, 2, 3}) || !slices.Equal(o.ended, []int{1, 2, 3}) {
			t.Errorf("sent %v, begun %v, ended %v", sent, o.begun, o.ended)
		}
		if len(req.Header["Attempt"]) > 0 {
			t.Error("the caller's header was changed")
		}
	})
}

func TestAnObserverIsToldOfAHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := transportFunc(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Attempt") == "1" {
				<-req.Context().Done()
				return nil, context.Cause(req.Context())
			}
			return reply(200), nil
		})
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f, Hedge: Hedge{Extra: .01}})
		for range 1000 {
			s.hedge.latencies.observe(s.clock(), time.Second)
		}
		o := &numbering{}
		call := Call{Observer: o}
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		text(t, resp, err)
		if !slices.Equal(o.begun, []int{1, 2}) || !slices.Equal(o.ended, []int{1, 2}) {
			t.Errorf("begun %v, ended %v", o.begun, o.ended)
		}
	})
}

func TestAttemptsAreToldInALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{play: func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(12345 * time.Microsecond)
			if n == 1 {
				return reply(503), nil
			}
			return nil, errReset
		}}
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f,
			Retry: Retry{Attempts: 2, Backoff: 1, MaxBackoff: 1}})
		_, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		var failed *Error
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		if want := "1 http://a (balanced): 503 in 12.35ms, retried after 0s, budget 99; 2 http://b (not tried yet): reset in 12.35ms, exhausted, budget 99"; failed.Trail() != want {
			t.Errorf("got %s", failed.Trail())
		}

		// Of a call whose first attempt succeeds there is nothing to tell.
		var call Call
		resp, err := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(status(200), nil)}).Do(newRequest(t, "GET", "/", nil), &call)
		text(t, resp, err)
		if call.Records != nil || call.Records.String() != "" {
			t.Errorf("%v", call.Records)
		}
	})
}

// The guide explains each word that a record can have.
func TestTheGuideExplainsRecords(t *testing.T) {
	text, err := os.ReadFile("../docs/guide/resilience.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## How to read an attempt record\n")
	for d := range decisions {
		if !strings.Contains(section, "\n| `"+d.String()+"` |") {
			t.Errorf("it does not say what %s is", d)
		}
	}
	for _, why := range []string{pickedBalanced, pickedUntried, pickedAgain, pickedInPanic, pickedFallback} {
		if !strings.Contains(section, "`"+why+"`") {
			t.Errorf("it does not say what %s is", why)
		}
	}
}
