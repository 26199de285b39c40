package lsp

import (
	"strings"

	"github.com/weir-run/weir/dsl"
)

// What stands in brackets is read character by character. Each open bracket has
// a node, and a key that waits for its value.

// open begins a list or mapping in brackets, which becomes v.
func (s *sketcher) open(at int, v *node) {
	v.kind, v.start, v.end = dsl.List, at, at+1
	if s.text[at] == '{' {
		v.kind = dsl.Map
	}
	s.flow = append(s.flow, v)
	s.pairs = append(s.pairs, nil)
}

// brackets reads a line inside brackets.
func (s *sketcher) brackets(i, end int) {
	for len(s.flow) > 0 {
		from := i
		i += indentation(s.text[i:end])
		if i >= end || s.text[i] == '#' && (i == 0 || s.text[i-1] == ' ') {
			s.gap(from, i)
			return
		}
		c := s.text[i]
		if strings.IndexByte("{}[],:", c) >= 0 {
			s.gap(from, i)
		}
		top := len(s.flow) - 1
		switch c {
		case '{', '[':
			if top+1 >= deepest {
				s.beyond++
			} else {
				s.open(i, s.slot(i))
			}
			i++
		case '}', ']':
			i++
			if s.beyond > 0 {
				s.beyond--
				continue
			}
			s.flow[top].end = i
			s.flow, s.pairs = s.flow[:top], s.pairs[:top]
		case ',':
			s.pairs[top] = nil
			i++
		case ':':
			i++
		default:
			i = s.token(i, end)
		}
	}
	if s.here(i, end) && s.place.role == nowhere {
		s.place = place{} // behind the last bracket
	}
}

// slot is what the next value becomes.
func (s *sketcher) slot(at int) *node {
	top := len(s.flow) - 1
	if e := s.pairs[top]; e != nil {
		s.pairs[top] = nil
		return e.value
	}
	return s.add(s.flow[top], "", at, at).value
}

// token reads one scalar, and gives where it ends.
func (s *sketcher) token(i, end int) int {
	start, top := i, len(s.flow)-1
	word := ""
	if quote := s.text[i]; quote == '"' || quote == '\'' {
		for i++; i < end && s.text[i] != quote; i++ {
			if s.text[i] == '\\' && quote == '"' {
				i++
			}
		}
		i = min(i+1, end)
		word = strings.Trim(s.text[start:i], `"'`)
	} else {
		i = s.plainEnd(i, end)
		word = s.text[start:i]
	}
	colon := i + indentation(s.text[i:end])
	isKey := colon < end && s.text[colon] == ':' && s.flow[top].kind == dsl.Map && s.pairs[top] == nil
	p := place{role: atValue, start: start, end: i, flow: true}
	switch {
	case isKey:
		s.pairs[top] = s.add(s.flow[top], word, start, i)
		p.role, p.in, p.colon = atKey, s.flow[top], true
	case s.flow[top].kind == dsl.Map && s.pairs[top] == nil:
		s.add(s.flow[top], word, start, i).partial = true
		p.role, p.in = atKey, s.flow[top]
	default:
		v := s.slot(start)
		v.start, v.end = start, i
		p.entry = v.of
	}
	if s.here(start, i) || p.role == atValue && s.cursor == i+1 && i < end && s.text[i] == ' ' {
		p.end = max(i, s.cursor)
		s.put(p)
	}
	if isKey {
		i = colon + 1
	}
	return i
}

// plainEnd is where a plain scalar in brackets ends. An expression may have
// brackets and commas of its own: YAML would end it there, and its author did not
// mean that. One that is being written goes to the cursor.
func (s *sketcher) plainEnd(i, end int) int {
	text, start := s.text, i
	for i < end {
		switch c := text[i]; {
		case c == '$' && i+1 < end && text[i+1] == '(':
			if k := dsl.ExpressionEnd(text[:end], i); k > 0 {
				i = k
			} else if i < s.cursor && s.cursor <= end {
				i = s.cursor - 1
			}
		case strings.IndexByte(",[]{}", c) >= 0,
			c == ':' && (i+1 == end || strings.IndexByte(" ,[]{}", text[i+1]) >= 0),
			c == '#' && i > start && text[i-1] == ' ':
			return start + len(strings.TrimRight(text[start:i], " \t"))
		}
		i++
	}
	return start + len(strings.TrimRight(text[start:end], " \t"))
}

// gap is white space inside brackets, in which the cursor may be.
func (s *sketcher) gap(from, to int) {
	if !s.here(from, to) || len(s.flow) == 0 {
		return
	}
	p := place{role: atValue, start: s.cursor, end: s.cursor, flow: true}
	switch top := len(s.flow) - 1; {
	case s.pairs[top] != nil:
		p.entry = s.pairs[top]
	case s.flow[top].kind == dsl.Map:
		p.role, p.in = atKey, s.flow[top]
	default:
		p.role, p.in = atItem, s.flow[top]
	}
	s.put(p)
}
