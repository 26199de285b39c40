package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// verb finds the one verb of a step.
func (c *Compiler) verb(n *dsl.Node) (kind StepKind, ok bool) {
	if n.Kind != dsl.Map {
		c.notAStep(n)
		return kind, false
	}
	var verbs []*dsl.Node
	for _, f := range n.Fields {
		if k, is := c.lang.Steps.Kind(f.Key.Text); is {
			kind = k
			verbs = append(verbs, f.Key)
		}
	}
	if len(verbs) > 1 {
		names := make([]string, len(verbs))
		for i, v := range verbs {
			names[i] = v.Text
		}
		owners := dsl.Owners(names, func(name string) []string {
			k, _ := c.lang.Steps.Kind(name)
			return k.Keys()
		})
		if len(owners) == 1 {
			return c.lang.Steps.Kind(owners[0])
		}
		c.Report(dsl.Diagnostic{Span: verbs[1].Span, Code: "two-verbs", Message: fmt.Sprintf("a step has one verb; this one has %s and %s", verbs[0].Text, verbs[1].Text),
			Hint: c.twoVerbs(n, verbs[0].Text, verbs[1].Text), Related: []dsl.Related{{Span: verbs[0].Span, Message: "the first verb"}}})
		return kind, false
	}
	if len(verbs) == 1 && !c.detail(n, kind.Name) {
		return kind, true
	}
	c.noVerb(n)
	return kind, false
}

// twoVerbs says what to make of two verbs in one step: one of them may be meant
// to stand around the other.
func (c *Compiler) twoVerbs(n *dsl.Node, a, b string) string {
	around := func(verb string) bool {
		k, _ := c.lang.Steps.Kind(verb)
		return n.Field("steps") == nil && slices.Contains(k.Keys(), "steps")
	}
	if around(b) {
		a, b = b, a
	}
	if around(a) && !around(b) {
		return fmt.Sprintf("%s runs steps: write %s as one of its steps, or make two steps of it", a, b)
	}
	return "make two steps of it"
}

// detail reports whether what looks like the verb of a step is a key of another
// verb, which is misspelt: limit is a verb, and a key of each.
func (c *Compiler) detail(n *dsl.Node, verb string) bool {
	own, _ := c.lang.Steps.Kind(verb)
	return slices.ContainsFunc(n.Fields, func(f dsl.Field) bool {
		if isModifier(f.Key.Text) || slices.Contains(own.Keys(), f.Key.Text) {
			return false
		}
		var owners []string
		for _, k := range c.lang.Steps.All() {
			if k.Name != verb && slices.Contains(k.Keys(), verb) {
				owners = append(owners, k.Name)
			}
		}
		_, misspelt := dsl.Nearest(f.Key.Text, owners)
		return misspelt
	})
}

// notAStep is about what stands in the place of a step.
func (c *Compiler) notAStep(n *dsl.Node) {
	if n.Broken() {
		return
	}
	d := dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a step is a mapping with one verb, not " + n.Describe(), Hint: "write for example: call: GET users /users/1"}
	insert := func(behind, text string) {
		if at := n.At(0, len(behind)); n.Style == dsl.Plain && at.Text() == behind {
			d.Mend(d.Hint, dsl.Edit{Span: dsl.Span{Source: at.Source, Start: at.End, End: at.End}, New: text})
		}
	}
	if verb, value, ok := strings.Cut(n.Text, ":"); ok && slices.Contains(c.lang.Steps.Names(), verb) {
		d.Hint = "write a space behind the colon of " + verb + ":"
		if value != "" {
			insert(verb+":", " ")
		}
	} else if verb, value, _ := strings.Cut(n.Text, " "); slices.Contains(c.lang.Steps.Names(), verb) {
		d.Hint = "write a colon behind " + verb
		if value != "" && !strings.Contains(value, ": ") {
			insert(verb, ":")
		}
	}
	c.Report(d)
}

func (c *Compiler) noVerb(n *dsl.Node) {
	verbs := c.lang.Steps.Names()
	d := dsl.Diagnostic{Span: n.KeySpan(), Code: "no-verb", Message: "this step has no verb", Hint: "a step does one of: " + strings.Join(verbs, ", ")}
	if len(n.Fields) > 0 {
		d.Span = n.Fields[0].Key.Span
	}
	var strange []*dsl.Node
	for _, f := range n.Fields {
		if _, is := c.lang.Steps.Kind(f.Key.Text); !is && !isModifier(f.Key.Text) {
			strange = append(strange, f.Key)
		}
	}
	for _, key := range strange {
		_, ok := d.SuggestWord(key.Text, verbs)
		if ok || len(strange) == 1 {
			d.Span, d.Message = key.Span, fmt.Sprintf("unknown verb %q", key.Text)
		}
		if ok {
			break
		}
	}
	c.Report(d)
}
