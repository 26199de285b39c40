package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// verb finds the one verb of a step. A step whose verb is only misspelt is given
// back as it was meant, so that all that is wrong in it is told at once.
func (c *Compiler) verb(n *dsl.Node) (meant *dsl.Node, kind StepKind, ok bool) {
	if n.Kind != dsl.Map {
		c.notAStep(n)
		return n, kind, false
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
			kind, ok = c.lang.Steps.Kind(owners[0])
			return n, kind, ok
		}
		c.Report(dsl.Diagnostic{Span: verbs[1].Span, Code: "two-verbs", Message: fmt.Sprintf("a step has one verb; this one has %s and %s", verbs[0].Text, verbs[1].Text),
			Hint: c.twoVerbs(n, verbs[0].Text, verbs[1].Text), Related: []dsl.Related{{Span: verbs[0].Span, Message: "the first verb"}}})
		return n, kind, false
	}
	if len(verbs) == 1 && !c.detail(n, kind.Name) {
		return n, kind, true
	}
	return c.noVerb(n)
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

// noVerb reports that a step has no verb, and finds the one that was meant.
func (c *Compiler) noVerb(n *dsl.Node) (meant *dsl.Node, kind StepKind, ok bool) {
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
		near, misspelt := d.SuggestWord(key.Text, verbs)
		if misspelt || len(strange) == 1 {
			d.Span, d.Message = key.Span, fmt.Sprintf("unknown verb %q", key.Text)
		}
		if misspelt {
			meant, kind, ok = c.respelt(n, key, near)
			break
		}
		if hint := foreign[key.Text]; hint != "" {
			d.Span, d.Message, d.Hint = key.Span, fmt.Sprintf("unknown verb %q", key.Text), hint
			break
		}
	}
	c.Report(d)
	if !ok {
		meant = n
	}
	return meant, kind, ok
}

// respelt is a step with its verb as it was probably meant; not ok if the keys
// beside it are far from those of that verb.
func (c *Compiler) respelt(n, key *dsl.Node, verb string) (meant *dsl.Node, kind StepKind, ok bool) {
	kind, ok = c.lang.Steps.Kind(verb)
	copied, word := *n, *key
	word.Text = verb
	copied.Fields = slices.Clone(n.Fields)
	for i, f := range copied.Fields {
		switch {
		case f.Key == key:
			copied.Fields[i].Key = &word
		case !isModifier(f.Key.Text):
			_, near := dsl.Nearest(f.Key.Text, kind.Keys())
			ok = ok && near
		}
	}
	return &copied, kind, ok
}

// foreign is what other languages call what the verbs do, and what to write.
var foreign = map[string]string{
	"http":     "write call: METHOD SERVICE /path",
	"request":  "write call: METHOD SERVICE /path",
	"to":       "write call: METHOD SERVICE /path",
	"parallel": "write compose: with a name and a step for each member; what does not refer to another runs at once",
	"foreach":  "write each: NAME in LIST, with steps: beside it",
	"for_each": "write each: NAME in LIST, with steps: beside it",
	"for":      "write each: NAME in LIST, or while: CONDITION, with steps: beside it",
	"loop":     "write each: NAME in LIST, or while: CONDITION, with steps: beside it",
	"split":    "write each: NAME in LIST, with steps: beside it",
	"if":       "write when: CONDITION beside a step, or switch: with a case for each way",
	"choice":   "write switch: with a list of when: and steps:",
	"choose":   "write switch: with a list of when: and steps:",
	"delay":    "write wait: DURATION",
	"sleep":    "write wait: DURATION",
	"respond":  "write return: with the body of the answer",
	"response": "write return: with the body of the answer",
	"throw":    "write fail: with what went wrong",
	"raise":    "write fail: with what went wrong",
	"error":    "write fail: with what went wrong",
	"mapping":  "write set: with the value, and id: beside it",
	"setBody":  "write set: with the value, and id: beside it",
	"var":      "write set: with the value, and id: beside it",
	"let":      "write set: with the value, and id: beside it",
	"include":  "write use: TEMPLATE, or run: FLOW",
}
