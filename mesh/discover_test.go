package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// told is a source that finds what a test tells it.
type told struct{ news chan any } // []discovery.Target or error

func newTold() told { return told{make(chan any)} }

func (s told) Watch(ctx context.Context, found func([]discovery.Target), failed func(error)) {
	for {
		select {
		case n := <-s.news:
			switch n := n.(type) {
			case error:
				failed(n)
			case []discovery.Target:
				found(n)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s told) find(urls ...string) {
	targets := []discovery.Target{}
	for _, u := range urls {
		targets = append(targets, discovery.Target{URL: u})
	}
	s.news <- targets
	synctest.Wait()
}

func (s told) fail(text string) {
	s.news <- errors.New(text)
	synctest.Wait()
}

// memory is a network of servers in memory that answer with their address and
// the Host header.
func memory(_ context.Context, _, addr string) (net.Conn, error) {
	near, far := net.Pipe()
	l := &oneConn{conn: far, closed: make(chan struct{})}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", addr, r.Host)
	})}
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.Close()
		}
	}
	go s.Serve(l)
	return near, nil
}

type oneConn struct {
	conn   net.Conn
	taken  bool
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// ask sends a request and gives what the server says, or the error.
func ask(s *Service, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "/", nil)
	resp, err := s.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// endpointsOf are the addresses of a service with their open connections.
func endpointsOf(s *Service) string {
	var all []string
	for _, e := range s.Stats().Endpoints {
		all = append(all, fmt.Sprintf("%s %d", strings.TrimPrefix(e.Address, "http://"), e.Dialed-e.Closed))
	}
	return strings.Join(all, ", ")
}

func TestTheFirstCallWaitsForTheFirstEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: memory})
		answer := make(chan string)
		started := time.Now()
		go func() { answer <- ask(s, 4*time.Second) }()
		time.Sleep(2 * time.Second)
		source.fail("not yet")
		time.Sleep(time.Second)
		source.find("http://a:80")
		if got := <-answer; got != "a:80 a:80" || time.Since(started) != 3*time.Second {
			t.Errorf("got %q after %v", got, time.Since(started))
		}
	})
}

func TestACallWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: memory})
		for _, c := range []struct {
			timeout, takes time.Duration
			failure, want  string
		}{
			{time.Second, time.Second, "", "service test: no_endpoint: there is no endpoint: source 1 has told nothing in 1s"},
			{10 * time.Second, 4 * time.Second, "NXDOMAIN", "service test: no_endpoint: there is no endpoint: source 1 has told nothing in 5s: NXDOMAIN"},
			{10 * time.Second, 0, "SERVFAIL", "service test: no_endpoint: there is no endpoint: source 1 has told nothing in 5s: SERVFAIL"},
		} {
			if c.failure != "" {
				source.fail(c.failure)
			}
			started := time.Now()
			if got := ask(s, c.timeout); got != c.want || time.Since(started) != c.takes {
				t.Errorf("got %q after %v", got, time.Since(started))
			}
		}
		if err := s.Ready(t.Context()); classOf(t, err) != NoEndpoint {
			t.Error(err)
		}
		source.find()
		if got := ask(s, time.Second); got != "service test: no_endpoint: there is no endpoint: source 1 had none 0s ago" {
			t.Error(got)
		}
		source.find("http://a:80")
		if got := ask(s, time.Second); got != "a:80 a:80" || s.Ready(t.Context()) != nil {
			t.Error(got)
		}
	})
}

func TestACallsOwnDeadlineBoundsItsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Deadline: time.Second, Discovery: Discovery{Sources: []discovery.Source{newTold()}}, Dial: memory})
		started := time.Now()
		if got := ask(s, time.Minute); !strings.Contains(got, "no_endpoint") || time.Since(started) != time.Second {
			t.Errorf("got %q after %v", got, time.Since(started))
		}
	})
}

func TestASourceThatKnowsThereIsNothingEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: memory})
		started := time.Now()
		go func() { source.news <- []discovery.Target{} }()
		if got := ask(s, 4*time.Second); !strings.Contains(got, "no_endpoint") || time.Since(started) > 0 {
			t.Errorf("got %q after %v", got, time.Since(started))
		}
	})
}

func TestEndpointsFollowTheirSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newTold(), newTold()
		s := open(t, Config{Endpoints: []string{"http://static:80"}, Discovery: Discovery{Sources: []discovery.Source{one, two}}, Dial: memory})
		want := func(want string) {
			t.Helper()
			for range len(s.Stats().Endpoints) {
				ask(s, time.Second)
			}
			synctest.Wait()
			if got := endpointsOf(s); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		one.find("http://b:80", "http://a:80", "http://static:80")
		two.fail("down")
		want("static:80 1, a:80 1, b:80 1")
		two.find("http://c:80", "http://a:80")
		want("static:80 1, a:80 1, b:80 1, c:80 1")
		kept := s.set.Load().endpoints[1].vitals
		one.find()
		want("static:80 1, a:80 1, c:80 1")
		if s.set.Load().endpoints[1].vitals != kept {
			t.Error("an endpoint that stays has lost what is known of it")
		}
		before := s.set.Load()
		two.find("http://c:80", "http://a:80")
		if s.set.Load() != before {
			t.Error("what has not changed makes a new set")
		}
		two.find("http://d:80", "ftp://e")
		want("static:80 1, a:80 1, c:80 1")
		two.fail("down")
		want("static:80 1, a:80 1, c:80 1")
		st := s.Stats().Sources
		if len(st) != 2 || st[0].Targets != 0 || st[0].Failure != nil || st[1].Targets != 2 || st[1].Failures != 3 || st[1].Failure.Error() != "down" {
			t.Errorf("%+v", st)
		}
	})
}

func TestWhatChangesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		var all []string
		open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Changed: func(c Change) {
			all = append(all, strings.TrimSpace(fmt.Sprint(c.Source, " ", c.What, " ", c.Targets, " ", c.Because)))
		}})
		source.fail("a")
		source.fail("b")
		source.find("http://a:80")
		source.find("http://a:80")
		source.fail("c")
		source.fail("c")
		source.find("http://a:80")
		source.find("http://b:80", "http://a:80")
		source.find()
		if got := strings.Join(all, "; "); got != strings.NewReplacer("lost", "source 1 "+EndpointsLost, "found", "source 1 "+EndpointsFound).Replace("lost 0 a; found 1; lost 1 c; found 1; found 2; found 0") {
			t.Error(got)
		}
	})
}

func TestACallInProgressKeepsItsEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		release := make(chan struct{})
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				buf := make([]byte, 4096)
				_, _ = far.Read(buf)
				<-release
				_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				_, _ = far.Read(buf)
			}()
			return near, nil
		}
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: dial})
		source.find("http://a:80")
		answer := make(chan string)
		go func() { answer <- ask(s, time.Minute) }()
		synctest.Wait()
		gone := s.set.Load().endpoints[0]
		source.find("http://b:80")
		close(release)
		if got := <-answer; got != "ok" {
			t.Error(got)
		}
		synctest.Wait()
		if dialed, closed := gone.transport.connections(); dialed != 1 || closed != 1 {
			t.Errorf("%d connections made, %d closed", dialed, closed)
		}
	})
}

func TestATargetIsCalledByItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: memory})
		source.news <- []discovery.Target{{URL: "http://10.0.0.1:8001", Host: "orders.shop"}}
		if got := ask(s, time.Second); got != "10.0.0.1:8001 orders.shop" {
			t.Error(got)
		}
		s.set.Load().endpoints[0].transport.close()
		s.set.Load().endpoints[0].transport = newStdTransport(mustURL(t, "http://10.0.0.1:8001"), Config{Dial: memory, host: "orders.shop"}.withDefaults())
		if got := ask(s, time.Second); got != "10.0.0.1:8001 orders.shop" {
			t.Error(got)
		}
	})
	for host, want := range map[string]string{"": "10.0.0.1", "orders.shop": "orders.shop", "orders.shop:8443": "orders.shop"} {
		if got := (Config{host: host}).serverName(mustURL(t, "https://10.0.0.1:8443")); got != want {
			t.Errorf("%q: %s", host, got)
		}
	}
}

func TestWatchingEndsWithTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open("test", Config{Endpoints: []string{"dns://a.b:80"}, Discovery: Discovery{ResolvConf: "/nonexistent"},
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		started := time.Now()
		answer := make(chan string)
		go func() { answer <- ask(s, time.Minute) }()
		synctest.Wait()
		s.Close()
		if got := <-answer; !strings.Contains(got, "no_endpoint") || time.Since(started) > 0 {
			t.Errorf("got %q after %v", got, time.Since(started))
		}
	})
}

func TestServicesWithoutDiscoveryWatchNothing(t *testing.T) {
	s := open(t, Config{Endpoints: []string{"http://a"}})
	if s.finder != nil || s.Ready(t.Context()) != nil || s.Stats().Sources != nil {
		t.Error("something is watched")
	}
}

func TestStaticEndpointsStandForThoseThatAreLookedFor(t *testing.T) {
	c := Config{Endpoints: []string{"http://a:1/x", "dns://b.c:80/y", "k8s+https://d/e:http", "consul://f/y"}}
	if got := fmt.Sprint(c.Static("orders")); got != "[http://a:1/x http://orders/y https://orders]" {
		t.Error(got)
	}
}

func TestTargetsAreUsedInTheOrderOfTheirTiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		down := map[string]bool{}
		s := open(t, Config{
			Discovery: Discovery{Sources: []discovery.Source{source}}, Retry: Retry{Attempts: 5}, Breaker: Breaker{Failures: 1},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if down[addr] {
					return nil, errors.New("refused")
				}
				return memory(ctx, network, addr)
			},
		})
		source.news <- []discovery.Target{
			{URL: "http://ending:80", Draining: true}, {URL: "http://second:80", Priority: 2}, {URL: "http://first:80", Priority: 1}, {URL: "http://also:80", Priority: 1},
		}
		answers := func() string {
			seen := map[string]bool{}
			for range 6 {
				name, _, _ := strings.Cut(ask(s, time.Second), ":")
				seen[name] = true
			}
			return strings.Join(slices.Sorted(maps.Keys(seen)), " ")
		}
		for _, c := range []struct{ goes, want string }{{"", "also first"}, {"also:80", "first"}, {"first:80", "second"}, {"second:80", "ending"}} {
			down[c.goes] = true
			for _, e := range s.set.Load().endpoints {
				if strings.HasSuffix(e.Address(), c.goes) && c.goes != "" {
					e.transport.close()
				}
			}
			if got := answers(); got != c.want {
				t.Errorf("without %s: %s answer", c.goes, got)
			}
		}
	})
}

func TestARetryKnowsOfEndpointsThatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		var dialed []string
		s := open(t, Config{
			Discovery: Discovery{Sources: []discovery.Source{source}}, Retry: Retry{Attempts: 3, Backoff: time.Second, MaxBackoff: time.Second},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialed = append(dialed, addr)
				if addr == "b:80" {
					return memory(ctx, network, addr)
				}
				return nil, errors.New("refused")
			},
		})
		source.find("http://z:80")
		answer := make(chan string)
		go func() { answer <- ask(s, time.Minute) }()
		synctest.Wait()
		source.find("http://b:80", "http://z:80")
		if got := <-answer; got != "b:80 b:80" || fmt.Sprint(dialed) != "[z:80 b:80]" {
			t.Errorf("got %q after dialing %v", got, dialed)
		}
	})
}
