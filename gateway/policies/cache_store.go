package policies

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// A cacheStore holds the answers of one policy cache. It outlives programs for as
// long as the policy stays as it is, and is bounded by bytes.
//
// What is kept of one URL is one resource, with a variant for each of the values
// that Vary distinguishes. Where answers depend on more (by, or the body of a
// QUERY), each has a resource of its own, a child, which names the epoch of the
// resource of the URL: when that one goes, invalidated or for want of room, what
// it was for cannot be found any more. So invalidating a URL costs the same
// however many children it has, and never misses one.
type cacheStore struct {
	byKey    *otter.Cache[string, *resource]
	size     uint64
	epoch    atomic.Uint64
	searches atomic.Bool // some path has a searchVariance

	mu      sync.Mutex
	flights map[string]*fill // by key and the values that are known to matter

	filling                                                                      atomic.Int64 // bytes that are on their way in
	hits, misses, stale, revalidated, coalesced, evicted, stored, passed, purged atomic.Int64
}

// resource is what is kept under one key. It is immutable.
type resource struct {
	url      string
	epoch    uint64
	variants []*cached       // in the order in which they are chosen
	search   *searchVariance // of a path alone: what its answers said last
	pass     time.Time       // until then answers are taken for such as cannot be shared
	weight   uint32
}

// maxVariants bounds how many forms of one URL are kept: a caller can ask with as
// many values of a header as there are.
const maxVariants = 64

// passFor is for how long it is remembered of a URL that its answers cannot be
// shared, so that requests for it need not wait for one another.
const passFor = 30 * time.Second

func openCacheStore(size int64) *cacheStore {
	s := &cacheStore{size: uint64(size), flights: map[string]*fill{}}
	s.byKey = otter.Must(&otter.Options[string, *resource]{
		MaximumWeight: s.size,
		Weigher:       func(_ string, r *resource) uint32 { return r.weight },
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *resource]) {
			if e.WasEvicted() {
				s.evicted.Add(1)
			}
		},
	})
	return s
}

// Close is what engine.Keeper asks for. The fills belong to the programs that
// began them.
func (s *cacheStore) Close() { s.byKey.InvalidateAll() }

// Observe is what engine.Observed asks for.
func (s *cacheStore) Observe(show func(name string, total bool, value int64)) {
	for _, c := range []struct {
		name  string
		count *atomic.Int64
	}{
		{"hit", &s.hits}, {"miss", &s.misses}, {"stale", &s.stale}, {"revalidated", &s.revalidated}, {"coalesced", &s.coalesced},
		{"passed", &s.passed}, {"stored", &s.stored}, {"evicted", &s.evicted}, {"purged", &s.purged},
	} {
		show(c.name, true, c.count.Load())
	}
	show("entries", false, int64(s.byKey.EstimatedSize()))
	show("bytes", false, int64(s.byKey.WeightedSize()))
	show("filling_bytes", false, s.filling.Load())
}

// cacheKey is under what answers to a request are kept.
type cacheKey struct {
	base  string // of the URL
	child string // "" but where answers depend on more than the URL and Vary
}

// at is the key with another URL.
func (k cacheKey) at(base string) cacheKey {
	if k.child != "" {
		return cacheKey{base, base + k.child[len(k.base):]}
	}
	return cacheKey{base: base}
}

func (k cacheKey) own() string {
	if k.child == "" {
		return k.base
	}
	return k.child
}

// get finds what is kept under a key; nil if there is nothing.
func (s *cacheStore) get(k cacheKey) *resource {
	r, _ := s.byKey.GetIfPresent(k.base)
	if r == nil || k.child == "" {
		return r
	}
	c, _ := s.byKey.GetIfPresent(k.child)
	if c == nil || c.epoch != r.epoch {
		return nil
	}
	return c
}

// find gives what is kept for a request, the answer that it selects, and where
// that is; nil if there is none. What says with No-Vary-Search that it is good for
// other URLs, too, is found only as long as its path remembers so.
func (s *cacheStore) find(v *visit) (r *resource, e *cached, at cacheKey) {
	search := s.searchOf(v.key.base)
	r, at = s.get(v.key), v.key
	if r != nil {
		e = r.match(v, func(e *cached) bool { return e.search == nil || e.search == search })
	}
	if e != nil || search == nil {
		return r, e, at
	}
	if other := v.key.at(search.of(v.key.base)); other.base != v.key.base {
		if shared := s.get(other); shared != nil {
			if e = shared.match(v, func(e *cached) bool { return e.search == search }); e != nil || r == nil {
				return shared, e, other
			}
		}
	}
	return r, nil, at
}

// keep stores what a visit brought.
func (s *cacheStore) keep(v *visit, e *cached) {
	said := searchVarianceOf(e.header["No-Vary-Search"])
	if said == nil {
		s.put(v.key, v.url, e)
		return
	}
	e.search = s.learn(v.key.base, said)
	s.put(v.key.at(e.search.of(v.key.base)), e.search.of(v.url), e)
}

// put stores an answer in place of the one with the same values.
func (s *cacheStore) put(k cacheKey, url string, e *cached) {
	e.weight = e.size()
	s.change(k, url, func(r *resource) {
		keep := make([]*cached, 0, min(len(r.variants)+1, maxVariants))
		for _, old := range r.variants {
			if len(keep) < maxVariants-1 && (old.route != e.route || old.version != e.version || old.search != e.search || !slices.Equal(old.vary, e.vary)) {
				keep = append(keep, old)
			}
		}
		at := slices.IndexFunc(keep, e.before)
		if at < 0 {
			at = len(keep)
		}
		r.variants, r.pass = slices.Insert(keep, at, e), time.Time{}
	})
	s.stored.Add(1)
}

