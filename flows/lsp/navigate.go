package lsp

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

// meanings is what the names in the files of a program mean. Documents that
// cannot be read are read without the lines that are to blame.
func (s *server) meanings(p *program) *index {
	found, open := s.findings(p)
	if found.err != nil {
		return newIndex()
	}
	if found.sound {
		return found.index
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if found.repaired != nil {
		return found.repaired
	}
	found.repaired = found.index
	for _, src := range found.files.Sources {
		if text := repaired(src.Text); text != src.Text {
			open.texts[src.Name] = text
			found.repaired = nil
		}
	}
	if found.repaired == nil {
		found.repaired = newIndex()
		if files, err := flows.LoadUnsaved(p.paths, open.texts); err == nil {
			s.look(files, found.repaired)
		}
	}
	return found.repaired
}

// spot is a place that a request is about.
type spot struct {
	*document
	program *program
	offset  int
	open    unsaved
}

// spot finds the place of a request. ok is false if its document is not open.
func (s *server) spot(p *cursorParams) (at spot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.find(p.TextDocument.URI)
	if d == nil {
		return spot{}, false
	}
	at = spot{document: d, offset: d.offset(p.Position, s.encoding), open: s.unsaved()}
	if d.path != "" {
		at.program = s.programOf(d.path)
	}
	return at, true
}

func (s *server) definition(_ context.Context, p *cursorParams) ([]location, error) {
	at, ok := s.spot(p)
	if !ok || at.program == nil {
		return nil, nil
	}
	if to, ok := s.referredTo(at); ok {
		return []location{to}, nil
	}
	if o, ok := s.meanings(at.program).at(at.path, at.offset); ok && o.symbol.at.Valid() {
		return at.locations(o.symbol.at), nil
	}
	return nil, nil
}

func (at *spot) locations(spans ...dsl.Span) (all []location) {
	texts := &texts{encoding: at.open.encoding}
	for _, s := range spans {
		all = append(all, location{at.open.uri(s.Source.Name), texts.span(s)})
	}
	return all
}

func (s *server) references(_ context.Context, p *referenceParams) ([]location, error) {
	at, ok := s.spot(&p.cursorParams)
	if !ok || at.program == nil {
		return nil, nil
	}
	o, ok := s.meanings(at.program).at(at.path, at.offset)
	if !ok {
		return nil, nil
	}
	return at.locations(o.symbol.places(p.Context.IncludeDeclaration)...), nil
}

// places are where a symbol is named, in order.
func (x *symbol) places(definition bool) []dsl.Span {
	all := slices.Clone(x.uses)
	if definition && x.at.Valid() {
		all = append(all, x.at)
	}
	slices.SortFunc(all, func(a, b dsl.Span) int {
		if c := strings.Compare(a.Source.Name, b.Source.Name); c != 0 {
			return c
		}
		return a.Start - b.Start
	})
	return all
}

// referredTo finds what a reference to a file leads to: $ref, with a place in the
// file, openapi or imports.
func (s *server) referredTo(at spot) (to location, ok bool) {
	from, end := documentAt(at.text, at.offset)
	root, place := sketch(at.text, from, end, at.offset)
	if place.role != atValue && place.role != atStart || place.entry == nil {
		return to, false
	}
	key, v := place.entry.key, place.entry.value
	if list := place.entry.in.of; list != nil && place.entry.in.kind == dsl.List {
		key = list.key
	}
	if !slices.Contains([]string{"$ref", "openapi", "imports"}, key) {
		return to, false
	}
	file, pointer, _ := strings.Cut(strings.Trim(at.string[v.start:v.end], `"'`), "#")
	if file == "" {
		n := pointed(root, pointer)
		for e := place.entry; n == nil && e != nil; e = e.in.of { // in a flow file a schema is a document of its own
			n = pointed(e.in, pointer)
		}
		if n == nil || n.of == nil {
			return to, false
		}
		return location{at.uri, at.text.span(n.of.from, n.of.to, at.open.encoding)}, true
	}
	path := filepath.Join(filepath.Dir(at.path), filepath.FromSlash(file))
	found, _ := s.findings(at.program)
	if found.err != nil {
		return to, false
	}
	for _, src := range slices.Concat(found.files.Documents, found.files.Sources) {
		if src.Name != path {
			continue
		}
		t := newText(src.Text)
		to = location{URI: at.open.uri(path)}
		if root, _ := sketch(t, 0, len(src.Text), -1); pointer != "" {
			if n := pointed(root, pointer); n != nil && n.of != nil {
				to.Range = t.span(n.of.from, n.of.to, at.open.encoding)
			}
		}
		return to, true
	}
	return to, false
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// pointed is what a JSON pointer (RFC 6901) leads to, or nil.
func pointed(n *node, pointer string) *node {
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		token = unescape.Replace(token)
		if i, err := strconv.Atoi(token); n.kind == dsl.List && err == nil && 0 <= i && i < len(n.entries) {
			n = n.entries[i].value
		} else if n = n.field(token); n == nil {
			return nil
		}
	}
	return n
}

// renamable are the nouns of what can be renamed.
func renamable(noun string) bool {
	return slices.Contains([]string{"step", "variable", "flow", "template", "service", "gateway"}, noun)
}

func (s *server) prepareRename(_ context.Context, p *cursorParams) (*renamed, error) {
	at, ok := s.spot(p)
	if !ok || at.program == nil {
		return nil, nil
	}
	o, ok := s.meanings(at.program).at(at.path, at.offset)
	if !ok || !renamable(o.symbol.noun) {
		return nil, nil
	}
	return &renamed{at.locations(o.Span)[0].Range, o.symbol.name}, nil
}

// rename renames a thing wherever it is named. It is done only if it is known to
// be right: the program has no error before and none behind it, and every name
// means behind it what it meant before.
func (s *server) rename(_ context.Context, p *renameParams) (*workspaceEdit, error) {
	at, ok := s.spot(&p.cursorParams)
	if !ok || at.program == nil {
		return nil, failed("this file is of no program")
	}
	found, _ := s.findings(at.program)
	if found.err != nil || !found.sound {
		return nil, failed("the program has errors: what is named where is not certain")
	}
	o, ok := found.index.at(at.path, at.offset)
	if !ok || !renamable(o.symbol.noun) {
		return nil, failed("this cannot be renamed")
	}
	if ok, _ := regexp.MatchString(`^[A-Za-z_][A-Za-z0-9_.-]*$`, p.NewName); !ok {
		return nil, failed("%q is no name: use letters, digits, - and _", p.NewName)
	}
	var edits []dsl.Edit
	for _, place := range o.symbol.places(true) {
		edits = append(edits, dsl.Edit{Span: place, New: p.NewName})
	}
	index := newIndex()
	faults, sound := s.look(found.files.Edit(edits), index)
	if !sound {
		for _, d := range faults {
			if d.Severity == dsl.Error {
				return nil, failed("with the name %s: %s: %s", p.NewName, d.Span, d.Message)
			}
		}
	}
	if !slices.Equal(index.census(), found.index.census()) {
		return nil, failed("with the name %s something else would be meant", p.NewName)
	}
	return at.changes(edits), nil
}

// changes are edits as the client makes them.
func (at *spot) changes(edits []dsl.Edit) *workspaceEdit {
	texts := &texts{encoding: at.open.encoding}
	all := map[uri][]edit{}
	for _, e := range edits {
		u := at.open.uri(e.Span.Source.Name)
		all[u] = append(all[u], edit{texts.span(e.Span), e.New})
	}
	return &workspaceEdit{all}
}
