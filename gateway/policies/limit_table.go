package policies

import (
	"math/bits"
	"sync"

	"github.com/weir-run/weir/dsl"
)

// table keeps a few numbers for each key, in a bounded memory.
//
// Whoever can choose keys, and a network of IPv6 has a billion billion of them,
// must not be able to fill the memory. So entries have a fixed size and stand in
// sets of eight: a key has two sets, by its hash, and takes the place of an empty
// entry in that which has more of them (with one choice the fullest set would be
// full when the table is one third so, with two when it is three quarters). An
// entry that says no more than that there is none is empty. If there is none the
// shard doubles, up to the bound, each of its own accord: no request waits for the
// whole table to move. At the bound the entry goes that has the least to lose.
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
type table struct {
	stride int // words of an entry: its tag, and what is kept
	first  int // sets of a shard when it has its first key
	most   int // sets of a shard at the bound: first, some times doubled
	shards [shardCount]shard
}

const (
	shardBits  = 6
	shardCount = 1 << shardBits
	ways       = 8
)

// shard is the part of a table that has one lock.
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

// row is the entry of a key: its tag, which is 0 in one that was never used, and
// what is kept. Nil: there is none.
type row []int64

// newTable makes an empty table for rows of some words.
func newTable(words int, memory dsl.Size) *table {
	t := &table{stride: 1 + words}
	sets := max(1, int(int64(memory)/int64(shardCount*t.setWords()*8)))
	doubled := max(0, bits.Len(uint(sets))-3)
	t.first = sets >> doubled
	t.most = t.first << doubled
	return t
}

func (t *table) setWords() int { return ways * t.stride }

// lock gives the shard of a key, for the caller to unlock.
func (t *table) lock(hash uint64) *shard {
	s := &t.shards[hash%shardCount]
	s.mu.Lock()
	if s.sets == 0 {
		s.sets = t.first
		s.words = make([]int64, s.sets*t.setWords())
	}
	return s
}

// set is where the row of a key may stand, by one of its two hashes. The shard
// is chosen by the lowest bits of the hash, the set by the highest.
func (t *table) set(s *shard, hash uint64) []int64 {
	i, _ := bits.Mul64(hash, uint64(s.sets))
	return s.words[int(i)*t.setWords() : (int(i)+1)*t.setWords()]
}

// second is the other hash. It is its own inverse, and of the same shard.
func second(hash uint64) uint64 { return bits.Reverse64(hash>>shardBits) | hash%shardCount }

func tag(hash uint64) int64 {
	if hash == 0 {
		return 1
	}
	return int64(hash)
}

func (t *table) find(s *shard, hash uint64) row {
	for _, h := range [...]uint64{hash, second(hash)} {
		set := t.set(s, h)
		for i := 0; i < len(set); i += t.stride {
			if set[i] == tag(hash) {
				return set[i : i+t.stride]
			}
		}
	}
	return nil
}

// place makes room for a key that has none, in that of its sets which has more.
// held is how much is lost with a row: of an empty one nothing, which is 0.
func (t *table) place(s *shard, hash uint64, held func(row) int64) row {
	for {
		r, used, loss := t.emptiest(t.set(s, hash), held)
		other, usedThere, lossThere := t.emptiest(t.set(s, second(hash)), held)
		if usedThere < used || usedThere == used && lossThere < loss {
			r, loss = other, lossThere
		}
		switch {
		case loss <= 0:
			if r[0] == 0 {
				s.keys++
			}
		case s.sets < t.most:
			t.grow(s)
			continue
		default:
			s.evicted++
		}
		clear(r)
		r[0] = tag(hash)
		return r
	}
}

// emptiest is the row of a set that has least to lose, and how many have any.
func (t *table) emptiest(set []int64, held func(row) int64) (least row, used int, loss int64) {
	for i := 0; i < len(set); i += t.stride {
		r := row(set[i : i+t.stride])
		n := held(r)
		if n > 0 {
			used++
		}
		if least == nil || n < loss {
			least, loss = r, n
		}
	}
	return least, used, loss
}

// grow doubles a shard. What was in one set is in two then, and nothing else is:
// no row is lost.
func (t *table) grow(s *shard) {
	words, sets := s.words, s.sets
	s.sets *= 2
	s.words = make([]int64, s.sets*t.setWords())
	for i := 0; i < len(words); i += t.stride {
		r := words[i : i+t.stride]
		if r[0] == 0 {
			continue
		}
		hash := uint64(r[0])
		if at, _ := bits.Mul64(hash, uint64(sets)); int(at) != i/t.setWords() {
			hash = second(hash)
		}
		set := t.set(s, hash)
		for set[0] != 0 {
			set = set[t.stride:]
		}
		copy(set, r)
	}
}

// tally is what the shards of tables have counted, and what they take.
type tally struct{ granted, refused, evicted, keys, bytes int64 }

// count adds up what the shards of a table have counted.
func (sum *tally) count(t *table) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.granted, sum.refused, sum.evicted = sum.granted+s.granted, sum.refused+s.refused, sum.evicted+s.evicted
		sum.keys, sum.bytes = sum.keys+s.keys, sum.bytes+int64(len(s.words))*8
		s.mu.Unlock()
	}
}

func (sum *tally) show(show func(name string, total bool, value int64)) {
	show("granted", true, sum.granted)
	show("refused", true, sum.refused)
	show("evicted", true, sum.evicted)
	show("keys", false, sum.keys)
	show("bytes", false, sum.bytes)
}
