package engine

import (
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Alternatives warns of conditions, of which the first that is true decides,
// that one before them leaves nothing to: they are written the same.
func (c *Compiler) Alternatives(conds ...dsl.Cond) {
	first := map[string]*dsl.Node{}
	for _, cond := range conds {
		n := cond.Node
		if n == nil || n.Broken() {
			continue
		}
		text := strings.Join(strings.Fields(n.Text), " ")
		other, again := first[text]
		if !again {
			first[text] = n
			continue
		}
		c.Report(dsl.Diagnostic{Span: n.Span, Severity: dsl.Warning, Code: "repeated-condition", Message: "nothing comes to this: the same condition stands before it",
			Hint: "correct the condition, or remove what it is for", Related: []dsl.Related{{Span: other.Span, Message: "the same condition"}}})
	}
}
