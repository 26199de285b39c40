package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// Discovery is how endpoints are found. The zero value of a field is its
// default.
type Discovery struct {
	// Dir is the directory that file endpoints with a relative path start at.
	Dir string
	// Sources are watched beside the endpoints of the configuration.
	Sources []discovery.Source
	// Getenv is read for what containers and registries say in the environment,
	// in place of os.Getenv.
	Getenv func(name string) string
	// ResolvConf is read for name servers in place of /etc/resolv.conf.
	ResolvConf string
}

// Patience is how long after Open calls wait for the first endpoint to be found.
// Later they fail at once while there is none.
const Patience = 5 * time.Second

// endpointKey is equal for endpoints that mean the same.
func endpointKey(e string) (key, message, hint string) {
	if !discovery.Is(e) {
		u, message, hint := parseEndpoint(e)
		if message != "" {
			return "", message, hint
		}
		return u.String(), "", ""
	}
	if _, err := discovery.Parse(e); err != nil {
		fault := err.(*discovery.Fault)
		return "", fault.Message, fault.Hint
	}
	return e, "", ""
}

// Static are the endpoints with those that are looked for in the network
// replaced by the service's name: what can be called over a Transport that
// stands for the network. They expect a valid configuration.
func (c Config) Static(name string) []string {
	var all []string
	for _, e := range c.AllEndpoints() {
		if discovery.Is(e) {
			l, _ := discovery.Parse(e)
			e = l.Named(name)
		}
		if !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all
}

// LookedFor says in words what is looked at to find an endpoint of a
// configuration; it is empty for one that is a base URL.
func LookedFor(endpoint string) string {
	if !discovery.Is(endpoint) {
		return ""
	}
	l, err := discovery.Parse(endpoint)
	if err != nil {
		return ""
	}
	return l.How()
}

// serverName is the name that an endpoint's certificate is to be for.
func (c Config) serverName(base *url.URL) string {
	if c.host == "" {
		return base.Hostname()
	}
	if name, _, err := net.SplitHostPort(c.host); err == nil {
		return name
	}
	return c.host
}

// finder keeps the endpoints of a service to what its sources find.
type finder struct {
	service *Service
	static  []discovery.Target
	end     context.CancelFunc
	done    context.Context // of the watching
	watches sync.WaitGroup
	known   chan struct{} // closed when calls need not wait any more
	settled atomic.Bool   // known is closed

	mu      sync.Mutex
	sources []*sighting
}

// sighting is what one source found last.
type sighting struct {
	where   string // as it is written
	how     string
	version string // that its targets are of; empty: they say it
	targets []discovery.Target
	heard   bool // it has found something, if only that there is nothing
	looked  bool // it has succeeded or failed once

	lastSuccess, lastFailure time.Time
	failures                 int64
	failure                  error // the last one; nil after a success
}

// discover begins to watch, if there is anything to watch.
func (s *Service) discover() {
	f := &finder{service: s, known: make(chan struct{})}
	o := discovery.Options{Dial: s.cfg.Dial, Dir: s.cfg.Discovery.Dir, Getenv: s.cfg.Discovery.Getenv, ResolvConf: s.cfg.Discovery.ResolvConf}
	var watched []discovery.Source
	look := func(endpoints []string, version string) {
		for _, e := range endpoints {
			if !discovery.Is(e) {
				f.static = append(f.static, discovery.Target{URL: e, Version: version})
				continue
			}
			l, _ := discovery.Parse(e)
			f.sources = append(f.sources, &sighting{where: e, how: l.How(), version: version})
			watched = append(watched, l.Open(o))
		}
	}
	look(s.cfg.Endpoints, "")
	for _, v := range s.cfg.Versions {
		look(v.Endpoints, v.Name)
	}
	for i, source := range s.cfg.Discovery.Sources {
		f.sources = append(f.sources, &sighting{where: fmt.Sprintf("source %d", i+1), how: fmt.Sprintf("%T", source)})
		watched = append(watched, source)
	}
	s.update(f.static)
	if len(watched) == 0 {
		return
	}
	s.finder = f
	f.done, f.end = context.WithCancel(context.Background())
	for i, source := range watched {
		seen := f.sources[i]
		f.watches.Go(func() {
			source.Watch(f.done, func(t []discovery.Target) { f.found(seen, t) }, func(err error) { f.failed(seen, err) })
		})
	}
}

// close ends the watching. The endpoints stay what they are.
func (f *finder) close() {
	f.end()
	f.watches.Wait()
}

// found takes what a source sees, if all of it can be used: half of it may be
// worse than what there was.
func (f *finder) found(seen *sighting, targets []discovery.Target) {
	for _, t := range targets {
		if _, message, _ := parseEndpoint(t.URL); message != "" {
			f.failed(seen, errors.New(message))
			return
		}
	}
	targets = slices.SortedFunc(slices.Values(targets), func(a, b discovery.Target) int {
		return cmp.Or(strings.Compare(a.URL, b.URL), strings.Compare(a.Host, b.Host))
	})
	if seen.version != "" {
		for i := range targets {
			targets[i].Version = seen.version
		}
	}
	f.mu.Lock()
	same := seen.heard && slices.Equal(seen.targets, targets)
	news := !same || seen.failure != nil
	seen.targets, seen.heard, seen.looked = targets, true, true
	seen.lastSuccess, seen.failure = time.Now(), nil
	if !same {
		f.service.update(f.merged())
	}
	f.settle()
	f.mu.Unlock()
	f.tell(seen, news)
}

// tell is called without the lock, by the goroutine that looks, which is the only
// one that changes what is seen.
func (f *finder) tell(seen *sighting, news bool) {
	if !news {
		return
	}
	change := Change{What: EndpointsFound, Source: seen.where, Targets: len(seen.targets)}
	if seen.failure != nil {
		change.What, change.Because = EndpointsLost, seen.failure.Error()
	}
	f.service.cfg.changes.tell(change)
}

// merged are the targets of all sources, each once: the first that has it says
// what it is like.
func (f *finder) merged() []discovery.Target {
	all := slices.Clone(f.static)
	for _, s := range f.sources {
		all = append(all, s.targets...)
	}
	seen := map[place]bool{}
	return slices.DeleteFunc(all, func(t discovery.Target) bool {
		twice := seen[placeOf(t)]
		seen[placeOf(t)] = true
		return twice
	})
}

func (f *finder) failed(seen *sighting, err error) {
	f.mu.Lock()
	news := seen.failure == nil
	seen.looked = true
	seen.lastFailure, seen.failure = time.Now(), err
	seen.failures++
	f.settle()
	f.mu.Unlock()
	f.tell(seen, news)
}

// settle ends the waiting of calls when there are endpoints and each source has
// had its chance, so that the first of them does not get all calls; or when it
// is known that there are none.
func (f *finder) settle() {
	some := len(f.service.set.Load().endpoints) > 0
	for _, s := range f.sources {
		if !s.heard && !(some && s.looked) {
			return
		}
	}
	if !f.settled.Swap(true) {
		close(f.known)
	}
}

// await waits for what is found first, within ctx and [Patience], and until a
// time if that is not zero. The error says that there is nothing.
func (f *finder) await(ctx context.Context, until time.Time) error {
	if !f.settled.Load() {
		f.wait(ctx, until)
	}
	if len(f.service.set.Load().endpoints) > 0 {
		return nil
	}
	return f.nothing()
}

func (f *finder) wait(ctx context.Context, until time.Time) {
	left := Patience - f.service.clock()
	if !until.IsZero() {
		left = min(left, time.Until(until))
	}
	if left <= 0 {
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-f.known:
	case <-t.C:
	case <-ctx.Done():
	case <-f.done.Done():
	}
}

// nothing is the error of a call that has nowhere to go: what was looked for,
// and what came of it.
func (f *finder) nothing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var each []string
	for _, s := range f.sources {
		text := s.where
		switch {
		case s.failure != nil && s.heard:
			text += fmt.Sprintf(" had none %v ago, and now: %v", ago(s.lastSuccess), s.failure)
		case s.failure != nil:
			text += fmt.Sprintf(" has told nothing in %v: %v", ago(f.service.opened), s.failure)
		case s.heard:
			text += fmt.Sprintf(" had none %v ago", ago(s.lastSuccess))
		default:
			text += fmt.Sprintf(" has told nothing in %v", ago(f.service.opened))
		}
		each = append(each, text)
	}
	return fmt.Errorf("%w: %s", errNoEndpoint, strings.Join(each, "; "))
}

func ago(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// Ready waits until it is known where the service runs, and there is such a
// place. The error says what was looked for in vain when ctx ended, or
// [Patience] did. A service without discovery is ready.
func (s *Service) Ready(ctx context.Context) error {
	if s.finder == nil {
		return nil
	}
	if err := s.finder.await(ctx, time.Time{}); err != nil {
		return &Error{Service: s.name, Class: NoEndpoint, Err: err}
	}
	return nil
}

// SourceStats are the counters of what finds endpoints.
type SourceStats struct {
	Source      string    // as it is written in the configuration
	How         string    // what is looked at, in words
	Targets     int       // what it found last
	LastSuccess time.Time // of the last look that succeeded; zero if none did
	LastFailure time.Time // of the last look that failed; zero if none did
	Failures    int64     // looks that failed
	Failure     error     // why the last look failed; nil if it succeeded
}

func (f *finder) stats() (all []SourceStats) {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sources {
		all = append(all, s.stats())
	}
	return all
}

func (s *sighting) stats() SourceStats {
	return SourceStats{
		Source: s.where, How: s.how, Targets: len(s.targets),
		LastSuccess: s.lastSuccess, LastFailure: s.lastFailure, Failures: s.failures, Failure: s.failure,
	}
}
