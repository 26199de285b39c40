package main

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	logs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	exported "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	records "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// received keeps what a collector got.
type received struct {
	mu       sync.Mutex
	spans    []string
	metrics  map[string]*metrics.Metric
	records  []*records.LogRecord
	resource string
	key      string
}

func (c *received) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = r.Header.Get("Api-Key")
	switch r.URL.Path {
	case "/v1/traces":
		var m traces.ExportTraceServiceRequest
		err = errors.Join(err, proto.Unmarshal(b, &m))
		for _, a := range m.ResourceSpans[0].Resource.Attributes {
			c.resource += a.Key + "=" + a.Value.GetStringValue() + " "
		}
		for _, s := range m.ResourceSpans[0].ScopeSpans[0].Spans {
			c.spans = append(c.spans, s.Name)
		}
	case "/v1/metrics":
		var m exported.ExportMetricsServiceRequest
		err = errors.Join(err, proto.Unmarshal(b, &m))
		c.metrics = map[string]*metrics.Metric{}
		for _, one := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			c.metrics[one.Name] = one
		}
	case "/v1/logs":
		var m logs.ExportLogsServiceRequest
		err = errors.Join(err, proto.Unmarshal(b, &m))
		c.records = append(c.records, m.ResourceLogs[0].ScopeLogs[0].LogRecords...)
	default:
		err = errors.New("there is no such signal")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func TestAllSignalsAreExportedBeforeTheEnd(t *testing.T) {
	var got received
	to := httptest.NewServer(&got)
	defer to.Close()
	w := newWorldIn(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": to.URL, "OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2", "OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BLRP_SCHEDULE_DELAY": "3600000", "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
	}, "--usage", t.TempDir(), "--usage-otlp")
	answered := w.ask()
	close(w.release)
	if got := <-answered; got != 200 {
		t.Fatal(got)
	}
	req, err := http.NewRequest("GET", "http://"+w.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(metrics), `weir_otlp_items_total{outcome="sent",signal="traces"} 0.0`) {
		t.Errorf("%v, no count of spans", err)
	}
	exemplar := false
	for line := range strings.Lines(string(metrics)) {
		exemplar = exemplar || strings.HasPrefix(line, "weir_http_request_duration_seconds_bucket") && strings.Contains(line, `# {trace_id="`)
	}
	if !exemplar {
		t.Error("no bucket leads to a trace")
	}
	w.signals <- syscall.SIGTERM
	if got := <-w.exit; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	if names := strings.Join(got.spans, ", "); names != "GET, call work, return, GET /" {
		t.Errorf("exported %s", names)
	}
	if got.key != "hunter2" || !strings.Contains(got.resource, "service.name=shop service.version=") || !strings.Contains(got.resource, "host.name=") {
		t.Errorf("by %s", got.resource)
	}
	if m := got.metrics["weir_http_requests_total"]; m == nil || m.GetSum().DataPoints[0].GetAsDouble() != 1 {
		t.Errorf("exported of requests: %v", m)
	}
	if h := got.metrics["weir_http_request_duration_seconds"]; h == nil || h.GetHistogram().DataPoints[0].Count != 1 || len(h.GetHistogram().DataPoints[0].Exemplars) != 1 {
		t.Errorf("exported of durations: %v", h)
	}
	if len(got.records) != 2 {
		t.Fatalf("exported %v", got.records)
	}
	told := map[string]string{}
	for _, a := range got.records[0].Attributes {
		told[a.Key] = a.Value.GetStringValue() + strings.TrimPrefix(strconv.FormatInt(a.Value.GetIntValue(), 10), "0")
	}
	if r := got.records[0]; r.EventName != "weir.access" || len(r.TraceId) != 16 || told["http.response.status_code"] != "200" || told["weir.gateway"] != "public" ||
		told["network.protocol.version"] != "1.1" || told["weir.config"] == "" || told["weir.outcome"] != "answered" {
		t.Errorf("recorded %v", r)
	}
	told = map[string]string{}
	for _, a := range got.records[1].Attributes {
		told[a.Key] = a.Value.GetStringValue() + strconv.FormatInt(a.Value.GetIntValue(), 10)
	}
	if r := got.records[1]; r.EventName != "weir.usage" || told["weir.usage.requests"] != "1" || told["weir.usage.errors"] != "0" || told["http.route"] != "/0" || told["weir.gateway"] != "public0" {
		t.Errorf("recorded %v", r)
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error("the log shows the key of the collector")
	}
}

func TestTracingIsSetUpOrNothingStarts(t *testing.T) {
	var log transcript
	p := &process{
		args: []string{"run", t.TempDir(), "--admin", "off", "--log-format", "text"}, stdout: io.Discard, stderr: &log,
		env: func(name string) (string, bool) {
			return "grpc", name == "OTEL_EXPORTER_OTLP_PROTOCOL" || name == "OTEL_TRACES_EXPORTER"
		},
		terminal: func(io.Writer) bool { return false },
		notify:   func() (<-chan os.Signal, func()) { return nil, func() {} },
	}
	if code := p.run(t.Context()); code != exitFailed || !strings.Contains(log.String(), "OTEL_TRACES_EXPORTER") {
		t.Errorf("exit code %d, logged %s", code, log.String())
	}
}
