package failures

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// An endpoint to which packets vanish is left for another, and after some
// failures no call tries it any more.
func TestABlackHole(t *testing.T) {
	over(t, own, func(t *trial) {
		hole, other := t.serve(fine), t.serve(fine)
		t.must(dark(hole.listener.(*net.TCPListener)))
		s := t.open(mesh.Config{ConnectTimeout: patience, Retry: mesh.Retry{Attempts: 3}, Breaker: mesh.Breaker{Failures: 3, Open: time.Hour}}, hole, other)
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				if got, err := t.get(s, new(mesh.Call)); got != "fine" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		calls.Wait()
		before := s.Stats().Endpoints[0]
		for range 10 {
			if _, err := t.get(s, new(mesh.Call)); err != nil {
				t.Error(err)
			}
		}
		after := s.Stats().Endpoints[0]
		accepted, _ := hole.connections()
		if before.Failures[mesh.Connect] < 3 || after.Attempts != before.Attempts || accepted != 0 {
			t.Errorf("%+v, then %+v", before, after)
		}
	})
}

// must ends the trial if packets could not be dropped.
func (t *trial) must(err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("packets are dropped by a socket filter, which only Linux has")
	}
	if err != nil {
		t.Fatal("packets cannot be dropped by a socket filter: ", err)
	}
}

// A listener that nobody accepts from answers the handshake of TCP as long as it
// has room, and then nothing at all.
func TestAFullBacklog(t *testing.T) {
	over(t, own, func(t *trial) {
		full := &backend{addr: deaf(t).String()}
		s := t.open(mesh.Config{ConnectTimeout: patience, Timeout: time.Minute, Retry: mesh.Retry{Attempts: 2}}, full, t.serve(fine))
		for range 2 {
			if got, err := t.get(s, new(mesh.Call)); got != "fine" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
		if n := s.Stats().Endpoints[0].Failures[mesh.Connect]; n == 0 {
			t.Errorf("%+v", s.Stats().Endpoints[0])
		}
	})
}

// A connection that was good goes dark: the call on it times out and is made
// elsewhere, and so are the next ones until the endpoint is there again.
func TestAConnectionThatGoesDark(t *testing.T) {
	over(t, ways, func(t *trial) {
		failed := make(chan error, 10)
		first := t.scripted(func(c *serverConn) {
			c.request()
			c.say(c.header(0))
			c.say(c.last(1000))
			failed <- dark(c.tcp)
			c.wait()
		})
		s := t.open(mesh.Config{Timeout: patience, Retry: mesh.Retry{Attempts: 6, On: []string{"timeout", "connect"}}}, first, t.serve(fine))
		for range 3 {
			if _, err := t.get(s, new(mesh.Call)); err != nil {
				t.Error(err)
			}
		}
		if n := s.Stats().Endpoints[0].Failures[mesh.Timeout]; n == 0 {
			t.Errorf("%+v", s.Stats().Endpoints[0])
		}
		t.must(<-failed)
		first.kill() // it cannot know that the client is gone
	})
}
