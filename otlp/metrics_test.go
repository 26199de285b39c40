package otlp

import (
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	points "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weir-run/weir/engine/trace"
)

// taker is a collector of metrics.
type taker struct {
	t        *testing.T
	mu       sync.Mutex // of what follows, while requests are under way
	status   int
	requests []*points.ScopeMetrics
	resource string
	sizes    []int
}

func (c *taker) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	var message collector.ExportMetricsServiceRequest
	if err = errors.Join(err, proto.Unmarshal(body, &message)); err != nil {
		c.t.Error(err)
	}
	if again, err := proto.Marshal(&message); err != nil || len(again) != len(body) {
		c.t.Errorf("%v, %d bytes are %d", err, len(body), len(again))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	whole := message.ResourceMetrics[0]
	for _, a := range whole.Resource.Attributes {
		c.resource += a.Key + "=" + a.Value.GetStringValue() + " "
	}
	c.requests, c.sizes = append(c.requests, whole.ScopeMetrics[0]), append(c.sizes, len(body))
	if c.status == 0 {
		c.status = 200
	}
	return status(c.status, ""), nil
}

func (c *taker) sent() []*points.ScopeMetrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// named is a metric of the last request.
func (c *taker) named(name string) *points.Metric {
	all := c.sent()
	if len(all) == 0 {
		c.t.Fatal("there was no request")
	}
	for _, m := range all[len(all)-1].Metrics {
		if m.Name == name {
			return m
		}
	}
	c.t.Fatalf("there is no %s", name)
	return nil
}

func TestMetricsAreSentAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, c := prometheus.NewRegistry(), &taker{t: t}
		begun := time.Now()
		requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"route"})
		open := prometheus.NewGauge(prometheus.GaugeOpts{Name: "open_bytes"})
		pause := prometheus.NewSummary(prometheus.SummaryOpts{Name: "pause_seconds", Objectives: map[float64]float64{.5: .1}})
		registry.MustRegister(requests, open, pause)
		requests.WithLabelValues("a").Add(3)
		open.Set(-7)
		pause.Observe(2)
		m := NewMetrics(Config{Endpoint: "http://c", Plain: true, Transport: c, Resource: []trace.Attr{{Key: "service.name", Text: "shop"}}}, registry)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if len(c.sent()) > 0 {
			t.Error("too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		sum := c.named("requests_total").GetSum()
		p := sum.DataPoints[0]
		if !sum.IsMonotonic || sum.AggregationTemporality != points.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE || p.GetAsDouble() != 3 ||
			p.Attributes[0].Key != "route" || p.Attributes[0].Value.GetStringValue() != "a" ||
			p.StartTimeUnixNano != uint64(begun.UnixNano()) || p.TimeUnixNano != uint64(begun.Add(time.Minute).UnixNano()) || c.named("requests_total").Description != "Requests." {
			t.Errorf("%v", c.named("requests_total"))
		}
		if g := c.named("open_bytes"); g.GetGauge().DataPoints[0].GetAsDouble() != -7 || g.Unit != "By" {
			t.Errorf("%v", g)
		}
		if s := c.named("pause_seconds"); s.GetSummary().DataPoints[0].Sum != 2 || s.GetSummary().DataPoints[0].QuantileValues[0].Value != 2 || s.Unit != "s" {
			t.Errorf("%v", s)
		}
		requests.WithLabelValues("a").Add(1)
		shut(t, m) // which sends the rest
		if got := c.named("requests_total").GetSum().DataPoints[0].GetAsDouble(); got != 4 || len(c.sent()) != 2 || !strings.HasPrefix(c.resource, "service.name=shop ") {
			t.Errorf("%v in %d requests by %s", got, len(c.sent()), c.resource)
		}
		if s := m.Stats(); s != (Stats{Sent: 6}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestHistogramsHaveTheirBucketsAndTraces(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took_seconds", Buckets: []float64{.1, 1}, NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: 1e-6})
	registry.MustRegister(h)
	for _, v := range []float64{0, .05, .5, .5, 7, 1000} {
		h.Observe(v)
	}
	id := trace.TraceID{1, 15: 2}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(.6, prometheus.Labels{"trace_id": id.String()})
	for _, exponential := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := &taker{t: t}
			m := NewMetrics(Config{Endpoint: "http://c", Plain: true, Transport: c, Exponential: exponential}, registry)
			shut(t, m)
			if !exponential {
				p := c.named("took_seconds").GetHistogram().DataPoints[0]
				if p.Count != 7 || p.GetSum() != 1008.65 || len(p.BucketCounts) != 3 || p.BucketCounts[0] != 2 || p.BucketCounts[1] != 3 || p.BucketCounts[2] != 2 || len(p.ExplicitBounds) != 2 || p.ExplicitBounds[1] != 1 {
					t.Errorf("%v", p)
				}
				if e := p.Exemplars; len(e) != 1 || e[0].GetAsDouble() != .6 || string(e[0].TraceId) != string(id[:]) {
					t.Errorf("%v", e)
				}
				return
			}
			p := c.named("took_seconds").GetExponentialHistogram().DataPoints[0]
			if p.Count != 7 || p.ZeroCount != 1 || p.Scale != 3 || p.ZeroThreshold != 1e-6 {
				t.Errorf("%v", p)
			}
			base, all := math.Pow(2, math.Pow(2, -float64(p.Scale))), uint64(0)
			for i, n := range p.Positive.BucketCounts {
				if all += n; n == 0 {
					continue
				}
				low, high := math.Pow(base, float64(int(p.Positive.Offset)+i)), math.Pow(base, float64(int(p.Positive.Offset)+i+1))
				within := uint64(0)
				for _, v := range []float64{.05, .5, .5, .6, 7, 1000} {
					if low*(1+1e-9) < v && v <= high*(1+1e-9) {
						within++
					}
				}
				if within != n {
					t.Errorf("%d are above %v and up to %v, want %d", n, low, high, within)
				}
			}
			if all != 6 {
				t.Errorf("%d values in %v", all, p.Positive)
			}
		})
	}
}

