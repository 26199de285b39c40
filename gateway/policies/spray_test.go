package policies

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/weir-run/weir/engine"
)

// sprayed is how many keys whoever wants to fill the memory comes with.
const sprayed = 1_000_000

// held is what the heap holds more than when grown is made.
func grown() (held func() int64) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	return func() int64 { return heap() - before }
}

// Who has used up a quota has none again, who has used some has no more, and who
// comes meanwhile has all of it.
func TestAQuotaUnderAMillionKeys(t *testing.T) {
	const memory = 1 << 20
	held := grown()
	plan := quotaPlan{"day", []allowance{{most: 10, per: "day", zone: time.UTC}}}
	l := openQuota(slog.New(slog.DiscardHandler), "", []quotaPlan{plan}, memory)
	defer l.Close()
	left := make([]engine.Balance, 1)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	take := func(key []byte) bool { return l.all[0].Take(context.Background(), key, 1, now, left) }
	var used [50][]byte
	for i := range used {
		used[i] = []byte("used up " + strconv.Itoa(i))
		for take(used[i]) {
		}
	}
	some := []byte("some")
	for range 4 {
		take(some)
	}
	var key [8]byte
	for i := range uint64(sprayed) {
		binary.LittleEndian.PutUint64(key[:], i)
		if !take(key[:]) {
			t.Fatalf("key %d was refused its first request", i)
		}
	}
	for _, k := range used {
		if take(k) {
			t.Errorf("%s was forgotten", k)
		}
	}
	if take(some); left[0].Left != 5 {
		t.Errorf("of ten, four of which were used, %d are left after one more", left[0].Left)
	}
	counts := map[string]int64{}
	l.Observe(func(name string, _ bool, value int64) { counts[name] = value })
	if n := held(); counts["bytes"] > memory || n > memory+memory/4 {
		t.Errorf("%d bytes by its own count, %d on the heap", counts["bytes"], n)
	}
	runtime.KeepAlive(l)
}

// What is asked for again and again stays, whatever is asked for once.
func TestACacheUnderAMillionKeys(t *testing.T) {
	const size = 4 << 20
	held := grown()
	s := openCacheStore(size)
	defer s.Close()
	name := func(i int) cacheKey {
		return cacheKey{base: "public\x00http://shop/items/" + strconv.Itoa(i)}
	}
	entry := func() *cached {
		return &cached{body: make([]byte, 300), fields: []cachedField{{"Content-Type", []string{"text/plain"}}}, header: http.Header{}, at: time.Now(), lifetime: time.Hour}
	}
	const popular = 100
	for i := range popular {
		s.put(name(-1-i), "u", entry())
	}
	missed := 0
	for i := range sprayed {
		if s.put(name(i), "u", entry()); i%10 == 0 {
			if k := name(-1 - i/10%popular); s.get(k) == nil {
				missed++
				s.put(k, "u", entry())
			}
		}
	}
	s.byKey.CleanUp()
	if bytes := s.byKey.WeightedSize(); bytes > size {
		t.Errorf("%d bytes, of %d", bytes, size)
	}
	if n := held(); n > size*3/2 {
		t.Errorf("%d bytes on the heap, of %d", n, size)
	}
	if missed > sprayed/10/100 {
		t.Errorf("of %d looks for what is popular %d found nothing", sprayed/10, missed)
	}
	runtime.KeepAlive(s)
}
