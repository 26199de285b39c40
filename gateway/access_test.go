package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

// recorded is what an access log says of requests to a gateway with one route.
func recorded(t *testing.T, o AccessOptions, handler http.HandlerFunc, requests ...*http.Request) string {
	t.Helper()
	var out bytes.Buffer
	if o.Sample == 0 {
		o.Sample = 1
	}
	sink := NewLogSink(&out, nil, slog.New(slog.DiscardHandler))
	h := newTestHandler(t, Options{Access: NewAccessLog(o, sink), Revision: "r1"}, Route{Path: "/orders/{id}", Name: "order", Handler: handler})
	for _, r := range requests {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	sink.Close()
	return out.String()
}

func fine(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("fine")) }

func TestARecordTellsOfTheRequest(t *testing.T) {
	r := httptest.NewRequest("POST", "/orders/7?token=t0p&a=1", strings.NewReader("12345"))
	r.Header.Set("User-Agent", "curl")
	r.Header.Set("X-Request-Id", "abc")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("Referer", "https://shop.example/")
	line := recorded(t, AccessOptions{Layout: JSONAccess([]string{"host"}, []string{"authorization", "Referer"}), Query: true}, func(w http.ResponseWriter, r *http.Request) {
		q := FromContext(r.Context())
		q.Input().Consumer, q.Input().Attempts = &engine.Consumer{Name: "ada"}, 3
		_, _ = readAll(r.Body, -1)
		w.Header().Add("Cache-Status", "near; hit")
		w.Header().Add("Cache-Status", "weir; fwd=stale; stored")
		fine(w, r)
	}, r)
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err, line)
	}
	for name, want := range map[string]any{
		"gateway": "test", "route": "/orders/{id}", "flow": "order", "method": "POST", "path": "/orders/7", "query": "token=[redacted]&a=1", "protocol": "HTTP/1.1",
		"status": 200., "outcome": "answered", "bytes_in": 5., "bytes_out": 4., "attempts": 3., "consumer": "ada", "cache": "stale", "request_id": "abc",
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "remote": "192.0.2.1", "user_agent": "curl", "config": "r1",
		"header.authorization": "[redacted]", "header.referer": "https://shop.example/", "host": nil, "code": nil,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if _, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil || got["duration"].(float64) < 0 {
		t.Error(got["time"], got["duration"], err)
	}
}

// collected keeps the records that a collector would get.
type collected []trace.Record

func (c *collected) Record(r *trace.Record) bool {
	kept := *r
	kept.Attrs = slices.Clone(r.Attrs)
	*c = append(*c, kept)
	return len(*c) < 2
}

func TestARecordForACollectorTellsTheSameAsASpan(t *testing.T) {
	var secrets dsl.Redactor
	secrets.Add(map[string]string{"secret.KEY": "open-sesame"})
	var got collected
	var own trace.Span
	registry := prometheus.NewRegistry()
	values := func(attrs []trace.Attr) map[string]any {
		all := map[string]any{}
		for _, a := range attrs {
			if all[a.Key] = a.Text; a.Type == trace.Int {
				all[a.Key] = a.Number
			}
		}
		return all
	}
	var span map[string]any
	h := newTestHandler(t, Options{
		Metrics: newTestMetrics(t, registry), Revision: "r1",
		Tracer: &trace.Tracer{Sampler: trace.Sampler{Ratio: 1}, Sink: sinkOf(func(s *trace.Span) { own, span = *s, values(s.Attrs) })},
		Access: NewAccessRecords(AccessOptions{Layout: JSONAccess([]string{"host"}, []string{"Authorization", "X-Tenant"}), Sample: 1, Query: true}, &got, &secrets),
	}, Route{Path: "/orders/{id}", Name: "order", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Status", "weir; fwd=bypass")
		Refuse(w, r, "rate_limit", Problem{Status: 429, Code: "rate-limited"})
	})})
	r := httptest.NewRequest("GET", "/orders/open-sesame?token=t0p&a=1", nil)
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("X-Tenant", "blue")
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	record := got[1]
	told := values(record.Attrs)
	for name, want := range map[string]any{
		"http.request.method": "GET", "http.route": "/orders/{id}", "weir.flow": "order", "url.path": "/orders/[secret.KEY]", "url.query": "token=[redacted]&a=1", "weir.gateway": "test",
		"network.protocol.version": "1.1", "http.response.status_code": int64(429), "weir.outcome": "refused", "weir.policy": "rate_limit", "weir.problem": "rate-limited",
		"weir.limited": "rate_limit", "weir.cache": "bypass", "weir.config": "r1", "client.address": "192.0.2.1",
		"http.request.header.authorization": "[redacted]", "http.request.header.x-tenant": "blue", "server.address": nil, "weir.consumer": nil,
	} {
		if told[name] != want {
			t.Errorf("%s is %v, want %v", name, told[name], want)
		}
	}
	for _, name := range []string{"http.request.method", "http.route", "http.response.status_code", "network.protocol.version", "client.address",
		"weir.gateway", "weir.flow", "weir.limited", "weir.cache", "weir.policy", "weir.problem", "weir.request_id", "weir.config"} {
		if span[name] == nil || span[name] != told[name] {
			t.Errorf("%s is %v in the span, and %v in the record", name, span[name], told[name])
		}
	}
	if record.Event != "weir.access" || record.Failed || record.Context.TraceID != own.Trace || record.Context.SpanID != own.ID || record.At.IsZero() {
		t.Errorf("%+v", record)
	}
	if text := scrape(t, registry, "weir_access_log_records_total"); !strings.Contains(text, `outcome="dropped"} 1`) || !strings.Contains(text, `outcome="taken"} 1`) {
		t.Error(text)
	}
}

