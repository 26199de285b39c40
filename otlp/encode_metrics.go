package otlp

import (
	"encoding/hex"
	"math"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// cumulative is the temporality of all that counts: since the beginning.
const cumulative = 2

// Fields of Metric, by the kind of its points.
const (
	kindGauge       = 5
	kindSum         = 7
	kindHistogram   = 9
	kindExponential = 10
	kindSummary     = 11
)

// metricWriter writes what a registry has gathered.
type metricWriter struct {
	now, begun  time.Time // begun is when what does not say began to count
	exponential bool
}

// append appends some metrics of one family as a field of ScopeMetrics. Names are
// those that Prometheus has, so that one query is right for both.
func (w *metricWriter) append(b []byte, f *dto.MetricFamily, points []*dto.Metric) []byte {
	kind := w.kind(f, points)
	return within(b, item, func(b []byte) []byte {
		b = appendText(b, 1, f.GetName())
		b = appendText(b, 2, f.GetHelp())
		b = appendText(b, 3, unit(f.GetName()))
		return within(b, kind, func(b []byte) []byte {
			for _, m := range points {
				b = within(b, 1, func(b []byte) []byte { return w.appendPoint(b, kind, m) })
			}
			if kind != kindGauge && kind != kindSummary {
				b = appendUint(b, 2, cumulative)
			}
			if kind == kindSum {
				b = appendUint(b, 3, 1) // it never falls
			}
			return b
		})
	})
}

func (w *metricWriter) kind(f *dto.MetricFamily, points []*dto.Metric) protowire.Number {
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return kindSum
	case dto.MetricType_SUMMARY:
		return kindSummary
	case dto.MetricType_HISTOGRAM:
		h := points[0].GetHistogram()
		if h.Schema != nil && (w.exponential || len(h.Bucket) == 0) {
			return kindExponential
		}
		return kindHistogram
	}
	return kindGauge
}

// unit is that of UCUM, as OpenTelemetry has it. Base units are the only ones that
// metrics have.
func unit(name string) string {
	name = strings.TrimSuffix(name, "_total")
	switch {
	case strings.HasSuffix(name, "_seconds"):
		return "s"
	case strings.HasSuffix(name, "_bytes"):
		return "By"
	}
	return ""
}

func (w *metricWriter) appendPoint(b []byte, kind protowire.Number, m *dto.Metric) []byte {
	switch kind {
	case kindSum:
		c := m.GetCounter()
		b = w.appendTimes(b, c.GetCreatedTimestamp())
		b = appendDouble(b, 4, c.GetValue())
		b = appendExemplar(b, 5, c.GetExemplar())
		return appendLabels(b, 7, m.GetLabel())
	case kindSummary:
		return w.appendSummary(b, m)
	case kindHistogram:
		return w.appendHistogram(b, m)
	case kindExponential:
		return w.appendExponential(b, m)
	}
	value := m.GetGauge().GetValue()
	if u := m.GetUntyped(); u != nil {
		value = u.GetValue()
	}
	b = appendTime(b, 3, w.now)
	b = appendDouble(b, 4, value)
	return appendLabels(b, 7, m.GetLabel())
}

// timestamp is that of protobuf, which the generated messages have.
type timestamp interface {
	AsTime() time.Time
	IsValid() bool
}

// appendTimes appends since when it was counted, and until when.
func (w *metricWriter) appendTimes(b []byte, created timestamp) []byte {
	since := w.begun
	if created.IsValid() {
		since = created.AsTime()
	}
	return appendTime(appendTime(b, 2, since), 3, w.now)
}

func appendLabels(b []byte, field protowire.Number, labels []*dto.LabelPair) []byte {
	for _, l := range labels {
		b = within(b, field, func(b []byte) []byte {
			b = appendText(b, 1, l.GetName())
			return within(b, 2, func(b []byte) []byte { return appendValue(b, l.GetValue()) })
		})
	}
	return b
}

