package otlp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

func settings(vars ...string) (Settings, error) {
	env := map[string]string{}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		env["OTEL_"+name] = value
	}
	return FromEnvironment(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestTheEnvironmentSaysWhereSpansGo(t *testing.T) {
	for vars, want := range map[string]string{
		"":                        "",
		"EXPORTER_OTLP_ENDPOINT=": "",
		"EXPORTER_OTLP_ENDPOINT=http://collector:4318":                                "http://collector:4318/v1/traces",
		"EXPORTER_OTLP_ENDPOINT=https://collector/otlp/":                              "https://collector/otlp/v1/traces",
		"EXPORTER_OTLP_TRACES_ENDPOINT=http://collector/mine":                         "http://collector/mine",
		"EXPORTER_OTLP_TRACES_ENDPOINT=http://a/mine EXPORTER_OTLP_ENDPOINT=http://b": "http://a/mine",
		"TRACES_EXPORTER=otlp":                                                        "http://localhost:4318/v1/traces",
		"TRACES_EXPORTER=none EXPORTER_OTLP_ENDPOINT=http://collector:4318":           "",
		"SDK_DISABLED=true EXPORTER_OTLP_ENDPOINT=http://collector:4318":              "",
		"EXPORTER_OTLP_ENDPOINT=http://c EXPORTER_OTLP_PROTOCOL=http/protobuf":        "http://c/v1/traces",
		"EXPORTER_OTLP_ENDPOINT=http://c EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf": "http://c/v1/traces",
	} {
		s, err := settings(strings.Fields(vars)...)
		if err != nil || (s.Traces != nil) != (want != "") || want != "" && s.Traces.Endpoint != want || s.Sampler != (trace.Sampler{Ratio: 1, Follow: true}) || s.Propagation != (trace.Propagation{}) {
			t.Errorf("%s: %v, %+v", vars, err, s)
		}
	}
}

func TestTheEnvironmentSaysHowSpansGo(t *testing.T) {
	s, err := settings("EXPORTER_OTLP_ENDPOINT=http://c", "EXPORTER_OTLP_HEADERS=api-key=a%20b, x-tenant = blue", "EXPORTER_OTLP_TIMEOUT=1500", "EXPORTER_OTLP_COMPRESSION=none",
		"BSP_SCHEDULE_DELAY=100", "BSP_MAX_QUEUE_SIZE=10", "BSP_MAX_EXPORT_BATCH_SIZE=5", "RESOURCE_ATTRIBUTES=deployment.environment.name=test,service.name=other",
		"TRACES_SAMPLER=parentbased_traceidratio", "TRACES_SAMPLER_ARG=0.25", "PROPAGATORS=tracecontext")
	c := s.Traces
	if err != nil || c.Headers.Get("Api-Key") != "a b" || c.Headers.Get("X-Tenant") != "blue" || c.Timeout != 1500*time.Millisecond || !c.Plain ||
		c.Delay != 100*time.Millisecond || c.Queue != 10 || c.Batch != 5 || s.Sampler != (trace.Sampler{Ratio: .25, Follow: true}) || s.Propagation != (trace.Propagation{NoBaggage: true}) {
		t.Errorf("%v, %+v", err, s)
	}
	if got := fmt.Sprint(c.Resource); got != "[{service.name 0 other 0} {deployment.environment.name 0 test 0}]" {
		t.Error(got)
	}
	if len(s.Secrets) != 2 || s.Secrets[0] != "a b" {
		t.Error(s.Secrets)
	}
	s, err = settings("TRACES_EXPORTER=otlp", "SERVICE_NAME=shop", "RESOURCE_ATTRIBUTES=service.name=other", "TRACES_SAMPLER=always_off", "PROPAGATORS=none")
	if err != nil || fmt.Sprint(s.Traces.Resource) != "[{service.name 0 shop 0}]" || s.Sampler != (trace.Sampler{}) || s.Propagation != (trace.Propagation{NoContext: true, NoBaggage: true}) {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestEachSignalHasItsPlace(t *testing.T) {
	s, err := settings("EXPORTER_OTLP_ENDPOINT=http://c", "EXPORTER_OTLP_METRICS_ENDPOINT=http://prometheus/otlp", "METRIC_EXPORT_INTERVAL=15000",
		"EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram", "EXPORTER_OTLP_HEADERS=a=b", "EXPORTER_OTLP_LOGS_HEADERS=c=d", "BLRP_SCHEDULE_DELAY=7", "PROPAGATORS=tracecontext,b3multi,b3")
	if err != nil {
		t.Fatal(err)
	}
	if s.Metrics.Endpoint != "http://prometheus/otlp" || s.Metrics.Interval != 15*time.Second || !s.Metrics.Exponential || s.Metrics.Headers.Get("A") != "b" {
		t.Errorf("metrics: %+v", s.Metrics)
	}
	if s.Logs.Endpoint != "http://c/v1/logs" || s.Logs.Delay != 7*time.Millisecond || s.Logs.Headers.Get("C") != "d" || s.Logs.Headers.Get("A") != "" {
		t.Errorf("logs: %+v", s.Logs)
	}
	if s.Logs.Transport != s.Traces.Transport {
		t.Error("they do not share connections")
	}
	if s.Propagation != (trace.Propagation{NoBaggage: true, B3: true, B3Multi: true}) || len(s.Secrets) != 2 {
		t.Errorf("%+v", s)
	}
	s, err = settings("EXPORTER_OTLP_ENDPOINT=http://c", "METRICS_EXPORTER=prometheus", "LOGS_EXPORTER=none")
	if err != nil || s.Metrics != nil || s.Logs != nil || !s.NoLogs || s.Traces == nil {
		t.Errorf("%v, %+v", err, s)
	}
	if s, err = settings(); err != nil || s.NoLogs {
		t.Errorf("%v, nobody has switched records off: %+v", err, s)
	}
}

func TestWhatTheEnvironmentSaysIsChecked(t *testing.T) {
	for vars, want := range map[string]string{
		"EXPORTER_OTLP_ENDPOINT=collector:4317":                                    "OTEL_EXPORTER_OTLP_ENDPOINT: it is not a URL: write one such as http://collector:4318",
		"TRACES_EXPORTER=zipkin":                                                   `OTEL_TRACES_EXPORTER: "zipkin" is not supported: write otlp or none`,
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_PROTOCOL=grpc":                         `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported: write http/protobuf, with the collector's port for that, which usually is 4318`,
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_COMPRESSION=br":                        `OTEL_EXPORTER_OTLP_COMPRESSION: "br" is not known: write gzip or none`,
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_HEADERS=hunter2":                       "OTEL_EXPORTER_OTLP_HEADERS: it is not a list of key=value, separated by commas",
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_HEADERS=k=hun%zz":                      "OTEL_EXPORTER_OTLP_HEADERS: it is not a list of key=value, separated by commas",
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_HEADERS=k=hun%0Ad":                     "OTEL_EXPORTER_OTLP_HEADERS: a header cannot be sent: write it as name=value",
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_TIMEOUT=10s":                           `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not a number above 0`,
		"TRACES_EXPORTER=otlp BSP_MAX_QUEUE_SIZE=0":                                `OTEL_BSP_MAX_QUEUE_SIZE: "0" is not a number above 0`,
		"TRACES_EXPORTER=otlp EXPORTER_OTLP_CERTIFICATE=/no/ca":                    "OTEL_EXPORTER_OTLP_CERTIFICATE: open /no/ca: no such file or directory",
		"TRACES_SAMPLER=jaeger_remote":                                             `OTEL_TRACES_SAMPLER: there is no sampler "jaeger_remote": write always_on, always_off or traceidratio, or one of them with parentbased_ before it`,
		"TRACES_SAMPLER=traceidratio TRACES_SAMPLER_ARG=25%":                       `OTEL_TRACES_SAMPLER_ARG: "25%" is no share: write a number from 0 to 1`,
		"PROPAGATORS=xray,b3":                                                      `OTEL_PROPAGATORS: "xray" is not supported: write tracecontext, baggage, b3, b3multi or none`,
		"METRICS_EXPORTER=console":                                                 `OTEL_METRICS_EXPORTER: "console" is not supported: write otlp or none`,
		"METRICS_EXPORTER=otlp METRIC_EXPORT_INTERVAL=1m":                          `OTEL_METRIC_EXPORT_INTERVAL: "1m" is not a number above 0`,
		"LOGS_EXPORTER=otlp EXPORTER_OTLP_LOGS_ENDPOINT=c":                         "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: it is not a URL: write one such as http://collector:4318",
		"METRICS_EXPORTER=otlp EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta": `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta" is not supported: write cumulative`,
		// What all signals have in common is told once.
		"EXPORTER_OTLP_ENDPOINT=http://c EXPORTER_OTLP_PROTOCOL=grpc": `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported: write http/protobuf, with the collector's port for that, which usually is 4318`,
	} {
		if _, err := settings(strings.Fields(vars)...); err == nil || err.Error() != want {
			t.Errorf("%s: %v", vars, err)
		}
	}
}
