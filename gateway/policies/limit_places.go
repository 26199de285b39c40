package policies

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/queue"
)

// places are those that requests in progress have: so many of one caller, so many
// in all. Who finds none waits, first for one of its caller, then for one of all,
// so that nobody takes a place from others while it waits for its own.
//
// A caller is known here for as long as it has requests, each of which takes many
// times as much memory elsewhere: whoever comes under a million names leaves
// nothing behind. Callers are told apart by 64 bits of a hash with a secret seed.
type places struct {
	placesConfig
	seed maphash.Seed

	inUse   atomic.Int64
	waiting atomic.Int64
	line    queue.Line    // for a place of all
	typical atomic.Int64  // ns until half of the answers begin; 0 is not known
	shards  []callerShard // by caller

	granted, waited, refusedAll, refusedOwn, late, left atomic.Int64
}

type placesConfig struct {
	all, each int // 0: any number
	queue     int
	wait      time.Duration
	shadow    bool
}

type callerShard struct {
	mu    sync.Mutex
	by    map[uint64]*inProgress
	spare []*inProgress
	_     [24]byte // up to 64 bytes: a shard shares no cache line
}

// inProgress is what one caller has in progress. The shard's mu guards all but
// the line.
type inProgress struct {
	requests int // all that refer to it
	inUse    int
	waiting  int
	line     queue.Line
}

const (
	callerShards = 64
	mostSpare    = 16 // of a shard
)

func openPlaces(c placesConfig) *places {
	p := &places{placesConfig: c, seed: maphash.MakeSeed()}
	if c.each > 0 {
		p.shards = make([]callerShard, callerShards)
	}
	return p
}

// Close is what engine.Keeper asks for.
func (p *places) Close() {}

// Observe is what engine.Observed asks for.
func (p *places) Observe(show func(name string, total bool, value int64)) {
	show("granted", true, p.granted.Load())
	show("waited", true, p.waited.Load())
	show("refused", true, p.refusedAll.Load())
	show("refused_caller", true, p.refusedOwn.Load())
	show("late", true, p.late.Load())
	show("left", true, p.left.Load())
	show("in_flight", false, p.inUse.Load())
	show("queued", false, p.waiting.Load())
	if p.each > 0 {
		keys := int64(0)
		for i := range p.shards {
			s := &p.shards[i]
			s.mu.Lock()
			keys += int64(len(s.by))
			s.mu.Unlock()
		}
		show("keys", false, keys)
	}
}

// entrance is what came of looking for a place.
type entrance int

const (
	entered entrance = iota
	fullAll          // there is no place, nor room to wait for one
	fullOwn          // the caller has all of its own
	tooLate          // there is no time to wait
	gone             // the caller has left
)

// stay is one request that has places, or looks for them. It is all that a
// request costs in memory: its key stands in its room.
type stay struct {
	*places
	hash    uint64
	own     *inProgress // nil: callers are not told apart
	placed  bool        // it has one of all
	patient time.Duration
	began   time.Time
	room    [64]byte
}

// enter looks for places, and waits for them.
func (s *stay) enter(ctx context.Context, rank int) entrance {
	s.patient = s.wait
	if s.shadow {
		return s.watch()
	}
	if s.each > 0 {
		if got := s.enterOwn(ctx, rank); got != entered {
			return got
		}
	}
	switch {
	case s.all == 0:
		s.inUse.Add(1)
	case s.line.Empty() && queue.Take(&s.inUse, s.all):
	default:
		got := s.stand(ctx, &s.line, rank, s.all, func() bool { return queue.Take(&s.inUse, s.all) })
		if got != entered {
			return got
		}
	}
	s.placed = true
	s.granted.Add(1)
	return entered
}

// watch counts a request in, whatever the limits are, and what would have become
// of it if nobody could wait.
func (s *stay) watch() entrance {
	s.placed = true
	verdict := &s.granted
	if n := s.inUse.Add(1); s.all > 0 && n > int64(s.all) {
		verdict = &s.refusedAll
	}
	if s.each > 0 {
		shard := s.shard()
		shard.mu.Lock()
		s.own = shard.caller(s.hash)
		if s.own.inUse++; s.own.inUse > s.each {
			verdict = &s.refusedOwn
		}
		shard.mu.Unlock()
	}
	verdict.Add(1)
	return entered
}

func (s *stay) shard() *callerShard { return &s.shards[s.hash%callerShards] }

