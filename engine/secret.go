package engine

import (
	"fmt"

	"github.com/weir-run/weir/dsl"
)

// What a step makes of its own expressions holds the secrets that they hold,
// unless the step says with Hold what its result is. So a verb that nobody has
// thought of in this respect hands too much on rather than too little.

// holds is told of each expression of the step at hand that holds a secret.
func (c *Compiler) holds(h *dsl.Held) {
	if c.held == nil {
		c.held = h
	}
}

// Holding is the type of what the step at hand makes of all its expressions, if
// t is what else is known of it.
func (c *Compiler) Holding(t *dsl.StaticType) *dsl.StaticType { return t.Holding(c.held) }

// Held is a secret that a shape or text, which has been compiled, may hold, or nil.
func (c *Compiler) Held(n *dsl.Node) *dsl.Held {
	for _, at := range c.exprs.Held(n) {
		return at.Held
	}
	return nil
}

// Shown reports the secrets that a shape or text would show to others; where is
// what it becomes a part of.
func (c *Compiler) Shown(n *dsl.Node, where string) {
	for _, at := range c.exprs.Held(n) {
		c.Report(exposure(at, dsl.Diagnostic{Code: "secret-exposed", Message: fmt.Sprintf("%s would be in %s", at.Held.Name, where),
			Hint: "leave it out; hmac(text, key), sha256(text) and mask(text) give what can be shown"}))
	}
}

// InURL warns of the secrets that a path or query would put into a URL.
func (c *Compiler) InURL(n *dsl.Node) {
	for _, at := range c.exprs.Held(n) {
		c.Report(exposure(at, dsl.Diagnostic{Severity: dsl.Warning, Code: "secret-in-url", Message: fmt.Sprintf("%s would be in the URL, which servers and proxies write to their logs", at.Held.Name),
			Hint: "send it in a header, such as authorization: Bearer $(secret.NAME), if the service takes it there"}))
	}
}

// foreseen reports the result of a member of a compose that holds a secret, and
// that another, which had to be compiled before, reads without knowing of it:
// their texts look as if each read the other.
func (c *Compiler) foreseen(g *guarded, result *name) {
	h := result.static.Held()
	if h == nil || !result.used {
		return
	}
	c.Report(exposure(dsl.HeldAt{Span: g.span, Held: h}, dsl.Diagnostic{Code: "secret-exposed",
		Message: fmt.Sprintf("%s holds %s, and it cannot be seen what becomes of it", g.step, h.Name), Hint: fmt.Sprintf("make %s in a step before the compose", g.step)}))
}

// exposure is a fault at a place that holds a secret, which shows where the
// secret comes from.
func exposure(at dsl.HeldAt, d dsl.Diagnostic) dsl.Diagnostic {
	d.Span = at.Span
	if from := at.Held.Span; from.Source != at.Span.Source || from.Start < at.Span.Start || from.End > at.Span.End {
		d.Related = []dsl.Related{{Span: from, Message: "it is read here"}}
	}
	return d
}
