package mesh

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// fleet is a network in memory whose servers start and end.
type fleet struct {
	mu      sync.Mutex
	servers map[string]*fleetServer
}

type fleetServer struct {
	http  *http.Server
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func (s *fleetServer) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ended:
		return nil, net.ErrClosed
	}
}
func (s *fleetServer) Close() error   { s.once.Do(func() { close(s.ended) }); return nil }
func (s *fleetServer) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fleet) start(addr string) {
	s := &fleetServer{conns: make(chan net.Conn), ended: make(chan struct{})}
	s.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, addr)
	})}
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.http.Serve(s) }() // it ends with ErrServerClosed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[addr] = s
}

// kill ends a server with all its connections, whatever they carry.
func (f *fleet) kill(addr string) {
	f.mu.Lock()
	s := f.servers[addr]
	delete(f.servers, addr)
	f.mu.Unlock()
	_ = s.http.Close()
}

func (f *fleet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	f.mu.Lock()
	s := f.servers[addr]
	f.mu.Unlock()
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	select {
	case s.conns <- far:
		return near, nil
	case <-s.ended:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// All endpoints are replaced one after the other while calls are made, as a
// deployment does: a new one comes, an old one is drained, and is killed with
// what is still under way on it before discovery has told that it is gone.
func TestARollingRestartFailsNoSafeCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{servers: map[string]*fleetServer{}}
		source := newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Dial: f.dial, Retry: Retry{Attempts: 3}, Breaker: Breaker{Failures: 5}})
		var targets []discovery.Target
		tell := func() {
			source.news <- slices.Clone(targets)
		}
		for i := range 4 {
			f.start(fmt.Sprintf("old-%d:80", i))
			targets = append(targets, discovery.Target{URL: fmt.Sprintf("http://old-%d:80", i)})
		}
		tell()
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var good, bad atomic.Int64
		for range 16 {
			callers.Go(func() {
				for ctx.Err() == nil {
					req, _ := http.NewRequest("GET", "/", nil)
					if _, err := s.Do(req, &Call{Buffer: true}); err != nil {
						bad.Add(1)
						t.Error(err)
					} else {
						good.Add(1)
					}
				}
			})
		}
		for i := range 4 {
			time.Sleep(time.Second)
			f.start(fmt.Sprintf("new-%d:80", i))
			targets = append(targets, discovery.Target{URL: fmt.Sprintf("http://new-%d:80", i)})
			tell()
			time.Sleep(time.Second)
			old := fmt.Sprintf("http://old-%d:80", i)
			at := slices.IndexFunc(targets, func(t discovery.Target) bool { return t.URL == old })
			if i%2 == 0 { // the others end without a word
				targets[at].Draining = true
				tell()
				time.Sleep(5 * time.Millisecond)
			}
			f.kill(fmt.Sprintf("old-%d:80", i))
			time.Sleep(time.Second)
			targets = slices.Delete(targets, at, at+1)
			tell()
		}
		time.Sleep(time.Second)
		stop()
		callers.Wait()
		st := s.Stats()
		if bad.Load() > 0 || good.Load() < 5000 || len(st.Endpoints) != 4 {
			t.Errorf("%d calls failed, %d did not, %d endpoints", bad.Load(), good.Load(), len(st.Endpoints))
		}
		for i := range 4 {
			f.kill(fmt.Sprintf("new-%d:80", i))
		}
	})
}

// Connections that are always in use grow old, too, and are replaced without a
// call that fails.
func TestConnectionsAgeUnderLoad(t *testing.T) {
	for _, protocol := range []string{protocolHTTP1, protocolH2C} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{servers: map[string]*fleetServer{}}
				f.start("a:80")
				s := open(t, Config{Endpoints: []string{"http://a:80"}, Protocol: protocol, Dial: f.dial, Timeout: time.Minute})
				const callers, ages = 4, 5
				until := time.Now().Add(ages * maxAge)
				var calling sync.WaitGroup
				for range callers {
					calling.Go(func() {
						for time.Now().Before(until) {
							req, _ := http.NewRequest("POST", "/", io.MultiReader(strings.NewReader("once")))
							if _, err := s.Do(req, &Call{Buffer: true}); err != nil {
								t.Error(err)
							}
							time.Sleep(time.Second)
						}
					})
				}
				calling.Wait()
				// Over h2c there are more: every idleTimeout net/http makes one, to find that it has one.
				if e := s.Stats().Endpoints[0]; e.Dialed < ages-1 || e.Dialed-e.Closed > callers {
					t.Errorf("%d connections made, %d closed", e.Dialed, e.Closed)
				}
				s.Close()
				f.kill("a:80")
				synctest.Wait()
				if e := s.Stats().Endpoints[0]; e.Dialed != e.Closed || e.InFlight != 0 {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}
