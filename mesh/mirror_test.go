package mesh

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trial is a service whose calls go to "live", and of which copies go to "trial".
func trial(cfg Config) Config {
	cfg.Versions = []Version{
		{Name: "v1", Endpoints: []string{"http://live"}, Weight: 1},
		{Name: "v2", Endpoints: []string{"http://trial"}},
	}
	cfg.Mirror.To, cfg.Mirror.Share = "v2", orDefault(cfg.Mirror.Share, 1)
	return cfg
}

// stage answers by host, and remembers what it got: "METHOD path body".
type stage struct {
	mu   sync.Mutex
	got  map[string][]string
	last map[string]*http.Request
	play map[string]func(*http.Request) (*http.Response, error)
}

func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	text := req.Method + " " + req.URL.Path
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		text += " " + string(b)
	}
	s.mu.Lock()
	if s.got == nil {
		s.got, s.last = map[string][]string{}, map[string]*http.Request{}
	}
	s.got[req.URL.Host] = append(s.got[req.URL.Host], text)
	s.last[req.URL.Host] = req
	s.mu.Unlock()
	if play := s.play[req.URL.Host]; play != nil {
		return play(req)
	}
	return reply(200), nil
}

func TestWhatIsCopied(t *testing.T) {
	plain := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} } // of unknown length
	large := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name    string
		mirror  Mirror
		method  string
		body    io.Reader
		header  http.Header
		want    string // what the trial gets
		skipped int64
	}{
		{"a safe call", Mirror{}, "GET", nil, nil, "GET /x", 0},
		{"not one that writes", Mirror{}, "POST", strings.NewReader("a"), nil, "", 0},
		{"one that writes, if that is said", Mirror{Unsafe: true}, "POST", strings.NewReader("a"), nil, "POST /x a", 0},
		{"a body that can be had again", Mirror{Unsafe: true}, "PUT", strings.NewReader("again"), nil, "PUT /x again", 0},
		{"a body that streams", Mirror{Unsafe: true}, "PUT", plain("stream"), nil, "PUT /x stream", 0},
		{"a body that streams, and may not be repeated", Mirror{Unsafe: true}, "POST", plain("stream"), nil, "POST /x stream", 0},
		{"no body beyond what is kept", Mirror{Unsafe: true}, "PUT", strings.NewReader(large), nil, "", 1},
		{"no stream beyond what is kept", Mirror{Unsafe: true}, "PUT", plain(large), nil, "", 1},
		{"no copy of a copy", Mirror{}, "GET", nil, http.Header{MirroredFrom: {"v0"}}, "", 0},
		{"no switch to another protocol", Mirror{}, "GET", nil, http.Header{"Upgrade": {"websocket"}}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &stage{}
				s := open(t, trial(Config{Mirror: c.mirror, Transport: f, Retry: Retry{Attempts: 2, Replay: 1000}}))
				req := newRequest(t, c.method, "/x", c.body)
				for k, v := range c.header {
					req.Header[k] = v
				}
				resp, err := s.RoundTrip(req)
				text(t, resp, err)
				synctest.Wait()
				if got := strings.Join(f.got["trial"], ", "); got != c.want {
					t.Errorf("it got %q, want %q", got, c.want)
				}
				st := s.Stats().Mirror
				if len(f.got["live"]) != 1 || st.Sent != st.Same || st.Sent != int64(len(f.got["trial"])) || st.Skipped != c.skipped || st.InFlight != 0 {
					t.Errorf("%v, %+v", f.got["live"], st)
				}
			})
		})
	}
}

func TestACopyIsToldFromItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &stage{}
		s := open(t, trial(Config{Mirror: Mirror{Unsafe: true}, Transport: f}))
		req := newRequest(t, "POST", "/x", strings.NewReader("a"))
		req.Host = "shop.example"
		req.Header = http.Header{"Authorization": {"Bearer t"}, "Idempotency-Key": {"k"}}
		resp, err := s.RoundTrip(req)
		text(t, resp, err)
		req.Header.Set("Authorization", "changed") // the caller may do that now
		synctest.Wait()
		live, copied := f.last["live"], f.last["trial"]
		if h := copied.Header; h.Get(MirroredFrom) != "v1" || h.Get("Authorization") != "Bearer t" || h.Get("Idempotency-Key") != "k-mirror" || copied.Host != "shop.example" {
			t.Errorf("the copy has %v", h)
		}
		if h := live.Header; h.Get(MirroredFrom) != "" || h.Get("Idempotency-Key") != "k" {
			t.Errorf("the call has %v", h)
		}
	})
}

func TestACallDoesNotFeelItsCopy(t *testing.T) {
	hang := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	for _, c := range []struct {
		name             string
		trial            func(*http.Request) (*http.Response, error)
		sent, fail, diff int64
	}{
		{"that fails", func(*http.Request) (*http.Response, error) { return nil, errReset }, 1, 1, 0},
		{"that hangs", hang, 1, 1, 0},
		{"that panics", func(*http.Request) (*http.Response, error) { panic("of a transport") }, 1, 1, 0},
		{"that gets another status", func(*http.Request) (*http.Response, error) { return reply(500), nil }, 1, 0, 1},
		{"whose reply breaks off", func(*http.Request) (*http.Response, error) {
			resp := reply(200)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("b"), failing{}))
			return resp, nil
		}, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &stage{play: map[string]func(*http.Request) (*http.Response, error){"trial": c.trial}}
				s := open(t, trial(Config{Mirror: Mirror{Timeout: 3 * time.Second}, Timeout: time.Minute, Transport: f,
					ServiceBreaker: Breaker{Failures: 1}, Retry: Retry{Attempts: 3}, Hedge: Hedge{Extra: 0.1}}))
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				resp, err := s.RoundTrip(newRequest(t, "GET", "/x", nil).WithContext(ctx))
				text(t, resp, err)
				cancel() // and the copy goes on
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
				time.Sleep(3 * time.Second)
				synctest.Wait()
				st := s.Stats()
				if m := st.Mirror; m.Sent != c.sent || m.Failed != c.fail || m.Different != c.diff || m.InFlight != 0 {
					t.Errorf("%+v", m)
				}
				if st.Requests != 1 || st.Retries != 0 || len(st.Failures) != 0 || st.Breaker.State != "closed" || st.Endpoints[1].InFlight != 0 || st.Endpoints[1].Attempts != 1 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// failing breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errReset }

func TestCopiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &stage{play: map[string]func(*http.Request) (*http.Response, error){"trial": func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}}}
		s := open(t, trial(Config{Mirror: Mirror{Concurrent: 3, Timeout: time.Hour}, Transport: f}))
		calls(t, s, 10)
		if m := s.Stats().Mirror; m.InFlight != 3 || m.Sent != 3 || m.Dropped != 7 {
			t.Errorf("%+v", m)
		}
		s.Close()
		calls(t, s, 1) // is not copied
		time.Sleep(mirrorDrain)
		synctest.Wait()
		if m := s.Stats().Mirror; m.InFlight != 0 || m.Sent != 3 || m.Dropped != 7 {
			t.Errorf("after Close: %+v", m)
		}
	})
}

func TestTheShareOfCallsThatIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		f := &stage{}
		s := open(t, trial(Config{Mirror: Mirror{Share: 0.1, Concurrent: n}, Transport: f, Random: rand.NewPCG(1, 2).Uint64}))
		calls(t, s, n)
		synctest.Wait()
		if got := s.Stats().Mirror.Sent; math.Abs(float64(got)/n-0.1) > 0.01 {
			t.Errorf("%d of %d", got, n)
		}
	})
}

func TestACallThatIsRetriedIsCopiedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &stage{play: map[string]func(*http.Request) (*http.Response, error){"live": func(*http.Request) (*http.Response, error) {
			if n++; n < 3 {
				return reply(503), nil
			}
			return reply(200), nil
		}}}
		s := open(t, trial(Config{Mirror: Mirror{Unsafe: true}, Transport: f, Retry: Retry{Attempts: 3}}))
		body := struct{ io.Reader }{strings.NewReader("body")}
		resp, err := s.RoundTrip(newRequest(t, "PUT", "/x", body))
		text(t, resp, err)
		synctest.Wait()
		if fmt.Sprint(f.got) != "map[live:[PUT /x body PUT /x body PUT /x body] trial:[PUT /x body]]" {
			t.Errorf("%v", f.got)
		}
		if st := s.Stats(); st.Mirror.Same != 1 || st.Retries != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestCallsThatAreNotMadeAreNotCopied(t *testing.T) {
	for name, cfg := range map[string]Config{
		"injected": {Inject: Inject{Abort: 503}},
		"refused":  {ServiceBreaker: Breaker{Failures: 1, Open: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &stage{}
				cfg.Transport = f
				s := open(t, trial(cfg))
				if s.breaker != nil {
					s.breaker.open(time.Hour)
				}
				_, _ = s.RoundTrip(newRequest(t, "GET", "/x", nil))
				synctest.Wait()
				if len(f.got) > 0 {
					t.Errorf("%v", f.got)
				}
			})
		})
	}
}

// A copy stays in its version, though a call there would be given to another.
func TestACopyHasNoFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &stage{}
		cfg := trial(Config{Transport: f, Breaker: Breaker{Failures: 1}})
		cfg.Versions[1].Fallback = "v1"
		s := open(t, cfg)
		s.set.Load().endpoints[1].breaker.open(time.Hour)
		calls(t, s, 1)
		synctest.Wait()
		if m := s.Stats().Mirror; len(f.got["live"]) != 1 || m.Failed != 1 {
			t.Errorf("%v, %+v", f.got, m)
		}
	})
}

func TestFaultsOfMirror(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // empty is none
	}{
		{"none", func(*Config) {}, ""},
		{"a share above all", func(c *Config) { c.Mirror.Share = 1.5 }, "mirror.share"},
		{"a strange share", func(c *Config) { c.Mirror.Share = math.NaN() }, "mirror.share"},
		{"a timeout below 0", func(c *Config) { c.Mirror.Timeout = -1 }, "mirror.timeout"},
		{"a number below 0", func(c *Config) { c.Mirror.Concurrent = -1 }, "mirror.concurrent"},
		{"a version that is not there", func(c *Config) { c.Mirror.To = "v3" }, "mirror.to"},
		{"the only version with calls", func(c *Config) { c.Mirror.To = "v1" }, "mirror.to"},
		{"one that others match beside", func(c *Config) { c.Mirror.To = "v1"; c.Versions[1].When = When{"x-new", "1"} }, ""},
		{"no versions", func(c *Config) { c.Versions, c.Endpoints = nil, []string{"http://x"} }, "mirror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := trial(Config{})
			c.change(&cfg)
			var fields []string
			for _, fault := range Validate(cfg) {
				fields = append(fields, fault.Field)
			}
			if strings.Join(fields, " ") != c.want {
				t.Errorf("faults of %v, want %q", fields, c.want)
			}
		})
	}
}

// Over real connections: the body streams to the call while it is kept for the copy.
func TestACopyOverConnections(t *testing.T) {
	const n = 20
	bodies := make(chan string, 2*n)
	serve := func(conn net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			bodies <- string(b)
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	cfg := trial(Config{Mirror: Mirror{Unsafe: true}, Timeout: 10 * time.Second})
	for i := range cfg.Versions {
		cfg.Versions[i].Endpoints = []string{rawServer(t, serve)}
	}
	s := open(t, cfg)
	for i := range n {
		in, out := io.Pipe()
		go func() {
			fmt.Fprint(out, "body ", i)
			out.Close()
		}()
		resp, err := s.RoundTrip(newRequest(t, "POST", "/x", in))
		text(t, resp, err)
	}
	seen := map[string]int{}
	for range 2 * n {
		seen[<-bodies]++
	}
	for i := range n {
		if body := fmt.Sprint("body ", i); seen[body] != 2 {
			t.Errorf("%q was seen %d times", body, seen[body])
		}
	}
}
