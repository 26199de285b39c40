// Package trace is what makes the work for one request a trace: the context that
// comes with a request and goes on with each call (W3C Trace Context, levels 1
// and 2, and W3C Baggage), and the spans that tell what was done meanwhile.
//
// It knows nothing of what it traces, so that whatever takes part in a request
// can use it, and nothing of how spans leave the process: that is a [Sink].
//
// The propagators of OpenTelemetry for Go are not used: they take the first of
// several traceparent fields, where the specification has the trace restarted;
// take the first tracestate field, where it has all of them combined; and drop
// the random flag of level 2.
package trace

import (
	"encoding/hex"
	"strings"
)

// TraceID is that of a whole trace. All zero is none.
type TraceID [16]byte

// SpanID is that of one piece of work in a trace. All zero is none.
type SpanID [8]byte

// String is the id in lower-case hexadecimal digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// String is the id in lower-case hexadecimal digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// Valid reports whether there is an id.
func (t TraceID) Valid() bool { return t != TraceID{} }

// Valid reports whether there is an id.
func (s SpanID) Valid() bool { return s != SpanID{} }

// The flags of a [Context]. All others are sent as zero.
const (
	// Sampled says that the caller may have recorded its part of the trace.
	Sampled = 1 << iota
	// Random says that the last seven bytes of the trace's id are random, so that
	// samplers may decide by them (level 2).
	Random
)

// Context is a place in a trace, as requests carry it.
type Context struct {
	TraceID TraceID
	SpanID  SpanID
	Flags   byte
	State   string // tracestate: valid, and within the limits
}

// Names of header fields, as http.Header has them.
const (
	headerParent  = "Traceparent"
	headerState   = "Tracestate"
	headerBaggage = "Baggage"
)

// The form of version 00: 00-TRACEID-SPANID-FLAGS. What a later version adds
// stands behind it.
const (
	parentLength = 55
	traceAt      = 3
	spanAt       = 36
	flagsAt      = 53
	// maxParent is more than any version that is to come needs.
	maxParent = 512
)

// ParseParent reads the values of a request's traceparent fields. It is not ok if
// there are none, several, or one that is not valid: then the trace begins anew.
func ParseParent(values []string) (c Context, ok bool) {
	if len(values) != 1 {
		return c, false
	}
	v := strings.Trim(values[0], " \t")
	if !hasVersion(v) || len(v) < parentLength || len(v) > maxParent {
		return c, false
	}
	later := v[:2] != "00"
	if len(v) > parentLength && (!later || v[parentLength] != '-') || v[spanAt-1] != '-' || v[flagsAt-1] != '-' {
		return c, false
	}
	var flags [1]byte
	if !decode(c.TraceID[:], v[traceAt:spanAt-1]) || !decode(c.SpanID[:], v[spanAt:flagsAt-1]) || !decode(flags[:], v[flagsAt:parentLength]) {
		return Context{}, false
	}
	if !c.TraceID.Valid() || !c.SpanID.Valid() {
		return Context{}, false
	}
	c.Flags = flags[0] & (Sampled | Random)
	return c, true
}

// hasVersion reports whether v begins with a version that is not forbidden.
func hasVersion(v string) bool {
	var version [1]byte
	return len(v) > 2 && v[2] == '-' && decode(version[:], v[:2]) && version[0] != 0xff
}

// decode reads lower-case hexadecimal digits, two for each byte of dst.
func decode(dst []byte, digits string) bool {
	for i := range dst {
		high, low := digit(digits[2*i]), digit(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// appendParent writes a traceparent field of version 00.
func appendParent(b []byte, t TraceID, s SpanID, flags byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, s[:])
	b = append(b, '-')
	return hex.AppendEncode(b, []byte{flags & (Sampled | Random)})
}