func TestTheFormsOfARecord(t *testing.T) {
	r := httptest.NewRequest("GET", "/orders/7", nil)
	r.Header.Set("User-Agent", `a "b" c`)
	omit := []string{"time", "duration", "request_id"}
	if got, want := recorded(t, AccessOptions{Layout: TextAccess(omit, nil)}, fine, r),
		`gateway=test route=/orders/{id} flow=order method=GET host=example.com path=/orders/7 protocol=HTTP/1.1 status=200 outcome=answered bytes_in=0 bytes_out=4 attempts=0 remote=192.0.2.1 user_agent="a \"b\" c" config=r1`+"\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	layout, err := TemplateAccess(`$(remote) - $(consumer) "$(method) $(path)" $(status) "$(header.referer)" "$(user_agent)" $$(x)`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := recorded(t, AccessOptions{Layout: layout}, fine, r), `192.0.2.1 - - "GET /orders/7" 200 "-" "a \"b\" c" $(x)`+"\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	for text, name := range map[string]string{"$(staus)": "staus", "a $(": "", "$(header.)": "header."} {
		var fault *TemplateError
		if _, err := TemplateAccess(text); !errors.As(err, &fault) || fault.Name != name {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// hostile are what callers send in order to write a record of their own, or to
// have a terminal do something.
var hostile = []string{
	"\n{\"status\":200}", "\r\n200", "\x1b[2J", "\u009b2J", "\u2028", "\u202egnp", `","status":"200`, `" status=200 x="`, "\xff\xfe", "\x00", "a\u0085b", "\\", strings.Repeat("é\n", 4096),
}

func TestCallersCannotWriteRecords(t *testing.T) {
	layout, err := TemplateAccess("\"$(user_agent)\" $(status)\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range hostile {
		r := httptest.NewRequest("GET", "/orders/7", nil)
		r.URL.Path, r.URL.RawQuery, r.Host = "/orders/"+bad, bad, bad
		r.Method = "G" + bad
		r.Header["User-Agent"] = []string{bad}
		for name, l := range map[string]AccessLayout{"json": JSONAccess(nil, []string{"user-agent"}), "text": TextAccess(nil, nil), "template": layout} {
			line := recorded(t, AccessOptions{Layout: l, Query: true}, fine, r)
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || strings.ContainsAny(line, "\r\x00\x1b\u009b\u2028\u202e\u0085") || !utf8.ValidString(line) {
				t.Errorf("%s of %q: %q", name, bad, line)
			}
			if len(line) > 40<<10 {
				t.Errorf("%s: %d bytes", name, len(line))
			}
			var got map[string]any
			if name == "json" {
				if err := json.Unmarshal([]byte(line), &got); err != nil || got["header.user-agent"] != got["user_agent"] {
					t.Errorf("%v in %q", err, line)
				}
			}
			if name == "template" && !strings.Contains(line, "\" 400\n") || name == "text" && strings.Count(line, " status=200") > strings.Count(line, `\" status=200`) {
				t.Errorf("%s of %q: %q", name, bad, line)
			}
		}
	}
}

