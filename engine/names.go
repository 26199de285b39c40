package engine

import (
	"fmt"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// levels counts the frames from the one at hand up to f.
func (c *Compiler) levels(f *frame) int {
	n := 0
	for at := c.frame; at != f; at = at.parent {
		n++
	}
	return n
}

// name makes a name with a value of its own.
func (c *Compiler) name(f *frame, text string) *name {
	n := &name{text: text, index: len(f.names), frame: f}
	f.names = append(f.names, n)
	return n
}

func (c *Compiler) pushFrame() *frame {
	f := &frame{parent: c.frame}
	c.frames = append(c.frames, f)
	c.frame = f
	return f
}

// within runs fn in a scope of its own.
func (c *Compiler) within(s *scope, fn func()) {
	outer := c.scope
	c.scope = s
	fn()
	c.scope = outer
	c.close(s)
}

// define makes the id of a step visible from here on.
func (c *Compiler) define(id dsl.String, n *name) {
	if !c.free(id) {
		return
	}
	c.scope.names[id.Value] = &entry{Name: c.scope.defined("step", n, id), at: id.Span, step: n}
}

// free reports whether a name can be given a meaning.
func (c *Compiler) free(id dsl.String) bool {
	if !isName(id.Value) {
		d := dsl.Diagnostic{Span: id.Span, Code: "bad-name", Message: fmt.Sprintf("%q cannot be used in expressions", id.Value),
			Hint: "use letters, digits and _, starting with a letter"}
		if name := strings.ReplaceAll(id.Value, "-", "_"); isName(name) {
			d.Hint = "write " + name
			if id.Span.Text() == id.Value {
				d.Offer(d.Hint, dsl.Edit{Span: id.Span, New: name}) // what reads it is another place
			}
		}
		c.Report(d)
		c.scope.torn = true
		return false
	}
	if e, taken := c.scope.find(id.Value); taken || reserved[id.Value] {
		d := dsl.Diagnostic{Span: id.Span, Code: "name-taken", Message: fmt.Sprintf("%q already has a meaning here", id.Value), Hint: "use another name"}
		if reserved[id.Value] {
			d.Message = fmt.Sprintf("%q has a meaning in the language", id.Value)
		} else if taken && e.at.Valid() {
			d.Related = []dsl.Related{{Span: e.at, Message: "it is defined here"}}
		}
		c.Report(d)
		return false
	}
	return true
}

// reserved are the names of the language itself, wherever they are visible.
var reserved = map[string]bool{
	"params": true, "query": true, "headers": true, "body": true, "request": true, "claims": true, "env": true,
	"secret": true, "error": true, "steps": true, "input": true, "null": true, "nil": true, "true": true, "false": true,
	"let": true, "if": true, "else": true, "in": true, "not": true, "and": true, "or": true, "matches": true,
	"contains": true, "startsWith": true, "endsWith": true,
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
