package lsp

import (
	"context"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// The kinds of code actions.
const (
	quickFix = "quickfix"
	fixAll   = "source.fixAll"
)

func (s *server) formatting(_ context.Context, p *documentParams) ([]edit, error) {
	s.mu.Lock()
	d, encoding := s.find(p.TextDocument.URI), s.encoding
	s.mu.Unlock()
	if d == nil {
		return nil, nil
	}
	var faults dsl.Diagnostics
	formatted, ok := dsl.Format(dsl.NewSource(d.key(), d.string), s.Grammar, &faults)
	if !ok {
		return nil, failed("a file with faults of syntax is left as it is")
	}
	return difference(d.text, formatted, encoding), nil
}

// codeActions are the fixes of what is wrong in a range, and all that can be made
// unasked.
func (s *server) codeActions(_ context.Context, p *codeActionParams) ([]codeAction, error) {
	all := []codeAction{}
	at, ok := s.spot(&cursorParams{TextDocument: p.TextDocument, Position: p.Range.Start})
	if !ok || at.program == nil {
		return all, nil
	}
	found, open := s.findings(at.program)
	if found.err != nil {
		return all, nil
	}
	at.open = open
	end := at.text.offset(p.Range.End, open.encoding)
	asked := func(kind string) bool { // for it, or for a kind that it is one of
		return slices.ContainsFunc(p.Context.Only, func(only string) bool { return kind == only || strings.HasPrefix(kind, only+".") })
	}
	texts := &texts{encoding: open.encoding}
	var own []dsl.Diagnostic
	for _, d := range found.faults {
		if !d.Span.Valid() || d.Span.Source.Name != at.path {
			continue
		}
		own = append(own, d)
		if d.Span.Start > end || d.Span.End < at.offset || len(p.Context.Only) > 0 && !asked(quickFix) {
			continue
		}
		for _, fix := range d.Fixes {
			all = append(all, codeAction{Title: fix.Title, Kind: quickFix, Preferred: fix.Certain, Edit: *at.changes(fix.Edits),
				Diagnostics: []diagnostic{diagnosticOf(d, texts, open)}})
		}
	}
	if !asked(fixAll) {
		return all, nil // nobody looks for it among what is wrong at one place
	}
	fixed := dsl.Fixing(own, func(src *dsl.Source) bool { return src.Name == at.path })
	if len(fixed.Edits) > 0 {
		all = append(all, codeAction{Title: "make all fixes that are certain", Kind: fixAll, Edit: *at.changes(fixed.Edits)})
	}
	return all, nil
}
