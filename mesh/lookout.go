package mesh

import (
	"sync"
	"sync/atomic"
	"time"
)

// lookout bounds how often something is looked at by those who need it: one of
// them looks, if that was not done for a while, and nobody waits for it. There is
// nothing to watch and nothing to close, and what is not needed is not looked at.
type lookout struct {
	busy sync.Mutex
	last atomic.Int64 // in Unix nanoseconds
}

// visit calls look unless that was done less than interval ago, or is being done.
func (l *lookout) visit(interval time.Duration, look func(now time.Time)) {
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

// looked says that it has been done now.
func (l *lookout) looked() { l.last.Store(time.Now().UnixNano()) }
