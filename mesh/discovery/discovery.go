// Package discovery finds out where a service runs, and keeps watching.
package discovery

import "context"

// Target is one place that serves a service.
type Target struct {
	// URL is the base of its requests: "http://host:port", with a path before
	// which the request's own is appended, if wanted.
	URL string
	// Host is the name that the service is called by there, in the Host header
	// and in TLS; empty is the host of URL.
	Host string
	// Weight is its share among its like; 0 is 1.
	Weight int
	// Zone says which targets are near each other; empty is nowhere.
	Zone string
	// Priority orders targets for failover: those of a higher number are used
	// when those of lower ones cannot be.
	Priority int
	// Version is the version of the service that runs there, where that is told.
	Version string
	// Draining is set for a target that still works but is about to end: it is
	// used only if there is no other.
	Draining bool
}

// Source finds the targets of a service. It is safe for concurrent use.
type Source interface {
	// Watch calls found with all targets that there are, first when it knows
	// them and then whenever they change, until ctx ends. It calls failed for
	// each attempt to look that did not succeed; what was found last stays good
	// until something else is found. It returns when ctx has ended and neither
	// function will be called again. Targets are sorted by URL.
	Watch(ctx context.Context, found func([]Target), failed func(error))
}
