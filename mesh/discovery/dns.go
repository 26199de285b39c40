package discovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dns asks for A and AAAA, or for SRV records.
//
// An answer is asked for again when four fifths of its time to live have
// passed, so that it never ends, but at most every second and at least every
// half minute: Consul says 0, Docker's own name server 600 s for what can change
// at any moment. An empty answer is a failure like others, after which the last
// targets stay: it is as often a server's fault as the truth, and dialing
// places that are gone costs less than taking none.
//
// A target that an answer does not have is drained for as long as that answer
// holds, and gone if the next one does not have it either: servers that give a
// part of a long list in turn do not close connections every few seconds.
type dns struct {
	location Location
	srv      bool
	resolver *resolver

	known map[string][]netip.Addr // the last addresses of the targets of SRV records; of one Watch
}

const (
	minTTL = time.Second
	maxTTL = 30 * time.Second
)

func newDNS(l Location, o Options, srv bool) *dns {
	return &dns{location: l, srv: srv, resolver: &resolver{
		dial: o.Dial, own: l.servers, system: &resolvConf{path: o.ResolvConf},
	}}
}

// Watch is what [Source] asks for.
func (d *dns) Watch(ctx context.Context, found func([]Target), failed func(error)) {
	watching := *d
	watching.known = map[string][]netip.Addr{}
	var last []Target
	var pause backoff
	for {
		targets, ttl, err := watching.look(ctx)
		wait := refresh(ttl)
		switch {
		case ctx.Err() != nil:
			return
		case len(targets) == 0:
			failed(err)
			wait = pause.next()
		default:
			if err != nil { // for some of them
				failed(err)
			}
			pause.reset()
			found(withLeaving(targets, last))
			last = targets
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// refresh is when to ask again for what has ttl to live.
func refresh(ttl time.Duration) time.Duration {
	due := min(max(ttl, minTTL), maxTTL) * 4 / 5
	return due - rand.N(due/10)
}

// withLeaving adds the last targets that are not among the new ones.
func withLeaving(targets, last []Target) []Target {
	all := slices.Clone(targets)
	for _, t := range last {
		if !slices.ContainsFunc(targets, func(o Target) bool { return o.URL == t.URL }) {
			t.Draining = true
			all = append(all, t)
		}
	}
	return all
}

// look asks once. Both targets and an error mean that some are missing.
func (d *dns) look(ctx context.Context) ([]Target, time.Duration, error) {
	c := d.resolver.conf()
	if d.srv {
		return search(c, d.location.name, func(absolute string) ([]Target, time.Duration, error) {
			return d.services(ctx, c, absolute)
		})
	}
	addrs, ttl, err := search(c, d.location.name, func(absolute string) ([]netip.Addr, time.Duration, error) {
		return d.resolver.addresses(ctx, c, absolute, d.location.family)
	})
	if err != nil {
		return nil, 0, err
	}
	targets := make([]Target, len(addrs))
	for i, a := range addrs {
		targets[i] = Target{URL: d.location.at(a.String(), d.location.port), Host: d.location.host}
	}
	return unique(targets), ttl, nil
}

// services gives the targets of SRV records (RFC 2782). They have the priority
// of their record, and each address of one has its weight.
func (d *dns) services(ctx context.Context, c nameServers, name string) ([]Target, time.Duration, error) {
	f, err := d.resolver.resolve(ctx, c, name, dnsmessage.TypeSRV)
	if err != nil {
		return nil, 0, err
	}
	hosts := d.hosts(ctx, c, f)
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	var targets []Target
	d.known = map[string][]netip.Addr{}
	for _, r := range f.records {
		h := hosts[r.target]
		d.known[r.target] = h.addrs
		f.ttl = min(f.ttl, h.ttl)
		if h.err != nil && err == nil {
			err = fmt.Errorf("looking for %s: %w", r.target, h.err)
		}
		for _, a := range h.addrs {
			targets = append(targets, Target{
				URL: d.location.at(a.String(), strconv.Itoa(int(r.port))), Host: d.location.host,
				Priority: int(r.priority), Weight: int(r.weight),
			})
		}
	}
	if len(targets) == 0 && err == nil {
		err = fmt.Errorf("the SRV records of %s name no host: there is no such service (RFC 2782)", name)
	}
	return unique(targets), f.ttl, err
}

// host is a target of SRV records.
type host struct {
	addrs []netip.Addr
	ttl   time.Duration
	err   error
}

// hosts looks for the targets of SRV records, a few at a time.
func (d *dns) hosts(ctx context.Context, c nameServers, f found) map[string]*host {
	hosts := map[string]*host{}
	var looking sync.WaitGroup
	atOnce := make(chan struct{}, 8)
	for _, r := range f.records {
		if hosts[r.target] != nil {
			continue
		}
		h := &host{}
		hosts[r.target] = h
		atOnce <- struct{}{}
		looking.Go(func() {
			h.addrs, h.ttl, h.err = d.host(ctx, c, r.target, f.extra)
			<-atOnce
		})
	}
	looking.Wait()
	return hosts
}

// host gives the addresses of a SRV record's target: those that came with it,
// or those that it has; the last ones, if that cannot be told now.
func (d *dns) host(ctx context.Context, c nameServers, name string, extra []record) ([]netip.Addr, time.Duration, error) {
	if name == "" {
		return nil, maxTTL, nil
	}
	if strings.Trim(name, "0123456789.") == "" || strings.Contains(name, ":") { // against RFC 2782, but some do
		if a, err := netip.ParseAddr(name); err == nil {
			return []netip.Addr{a}, maxTTL, nil
		}
	}
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		if kind == dnsmessage.TypeA && d.location.family == "ipv6" || kind == dnsmessage.TypeAAAA && d.location.family != "ipv6" {
			continue // IPv6 ones that came alone do not say that there are no others
		}
		ttl := maxTTL
		var its []record
		for _, r := range extra {
			if r.kind == kind && r.name == name {
				its, ttl = append(its, r), min(ttl, r.ttl)
			}
		}
		if addrs := usable(its); len(addrs) > 0 {
			return addrs, ttl, nil
		}
	}
	addrs, ttl, err := d.resolver.addresses(ctx, c, name, d.location.family)
	if err != nil {
		return d.known[name], minTTL, err
	}
	return addrs, ttl, nil
}

// unique leaves out targets that are there already.
func unique(targets []Target) []Target {
	seen := map[string]bool{}
	return slices.DeleteFunc(targets, func(t Target) bool {
		twice := seen[t.URL]
		seen[t.URL] = true
		return twice
	})
}
