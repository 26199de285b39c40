package policies

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// clocked is a limiter of buckets and the time that it is told.
type clocked struct {
	*buckets
	now  time.Time
	left []engine.Balance
}

func newClocked(memory dsl.Size, limits ...bucket) *clocked {
	b := newBuckets(limits, memory)
	return &clocked{b, b.base, make([]engine.Balance, len(limits))}
}

func (c *clocked) take(key string, cost int64) bool {
	return c.Take(context.Background(), []byte(key), cost, c.now, c.left)
}

// sum is what the table has counted.
func (c *clocked) sum() (sum tally) {
	sum.count(c.table)
	return sum
}

// perSecond is a limit of some in a second.
func perSecond(n, burst int64) bucket {
	return bucket{int64(dsl.Rate{Count: n, Per: time.Second}.Interval()), burst}
}

func TestABucketLetsInABurstAndThenItsRate(t *testing.T) {
	c := newClocked(64<<10, perSecond(10, 5))
	for i := range 5 {
		if !c.take("k", 1) || c.left[0].Left != int64(4-i) {
			t.Fatalf("request %d: %+v", i, c.left)
		}
	}
	if c.take("k", 1) || c.left[0] != (engine.Balance{Left: 0, Next: 100 * time.Millisecond, Wait: 100 * time.Millisecond}) {
		t.Errorf("beyond the burst: %+v", c.left)
	}
	if c.now = c.now.Add(100*time.Millisecond - 1); c.take("k", 1) {
		t.Error("a nanosecond too early")
	}
	if c.now = c.now.Add(1); !c.take("k", 1) || c.take("k", 1) {
		t.Error("it is not one for each interval")
	}
	c.now = c.now.Add(250 * time.Millisecond)
	if first, second, third := c.take("k", 1), c.take("k", 1), c.take("k", 1); !first || !second || third {
		t.Errorf("it is not two for two and a half intervals: %+v", c.left)
	}
	if c.left[0].Wait != 50*time.Millisecond {
		t.Errorf("the half is lost: %+v", c.left)
	}
	if c.now = c.now.Add(time.Hour); !c.take("k", 5) || c.take("k", 1) {
		t.Error("credit is more or less than the burst after an hour")
	}
}

// TestABucketIsExact holds what is let in against a bucket that is filled drop by
// drop in fractions, over random times and costs.
func TestABucketIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l := bucket{1 + random.Int64N(int64(time.Second)), 1 + random.Int64N(20)}
		c := newClocked(64<<10, l)
		credit, last := big.NewRat(l.burst, 1), c.now
		for i := range 300 {
			c.now = c.now.Add(time.Duration(random.Int64N(3 * l.interval)))
			cost := random.Int64N(min(l.burst, 4) + 1)
			credit.Add(credit, big.NewRat(int64(c.now.Sub(last)), l.interval))
			if full := big.NewRat(l.burst, 1); credit.Cmp(full) > 0 {
				credit = full
			}
			last = c.now
			want := credit.Cmp(big.NewRat(cost, 1)) >= 0
			if want {
				credit.Sub(credit, big.NewRat(cost, 1))
			}
			whole := new(big.Int).Quo(credit.Num(), credit.Denom()).Int64()
			if got := c.take("k", cost); got != want || c.left[0].Left != whole {
				t.Fatalf("%+v, request %d of cost %d: %t with %d left, not %t with %v", l, i, cost, got, c.left[0].Left, want, credit)
			}
		}
	}
}

func TestOfSeveralLimitsAllCountARequestOrNone(t *testing.T) {
	c := newClocked(64<<10, perSecond(10, 2), bucket{int64(time.Hour), 3})
	for range 2 {
		c.take("k", 1)
	}
	for range 100 {
		if c.take("k", 1) {
			t.Fatal("over the first limit")
		}
	}
	if c.left[0].Wait == 0 || c.left[1].Wait != 0 || c.left[1].Left != 1 {
		t.Errorf("what the first refuses, the second counts: %+v", c.left)
	}
	if c.now = c.now.Add(time.Second); !c.take("k", 1) || c.take("k", 1) {
		t.Fatal("over the second limit")
	}
	if c.left[0].Left != 1 || c.left[0].Wait != 0 || c.left[1].Wait != time.Hour-time.Second {
		t.Errorf("what the second refuses, the first counts: %+v", c.left)
	}
}

func TestWhatCostsMoreThanThereIsWaitsUntilNothingIsUsed(t *testing.T) {
	c := newClocked(64<<10, perSecond(1, 10))
	if c.take("k", 1); c.take("k", 25) || c.left[0].Wait != time.Second {
		t.Errorf("it comes in beside another: %+v", c.left)
	}
	if c.now = c.now.Add(time.Second); !c.take("k", 25) {
		t.Error("it never comes in")
	}
	c.now = c.now.Add(15*time.Second + 1)
	if first, second := c.take("k", 0), c.take("k", 0); !first || !second || c.take("k", 1) && c.left[0].Left > 0 {
		t.Errorf("it takes less time than it costs: %+v", c.left)
	}
	if c.take("other", 1_000_000_000); c.left[0].Next > 366*24*time.Hour {
		t.Errorf("it is remembered for ever: %v", c.left[0].Next)
	}
}

