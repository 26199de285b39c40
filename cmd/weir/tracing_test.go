package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// received keeps the names of the spans that a collector got.
type received struct {
	mu       sync.Mutex
	names    []string
	resource string
	key      string
}

func (c *received) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message collector.ExportTraceServiceRequest
	body, err := gzip.NewReader(r.Body)
	if err == nil {
		var b []byte
		if b, err = io.ReadAll(body); err == nil {
			err = proto.Unmarshal(b, &message)
		}
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not what it should be", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = r.Header.Get("Api-Key")
	for _, a := range message.ResourceSpans[0].Resource.Attributes {
		c.resource += a.Key + "=" + a.Value.GetStringValue() + " "
	}
	for _, s := range message.ResourceSpans[0].ScopeSpans[0].Spans {
		c.names = append(c.names, s.Name)
	}
}

func TestTracesAreExportedBeforeTheEnd(t *testing.T) {
	var got received
	to := httptest.NewServer(&got)
	defer to.Close()
	w := newWorldIn(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": to.URL, "OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2", "OTEL_BSP_SCHEDULE_DELAY": "3600000",
	})
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
	if err != nil || !strings.Contains(string(metrics), `weir_trace_spans_total{outcome="sent"} 0.0`) {
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
	if names := strings.Join(got.names, ", "); names != "GET, call work, return, GET /" {
		t.Errorf("exported %s", names)
	}
	if got.key != "hunter2" || !strings.Contains(got.resource, "service.name=shop service.version=") || !strings.Contains(got.resource, "host.name=") {
		t.Errorf("by %s", got.resource)
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
