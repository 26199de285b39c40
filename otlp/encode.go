package otlp

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-run/weir/engine/trace"
)

// The messages are written by hand: there are few of them, and their fields have
// numbers that never change (opentelemetry-proto, stable since 1.0). The tests
// read them with the generated ones.

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

func appendFixed(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), n)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return appendFixed(b, field, math.Float64bits(v))
}

func appendTime(b []byte, field protowire.Number, at time.Time) []byte {
	return appendFixed(b, field, uint64(at.UnixNano()))
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
			return appendValue(b, a.Text)
		})
	})
}

// appendValue appends a text as the field of AnyValue: an empty one is a value, too.
func appendValue(b []byte, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), clean(text))
}

// item is the field of what a scope has: ScopeSpans, ScopeMetrics and ScopeLogs
// have all their fields in common.
const item = 2

// request is an ExportTraceServiceRequest, or that of another signal: who sends
// it, and items that are written already.
func request(resource []trace.Attr, version string, items []byte) []byte {
	var who, scope []byte
	for i := range resource {
		who = appendAttr(who, 1, &resource[i])
	}
	scope = appendText(appendText(nil, 1, "github.com/weir-run/weir"), 2, version)
	// The items are copied once, into a message whose length is known.
	head := appendBytes(nil, 1, scope)
	body := appendBytes(nil, 1, who)
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	body = protowire.AppendVarint(body, uint64(len(head)+len(items)))
	out := make([]byte, 0, len(body)+len(head)+len(items)+16)
	out = protowire.AppendTag(out, 1, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(len(body)+len(head)+len(items)))
	return append(append(append(out, body...), head...), items...)
}

// rejected reads an ExportTraceServiceResponse, or that of another signal: how
// many items were not taken, and why. What is not one says nothing.
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
