package otlp

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	records "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weir-run/weir/engine/trace"
)

func TestRecordsAreMessagesOfOTLP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []*records.LogRecord
		l := NewLogs(Config{Endpoint: "http://c/v1/logs", Plain: true, Transport: transport(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			var message collector.ExportLogsServiceRequest
			if err = errors.Join(err, proto.Unmarshal(body, &message)); err != nil {
				t.Error(err)
			}
			if again, err := proto.Marshal(&message); err != nil || len(again) != len(body) {
				t.Errorf("%v, %d bytes are %d", err, len(body), len(again))
			}
			got = append(got, message.ResourceLogs[0].ScopeLogs[0].LogRecords...)
			return status(200, ""), nil
		})})
		at := time.Unix(1_700_000_000, 5)
		id := trace.Context{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Flags: 1}
		full := &trace.Record{At: at, Event: "weir.access", Failed: true, Body: "it broke", Context: id,
			Attrs: []trace.Attr{{Key: "url.path", Text: "/x\xff"}, {Key: "http.response.status_code", Type: trace.Int, Number: 502}}}
		if !l.Record(full) || !l.Record(&trace.Record{At: at, Event: "weir.usage"}) {
			t.Error("there is room")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 2 {
			t.Fatalf("%v", got)
		}
		r := got[0]
		if r.TimeUnixNano != 1_700_000_000_000_000_005 || r.ObservedTimeUnixNano != r.TimeUnixNano || r.SeverityNumber != records.SeverityNumber_SEVERITY_NUMBER_ERROR || r.SeverityText != "ERROR" ||
			r.Body.GetStringValue() != "it broke" || r.EventName != "weir.access" || string(r.TraceId) != string(id.TraceID[:]) || string(r.SpanId) != string(id.SpanID[:]) || r.Flags != 1 ||
			r.Attributes[0].Value.GetStringValue() != "/x\uFFFD" || r.Attributes[1].Value.GetIntValue() != 502 {
			t.Errorf("%v", r)
		}
		if r := got[1]; r.SeverityNumber != records.SeverityNumber_SEVERITY_NUMBER_INFO || r.Body != nil || r.TraceId != nil || r.EventName != "weir.usage" {
			t.Errorf("%v", r)
		}
		shut(t, l)
		if l.Record(full) || l.Stats() != (Stats{Sent: 2, Dropped: 1}) {
			t.Errorf("%+v", l.Stats())
		}
	})
}