func TestASettledCostIsWhatItTurnedOutToBe(t *testing.T) {
	c := newClocked(64<<10, perSecond(1, 10))
	c.take("k", 5)
	if c.Settle(context.Background(), []byte("k"), -3, c.now, c.left); c.left[0].Left != 8 {
		t.Errorf("given back: %+v", c.left)
	}
	if c.Settle(context.Background(), []byte("k"), 20, c.now, c.left); c.left[0].Left != 0 || c.left[0].Next != 13*time.Second {
		t.Errorf("counted: %+v", c.left)
	}
	if c.Settle(context.Background(), []byte("k"), -100, c.now, c.left); c.left[0].Left != 10 {
		t.Errorf("nobody has more than the whole: %+v", c.left)
	}
	if c.Settle(context.Background(), []byte("new"), 4, c.now, c.left); c.left[0].Left != 6 {
		t.Errorf("of a key that is not there: %+v", c.left)
	}
}

func TestABucketCountsUnderContention(t *testing.T) {
	c := newClocked(64<<10, perSecond(1, 1000), bucket{int64(time.Minute), 900})
	var granted atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			left := make([]engine.Balance, 2)
			for i := range 500 {
				if c.Take(context.Background(), []byte("k"), 1, c.now, left) {
					granted.Add(1)
				}
				c.Take(context.Background(), fmt.Append(nil, i), 1, c.now, left)
			}
		})
	}
	workers.Wait()
	if granted.Load() != 900 {
		t.Errorf("%d were let in, not 900", granted.Load())
	}
}

func TestTheTableGrowsWithItsKeysAndLosesNone(t *testing.T) {
	c := newClocked(8<<20, bucket{int64(time.Hour), 2})
	if got := c.sum().bytes; got != 0 {
		t.Errorf("%d bytes for no keys", got)
	}
	const keys = 100_000
	for i := range keys {
		c.take(fmt.Sprint(i), 1)
	}
	for i := range keys {
		if c.take(fmt.Sprint(i), 1); c.left[0].Left != 0 {
			t.Fatalf("key %d was lost", i)
		}
	}
	sum := c.sum()
	if sum.keys != keys || sum.evicted != 0 {
		t.Errorf("%+v", sum)
	}
	if sum.bytes > 64*keys {
		t.Errorf("%d bytes for %d keys", sum.bytes, keys)
	}
}

func TestWhatIsIdleMakesRoomForOthersBeforeTheTableGrows(t *testing.T) {
	c := newClocked(8<<20, perSecond(100, 1))
	for i := range 200_000 {
		c.now = c.now.Add(time.Millisecond)
		c.take(fmt.Sprint(i), 1)
	}
	if sum := c.sum(); sum.bytes > 128<<10 || sum.evicted != 0 {
		t.Errorf("ten keys at a time: %+v", sum)
	}
}

// TestAMillionKeysStayWithinTheMemoryAndResetNobody sprays keys that are used
// once, as somebody would who wants a key of theirs, which is limited, to be
// forgotten.
func TestAMillionKeysStayWithinTheMemoryAndResetNobody(t *testing.T) {
	const memory = 1 << 20
	c := newClocked(memory, bucket{int64(time.Hour), 5})
	limited := make([]string, 50)
	for i := range limited {
		limited[i] = fmt.Sprint("limited ", i)
		for c.take(limited[i], 1) {
		}
	}
	var key [8]byte
	for i := range uint64(1_000_000) {
		binary.LittleEndian.PutUint64(key[:], i)
		if !c.take(string(key[:]), 1) {
			t.Fatalf("key %d was refused its first request", i)
		}
	}
	sum := c.sum()
	if sum.bytes > memory || sum.bytes < memory*3/4 {
		t.Errorf("%d bytes, of a memory of %d", sum.bytes, memory)
	}
	if sum.evicted < 900_000 {
		t.Errorf("%d evictions", sum.evicted)
	}
	for _, k := range limited {
		if c.take(k, 1) {
			t.Errorf("%s was forgotten", k)
		}
	}
}

// TestForgettingALimitCostsAsMuchAsItGives: to be forgotten, a key that has used
// k of its credit needs others with as much in all places of its set.
func TestForgettingALimitCostsAsMuchAsItGives(t *testing.T) {
	c := newClocked(64<<10, bucket{int64(time.Hour), 20})
	for range 10 {
		c.take("limited", 1)
	}
	entries := c.most * ways * shardCount
	granted := 0
	for i := range 30 * entries { // each of them nine times, which is less than ten
		if c.take(fmt.Sprint("other ", i/9), 1) {
			granted++
		}
	}
	if c.take("limited", 1); c.left[0].Left != 9 {
		t.Errorf("%d requests of others gave it %d", granted, c.left[0].Left-9)
	}
}

func BenchmarkBuckets(b *testing.B) {
	for _, keys := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d keys", keys), func(b *testing.B) {
			table := newBuckets([]bucket{perSecond(100, 100)}, 32<<20)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				left := make([]engine.Balance, 1)
				var key [8]byte
				random := rand.New(rand.NewPCG(1, 2))
				for pb.Next() {
					binary.LittleEndian.PutUint64(key[:], uint64(random.IntN(keys)))
					table.Take(context.Background(), key[:], 1, time.Now(), left)
				}
			})
		})
	}
}
