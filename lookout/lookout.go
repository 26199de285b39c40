// Package lookout bounds how often those who need something look whether it has
// changed.
package lookout

import (
	"sync"
	"sync/atomic"
	"time"
)

// Lookout bounds how often something is looked at by those who need it: one of
// them looks, if that was not done for a while, and nobody waits for it. There is
// nothing to watch and nothing to close, and what is not needed is not looked at.
// It is safe for concurrent use.
type Lookout struct {
	busy sync.Mutex
	last atomic.Int64 // in Unix nanoseconds
}

// Visit calls look unless that was done less than interval ago, or is being done.
func (l *Lookout) Visit(interval time.Duration, look func(now time.Time)) {
	now := time.Now()
	recent := func() bool { return now.UnixNano()-l.last.Load() < int64(interval) }
	if recent() || !l.busy.TryLock() {
		return
	}
	defer l.busy.Unlock()
	if !recent() { // since it was asked
		l.last.Store(now.UnixNano())
		look(now)
	}
}

// Looked says that it has been done now.
func (l *Lookout) Looked() { l.last.Store(time.Now().UnixNano()) }

// Forget has the next visit look, however recent the last one was.
func (l *Lookout) Forget() { l.last.Store(0) }
