package mesh

import (
	"sync"
	"time"
)

// Change is a change of the state of a service, of an endpoint, or of what a
// service is told by others: something that whoever runs it may want to read of.
type Change struct {
	Service  string
	What     string // one of the constants below
	Endpoint string // base URL; empty if it is the service that changed
	Source   string // of endpoints, as it is written in the configuration
	Targets  int    // that the source has now
	Because  string // in words; empty where the change says it
	// Until is the earliest time at which the state changes by itself: of a breaker
	// that is open, the next probe. Zero if there is none.
	Until time.Time
	// Omitted is how many changes of the service before this one nobody was told of,
	// because there were too many.
	Omitted int
}

// What changes.
const (
	BreakerOpened     = "breaker open"
	BreakerProbes     = "breaker half-open"
	BreakerClosed     = "breaker closed"
	EndpointEjected   = "endpoint ejected"
	EndpointBack      = "endpoint back"
	EndpointUnhealthy = "endpoint unhealthy"
	EndpointHealthy   = "endpoint healthy"
	EndpointsFound    = "endpoints found"
	EndpointsLost     = "endpoints cannot be looked for" // the last ones that were found are kept
	CredentialsFailed = "credentials cannot be refreshed"
	CredentialsBack   = "credentials refreshed again"
)

// Worse reports whether it is a change for the worse.
func (c Change) Worse() bool {
	switch c.What {
	case BreakerOpened, EndpointEjected, EndpointUnhealthy, EndpointsLost, CredentialsFailed:
		return true
	}
	return false
}

// A service tells of no more changes than these: with a hundred endpoints that
// come and go, those are as good as all.
const (
	changesAtOnce    = 20
	changesPerSecond = 1
)

// changes tells of what changes, on the goroutine that changed it, which holds no
// lock of the service: who is told may ask for its Stats. A nil one tells nothing.
type changes struct {
	service string
	opened  time.Time
	to      func(Change)

	mu      sync.Mutex
	left    float64 // changes that may be told
	at      time.Time
	omitted int
}

func newChanges(service string, opened time.Time, to func(Change)) *changes {
	if to == nil {
		return nil
	}
	return &changes{service: service, opened: opened, to: to, left: changesAtOnce, at: opened}
}

// tell expects a change without the service and what was omitted. One without
// What is none.
func (c *changes) tell(change Change) {
	if c == nil || change.What == "" || !c.admit(&change) {
		return
	}
	change.Service = c.service
	c.to(change)
}

func (c *changes) admit(change *Change) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.left = min(changesAtOnce, c.left+changesPerSecond*now.Sub(c.at).Seconds())
	c.at = now
	if c.left < 1 {
		c.omitted++
		return false
	}
	c.left--
	change.Omitted, c.omitted = c.omitted, 0
	return true
}

// time is a moment of the service's clock.
func (c *changes) time(clock time.Duration) (t time.Time) {
	if c == nil {
		return t
	}
	return c.opened.Add(clock)
}
