package otlp

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-run/weir/engine/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The messages are written by hand: there are eight of them, and their fields
// have numbers that never change (opentelemetry-proto, stable since 1.0). The
// tests read them with the generated ones.

// appendBytes appends a field of length-delimited content.
func appendBytes(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

// appendText appends a string field; an empty one is not there.
func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), clean(text))
}

func appendUint(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendTime(b []byte, field protowire.Number, at time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(at.UnixNano()))
}

// within appends a field whose content is a message that fn appends. Its length
// is known only then: a byte is left for it, which is enough for most.
func within(b []byte, field protowire.Number, fn func(b []byte) []byte) []byte {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), 0)
	start := len(b)
	b = fn(b)
	length := len(b) - start
	if more := protowire.SizeVarint(uint64(length)) - 1; more > 0 {
		b = append(b, make([]byte, more)...)
		copy(b[start+more:], b[start:start+length])
	}
	protowire.AppendVarint(b[:start-1], uint64(length))
	return b
}

// maxText bounds a text, in bytes: paths and errors can be as long as a caller
// likes.
const maxText = 2048

// clean makes a text one that protobuf takes.
func clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return text
}

var kinds = [...]uint64{trace.Internal: 1, trace.Server: 2, trace.Client: 3}

// Bits of Span.flags beside those of W3C.
const (
	knowsRemote = 1 << 8
	isRemote    = 1 << 9
)

const statusError = 2

// appendSpan appends a span as a field of ScopeSpans.
func appendSpan(b []byte, s *trace.Span) []byte {
	return within(b, 2, func(b []byte) []byte {
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

func appendAttr(b []byte, field protowire.Number, a *trace.Attr) []byte {
	return within(b, field, func(b []byte) []byte {
		b = appendText(b, 1, a.Key)
		return within(b, 2, func(b []byte) []byte {
			switch a.Type {
			case trace.Int:
				return appendUint(b, 3, uint64(a.Number))
			case trace.Bool:
				return appendUint(b, 2, uint64(a.Number))
			}
			return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), clean(a.Text)) // empty is a value, too
		})
	})
}

// request is an ExportTraceServiceRequest: who sends it, and spans that
// appendSpan has written.
func request(resource []trace.Attr, version string, spans []byte) []byte {
	var who, scope []byte
	for i := range resource {
		who = appendAttr(who, 1, &resource[i])
	}
	scope = appendText(appendText(nil, 1, "github.com/weir-run/weir"), 2, version)
	// The spans are copied once, into a message whose length is known.
	head := appendBytes(nil, 1, scope)
	body := appendBytes(nil, 1, who)
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	body = protowire.AppendVarint(body, uint64(len(head)+len(spans)))
	out := make([]byte, 0, len(body)+len(head)+len(spans)+16)
	out = protowire.AppendTag(out, 1, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(len(body)+len(head)+len(spans)))
	return append(append(append(out, body...), head...), spans...)
}

// rejected reads an ExportTraceServiceResponse: how many spans were not taken,
// and why. What is not one says nothing.
func rejected(answer []byte) (n int64, why string) {
	partial, ok := field(answer, 1)
	if !ok {
		return 0, ""
	}
	for len(partial) > 0 {
		number, typ, size := protowire.ConsumeTag(partial)
		if size < 0 {
			break
		}
		partial = partial[size:]
		switch {
		case number == 1 && typ == protowire.VarintType:
			v, size := protowire.ConsumeVarint(partial)
			if size < 0 {
				return n, why
			}
			n, partial = int64(v), partial[size:]
		case number == 2 && typ == protowire.BytesType:
			v, size := protowire.ConsumeString(partial)
			if size < 0 {
				return n, why
			}
			why, partial = v, partial[size:]
		default:
			if size = protowire.ConsumeFieldValue(number, typ, partial); size < 0 {
				return n, why
			}
			partial = partial[size:]
		}
	}
	return n, why
}

// field finds a length-delimited field.
func field(message []byte, want protowire.Number) ([]byte, bool) {
	for len(message) > 0 {
		number, typ, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, false
		}
		message = message[size:]
		if size = protowire.ConsumeFieldValue(number, typ, message); size < 0 {
			return nil, false
		}
		if number == want && typ == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(message)
			return content, true
		}
		message = message[size:]
	}
	return nil, false
}