// gathered are families that were made by hand.
type gathered []*dto.MetricFamily

func (g gathered) Gather() ([]*dto.MetricFamily, error) { return g, nil }

func TestManyPointsAreSentInMessagesThatCollectorsTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dto.MetricFamily{Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum()}
		for i := range 50_000 {
			f.Metric = append(f.Metric, &dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(1)}, Label: []*dto.LabelPair{{Name: proto.String("route"), Value: proto.String(strconv.Itoa(i) + strings.Repeat("x", 30))}}})
		}
		c := &taker{t: t}
		m := NewMetrics(Config{Endpoint: "http://c", Plain: true, Transport: c}, gathered{f})
		shut(t, m)
		if len(c.sizes) < 3 || m.Stats().Sent != 50_000 {
			t.Errorf("%v, %+v", c.sizes, m.Stats())
		}
		for _, size := range c.sizes {
			if size > 2*maxMessage {
				t.Errorf("%d bytes in one message", size)
			}
		}
	})
}

// What could not be sent is in what is sent next: nothing waits.
func TestACollectorThatIsGoneHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, c := prometheus.NewRegistry(), &taker{t: t, status: 503}
		n := prometheus.NewCounter(prometheus.CounterOpts{Name: "n_total"})
		registry.MustRegister(n)
		m := NewMetrics(Config{Endpoint: "http://c", Plain: true, Transport: c, Interval: 10 * time.Second}, registry)
		n.Inc()
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if tries := len(c.sent()); tries < 6 || tries > 15 || m.Stats().Failed < 2 {
			t.Errorf("%d attempts, %+v", tries, m.Stats())
		}
		c.mu.Lock()
		c.status = 200
		c.mu.Unlock()
		n.Inc()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := c.named("n_total").GetSum().DataPoints[0].GetAsDouble(); got != 2 {
			t.Errorf("%v", got)
		}
		shut(t, m)
	})
}
