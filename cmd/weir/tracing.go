package main

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/engine/trace/otlp"
)

// tracing sets up what the variables of OpenTelemetry ask for: they are what
// operators know, and what collectors' operators write into pods. There are no
// flags beside them, which would be a second way to say the same.
func (s *server) tracing(p *process, registry prometheus.Registerer) (*trace.Tracer, error) {
	set, err := otlp.FromEnvironment(p.env)
	if err != nil {
		return nil, err
	}
	t := &trace.Tracer{Sampler: set.Sampler, NoContext: set.NoContext, NoBaggage: set.NoBaggage, Redact: p.redactor.String}
	if !set.Export {
		return t, nil
	}
	secrets := map[string]string{}
	for i, value := range set.Secrets {
		secrets[fmt.Sprintf("OTEL_EXPORTER_OTLP_HEADERS[%d]", i)] = value
	}
	p.redactor.Add(secrets)
	build := thisBuild()
	set.Config.Version, set.Config.Log = build.Version, s.Logger
	set.Config.Resource = append(set.Config.Resource,
		trace.Attr{Key: "service.version", Text: build.Version}, trace.Attr{Key: "process.pid", Type: trace.Int, Number: int64(os.Getpid())})
	if host, err := os.Hostname(); err == nil {
		set.Config.Resource = append(set.Config.Resource, trace.Attr{Key: "host.name", Text: host})
	}
	s.exporter = otlp.New(set.Config)
	t.Sink = s.exporter
	for outcome, count := range map[string]func(otlp.Stats) int64{
		"sent":     func(n otlp.Stats) int64 { return n.Sent },
		"dropped":  func(n otlp.Stats) int64 { return n.Dropped },
		"failed":   func(n otlp.Stats) int64 { return n.Failed },
		"rejected": func(n otlp.Stats) int64 { return n.Rejected },
	} {
		if err := registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "weir_trace_spans_total",
			Help:        "Spans by what became of them: sent, dropped for lack of room, failed with a request, or rejected by the collector.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		}, func() float64 { return float64(count(s.exporter.Stats())) })); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// flush sends the spans that are left.
func (s *server) flush(ctx context.Context) error {
	if s.exporter == nil {
		return nil
	}
	return s.exporter.Shutdown(ctx)
}
