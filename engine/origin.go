package engine

import "slices"

// Derived compiles what the result of the step at hand is made from, and
// reports whether a backend has a part in it: whether it reads the result of a
// step, or the body of an error. If not, the result of the step at hand is the
// caller's as well: so what the caller sent is known as its own through all the
// steps that only make something else of it.
func (c *Compiler) Derived(compile func()) (foreign bool) {
	from := len(c.log)
	compile()
	foreign = slices.ContainsFunc(c.log[from:], func(n *name) bool { return !n.caller })
	c.slot.name.caller = !foreign
	return foreign
}