// before reports whether e is chosen where both match: what says what it depends
// on goes before what does not, and of those the one that was made last (RFC 9111,
// sections 4 and 4.1).
func (e *cached) before(other *cached) bool {
	if says := len(e.vary) > 0; says != (len(other.vary) > 0) {
		return says
	}
	return !e.date.Before(other.date)
}

// passBy notes that answers cannot be shared.
func (s *cacheStore) passBy(k cacheKey, url string, until time.Time) {
	s.change(k, url, func(r *resource) { r.pass = until })
}

func (s *cacheStore) change(k cacheKey, url string, fn func(*resource)) {
	change := func(key string, epoch uint64, fn func(*resource)) *resource {
		r, _ := s.byKey.Compute(key, func(old *resource, found bool) (*resource, otter.ComputeOp) {
			r := &resource{url: url, epoch: epoch}
			if found && (epoch == 0 || old.epoch == epoch) {
				*r = *old
			}
			if r.epoch == 0 {
				r.epoch = s.epoch.Add(1)
			}
			if fn == nil && found {
				return old, otter.CancelOp
			}
			if fn != nil {
				fn(r)
			}
			r.weigh(key)
			return r, otter.WriteOp
		})
		return r
	}
	if k.child == "" {
		change(k.base, 0, fn)
		return
	}
	if base := change(k.base, 0, nil); base != nil {
		change(k.child, base.epoch, fn)
	}
}

// weigh counts what a resource takes: bodies, headers, key, and the cache's own
// part.
func (r *resource) weigh(key string) {
	n := 256 + 2*len(key) + len(r.url)
	if r.search != nil {
		n += 128
		for _, name := range r.search.listed {
			n += len(name) + 16
		}
	}
	for _, e := range r.variants {
		n += e.weight
	}
	r.weight = uint32(min(n, 1<<31))
}

// match is the first variant that a request selects, of those that may be; nil if
// there is none.
func (r *resource) match(v *visit, may func(*cached) bool) *cached {
	for _, e := range r.variants {
		if e.route == v.q.Route.Name && e.version == v.q.Input().Version && selects(e.vary, v.header) && may(e) {
			return e
		}
	}
	return nil
}

// invalidate forgets what is kept of a URL, and what is on its way in.
func (s *cacheStore) invalidate(base string) {
	search := s.searchOf(base)
	s.mu.Lock()
	for _, f := range s.flights {
		if at := f.v.key.base; at == base || search != nil && search.of(at) == search.of(base) {
			f.outdated.Store(true)
		}
	}
	s.mu.Unlock()
	s.byKey.Invalidate(base)
	if search != nil {
		s.byKey.Invalidate(search.of(base))
	}
}

// drop forgets one answer.
func (s *cacheStore) drop(key string, gone func(*cached) bool) (n int) {
	s.byKey.ComputeIfPresent(key, func(old *resource) (*resource, otter.ComputeOp) {
		r := *old
		r.variants = slices.DeleteFunc(slices.Clone(old.variants), gone)
		if n = len(old.variants) - len(r.variants); n == 0 {
			return old, otter.CancelOp
		}
		r.weigh(key) // it stays, as others may name its epoch
		return &r, otter.WriteOp
	})
	return n
}

// Purging says which stored answers to forget. Exactly one of its fields is set.
type Purging struct {
	URL    string `json:"url,omitempty"`    // scheme://host/path?query, as callers ask for it
	Prefix string `json:"prefix,omitempty"` // of URLs
	Tag    string `json:"tag,omitempty"`    // that answers carry in Surrogate-Key or Cache-Tag
}

// A Purger keeps answers that can be purged.
type Purger interface {
	// Purge forgets answers, also those that are on their way in, and counts those
	// that were there.
	Purge(Purging) int
}

// Purge is what Purger asks for. It looks at all that is kept.
func (s *cacheStore) Purge(p Purging) (n int) {
	s.mu.Lock()
	for _, f := range s.flights {
		path, _, _ := strings.Cut(p.URL, "?") // what else this URL stands for its answer will say
		if p.Tag != "" || p.URL != "" && (f.v.url == path || strings.HasPrefix(f.v.url, path+"?")) || p.Prefix != "" && strings.HasPrefix(f.v.url, p.Prefix) {
			f.outdated.Store(true) // which tags it will have nobody knows yet
		}
	}
	s.mu.Unlock()
	found := map[string]*resource{}
	for key, r := range s.byKey.All() {
		found[key] = r
	}
	for key, r := range found {
		switch {
		case p.Tag != "":
			n += s.drop(key, func(e *cached) bool { return slices.Contains(e.tags, p.Tag) })
		case p.URL != "" && r.isOf(p.URL), p.Prefix != "" && strings.HasPrefix(r.url, p.Prefix):
			if old, was := s.byKey.Invalidate(key); was {
				n += len(old.variants)
			}
		}
	}
	s.purged.Add(int64(n))
	return n
}

// isOf reports whether something is kept here that is for a URL.
func (r *resource) isOf(url string) bool {
	return r.url == url || slices.ContainsFunc(r.variants, func(e *cached) bool { return e.search != nil && r.url == e.search.of(url) })
}

// crew are the fills of one program, which end with it.
type crew struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func openCrew() *crew {
	c := &crew{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close is what engine.Keeper asks for: no request is left that waits for a fill.
func (c *crew) Close() {
	c.cancel()
	c.work.Wait()
}
