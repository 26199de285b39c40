package mesh

import (
	"context"
	"sync"

	"github.com/weir-run/weir/mesh/h1"
)

// endable is context.WithCancelCause for a transport that only has to be told of
// the end: as long as nobody waits for Done it has no place among the children of
// its parent, which is most of what such a context costs.
type endable struct {
	context.Context // the parent

	mu    sync.Mutex
	cause error                   // what it was ended with; nil before
	abort func()                  // to be called at the end, if set
	armed context.Context         // once somebody waits
	end   context.CancelCauseFunc // of armed
}

// stop ends the context, as a context.CancelCauseFunc does.
func (c *endable) stop(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		if cause != nil {
			c.arm() // where context.Cause looks
		} else {
			cause = context.Canceled
		}
		c.cause = cause
	}
	abort, end := c.abort, c.end
	c.abort = nil
	c.mu.Unlock()
	if end != nil {
		end(cause)
	}
	if abort != nil {
		abort()
	}
}

// AfterCancel is what [h1.CancelWatcher] asks for. It is called for one f at a
// time, which does not wait for anything: stop calls it.
func (c *endable) AfterCancel(f func()) (stop func() bool) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		go f()
		return func() bool { return false }
	}
	c.abort = f
	c.mu.Unlock()
	leave := h1.AfterCancel(c.Context, f)
	return func() bool {
		stopped := leave == nil || leave()
		c.mu.Lock()
		defer c.mu.Unlock()
		stopped = stopped && c.abort != nil
		c.abort = nil
		return stopped
	}
}

// arm expects mu to be held.
func (c *endable) arm() context.Context {
	if c.armed == nil {
		c.armed, c.end = context.WithCancelCause(c.Context)
		if c.cause != nil {
			c.end(c.cause)
		}
	}
	return c.armed
}

func (c *endable) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arm().Done()
}

func (c *endable) Err() error {
	c.mu.Lock()
	armed, cause := c.armed, c.cause
	c.mu.Unlock()
	switch {
	case armed != nil:
		return armed.Err()
	case cause != nil:
		return context.Canceled
	}
	return c.Context.Err()
}

// Value is the armed context's where there is one: package context looks for its
// own there, to attach children to it.
func (c *endable) Value(key any) any {
	c.mu.Lock()
	armed := c.armed
	c.mu.Unlock()
	if armed != nil {
		return armed.Value(key)
	}
	return c.Context.Value(key)
}
