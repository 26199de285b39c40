package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-run/weir/engine/trace"
)

var kinds = [...]uint64{trace.Internal: 1, trace.Server: 2, trace.Client: 3}

// Bits of Span.flags beside those of W3C.
const (
	knowsRemote = 1 << 8
	isRemote    = 1 << 9
)

const statusError = 2

// appendSpan appends a span as a field of ScopeSpans.
func appendSpan(b []byte, s *trace.Span) []byte {
	return within(b, item, func(b []byte) []byte {
		b = appendBytes(b, 1, s.Trace[:])
		b = appendBytes(b, 2, s.ID[:])
		b = appendText(b, 3, s.State)
		if s.Parent.Valid() {
			b = appendBytes(b, 4, s.Parent[:])
		}
		b = appendText(b, 5, s.Name)
		b = appendUint(b, 6, kinds[s.Kind])
		b = appendTime(b, 7, s.Start)
		b = appendTime(b, 8, s.Ended)
		for i := range s.Attrs {
			b = appendAttr(b, 9, &s.Attrs[i])
		}
		for i := range s.Links {
			b = appendLink(b, &s.Links[i])
		}
		if s.Failed {
			b = within(b, 15, func(b []byte) []byte {
				return appendUint(appendText(b, 2, s.Why), 3, statusError)
			})
		}
		flags := uint32(s.Flags) | knowsRemote
		if s.Remote {
			flags |= isRemote
		}
		return protowire.AppendFixed32(protowire.AppendTag(b, 16, protowire.Fixed32Type), flags)
	})
}

func appendLink(b []byte, c *trace.Context) []byte {
	return within(b, 13, func(b []byte) []byte {
		b = appendBytes(b, 1, c.TraceID[:])
		b = appendBytes(b, 2, c.SpanID[:])
		b = appendText(b, 3, c.State)
		return protowire.AppendFixed32(protowire.AppendTag(b, 6, protowire.Fixed32Type), uint32(c.Flags))
	})
}

// What a record is, by SeverityNumber.
const (
	severityInfo  = 9
	severityError = 17
)

// appendRecord appends a record as a field of ScopeLogs.
func appendRecord(b []byte, r *trace.Record) []byte {
	return within(b, item, func(b []byte) []byte {
		b = appendTime(b, 1, r.At)
		severity, word := uint64(severityInfo), "INFO"
		if r.Failed {
			severity, word = severityError, "ERROR"
		}
		b = appendText(appendUint(b, 2, severity), 3, word)
		if r.Body != "" {
			b = within(b, 5, func(b []byte) []byte { return appendValue(b, r.Body) })
		}
		for i := range r.Attrs {
			b = appendAttr(b, 6, &r.Attrs[i])
		}
		if r.Context.TraceID.Valid() {
			b = protowire.AppendFixed32(protowire.AppendTag(b, 8, protowire.Fixed32Type), uint32(r.Context.Flags))
			b = appendBytes(b, 9, r.Context.TraceID[:])
			if r.Context.SpanID.Valid() {
				b = appendBytes(b, 10, r.Context.SpanID[:])
			}
		}
		b = appendTime(b, 11, r.At)
		return appendText(b, 12, r.Event)
	})
}
