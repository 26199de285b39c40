package trace

import (
	"encoding/hex"
	"net/http"
	"strings"
	"unsafe"
)

// B3 is the propagation of Zipkin (https://github.com/openzipkin/b3-propagation),
// in one field or in several. What comes is read in both forms, the single field
// first, as OpenTelemetry has it; what goes out is in those that are configured.
// The parent of the caller's span is read over: everybody has the spans for that.
const (
	headerB3        = "B3"
	headerB3Trace   = "X-B3-Traceid"
	headerB3Span    = "X-B3-Spanid"
	headerB3Parent  = "X-B3-Parentspanid"
	headerB3Sampled = "X-B3-Sampled"
	headerB3Flags   = "X-B3-Flags"
)

var b3Headers = [...]string{headerB3, headerB3Trace, headerB3Span, headerB3Parent, headerB3Sampled, headerB3Flags}

// decision is what a caller has decided of recording.
type decision byte

const (
	undecided decision = iota // it leaves that to us
	deny
	accept
	debug // accept, and everybody else should, too
)

// letter is how B3 writes it.
func (d decision) letter() byte { return "?01d"[d] }

// parseB3 reads what a request carries. A decision can come without a place in a
// trace, which is then not valid. It is not ok if there is nothing, or something
// that is not valid.
func parseB3(h http.Header) (c Context, d decision, ok bool) {
	if values := h[headerB3]; len(values) > 0 {
		if len(values) > 1 {
			return c, undecided, false
		}
		return parseB3Single(strings.Trim(values[0], " \t"))
	}
	return parseB3Multi(h)
}

func carriesB3(h http.Header) bool {
	return len(h[headerB3]) > 0 || len(h[headerB3Trace]) > 0 || len(h[headerB3Sampled]) > 0 || len(h[headerB3Flags]) > 0
}

// parseB3Single reads TRACEID-SPANID-DECISION-PARENT, of which the last two may
// be left out, or a decision alone.
func parseB3Single(v string) (c Context, d decision, ok bool) {
	if len(v) == 1 {
		d, ok = decisionOf(v)
		return c, d, ok
	}
	id, rest, _ := strings.Cut(v, "-")
	span, rest, more := strings.Cut(rest, "-")
	if !c.place(id, span) {
		return Context{}, undecided, false
	}
	if !more {
		return c, undecided, true
	}
	letter, parent, more := strings.Cut(rest, "-")
	var of SpanID
	if d, ok = decisionOf(letter); !ok || more && (len(parent) != 2*len(of) || !decode(of[:], parent)) {
		return Context{}, undecided, false
	}
	return c.decided(d), d, true
}

func parseB3Multi(h http.Header) (c Context, d decision, ok bool) {
	one := func(name string) string {
		if values := h[name]; len(values) == 1 {
			return strings.Trim(values[0], " \t")
		}
		return ""
	}
	if one(headerB3Flags) == "1" {
		d = debug // the field of the decision is redundant then
	} else if text := one(headerB3Sampled); text != "" {
		switch strings.ToLower(text) {
		case "true": // of old senders
			text = "1"
		case "false":
			text = "0"
		}
		if d, ok = decisionOf(text); !ok || d == debug {
			return c, undecided, false
		}
	}
	if len(h[headerB3Trace]) == 0 && len(h[headerB3Span]) == 0 {
		return c, d, d != undecided
	}
	if !c.place(one(headerB3Trace), one(headerB3Span)) {
		return Context{}, undecided, false
	}
	return c.decided(d), d, true
}

func decisionOf(letter string) (d decision, ok bool) {
	switch letter {
	case "0":
		return deny, true
	case "1":
		return accept, true
	case "d":
		return debug, true
	}
	return undecided, false
}

func (c Context) decided(d decision) Context {
	if d >= accept {
		c.Flags |= Sampled
	}
	return c
}

// place reads ids. One of a trace that has 64 bits has zeros before them.
func (c *Context) place(id, span string) bool {
	to := c.TraceID[:]
	if len(id) == 16 {
		to = to[8:]
	}
	return len(id) == 2*len(to) && len(span) == 2*len(c.SpanID) && decode(to, id) && decode(c.SpanID[:], span) && c.TraceID.Valid() && c.SpanID.Valid()
}

// b3Fields are the fields of B3 in one piece of memory.
type b3Fields struct {
	values [4][1]string // b3, trace, span, decision
	text   [32 + 1 + 16 + 1 + 1]byte
}

func (f *b3Fields) set(t TraceID, s SpanID, d decision) {
	b := hex.AppendEncode(f.text[:0], t[:])
	b = hex.AppendEncode(append(b, '-'), s[:])
	b = append(b, '-', d.letter())
	all := unsafe.String(&b[0], len(b)) // nobody writes to it again
	f.values = [4][1]string{{all}, {all[:32]}, {all[33:49]}, {all[50:]}}
}

// inject sets the fields in the forms of p, and takes away what came in others.
func (f *b3Fields) inject(h http.Header, p Propagation) {
	for _, name := range b3Headers {
		delete(h, name)
	}
	if p.B3 {
		h[headerB3] = f.values[0][:]
	}
	if !p.B3Multi {
		return
	}
	h[headerB3Trace], h[headerB3Span] = f.values[1][:], f.values[2][:]
	if letter := f.values[3][0]; letter == "d" {
		h[headerB3Flags] = b3Debug
	} else {
		h[headerB3Sampled] = f.values[3][:]
	}
}

var b3Debug = []string{"1"}

// passB3 is what goes on of a request whose trace nobody takes part in here: the
// fields as they came, if they are valid.
func (t *Trace) passB3(h http.Header) {
	c, _, ok := parseB3(h)
	if !ok {
		return
	}
	if !t.context.TraceID.Valid() {
		t.context = c
	}
	t.passed = http.Header{}
	for _, name := range b3Headers {
		if values := h[name]; size(values) <= maxParent && len(values) > 0 {
			t.passed[name] = values
		}
	}
}
