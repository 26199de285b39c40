// Package discovery finds out where a service runs, and keeps watching.
//
// [Parse] reads a [Location], which is written as a URL whose scheme says where
// to look: in DNS, in Kubernetes, in Consul or in a file. [Location.Open] gives
// the [Source] that looks there. A program can watch a Source of its own just as
// well.
package discovery

import (
	"context"
	"net"
	"os"
)

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
	// Watch calls found with all targets that there are whenever a look has
	// succeeded, also if nothing has changed since, until ctx ends. It calls
	// failed for each look that did not succeed; what was found last stays good
	// until something else is found. Neither is called at the same time as the
	// other, nor once Watch has returned, which it does when ctx has ended.
	Watch(ctx context.Context, found func([]Target), failed func(error))
}

// Options are a Source's ways to the outside. The zero value of a field is the
// system's.
type Options struct {
	// Dial connects to name servers and to the APIs of registries, over "udp"
	// and "tcp", in place of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Getenv is read for KUBERNETES_SERVICE_HOST and the like, in place of
	// os.Getenv.
	Getenv func(name string) string
	// Dir is the directory that relative paths of files start at.
	Dir string
	// ResolvConf is read in place of /etc/resolv.conf.
	ResolvConf string
	// ServiceAccount is the directory of a pod's credentials, in place of
	// /var/run/secrets/kubernetes.io/serviceaccount.
	ServiceAccount string
}

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.ServiceAccount == "" {
		o.ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	}
	return o
}
