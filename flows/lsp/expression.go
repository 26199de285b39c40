package lsp

import (
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// An expression that is being written is looked at from its end: behind a dot,
// what stands before it is an expression of its own, whose type tells the fields
// that can follow; elsewhere any name can.

// written is an expression up to the cursor.
type written struct {
	before string
	word   string // that is being written; may be empty
	member bool   // word is a field of base
	base   string
}

// read takes an expression apart. ok is false inside of a text, and where no name
// can be.
func read(before string) (w written, ok bool) {
	_, _, text := bracketsOf(before)
	if text {
		return w, false
	}
	at := len(before)
	for at > 0 && isNameByte(before[at-1]) {
		at--
	}
	w.before, w.word = before[:at], before[at:]
	if w.word != "" && '0' <= w.word[0] && w.word[0] <= '9' {
		return w, false
	}
	owner, dot := strings.CutSuffix(w.before, ".")
	if !dot {
		return w, true
	}
	if strings.HasSuffix(owner, ".") {
		return w, true // a range
	}
	owner = strings.TrimSuffix(owner, "?")
	k := postfix(owner)
	w.member, w.base = true, owner[k:]
	switch {
	case w.base == "" || w.base[0] == '#' || w.base[0] == '.': // .field is #.field
		list, found := elementOf(owner[:k])
		if !found {
			return w, false
		}
		w.base = "(" + list + ")[0]" + strings.TrimPrefix(w.base, "#")
	case strings.Trim(w.base, "0123456789") == "":
		return w, false // a fraction
	}
	return w, true
}

// bracketsOf gives for each closing bracket where its opening one is, and those
// that are not closed. text reports whether the end is inside of a quoted text.
func bracketsOf(s string) (pairs map[int]int, open []int, text bool) {
	pairs = map[int]int{}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '(', '[', '{':
			open = append(open, i)
		case ')', ']', '}':
			if k := len(open) - 1; k >= 0 {
				pairs[i], open = open[k], open[:k]
			}
		case '"', '\'', '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c != '`' {
					i++
				}
			}
			if i >= len(s) {
				return pairs, open, true
			}
		}
	}
	return pairs, open, false
}

// postfix is where the value begins that s ends with: a name with its fields,
// calls and indexes.
func postfix(s string) int {
	pairs, _, _ := bracketsOf(s)
	i := len(s)
	for {
		bracket := false
		for i > 0 && (s[i-1] == ')' || s[i-1] == ']' || s[i-1] == '}') {
			k, ok := pairs[i-1]
			if !ok {
				return i
			}
			i, bracket = k, true
		}
		k := i
		for k > 0 && isNameByte(s[k-1]) {
			k--
		}
		if k == i && k > 0 && s[k-1] == '#' {
			k--
		}
		if k == i && !bracket {
			return i
		}
		i = k
		switch {
		case strings.HasSuffix(s[:i], "?."):
			i -= 2
		case strings.HasSuffix(s[:i], ".") && !strings.HasSuffix(s[:i], ".."):
			i--
		default:
			return i
		}
		if i > 0 && !isNameByte(s[i-1]) && strings.IndexByte(")]}#", s[i-1]) < 0 {
			return i // .field, of an element
		}
		if i == 0 {
			return i
		}
	}
}

// elementOf finds the list whose elements a predicate that s ends in is about:
// of filter(orders, .qty the list is orders.
func elementOf(s string) (list string, ok bool) {
	pairs, open, _ := bracketsOf(s)
	for _, at := range slices.Backward(open) {
		name := s[:at]
		for len(name) > 0 && isNameByte(name[len(name)-1]) {
			name = name[:len(name)-1]
		}
		if s[at] != '(' || !takesPredicate(s[len(name):at]) {
			continue
		}
		for i := at + 1; i < len(s); i++ {
			if s[i] == ',' && !inside(pairs, i, at) {
				list = strings.TrimSpace(s[at+1 : i])
				break
			}
		}
		if list == "" {
			return "", false
		}
		if list[0] == '#' || list[0] == '.' { // of an element of another list
			outer, ok := elementOf(s[:at])
			return "(" + outer + ")[0]" + strings.TrimPrefix(list, "#"), ok
		}
		return list, true
	}
	return "", false
}

// inside reports whether an offset is in brackets that open behind at.
func inside(pairs map[int]int, i, at int) bool {
	for end, start := range pairs {
		if at < start && start < i && i < end {
			return true
		}
	}
	return false
}

func takesPredicate(name string) bool {
	return slices.Contains([]string{"all", "any", "one", "none", "map", "filter", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "groupBy", "sortBy", "reduce"}, name)
}

// named is a name or field that can stand at a place.
type named struct {
	name   string
	what   string          // its type, in words
	static *dsl.StaticType // nil: nothing is known
	of     *dsl.Name       // nil: it is a field of a value
}

// namesIn are the names of a scope.
func namesIn(scope dsl.Scope) (all []named) {
	for _, text := range scope.Names() {
		if n, ok := scope.Name(text); ok && n.Denied == nil {
			all = append(all, asNamed(text, n))
		}
	}
	return all
}

func asNamed(text string, n *dsl.Name) named {
	switch {
	case n.Static != nil:
		return named{text, typeText(n.Static), n.Static, n}
	case n.Type != dsl.TypeAny:
		return named{text, n.Type.String(), nil, n}
	}
	return named{text, "", nil, n}
}

// fieldsOf are the fields of what an expression gives, as far as they are known.
func fieldsOf(base string, scope dsl.Scope) (all []named) {
	n, static := valueOf(base, scope)
	if n != nil && n.Fields != nil {
		for text, f := range n.Fields {
			if f.Denied == nil {
				all = append(all, asNamed(text, f))
			}
		}
	} else if static != nil {
		for text, f := range static.Fields {
			t := f.Type
			if f.Optional {
				t = t.OrNull()
			}
			all = append(all, named{text, typeText(t), t, nil})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.name, b.name) })
	return all
}

// valueOf is what is known of the value of an expression. A chain of names leads
// to one; everything else is compiled.
func valueOf(expr string, scope dsl.Scope) (*dsl.Name, *dsl.StaticType) {
	parts := strings.Split(strings.ReplaceAll(expr, "?.", "."), ".")
	if !slices.ContainsFunc(parts, func(p string) bool { return p == "" || strings.TrimFunc(p, isNameRune) != "" }) {
		n, ok := scope.Name(parts[0])
		for _, part := range parts[1:] {
			if !ok || n.Fields == nil {
				ok = false
				break
			}
			n, ok = n.Fields[part]
		}
		if ok && n != nil && n.Denied == nil {
			return n, n.Static
		}
	}
	var ignored dsl.Diagnostics
	x := dsl.NewExpressions(&ignored)
	defer x.Close()
	src := dsl.NewSource("", expr)
	e := x.Compile(&dsl.Node{Kind: dsl.Scalar, Type: dsl.Str, Text: expr, Span: dsl.Span{Source: src, End: len(expr)}}, scope)
	if e == nil {
		return nil, nil
	}
	return nil, x.StaticType(e)
}

func isNameRune(r rune) bool { return r < 0x80 && isNameByte(byte(r)) }
