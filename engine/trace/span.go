package trace

import (
	"context"
	"sync"
	"time"
)

// Kind is what a span stands for in a call.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = iota
	Server        // answering a request
	Client        // making one
)

// Span is one piece of work. It is written to by one goroutine, from its start to
// [Span.End], and not touched after that. A nil one can be told everything and
// keeps nothing.
type Span struct {
	Trace  TraceID
	ID     SpanID
	Parent SpanID // none: the trace begins with it
	Root   SpanID // the request's own
	Remote bool   // the parent is in another process
	Flags  byte
	State  string

	Name   string
	Kind   Kind
	Start  time.Time
	Ended  time.Time
	Attrs  []Attr
	Links  []Context
	Failed bool
	Why    string // it failed, in words

	tracer *Tracer
}

// Attr is something told of a span: a text, or else a number, or a truth.
type Attr struct {
	Key    string
	Type   AttrType
	Text   string
	Number int64 // of a Bool 0 or 1
}

// AttrType says what an [Attr] holds.
type AttrType uint8

// The types of attributes.
const (
	Text AttrType = iota
	Int
	Bool
)

var spans = sync.Pool{New: func() any { return new(Span) }}

func (t *Trace) span(id, parent SpanID, at time.Time) *Span {
	s := spans.Get().(*Span)
	s.Trace, s.ID, s.Parent, s.Flags, s.State = t.context.TraceID, id, parent, t.context.Flags, t.context.State
	s.Start, s.Root, s.tracer = at, t.context.SpanID, t.tracer
	return s
}

// Set tells a text of the span. An empty one is not told.
func (s *Span) Set(key, text string) {
	if s != nil && text != "" {
		s.Attrs = append(s.Attrs, Attr{Key: key, Text: s.redacted(text)})
	}
}

// SetInt tells a number.
func (s *Span) SetInt(key string, n int64) {
	if s != nil {
		s.Attrs = append(s.Attrs, Attr{Key: key, Type: Int, Number: n})
	}
}

// SetTrue tells that something holds.
func (s *Span) SetTrue(key string) {
	if s != nil {
		s.Attrs = append(s.Attrs, Attr{Key: key, Type: Bool, Number: 1})
	}
}

// Fail says that the work failed: kind is one of few words, why a sentence.
func (s *Span) Fail(kind, why string) {
	if s == nil {
		return
	}
	s.Set("error.type", kind)
	s.Failed, s.Why = true, s.redacted(why)
}

func (s *Span) redacted(text string) string {
	if s.tracer.Redact == nil {
		return text
	}
	return s.tracer.Redact(text)
}

// End ends the span and gives it away.
func (s *Span) End(at time.Time) {
	if s == nil {
		return
	}
	s.Ended = at
	s.tracer.Sink.Export(s)
	clear(s.Attrs)
	clear(s.Links)
	*s = Span{Attrs: s.Attrs[:0], Links: s.Links[:0]}
	spans.Put(s)
}

// inside is a context of the work that a span stands for.
type inside struct {
	context.Context
	id SpanID
}

type insideKey struct{}

func (c *inside) Value(key any) any {
	if key == (insideKey{}) {
		return &c.id
	}
	return c.Context.Value(key)
}

// watched is a context that can be watched in cheaper ways than by waiting for its
// end, which package mesh/h1 asks for: that of a request at a gateway. A span must
// not hide them: it takes nothing away from the context.
type watched interface {
	context.Context
	AfterFunc(f func()) (stop func() bool)
	AfterCancel(f func()) (stop func() bool)
	Unwatched() time.Duration
	ErrAt(now time.Time) error
}

// insideWatched is inside of such a context.
type insideWatched struct {
	watched
	id SpanID
}

func (c *insideWatched) Value(key any) any {
	if key == (insideKey{}) {
		return &c.id
	}
	return c.watched.Value(key)
}

// Within gives a context in which spans begin within s; ctx itself if s is nil.
func Within(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	if w, ok := ctx.(watched); ok {
		return &insideWatched{w, s.ID}
	}
	return &inside{ctx, s.ID}
}

// Continue gives ctx, of work that goes on without the request, the span that
// from belongs to.
func Continue(ctx, from context.Context) context.Context {
	if id, ok := from.Value(insideKey{}).(*SpanID); ok {
		return &inside{ctx, *id}
	}
	return ctx
}

// current is the span that ctx belongs to: the request's own, if there is no
// nearer one.
func (t *Trace) current(ctx context.Context) SpanID {
	if id, ok := ctx.Value(insideKey{}).(*SpanID); ok {
		return *id
	}
	return t.context.SpanID
}