// caller is what a caller has in progress, with one more that refers to it. mu is
// held.
func (s *callerShard) caller(hash uint64) *inProgress {
	c := s.by[hash]
	if c == nil {
		if n := len(s.spare); n > 0 {
			c, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			c = new(inProgress)
		}
		if s.by == nil {
			s.by = map[uint64]*inProgress{}
		}
		s.by[hash] = c
	}
	c.requests++
	return c
}

// enterOwn takes a place of the caller's own. Of one caller no more may wait than
// may be in progress: nobody fills the queue alone.
func (s *stay) enterOwn(ctx context.Context, rank int) entrance {
	shard := s.shard()
	shard.mu.Lock()
	s.own = shard.caller(s.hash)
	if s.own.inUse < s.each && s.own.line.Empty() {
		s.own.inUse++
		shard.mu.Unlock()
		return entered
	}
	mayWait := s.own.waiting < s.each
	if mayWait {
		s.own.waiting++
	}
	shard.mu.Unlock()
	got := fullAll
	if mayWait {
		got = s.stand(ctx, &s.own.line, rank, s.each, func() bool {
			shard.mu.Lock()
			defer shard.mu.Unlock()
			if s.own.inUse >= s.each {
				return false
			}
			s.own.inUse++
			return true
		})
	}
	shard.mu.Lock()
	if mayWait {
		s.own.waiting--
	}
	if got != entered {
		shard.release(s.hash, s.own)
		s.own = nil
	}
	shard.mu.Unlock()
	if got == fullAll || got == tooLate {
		got = fullOwn
	}
	return got
}

// release forgets a caller that has no requests. mu is held.
func (s *callerShard) release(hash uint64, c *inProgress) {
	if c.requests--; c.requests > 0 {
		return
	}
	delete(s.by, hash)
	if len(s.by) == 0 && len(s.spare) == mostSpare {
		s.by = nil // a map keeps the room of the most that it had
	}
	if len(s.spare) < mostSpare {
		s.spare = append(s.spare, c)
	}
}

// stand waits in a line until try succeeds, for so many places. Nobody waits who
// would then have less time than an answer usually takes: what is late already is
// refused first, and at once. If the queue is full, a request of a lower priority
// makes room.
func (s *stay) stand(ctx context.Context, line *queue.Line, rank, places int, try func() bool) entrance {
	if s.queue == 0 {
		return fullAll
	}
	patience, short := s.patient, false
	if deadline, bound := ctx.Deadline(); bound {
		typical := time.Duration(s.typical.Load())
		turn := typical * time.Duration(line.Before(rank)) / time.Duration(places)
		left := time.Until(deadline)
		if left <= typical+turn {
			s.late.Add(1)
			return tooLate
		}
		if left-typical < patience {
			patience, short = left-typical, true
		}
	}
	if !queue.Take(&s.waiting, s.places.queue) && !line.Oust(rank) {
		return fullAll
	}
	start := time.Now()
	ousted, err := line.Wait(ctx, rank, patience, try)
	if !ousted {
		s.waiting.Add(-1)
	}
	s.patient -= time.Since(start)
	switch {
	case err == nil:
		s.waited.Add(1)
		return entered
	case errors.Is(err, context.Canceled):
		return gone
	case errors.Is(err, context.DeadlineExceeded), short && err == queue.ErrWaited:
		s.late.Add(1)
		return tooLate
	}
	return fullAll
}

// leave gives back what a request has.
func (s *stay) leave() {
	if s.placed {
		s.inUse.Add(-1)
		s.line.Wake()
	}
	if s.own == nil {
		return
	}
	shard, own := s.shard(), s.own
	shard.mu.Lock()
	own.inUse--
	waiting := own.requests > 1
	shard.release(s.hash, own)
	if waiting {
		own.line.Wake() // under the lock: whoever waits keeps it from being given to another caller
	}
	shard.mu.Unlock()
}

// EditHeader is what gateway.HeaderEditor asks for: it learns how long answers
// take to begin. That estimate of the median moves by a thirtieth with each, so
// that a stream which begins late says no more than any other.
func (s *stay) EditHeader(q *gateway.Request, status int, _ http.Header) {
	if q.Refused != "" || status >= http.StatusInternalServerError {
		return // it says nothing of how long answers take
	}
	took := int64(time.Since(s.began))
	switch old := s.typical.Load(); {
	case old == 0:
		s.typical.Store(max(took, 1))
	case took > old:
		s.typical.Store(old + old/30 + 1)
	default:
		s.typical.Store(max(old-old/30, 1))
	}
}
