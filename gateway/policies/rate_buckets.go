package policies

import (
	"context"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// buckets is the engine.Limiter of rates in one process: a leaky bucket for each
// key and limit.
//
// # Counting
//
// The generic cell rate algorithm (GCRA, ITU-T I.371) keeps one number for each
// bucket: when it will be empty again, if nothing more comes. A request of cost c
// adds c intervals to that, and is let in if what is in the bucket then is not
// more than it holds, burst intervals. There are no windows whose borders let in
// twice as much, nothing has to be filled up by a clock, and a bucket that is
// empty need not be kept at all. The time is the monotonic one, in nanoseconds
// since the limiter was opened.
//
// # Room
//
// Whoever can choose keys, and a network of IPv6 has a billion billion of them,
// must not be able to fill the memory. So buckets are entries of a fixed size in
// sets of eight: a key has two sets, by its hash, and takes the place of an empty
// one in that which has more of them (with one choice the fullest set would be
// full when the table is one third so, with two when it is three quarters). If there is
// none the shard doubles, up to the bound, each of its own accord: no request
// waits for the whole table to move. At the bound the bucket goes that would be
// empty first.
//
// That key then has its whole credit again, and who is refused would like it to be
// theirs. But a key that has used k of its credit is only gone when the fifteen
// others in its sets have used more, and they were let in for that. Which keys
// share a set depends on a secret seed, so that all sets have to be filled: for k
// requests too many, k requests for each entry that there is, which cannot be
// worth it for one who has so many keys. What is sprayed, one request for each
// key, evicts what was sprayed before.
//
// Keys are told apart by 64 bits of a hash with a secret seed. That two of a
// million have the same has a chance of one in thirty million, and nobody can
// choose which.
type buckets struct {
	limits []bucket
	base   time.Time
	seed   maphash.Seed
	stride int // words of an entry: the hash, and when each bucket will be empty
	first  int // sets of a shard when it has its first key
	most   int // sets of a shard at the bound: first, some times doubled
	shards [shardCount]shard
}

// bucket is one limit.
type bucket struct {
	interval int64 // nanoseconds for one
	burst    int64
}

func (b bucket) depth() int64 { return b.burst * b.interval }

const (
	shardBits  = 6
	shardCount = 1 << shardBits
	ways       = 8

	// maxDebt is what a bucket may hold at most, burst or not: a request that
	// costs more is not remembered for longer.
	maxDebt = int64(365 * 24 * time.Hour)
)

// shard is the part of the table that has one lock.
type shard struct {
	mu      sync.Mutex
	sets    int
	words   []int64
	keys    int64 // entries that were ever used
	evicted int64
	granted int64
	refused int64
	_       [56]byte // up to 128 bytes: a shard shares no cache line
}

// newBuckets takes limits that have depths of up to maxDebt, and a memory for
// all of their entries.
func newBuckets(limits []bucket, memory dsl.Size) *buckets {
	b := &buckets{limits: limits, base: time.Now(), seed: maphash.MakeSeed(), stride: 1 + len(limits)}
	sets := max(1, int(int64(memory)/int64(shardCount*b.setWords()*8)))
	doubled := max(0, bits.Len(uint(sets))-3)
	b.first = sets >> doubled
	b.most = b.first << doubled
	return b
}

func (b *buckets) setWords() int { return ways * b.stride }

// Take is what engine.Limiter asks for.
func (b *buckets) Take(_ context.Context, key []byte, cost int64, at time.Time, left []engine.Balance) bool {
	hash, now := maphash.Bytes(b.seed, key), int64(at.Sub(b.base))
	s := b.lock(hash)
	defer s.mu.Unlock()
	entry := b.find(s, hash)
	granted := true
	for i, l := range b.limits {
		debt, need := entry.debt(i, now), l.need(cost)
		// What costs more than the bucket holds is let in when it is empty.
		over := debt + min(need, l.depth()) - l.depth()
		left[i].Wait = time.Duration(max(over, 0))
		granted = granted && (over <= 0 || need == 0)
	}
	if !granted {
		s.refused++
		cost = 0
	} else {
		s.granted++
	}
	b.add(s, hash, entry, cost, now, left)
	return granted
}

// Settle is what engine.Limiter asks for.
func (b *buckets) Settle(_ context.Context, key []byte, more int64, at time.Time, left []engine.Balance) {
	hash, now := maphash.Bytes(b.seed, key), int64(at.Sub(b.base))
	s := b.lock(hash)
	defer s.mu.Unlock()
	b.add(s, hash, b.find(s, hash), more, now, left)
}

// lock gives the shard of a key, for the caller to unlock.
func (b *buckets) lock(hash uint64) *shard {
	s := &b.shards[hash%shardCount]
	s.mu.Lock()
	if s.sets == 0 {
		s.sets = b.first
		s.words = make([]int64, s.sets*b.setWords())
	}
	return s
}

// add changes what is in the buckets of a key, and tells what is left. s.mu is
// held.
func (b *buckets) add(s *shard, hash uint64, e entryOf, cost, now int64, left []engine.Balance) {
	if e == nil && cost > 0 {
		e = b.place(s, hash, now)
	}
	for i, l := range b.limits {
		debt := e.debt(i, now)
		if cost != 0 {
			debt = min(max(debt+l.need(cost), 0), maxDebt)
			if e != nil {
				e[1+i] = now + debt
			}
		}
		left[i].Left = max((l.depth()-debt)/l.interval, 0)
		left[i].Next = time.Duration(debt - (l.depth() - (left[i].Left+1)*l.interval))
	}
}

// need is what a cost adds to the bucket; a negative one takes away as much.
func (l bucket) need(cost int64) int64 {
	if most := maxDebt / l.interval; cost > most || cost < -most {
		return maxDebt * (cost>>63 | 1)
	}
	return cost * l.interval
}

// entryOf is the entry of a key: its hash, which is never 0, and the times when
// its buckets will be empty.
type entryOf []int64

// debt is what is in a bucket. An entry that is not there has none.
func (e entryOf) debt(i int, now int64) int64 {
	if e == nil {
		return 0
	}
	return max(e[1+i]-now, 0)
}

// until is when all of its buckets will be empty.
func (e entryOf) until() int64 {
	last := e[1]
	for _, t := range e[2:] {
		last = max(last, t)
	}
	return last
}

// set is where the entry of a key may stand, by one of its two hashes. The shard
// is chosen by the lowest bits, the set by the highest.
func (b *buckets) set(s *shard, hash uint64) []int64 {
	i, _ := bits.Mul64(hash, uint64(s.sets))
	return s.words[int(i)*b.setWords() : (int(i)+1)*b.setWords()]
}

// second is the other hash. It is its own inverse, and of the same shard.
func second(hash uint64) uint64 {
	return bits.Reverse64(hash>>shardBits) | hash%shardCount
}

func tag(hash uint64) int64 {
	if hash == 0 {
		return 1
	}
	return int64(hash)
}

func (b *buckets) find(s *shard, hash uint64) entryOf {
	for _, h := range [...]uint64{hash, second(hash)} {
		set := b.set(s, h)
		for i := 0; i < len(set); i += b.stride {
			if set[i] == tag(hash) {
				return set[i : i+b.stride]
			}
		}
	}
	return nil
}

// place makes room for a key that has none, in that of its sets which has more.
func (b *buckets) place(s *shard, hash uint64, now int64) entryOf {
	for {
		e, used := b.emptiest(b.set(s, hash), now)
		other, usedThere := b.emptiest(b.set(s, second(hash)), now)
		if usedThere < used || usedThere == used && other.until() < e.until() {
			e = other
		}
		switch {
		case e.until() <= now:
			if e[0] == 0 {
				s.keys++
			}
		case s.sets < b.most:
			b.grow(s)
			continue
		default:
			s.evicted++
		}
		clear(e)
		e[0] = tag(hash)
		return e
	}
}

// emptiest is the entry of a set that is empty first, and how many are not.
func (b *buckets) emptiest(set []int64, now int64) (first entryOf, used int) {
	for i := 0; i < len(set); i += b.stride {
		e := entryOf(set[i : i+b.stride])
		if e.until() > now {
			used++
		}
		if first == nil || e.until() < first.until() {
			first = e
		}
	}
	return first, used
}

// grow doubles a shard. What was in one set is in two then, and nothing else is:
// no entry is lost.
func (b *buckets) grow(s *shard) {
	words, sets := s.words, s.sets
	s.sets *= 2
	s.words = make([]int64, s.sets*b.setWords())
	for i := 0; i < len(words); i += b.stride {
		e := words[i : i+b.stride]
		if e[0] == 0 {
			continue
		}
		hash := uint64(e[0])
		if at, _ := bits.Mul64(hash, uint64(sets)); int(at) != i/b.setWords() {
			hash = second(hash)
		}
		set := b.set(s, hash)
		for set[0] != 0 {
			set = set[b.stride:]
		}
		copy(set, e)
	}
}

// tally adds up what the shards have counted.
func (b *buckets) tally() (t bucketTally) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		t.granted, t.refused, t.evicted = t.granted+s.granted, t.refused+s.refused, t.evicted+s.evicted
		t.keys, t.bytes = t.keys+s.keys, t.bytes+int64(len(s.words))*8
		s.mu.Unlock()
	}
	return t
}

type bucketTally struct{ granted, refused, evicted, keys, bytes int64 }
