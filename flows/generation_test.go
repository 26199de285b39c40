package flows

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A generation closes once, after it has retired and its last request has
// ended, however requests come and go at that moment.
func TestAGenerationClosesOnceAndForAll(t *testing.T) {
	for range 500 {
		h := &Host{}
		var holders, closed atomic.Int32
		done := make(chan struct{})
		old := &generation{finish: func() {
			if n := holders.Load(); n != 0 {
				t.Errorf("it closed with %d requests in it", n)
			}
			closed.Add(1)
			close(done)
		}}
		h.current.Store(old)
		var requests sync.WaitGroup
		for range 4 {
			requests.Go(func() {
				for {
					g := h.acquire()
					if g != old {
						g.release()
						return
					}
					holders.Add(1)
					holders.Add(-1)
					g.release()
				}
			})
		}
		h.current.Store(&generation{finish: func() {}})
		old.retire()
		requests.Wait()
		<-done
		if closed.Load() != 1 {
			t.Fatalf("it closed %d times", closed.Load())
		}
	}
}
