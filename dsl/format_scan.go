package dsl

import (
	"fmt"
	"strings"
)

// token is a piece of a source that is not white space.
type token struct {
	kind       byte // punctuation stands for itself
	start, end int
	node       *Node // of a scalar
	alone      bool  // nothing stands before it on its line
	blank      bool  // an empty line stands before its line
}

const (
	scalarToken  byte = 's'
	commentToken byte = '#'
	startToken   byte = '=' // the line ---
	endToken     byte = '.' // the line ...
)

// scan gives all tokens of a source that Parse has read without a fault.
func scan(src *Source, roots []*Node) ([]token, error) {
	s := scanner{text: src.Text, alone: true}
	if strings.HasPrefix(s.text, byteOrderMark) {
		s.p = len(byteOrderMark)
	}
	for _, n := range roots {
		s.node(n)
	}
	s.between(len(s.text))
	return s.tokens, s.err
}

type scanner struct {
	text   string
	p      int
	tokens []token
	breaks int  // line breaks since the last token
	alone  bool // nothing has stood on the line yet
	err    error
}

func (s *scanner) add(t token) {
	t.alone, t.blank = s.alone, s.breaks > 1
	s.tokens = append(s.tokens, t)
	s.p, s.breaks, s.alone = t.end, 0, false
}

func (s *scanner) node(n *Node) {
	switch n.Kind {
	case List:
		for _, item := range n.Items {
			s.node(item)
		}
	case Map:
		for _, f := range n.Fields {
			s.node(f.Key)
			s.node(f.Value)
		}
	default:
		if n.Span.Start < n.Span.End {
			s.between(n.Span.Start)
			s.add(token{kind: scalarToken, start: n.Span.Start, end: n.Span.End, node: n})
		}
	}
}

// between reads what stands before the next scalar.
func (s *scanner) between(end int) {
	for s.p < end && s.err == nil {
		switch c := s.text[s.p]; c {
		case ' ', '\t':
			s.p++
		case '\r', '\n':
			s.p += lineBreak(s.text, s.p)
			s.breaks++
			s.alone = true
		case '#':
			s.add(token{kind: commentToken, start: s.p, end: s.p + lineEnd(s.text[s.p:])})
		case '-', ':', ',', '[', ']', '{', '}', '?', '.':
			size := 1
			if (c == '-' || c == '.') && s.alone && strings.HasPrefix(s.text[s.p:], strings.Repeat(string(c), 3)) {
				c, size = markers[c], 3
			}
			s.add(token{kind: c, start: s.p, end: s.p + size})
		default:
			s.err = fmt.Errorf("%q stands outside all values", s.text[s.p:s.p+1])
		}
	}
}

var markers = map[byte]byte{'-': startToken, '.': endToken}