// appendHistogram has counts for each bucket, where Prometheus has those of all
// that are not above it.
func (w *metricWriter) appendHistogram(b []byte, m *dto.Metric) []byte {
	h := m.GetHistogram()
	b = w.appendTimes(b, h.GetCreatedTimestamp())
	b = appendFixed(b, 4, h.GetSampleCount())
	b = appendDouble(b, 5, h.GetSampleSum())
	finite := h.GetBucket()
	if n := len(finite); n > 0 && finite[n-1].GetUpperBound() > math.MaxFloat64 {
		finite = finite[:n-1] // that of all is not written
	}
	before := uint64(0)
	b = appendPacked(b, 6, 8*(len(finite)+1), func(b []byte) []byte {
		for _, bucket := range finite {
			b = protowire.AppendFixed64(b, bucket.GetCumulativeCount()-before)
			before = bucket.GetCumulativeCount()
		}
		return protowire.AppendFixed64(b, h.GetSampleCount()-before)
	})
	b = appendPacked(b, 7, 8*len(finite), func(b []byte) []byte {
		for _, bucket := range finite {
			b = protowire.AppendFixed64(b, math.Float64bits(bucket.GetUpperBound()))
		}
		return b
	})
	for _, bucket := range h.GetBucket() {
		b = appendExemplar(b, 8, bucket.GetExemplar())
	}
	return appendLabels(b, 9, m.GetLabel())
}

// appendExponential: bucket i is that of values above base^i here, and up to
// base^i in Prometheus.
func (w *metricWriter) appendExponential(b []byte, m *dto.Metric) []byte {
	h := m.GetHistogram()
	b = appendLabels(b, 1, m.GetLabel())
	b = w.appendTimes(b, h.GetCreatedTimestamp())
	b = appendFixed(b, 4, h.GetSampleCount())
	b = appendDouble(b, 5, h.GetSampleSum())
	b = appendUint(b, 6, protowire.EncodeZigZag(int64(h.GetSchema())))
	b = appendFixed(b, 7, h.GetZeroCount())
	b = appendBuckets(b, 8, h.GetPositiveSpan(), h.GetPositiveDelta())
	b = appendBuckets(b, 9, h.GetNegativeSpan(), h.GetNegativeDelta())
	for _, e := range h.GetExemplars() {
		b = appendExemplar(b, 11, e)
	}
	return appendDouble(b, 14, h.GetZeroThreshold())
}

func appendBuckets(b []byte, field protowire.Number, spans []*dto.BucketSpan, deltas []int64) []byte {
	if len(spans) == 0 {
		return b
	}
	return within(b, field, func(b []byte) []byte {
		b = appendUint(b, 1, protowire.EncodeZigZag(int64(spans[0].GetOffset())-1))
		return within(b, 2, func(b []byte) []byte {
			count := int64(0)
			for i, s := range spans {
				for range s.GetOffset() * int32(min(i, 1)) { // a gap
					b = append(b, 0)
				}
				for range min(int(s.GetLength()), len(deltas)) {
					count += deltas[0]
					deltas = deltas[1:]
					b = protowire.AppendVarint(b, uint64(count))
				}
			}
			return b
		})
	})
}

func (w *metricWriter) appendSummary(b []byte, m *dto.Metric) []byte {
	s := m.GetSummary()
	b = w.appendTimes(b, s.GetCreatedTimestamp())
	b = appendFixed(b, 4, s.GetSampleCount())
	b = appendDouble(b, 5, s.GetSampleSum())
	for _, q := range s.GetQuantile() {
		b = within(b, 6, func(b []byte) []byte { return appendDouble(appendDouble(b, 1, q.GetQuantile()), 2, q.GetValue()) })
	}
	return appendLabels(b, 7, m.GetLabel())
}

// appendExemplar appends a value that was counted, with the trace that it is of.
func appendExemplar(b []byte, field protowire.Number, e *dto.Exemplar) []byte {
	if e == nil {
		return b
	}
	return within(b, field, func(b []byte) []byte {
		b = appendTime(b, 2, e.GetTimestamp().AsTime())
		b = appendDouble(b, 3, e.GetValue())
		for _, l := range e.GetLabel() {
			if id, err := hex.DecodeString(l.GetValue()); err == nil && l.GetName() == "trace_id" {
				b = appendBytes(b, 5, id)
			}
		}
		return b
	})
}

// appendPacked appends a field of numbers of a fixed size, whose length is known.
func appendPacked(b []byte, field protowire.Number, length int, fn func(b []byte) []byte) []byte {
	if length == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return fn(protowire.AppendVarint(b, uint64(length)))
}
