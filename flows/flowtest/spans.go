package flowtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/engine/trace"
)

// Spans keep what a tracer records.
type Spans struct {
	mu  sync.Mutex
	all []trace.Span
}

// Export is what trace.Sink asks for.
func (s *Spans) Export(span *trace.Span) {
	kept := *span
	kept.Attrs, kept.Links = slices.Clone(span.Attrs), slices.Clone(span.Links)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, kept)
}

// All are the spans, in the order in which they ended.
func (s *Spans) All() []trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// Tree writes each span in a line: its name, how long it took, those of its
// attributes that are named, and what it failed with. What is within another
// stands below it.
func (s *Spans) Tree(keys ...string) string {
	all := s.All()
	slices.SortStableFunc(all, func(a, b trace.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Name, b.Name))
	})
	known := map[trace.SpanID]bool{}
	for i := range all {
		known[all[i].ID] = true
	}
	var b strings.Builder
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		for i := range all {
			span := &all[i]
			if span.Parent != parent && (parent.Valid() || known[span.Parent]) {
				continue
			}
			fmt.Fprintf(&b, "%s%s %v", indent, span.Name, span.Ended.Sub(span.Start))
			for _, key := range keys {
				for _, a := range span.Attrs {
					if a.Key != key {
						continue
					}
					if a.Type == trace.Text {
						fmt.Fprintf(&b, " %s=%s", key[strings.LastIndexByte(key, '.')+1:], a.Text)
					} else {
						fmt.Fprintf(&b, " %s=%d", key[strings.LastIndexByte(key, '.')+1:], a.Number)
					}
				}
			}
			if span.Failed {
				fmt.Fprintf(&b, " FAILED %s", span.Why)
			}
			b.WriteString("\n")
			write(span.ID, indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return b.String()
}
