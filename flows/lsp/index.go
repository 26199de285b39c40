package lsp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/weir-run/weir/dsl"
)

// index is what a check says that names mean. It is built by the check and read
// when that is over.
type index struct {
	mu      sync.Mutex
	defined []definition
	used    []use

	once    sync.Once
	symbols map[string]*symbol
	places  map[string][]occurrence // by file, sorted
}

type definition struct {
	noun string
	name dsl.String
}

type use struct {
	noun string
	name dsl.String
	of   dsl.Span
}

// symbol is one thing that has a name. Occurrences are in no order.
type symbol struct {
	noun, name string
	at         dsl.Span // where it is defined; not valid if nowhere
	uses       []dsl.Span
}

// occurrence is one place that names a symbol.
type occurrence struct {
	dsl.Span
	symbol *symbol
}

func newIndex() *index { return &index{} }

// Define is what dsl.Index asks for.
func (x *index) Define(noun string, name dsl.String) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.defined = append(x.defined, definition{noun, name})
}

// Use is what dsl.Index asks for.
func (x *index) Use(noun string, name dsl.String, of dsl.Span) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = append(x.used, use{noun, name, of})
}

// Expression is what dsl.Index asks for.
func (x *index) Expression(dsl.Span, dsl.Scope) {}

// unquoted is the place of a text without the quotes around it.
func unquoted(at dsl.Span) dsl.Span {
	if text := at.Text(); len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		at.Start++
		at.End--
	}
	return at
}

// place names a place, and thing a thing of the program.
func placeKey(at dsl.Span) string       { return fmt.Sprint(at.Source.Name, "\x00", at.Start) }
func thingKey(noun, name string) string { return noun + "\x00\x00" + name }

// build puts together what the check has told one by one. A check may tell the
// same twice.
func (x *index) build() {
	x.symbols, x.places = map[string]*symbol{}, map[string][]occurrence{}
	seen := map[string]bool{}
	occur := func(at dsl.Span, s *symbol) bool {
		if !at.Valid() || at.Text() != s.name {
			return false // such as a name with escapes in it
		}
		key := placeKey(at)
		if seen[key] {
			return false
		}
		seen[key] = true
		x.places[at.Source.Name] = append(x.places[at.Source.Name], occurrence{at, s})
		return true
	}
	for _, d := range x.defined {
		at := unquoted(d.name.Span)
		s := &symbol{noun: d.noun, name: d.name.Value, at: at}
		if !occur(at, s) {
			continue
		}
		x.symbols[placeKey(d.name.Span)] = s
		if key := thingKey(d.noun, d.name.Value); x.symbols[key] == nil {
			x.symbols[key] = s // of two of one name, the first
		}
	}
	for _, u := range x.used {
		key := thingKey(u.noun, u.name.Value)
		if u.of.Valid() {
			key = placeKey(u.of)
		}
		s := x.symbols[key]
		if s == nil {
			s = &symbol{noun: u.noun, name: u.name.Value, at: u.of}
			x.symbols[key] = s
		}
		at := unquoted(u.name.Span)
		if occur(at, s) {
			s.uses = append(s.uses, at)
		}
	}
	for _, all := range x.places {
		slices.SortFunc(all, func(a, b occurrence) int { return cmp.Compare(a.Start, b.Start) })
	}
}

// at finds what is named at an offset of a file.
func (x *index) at(path string, offset int) (o occurrence, ok bool) {
	x.once.Do(x.build)
	all := x.places[path]
	i, _ := slices.BinarySearchFunc(all, offset, func(o occurrence, at int) int { return cmp.Compare(o.End, at) })
	if i < len(all) && all[i].Start <= offset && offset <= all[i].End {
		return all[i], true
	}
	return occurrence{}, false
}

// names are those of all things with a noun, sorted.
func (x *index) names(noun string) (names []string) {
	x.once.Do(x.build)
	seen := map[string]bool{}
	for _, s := range x.symbols {
		if s.noun == noun && s.at.Valid() {
			seen[s.name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// census is how many symbols there are of each kind, and how often each is used:
// what renaming must not change.
func (x *index) census() (all []string) {
	x.once.Do(x.build)
	seen := map[*symbol]bool{}
	for _, s := range x.symbols {
		if !seen[s] {
			seen[s] = true
			all = append(all, fmt.Sprint(s.noun, " ", len(s.uses)))
		}
	}
	slices.Sort(all)
	return all
}

// lookout is an index that waits for the expression at a cursor.
type lookout struct {
	index
	path   string
	offset int
	see    func(at dsl.Span, scope dsl.Scope)
	seen   bool
}

// Expression is what dsl.Index asks for.
func (l *lookout) Expression(at dsl.Span, scope dsl.Scope) {
	if !at.Valid() || at.Source.Name != l.path || l.offset < at.Start || l.offset > at.End {
		return
	}
	l.mu.Lock()
	first := !l.seen
	l.seen = true
	l.mu.Unlock()
	if first {
		l.see(at, scope)
	}
}
