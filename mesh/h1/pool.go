package h1

import (
	"sync"
	"time"
)

// pool keeps idle connections. The last one returned is the first taken, so that
// under little load the others grow old and are closed. One timer, which runs
// only while something is idle, closes them.
type pool struct {
	max     int
	timeout time.Duration

	mu     sync.Mutex
	idle   []*conn // by time of return: the oldest first
	timer  *time.Timer
	armed  bool
	closed bool
}

func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	cn := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return cn
}

// put keeps cn, or closes it.
func (p *pool) put(cn *conn, now time.Time) {
	if !cn.expires.IsZero() && now.After(cn.expires) {
		cn.close()
		return
	}
	cn.since = now
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.max {
		p.mu.Unlock()
		cn.close()
		return
	}
	p.idle = append(p.idle, cn)
	if !p.armed {
		p.armed = true
		if p.timer == nil {
			p.timer = time.AfterFunc(p.timeout, p.expire)
		} else {
			p.timer.Reset(p.timeout)
		}
	}
	p.mu.Unlock()
}

// expire closes what has been idle for too long.
func (p *pool) expire() {
	cutoff := time.Now().Add(-p.timeout)
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && !p.idle[n].since.After(cutoff) {
		n++
	}
	old := append([]*conn(nil), p.idle[:n]...)
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	p.armed = kept > 0
	if p.armed {
		p.timer.Reset(p.idle[0].since.Sub(cutoff))
	}
	p.mu.Unlock()
	for _, cn := range old {
		cn.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	old := p.idle
	p.idle, p.closed = nil, true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	for _, cn := range old {
		cn.close()
	}
}
