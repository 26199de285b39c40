package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/gateway/usage"
	"github.com/weir-run/weir/otlp"
)

// exporter is what sends one signal to a collector.
type exporter interface {
	Stats() otlp.Stats
	Shutdown(ctx context.Context) error
}

// telemetry sets up what the variables of OpenTelemetry ask for: they are what
// operators know, and what collectors' operators write into pods. There are no
// flags beside them, which would be a second way to say the same.
func (s *server) telemetry(p *process, registry metricsRegistry) (*trace.Tracer, error) {
	set, err := otlp.FromEnvironment(p.env)
	if err != nil {
		return nil, err
	}
	secrets := map[string]string{}
	for i, value := range set.Secrets {
		secrets[fmt.Sprintf("OTEL_EXPORTER_OTLP_HEADERS[%d]", i)] = value
	}
	p.redactor.Add(secrets)
	t := &trace.Tracer{Sampler: set.Sampler, Propagation: set.Propagation, Redact: p.redactor.String}
	who := s.whoSends()
	if set.Traces != nil {
		spans := otlp.NewSpans(who(set.Traces))
		t.Sink = spans
		s.export("traces", spans, registry)
	}
	if set.Logs != nil {
		records := otlp.NewLogs(who(set.Logs))
		s.records = records
		s.export("logs", records, registry)
	} else if set.NoLogs {
		s.records = discarded{}
	}
	if set.Metrics != nil { // the last: it tells of the others
		s.export("metrics", otlp.NewMetrics(who(set.Metrics), registry), registry)
	}
	return t, nil
}

// discarded is where records go that are meant to go nowhere.
type discarded struct{}

func (discarded) Record(*trace.Record) bool { return true }

// whoSends completes the configuration of a signal with what is known of the
// process.
func (s *server) whoSends() func(*otlp.Config) otlp.Config {
	build := thisBuild()
	attrs := []trace.Attr{{Key: "service.version", Text: build.Version}, {Key: "service.instance.id", Text: rand.Text()}, {Key: "process.pid", Type: trace.Int, Number: int64(os.Getpid())}}
	if host, err := os.Hostname(); err == nil {
		attrs = append(attrs, trace.Attr{Key: "host.name", Text: host})
	}
	return func(c *otlp.Config) otlp.Config {
		c.Version, c.Log, c.Resource = build.Version, s.Logger, append(c.Resource, attrs...)
		return *c
	}
}

// export counts what becomes of a signal, and has its rest sent at the end.
func (s *server) export(signal string, e exporter, registry prometheus.Registerer) {
	s.exporters = append(s.exporters, e)
	for outcome, count := range map[string]func(otlp.Stats) int64{
		"sent":     func(n otlp.Stats) int64 { return n.Sent },
		"dropped":  func(n otlp.Stats) int64 { return n.Dropped },
		"failed":   func(n otlp.Stats) int64 { return n.Failed },
		"rejected": func(n otlp.Stats) int64 { return n.Rejected },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "weir_otlp_items_total",
			Help:        "What was to be sent to a collector, spans, points of metrics and records of logs, by what became of it: sent, dropped for lack of room, failed with a request, or rejected by the collector.",
			ConstLabels: prometheus.Labels{"signal": signal, "outcome": outcome},
		}, func() float64 { return float64(count(e.Stats())) }))
	}
}

// usageTeller makes records of what was used: who uses most are any number of
// names, which metrics must not have as labels.
func usageTeller(to trace.Recorder, redactor *dsl.Redactor) func(from, until time.Time, rows []usage.Row) {
	return func(from, until time.Time, rows []usage.Row) {
		for _, row := range rows {
			var most []string
			for _, c := range row.Top {
				most = append(most, fmt.Sprintf("%s=%d", redactor.String(c.Name), c.Count))
			}
			r := trace.Record{At: until, Event: "weir.usage"}
			text := func(key, value string) {
				if value != "" {
					r.Attrs = append(r.Attrs, trace.Attr{Key: key, Text: value})
				}
			}
			number := func(key string, n int64) {
				r.Attrs = append(r.Attrs, trace.Attr{Key: key, Type: trace.Int, Number: n})
			}
			text("weir.gateway", row.Gateway)
			text("http.request.method", row.Method)
			text("http.route", row.Route.Route)
			text("weir.usage.begin", from.Format(time.RFC3339))
			number("weir.usage.requests", row.Requests)
			number("weir.usage.errors", row.Errors)
			number("weir.usage.bytes_in", row.In)
			number("weir.usage.bytes_out", row.Out)
			for name, seconds := range map[string]float64{"p50": row.P50, "p95": row.P95, "p99": row.P99} {
				number("weir.usage."+name+"_us", int64(seconds*1e6))
			}
			number("weir.usage.consumers", row.Consumers)
			text("weir.usage.top", strings.Join(most, "; "))
			to.Record(&r)
		}
	}
}

// flush sends what is left of all signals.
func (s *server) flush(ctx context.Context) error {
	lost := make([]error, len(s.exporters))
	var all sync.WaitGroup
	for i, e := range s.exporters {
		all.Go(func() { lost[i] = e.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(lost...)
}
