package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-run/weir/engine"
)

// written is what a scrape has of a histogram.
func written(t testing.TB, m prometheus.Metric) *dto.Histogram {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Histogram
}

// otherDuration is a histogram of client_golang that has the same buckets.
func otherDuration() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Buckets: bounds[:], NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: 1. / (1 << -shortest)})
}

// buckets are the native ones that have a value, by their place in the series of
// all.
func buckets(h *dto.Histogram) map[int32]int64 {
	all := map[int32]int64{}
	at, count, deltas := int32(0), int64(0), h.PositiveDelta
	for _, s := range h.PositiveSpan {
		at += s.GetOffset()
		for range s.GetLength() {
			if count += deltas[0]; count > 0 {
				all[at] = count
			}
			deltas = deltas[1:]
			at++
		}
	}
	return all
}

func TestDurationsAreCountedAsPrometheusDoes(t *testing.T) {
	ours, theirs := newDurations("x", "", [3]string{"a", "b", "c"}).with("", "", ""), otherDuration()
	count := func(took time.Duration) {
		ours.observe(took)
		theirs.Observe(took.Seconds())
	}
	for _, bound := range bounds {
		for _, off := range []time.Duration{-1, 0, 1} {
			count(time.Duration(bound*1e9) + off)
		}
	}
	for i := range 40 {
		count(1 << i)
	}
	for _, took := range []time.Duration{-time.Second, 0, 1, 953, 954, time.Second, time.Second / 2, 2 * time.Second, 40 * 24 * time.Hour} {
		count(took)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		count(time.Duration(1) << r.IntN(45) * time.Duration(1+r.IntN(100)) / 37)
	}
	a, b := written(t, ours), written(t, theirs)
	if a.GetSampleCount() != b.GetSampleCount() || a.GetSchema() != b.GetSchema() || a.GetZeroCount() != b.GetZeroCount()+1 || a.GetZeroThreshold() != b.GetZeroThreshold() {
		t.Errorf("got  %v\nwant %v", a, b) // a time below zero, which clocks do not make, is none here
	}
	if !reflect.DeepEqual(buckets(a), buckets(b)) {
		t.Errorf("got  %v\nwant %v", buckets(a), buckets(b))
	}
	for i, bucket := range b.Bucket {
		if a.Bucket[i].GetCumulativeCount() != bucket.GetCumulativeCount() || a.Bucket[i].GetUpperBound() != bucket.GetUpperBound() {
			t.Errorf("got %v, want %v", a.Bucket[i], bucket)
		}
	}
	// What takes longer than any is in the last.
	ours.observe(1 << 62)
	if got := buckets(written(t, ours))[longest*fold]; got != 1 {
		t.Errorf("%d in the last bucket", got)
	}
}

func TestAScrapeMeanwhileIsOfOneMind(t *testing.T) {
	h := newDurations("x", "", [3]string{"a", "b", "c"}).with("", "", "")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 5000 {
				h.exemplify(time.Duration(i)*time.Microsecond, fmt.Sprintf("%032x", i+1), time.Now())
			}
		})
	}
	for range 200 {
		m := written(t, h)
		n := m.GetZeroCount()
		for _, c := range buckets(m) {
			n += uint64(c)
		}
		if last := m.Bucket[len(bounds)-1].GetCumulativeCount(); n != m.GetSampleCount() || last > n {
			t.Fatalf("%d in native buckets, %d in the others, %d in all", n, last, m.GetSampleCount())
		}
	}
	all.Wait()
	if m := written(t, h); m.GetSampleCount() != 20_000 || len(m.Exemplars) == 0 || m.Bucket[1].Exemplar == nil {
		t.Errorf("%v", m)
	}
}

func TestADurationCostsNoMemory(t *testing.T) {
	h := newDurations("x", "", [3]string{"a", "b", "c"}).with("", "", "")
	h.observe(time.Millisecond)
	if n := testing.AllocsPerRun(500, func() { h.observe(time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDuration(b *testing.B) {
	ours, theirs := newDurations("x", "", [3]string{"a", "b", "c"}).with("", "", ""), otherDuration()
	known := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Buckets: bounds[:]})
	for name, observe := range map[string]func(time.Duration){
		"ours":                               ours.observe,
		"client_golang":                      func(took time.Duration) { theirs.Observe(took.Seconds()) },
		"client_golang, known buckets alone": func(took time.Duration) { known.Observe(took.Seconds()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				observe(time.Duration(700+i%600) * time.Microsecond)
			}
		})
	}
}

// Nothing that a caller chooses becomes a label, nor does anything of which there
// is no end.
func TestCallersCannotMakeSeries(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newTestHandler(t, Options{Metrics: newTestMetrics(t, registry)}, Route{Method: "GET", Path: "/orders/{id}", Name: "order", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := FromContext(r.Context())
		q.Input().Consumer = &engine.Consumer{Name: q.ID}
		if rand.IntN(3) == 0 {
			Refuse(w, r, "rate_limit", Problem{Status: 429, Code: "rate-limited"})
			return
		}
		w.WriteHeader(200 + rand.IntN(400))
	})})
	for i := range 3000 {
		method, path := "GET", fmt.Sprintf("/orders/%d", i)
		switch i % 5 {
		case 1:
			method = fmt.Sprintf("M%d", i)
		case 2:
			path = fmt.Sprintf("/none/%d", i)
		}
		r := httptest.NewRequest(method, path, nil)
		r.Host = fmt.Sprintf("h%d.example", i)
		r.Header.Set("User-Agent", path)
		r.Header.Set("X-Request-Id", fmt.Sprintf("request-%d", i))
		r.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%016x-01", i+1, i+1))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.Metric); n > 24 {
			t.Errorf("%s has %d series, the last of them %v", f.GetName(), n, f.Metric[n-1].Label)
		}
	}
}
