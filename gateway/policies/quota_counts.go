package policies

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// counts is the engine.Limiter of quotas in one process: what each key has used
// in the period at hand, and, where the period slides, in the one before.
//
// A sliding period is made of two that do not: of what was used in the one before
// counts the share of it that the sliding one still covers, as if it had been used
// evenly. So a key takes three numbers, and not one for each of its requests.
//
// The clock is that of the wall, because periods are of the calendar and outlive
// the process. If it is set back, what was counted is counted on.
type counts struct {
	*table
	limits  []allowance
	salt    [16]byte // of the hashes of keys, which are kept on disk
	current atomic.Pointer[moment]
	changed atomic.Bool
}

// allowance is one limit.
type allowance struct {
	most    int64
	per     string // hour, day or month
	zone    *time.Location
	sliding bool
}

// A row has these of each limit.
const (
	atPeriod = iota // when it began, in Unix time
	atUsed          // in it
	atBefore        // in the one before
	perAllowance
)

func newCounts(limits []allowance, memory dsl.Size, salt [16]byte) *counts {
	return &counts{table: newTable(perAllowance*len(limits), memory), limits: limits, salt: salt}
}

// period is a time that quotas are for, in Unix time.
type period struct{ before, begin, end int64 }

// period is the one at hand.
func (l *allowance) period(now time.Time) period {
	if l.sliding {
		length := map[string]int64{"hour": 3600, "day": 86400, "month": 30 * 86400}[l.per]
		begin := now.Unix() - now.Unix()%length
		return period{begin - length, begin, begin + length}
	}
	t := now.In(l.zone)
	y, m, d := t.Date()
	switch l.per {
	case "hour": // in hours that the zone repeats, each is one
		_, off := t.Zone()
		begin := t.Unix() - (t.Unix()+int64(off))%3600
		return period{begin - 3600, begin, begin + 3600}
	case "day":
		return period{begin: time.Date(y, m, d, 0, 0, 0, 0, l.zone).Unix(), end: time.Date(y, m, d+1, 0, 0, 0, 0, l.zone).Unix()}
	default:
		return period{begin: time.Date(y, m, 1, 0, 0, 0, 0, l.zone).Unix(), end: time.Date(y, m+1, 1, 0, 0, 0, 0, l.zone).Unix()}
	}
}

// moment is the periods at hand, and for how long they are.
type moment struct {
	periods    []period
	begin, end int64
}

func (c *counts) periods(at time.Time) []period {
	now := at.Unix()
	m := c.current.Load()
	if m == nil || now < m.begin || now >= m.end {
		m = &moment{begin: math.MinInt64, end: math.MaxInt64}
		for i := range c.limits {
			p := c.limits[i].period(at)
			m.periods, m.begin, m.end = append(m.periods, p), max(m.begin, p.begin), min(m.end, p.end)
		}
		c.current.Store(m)
	}
	return m.periods
}

// usage is what a key has used of a limit at a moment.
type usage struct {
	now, before int64
	carried     float64 // the part of before that counts
	left        float64 // of the period, in seconds
	length      float64
}

func (l *allowance) usage(r row, i int, at time.Time, p period) usage {
	u := usage{length: float64(p.end - p.begin), left: float64(p.end) - float64(at.UnixNano())/1e9}
	if r == nil {
		return u
	}
	own := r[1+perAllowance*i:]
	switch {
	case own[atPeriod] >= p.begin:
		u.now, u.before = own[atUsed], own[atBefore]
	case l.sliding && own[atPeriod] == p.before:
		u.before = own[atUsed]
	}
	if l.sliding {
		u.carried = float64(u.before) * min(max(u.left/u.length, 0), 1)
	}
	return u
}

func (u usage) total() int64 { return u.now + int64(math.Ceil(u.carried)) }

// until is how long it takes until n less is used.
func (u usage) until(n int64, sliding bool) time.Duration {
	seconds := u.left
	switch over := float64(n); {
	case !sliding:
	case over <= u.carried:
		seconds = over * u.length / float64(u.before)
	case u.now > 0:
		seconds = u.left + min((over-u.carried)/float64(u.now), 1)*u.length
	}
	return time.Duration(max(seconds, 0) * float64(time.Second))
}

// hash is the same after a restart, and tells nobody who has the file which key
// it is of. As the salt is secret, nobody can choose which keys have the same.
func (c *counts) hash(key []byte) uint64 {
	var room [128]byte
	sum := sha256.Sum256(append(append(room[:0], c.salt[:]...), key...))
	return binary.LittleEndian.Uint64(sum[:])
}

// Take is what engine.Limiter asks for.
func (c *counts) Take(_ context.Context, key []byte, cost int64, at time.Time, left []engine.Balance) bool {
	hash := c.hash(key)
	s := c.lock(hash)
	defer s.mu.Unlock()
	r, periods := c.find(s, hash), c.periods(at)
	granted := true
	for i := range c.limits {
		l := &c.limits[i]
		u := l.usage(r, i, at, periods[i])
		// What costs more than the quota is let in when nothing is used.
		over := u.total() + min(cost, l.most) - l.most
		left[i].Wait = 0
		if over > 0 && cost > 0 {
			granted, left[i].Wait = false, max(u.until(over, l.sliding), 1)
		}
	}
	if !granted {
		s.refused++
		cost = 0
	} else {
		s.granted++
	}
	c.add(s, hash, r, cost, at, periods, left)
	return granted
}

// Settle is what engine.Limiter asks for.
func (c *counts) Settle(_ context.Context, key []byte, more int64, at time.Time, left []engine.Balance) {
	hash := c.hash(key)
	s := c.lock(hash)
	defer s.mu.Unlock()
	c.add(s, hash, c.find(s, hash), more, at, c.periods(at), left)
}

// add changes what a key has used, and tells what is left. s.mu is held.
func (c *counts) add(s *shard, hash uint64, r row, cost int64, at time.Time, periods []period, left []engine.Balance) {
	if r == nil && cost > 0 {
		r = c.place(s, hash, func(r row) int64 { return c.held(r, at, periods) })
	}
	for i := range c.limits {
		l := &c.limits[i]
		u := l.usage(r, i, at, periods[i])
		if cost != 0 && r != nil {
			u.now = max(u.now+cost, 0)
			own := r[1+perAllowance*i:]
			own[atPeriod], own[atUsed], own[atBefore] = max(own[atPeriod], periods[i].begin), u.now, u.before
			c.changed.Store(true)
		}
		left[i].Left = max(l.most-u.total(), 0)
		left[i].Next = u.until(max(u.total()-l.most, 0)+1, l.sliding)
	}
}

// held is what would be lost with a row: the most that it has used of a limit.
func (c *counts) held(r row, at time.Time, periods []period) (most int64) {
	if r[0] == 0 {
		return 0
	}
	for i := range c.limits {
		l := &c.limits[i]
		most = max(most, l.usage(r, i, at, periods[i]).total())
	}
	return most
}
