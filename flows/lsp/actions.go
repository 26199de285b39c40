package lsp

import (
	"bufio"
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
	at, ok := s.spot(&cursorParams{TextDocument: p.TextDocument})
	if !ok || !s.flowFile(at) {
		return nil, nil // a client that formats all YAML when it is saved must not change that of other tools
	}
	var faults dsl.Diagnostics
	formatted, ok := dsl.Format(dsl.NewSource(at.key(), at.string), s.Grammar, &faults)
	if !ok {
		return nil, failed("a file with faults of syntax is left as it is")
	}
	return difference(at.text, formatted, at.open.encoding), nil
}

// flowFile reports whether a document is one that weir fmt would look at.
func (s *server) flowFile(at spot) bool {
	if at.program == nil {
		return hasFlow(bufio.NewScanner(strings.NewReader(at.string)))
	}
	found, _ := s.findings(at.program)
	return found.err == nil && slices.ContainsFunc(found.files.Sources, func(src *dsl.Source) bool { return src.Name == at.path })
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
