package policies_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

const kb = 1000

// paced is a program that passes everything to a backend, with a limit.
func paced(t *testing.T, policy string, backend http.HandlerFunc) *flowtest.World {
	return flowtest.Serve(t, "flow: pass\ntrigger: { http: \"ANY /{rest:.*}\", deadline: 10m, max_body: 10MB }\nsteps: [{ forward: backend }]\n---\n"+
		"gateways: { public: { listen: \"public:80\", policies: [{ bandwidth: "+policy+" }] } }", flowtest.Backends{"backend": backend})
}

func gives(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, n)) }
}

// fetch reads an answer to its end.
func fetch(w *flowtest.World, r *http.Request) (int, error) {
	res, err := w.Client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	return int(n), err
}

func get(t *testing.T, header ...string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://public:80/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func about(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < -want/10-50*time.Millisecond || d > want/10+50*time.Millisecond {
		t.Errorf("%s took %v, not %v", what, got, want)
	}
}

func TestBandwidthOfAnswers(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		size, many   int
		want         time.Duration
	}{
		{"beyond the burst, so much in a second", "{ response: 100KB }", 1100 * kb, 1, 10 * time.Second},
		{"a burst of its own", "{ response: 100KB, burst: 600KB }", 1100 * kb, 1, 5 * time.Second},
		{"what is within it, at once", "{ response: 100KB }", 100 * kb, 1, 0},
		{"a large limit", "{ response: 50MB, burst: 1MB }", 51000 * kb, 1, time.Second},
		{"those of one caller share it", "{ response: 100KB }", 275 * kb, 4, 10 * time.Second},
		{"each on its own", "{ response: 100KB, by: $(request.id) }", 600 * kb, 4, 5 * time.Second},
		{"bodies of requests are not concerned", "{ request: 1KB }", 500 * kb, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := paced(t, c.policy, gives(c.size))
				begin := time.Now()
				var all sync.WaitGroup
				for range c.many {
					all.Go(func() {
						if n, err := fetch(w, get(t)); n != c.size || err != nil {
							t.Errorf("%d bytes: %v", n, err)
						}
					})
				}
				all.Wait()
				about(t, c.name, time.Since(begin), c.want)
			})
		})
	}
}

func TestThoseWhoShareBandwidthComeByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, "{ response: 100KB, burst: 1KB }", gives(500*kb))
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				_, _ = fetch(w, get(t))
				if took := time.Since(begin); took < 9*time.Second {
					t.Errorf("%d took %v, before the other", i, took)
				}
			})
		}
		all.Wait()
	})
}

func TestBandwidthOfRequests(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		size         int
		chunked      bool
		want         time.Duration
	}{
		{"beyond the burst, so much in a second", "{ request: 50KB }", 550 * kb, false, 10 * time.Second},
		{"of a length that is not known", "{ request: 50KB, burst: 10KB }", 510 * kb, true, 10 * time.Second},
		{"for longer than a client may stall", "{ request: 2KB }", 122 * kb, false, time.Minute},
		{"answers are not concerned", "{ response: 1KB }", 500 * kb, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := 0
				w := paced(t, c.policy, func(_ http.ResponseWriter, r *http.Request) {
					n, err := io.Copy(io.Discard, r.Body)
					if got = int(n); err != nil {
						t.Error(err)
					}
				})
				var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
				if c.chunked {
					body = struct{ io.Reader }{body}
				}
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://public:80/", body)
				begin := time.Now()
				res, err := w.Client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != 200 || got != c.size {
					t.Errorf("%d with %d bytes of %d", res.StatusCode, got, c.size)
				}
				about(t, c.name, time.Since(begin), c.want)
			})
		})
	}
}

func TestAnAnswerOutlastsTheDeadlineOfItsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, "flow: long\ntrigger: { http: GET /, deadline: 1s, policies: [{ bandwidth: { response: 1KB } }] }\nsteps: [{ return: '$(repeat(\"x\", 5000))' }]", nil)
		if n, err := fetch(w, get(t)); n != 5000 || err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
}

func TestEventsPassOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, "{ response: 1KB, burst: 1KB }", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 5 {
				_, _ = fmt.Fprintf(w, "data: %s %d\n\n", strings.Repeat("x", 490), i)
				_ = http.NewResponseController(w).Flush()
			}
		})
		begin := time.Now()
		res, err := w.Client.Do(get(t))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for i := 0; lines.Scan(); i++ {
			if i%2 == 0 {
				want := time.Duration(max(i/2-1, 0)) * time.Second / 2
				about(t, lines.Text()[len(lines.Text())-1:], time.Since(begin), want)
			}
		}
	})
}

func TestWhoLeavesFreesTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := paced(t, "{ response: 1KB }", func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64*kb))
			}
			ended <- err
		})
		ctx, leave := context.WithCancel(t.Context())
		res, err := w.Client.Do(get(t).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, res.Body) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("it ended before: %v", err)
		default:
		}
		leave()
		begin := time.Now()
		if <-ended; time.Since(begin) > time.Second {
			t.Errorf("the backend was read for %v more", time.Since(begin))
		}
	})
}

func TestADeadlineEndsAnUploadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, "flow: take\ntrigger: { http: POST /, deadline: 3s, policies: [{ bandwidth: { request: 1KB } }] }\nsteps: [{ return: $(body) }]", nil)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://public:80/", strings.NewReader(strings.Repeat("x", 50*kb)))
		begin := time.Now()
		res, err := w.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusGatewayTimeout {
			text, _ := io.ReadAll(res.Body)
			t.Errorf("%d: %s", res.StatusCode, text)
		}
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// On HTTP/2 a deadline that has passed resets a stream, whether something is to be
// written or not. Thirty answers share so little that each waits for longer than
// a client may stall.
func TestAPausedAnswerIsNotTakenForAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, "flow: pass\ntrigger: { http: GET / }\nsteps: [{ forward: backend }]\n---\n"+
			"gateways: { public: { listen: \"public:80\", h2c: true, limits: { stall: 3s }, policies: [{ bandwidth: { response: 4KB, burst: 1KB } }] } }",
			flowtest.Backends{"backend": gives(8 * kb)})
		transport := &http.Transport{DialContext: w.Dial, Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		w.Client = &http.Client{Transport: transport}
		begin := time.Now()
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if n, err := fetch(w, get(t)); n != 8*kb || err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
			})
		}
		all.Wait()
		about(t, "all of it", time.Since(begin), time.Minute)
	})
}