func FuzzARecordIsOneLineOfJSON(f *testing.F) {
	for _, bad := range hostile {
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := append(appendEscaped([]byte{'"'}, s), '"')
		var got string
		if err := json.Unmarshal(b, &got); err != nil || bytes.ContainsAny(b, "\n\r") {
			t.Errorf("%v in %q", err, b)
		}
		if valid := strings.ToValidUTF8(s, "\ufffd"); len(s) <= maxAccessValue && strings.Count(got, "\ufffd") == 0 && got != valid {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestNoNameHidesACredential(t *testing.T) {
	l := NewAccessLog(AccessOptions{Query: true, Redact: []string{"PIN"}}, nil)
	for raw, want := range map[string]string{
		"a=1&token=x": "a=1&token=[redacted]", "TOKEN=x;b=2": "TOKEN=[redacted]&b=2", "%74oken=x": "%74oken=[redacted]", "+token=x": "+token=[redacted]",
		"pin=1234": "pin=[redacted]", "token": "token", "%zz=1": "%zz=1", "": "",
	} {
		if got := l.shownQuery(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
	l.query = false
	if got := l.shownQuery("a=1"); got != "" {
		t.Errorf("told without being asked: %s", got)
	}
}

func TestASampleHasAllFailures(t *testing.T) {
	one := httptest.NewRequest("GET", "/orders/7", nil)
	o := AccessOptions{Layout: TextAccess(nil, nil), Sample: 1e-12}
	if got := recorded(t, o, fine, one, one, one); got != "" {
		t.Errorf("told of %s", got)
	}
	got := recorded(t, o, func(w http.ResponseWriter, r *http.Request) {
		WriteProblem(w, r, Problem{Status: 503, Code: "unavailable"})
	}, one)
	if !strings.Contains(got, "status=503 outcome=failed") || !strings.Contains(got, "code=unavailable") {
		t.Errorf("told of %q", got)
	}
}

func TestWhatNoRouteTakesIsToldToo(t *testing.T) {
	got := recorded(t, AccessOptions{Layout: TextAccess(nil, nil)}, fine, httptest.NewRequest("GET", "/none", nil))
	if !strings.Contains(got, "path=/none protocol=HTTP/1.1 status=404 outcome=unrouted") {
		t.Errorf("told of %q", got)
	}
}

// stuck is a writer that nobody reads from, until it is let go.
type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.free
	return len(p), nil
}

func TestARequestDoesNotWaitForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stuck{make(chan struct{})}
		sink := NewLogSink(w, nil, slog.New(slog.DiscardHandler))
		registry := prometheus.NewRegistry()
		h := newTestHandler(t, Options{Metrics: newTestMetrics(t, registry), Access: NewAccessLog(AccessOptions{Layout: JSONAccess(nil, nil), Sample: 1}, sink)}, route("GET", "/a"))
		for range 100 {
			do(h, "GET", "/a")
		}
		synctest.Wait() // nothing but time can let the writer begin, and it stays stuck
		time.Sleep(time.Second)
		for range 10_000 {
			do(h, "GET", "/a")
		}
		if got := scrape(t, registry, "weir_access_log_records_total"); !strings.Contains(got, `outcome="dropped"`) || strings.Contains(got, `outcome="dropped"} 0`) {
			t.Error(got)
		}
		if room := len(sink.buffer); room > sinkRoom {
			t.Errorf("%d bytes wait", room)
		}
		sink.Close() // which gives up
		close(w.free)
	})
}

func TestTheFileMakesRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	f, err := OpenLogFile(LogFileConfig{Path: path, MaxSize: 10, Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := path + ".20260102T150405.000.gz"
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one 67890", "two 67890", "three", "four 67890", "five 67890"} {
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	names, _ := filepath.Glob(path + "*")
	for _, name := range names {
		text, _ := os.ReadFile(name)
		all = append(all, string(text))
	}
	if got := strings.Join(all, "|"); got != "five 67890||three|four 67890" && got != "five 67890|three|four 67890|" {
		t.Errorf("the files hold %s: %v", got, names)
	}
}

func TestTheFileIsBegunAnewWhenItGrowsOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenLogFile(LogFileConfig{Path: path, MaxAge: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 3 {
			if _, err := f.Write([]byte("x\n")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Minute)
		}
	})
	if names, _ := filepath.Glob(path + "*"); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
}

func TestAFileThatWasMovedIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenLogFile(LogFileConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, _ = f.Write([]byte("before"))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		_, _ = f.Write([]byte("after"))
	})
	if text, err := os.ReadFile(path); string(text) != "after" {
		t.Errorf("%q %v", text, err)
	}
}

// What is not asked for costs nothing, and what is allocates nothing.
func TestTheCostOfTheAccessLog(t *testing.T) {
	h := func(a *AccessLog) http.Handler {
		return newTestHandler(t, Options{Access: a}, Route{Method: "GET", Path: "/users/{id}", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	}
	r := httptest.NewRequest("GET", "/users/7", nil)
	w := discard{http.Header{}}
	cost := func(h http.Handler) float64 { return testing.AllocsPerRun(500, func() { h.ServeHTTP(w, r) }) }
	off := cost(h(nil))
	sink := NewLogSink(writerFunc(func(p []byte) (int, error) { return len(p), nil }), nil, slog.New(slog.DiscardHandler))
	defer sink.Close()
	sink.add(make([]byte, sinkRoom-1)) // the memory is there
	time.Sleep(2 * sinkPause)
	if on := cost(h(NewAccessLog(AccessOptions{Layout: JSONAccess(nil, nil), Sample: 1}, sink))); on > off+0.5 {
		t.Errorf("%v allocations with it, %v without", on, off)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkAccessLog(b *testing.B) {
	sink := NewLogSink(writerFunc(func(p []byte) (int, error) { return len(p), nil }), nil, slog.New(slog.DiscardHandler))
	defer sink.Close()
	h := newTestHandler(b, Options{Access: NewAccessLog(AccessOptions{Layout: JSONAccess(nil, nil), Sample: 1}, sink)},
		Route{Method: http.MethodGet, Path: "/users/{id}", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	r := httptest.NewRequest(http.MethodGet, "/users/7", nil)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
