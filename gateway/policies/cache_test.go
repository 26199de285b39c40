package policies_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// origin is a backend that counts and plays a script.
type origin struct {
	mu    sync.Mutex
	asked []*http.Request
	serve http.HandlerFunc
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked = append(o.asked, r)
	serve := o.serve
	o.mu.Unlock()
	serve(w, r)
}

func (o *origin) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

func (o *origin) last() *http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[len(o.asked)-1]
}

func (o *origin) becomes(serve http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serve = serve
}

// says answers with headers, given as name and value in turn, and a body.
func says(body string, header ...string) http.HandlerFunc { return saying(200, body, header...) }

func saying(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// cachedSite is a program whose routes pass on to the origin, behind a cache.
type cachedSite struct {
	*testing.T
	*flowtest.World
	*origin
}

const passes = `flow: all
trigger: { http: "ANY /{rest:.*}" }
steps: [{ forward: origin }]
---
gateways: { public: { listen: "public:80", policies: [{ %s }] } }
---
services: { origin: { endpoints: ["http://origin"] } }
`

func openShop(t *testing.T, policies string, serve http.HandlerFunc) *cachedSite {
	t.Helper()
	o := &origin{serve: serve}
	return &cachedSite{t, flowtest.Serve(t, fmt.Sprintf(passes, policies), flowtest.Backends{"origin": o}), o}
}

func (s *cachedSite) ask(method, path string, header ...string) reply {
	s.T.Helper()
	return ask(s.T, s.World, method, path, header...)
}

func (s *cachedSite) get(header ...string) reply {
	s.T.Helper()
	return s.ask("GET", "/thing", header...)
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, name, policies string, serve http.HandlerFunc, test func(s *cachedSite)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(openShop(t, policies, serve))
			time.Sleep(10 * time.Second) // for an origin to say what nobody waits for
		})
	})
}

// wants checks an answer by body and how often the origin was asked so far.
func (s *cachedSite) wants(got reply, status int, body string, asked int) {
	s.T.Helper()
	if got.status != status || got.body != body || s.times() != asked {
		s.T.Errorf("got %d %q after %d questions, want %d %q after %d (%s)", got.status, got.body, s.times(), status, body, asked, got.header.Get("Cache-Status"))
	}
}

func TestCacheGivesWhatIsFresh(t *testing.T) {
	virtual(t, "for as long as it is", "cache: {}", says("one", "Cache-Control", "max-age=60", "Etag", `"a"`), func(s *cachedSite) {
		first := s.get()
		s.wants(first, 200, "one", 1)
		if got := first.header.Get("Cache-Status"); got != "weir; fwd=uri-miss; stored" {
			t.Error(got)
		}
		time.Sleep(20 * time.Second)
		second := s.get()
		s.wants(second, 200, "one", 1)
		if second.header.Get("Cache-Status") != "weir; hit; ttl=40" || second.header.Get("Age") != "20" || second.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
			t.Error(second.header)
		}
		time.Sleep(40 * time.Second)
		s.becomes(says("two", "Cache-Control", "max-age=60"))
		s.wants(s.get(), 200, "two", 2)
		s.wants(s.get(), 200, "two", 2)
	})
}

func TestConcurrentMissesAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var came atomic.Int32
		s := openShop(t, "cache: {}", func(w http.ResponseWriter, r *http.Request) {
			came.Add(1)
			<-gate
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "one")
		})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got := s.get(); got.status != 200 || got.body != "one" {
					t.Error(got)
				}
			})
		}
		synctest.Wait()
		close(gate)
		all.Wait()
		if came.Load() != 1 {
			t.Errorf("%d questions", came.Load())
		}
	})
}
