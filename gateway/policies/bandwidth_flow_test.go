package policies

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/gateway"
)

func TestManyKeysShareABoundedMemory(t *testing.T) {
	f := openByteFlow([directions]int64{outward: 1000}, 0, 64<<10)
	now := time.Now()
	for range 20 {
		f.take(7, outward, 1000, now) // who has used much
	}
	for i := range uint64(1_000_000) {
		f.take((i+10)*0x9e3779b97f4a7c15, outward, 1000, now)
	}
	counts := map[string]int64{}
	f.Observe(func(name string, _ bool, value int64) { counts[name] = value })
	if counts["bytes"] > 64<<10 || counts["evicted"] == 0 {
		t.Errorf("%v", counts)
	}
	if wait := f.take(7, outward, 0, now); wait != 19*time.Second {
		t.Errorf("who has used much waits %v", wait)
	}
	if wait := f.take(7, inward, 0, now); wait > 0 {
		t.Errorf("the other way %v", wait)
	}
}

func TestBandwidthAllocatesOnceForARequest(t *testing.T) {
	route := gateway.Route{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("page"))
	})}
	allocations := func(bundle string) float64 {
		h, _, end := before(t, bundle, route)
		defer end()
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Body = http.MaxBytesReader(nil, r.Body, 1)
		w := discard{http.Header{}}
		return testing.AllocsPerRun(200, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		})
	}
	bare := allocations("{}")
	if got := allocations("{ bandwidth: { request: 100MB, response: 100MB } }"); got > bare+1 {
		t.Errorf("%v allocations beside %v", got-bare, bare)
	}
}

// Whoever writes in one piece is cut into pieces that others can come between.
func TestPiecesOfBodies(t *testing.T) {
	for _, c := range []struct {
		rate int64
		want int
	}{{1000, 512}, {80_000, 10_000}, {1_000_000_000, 32 << 10}} {
		if got := openByteFlow([directions]int64{inward: c.rate}, 0, 64<<10).pieces[inward]; got != c.want {
			t.Errorf("%d: %d", c.rate, got)
		}
	}
	f := openByteFlow([directions]int64{inward: 4096}, 0, 64<<10)
	b := &pacedBody{http.NoBody, &passage{byteFlow: f, ctx: t.Context()}}
	b.ReadCloser = struct {
		*strings.Reader
		closer
	}{Reader: strings.NewReader(strings.Repeat("x", 2000))}
	if n, err := b.Read(make([]byte, 2000)); n != 512 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

type closer struct{}

func (closer) Close() error { return nil }
