package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/weir-run/weir/engine"
)

// Graph is a flow as nodes and edges, for programs that draw.
type Graph struct {
	nodes  []node
	groups []group
	edges  []edge
}

type node struct {
	label string
	group int // -1: none
	shape shape
}

type group struct {
	label string
	outer int // -1: none
}

type edge struct {
	from, to int
	label    string
	dashed   bool
}

type shape uint8

const (
	box    shape = iota
	choice       // of one way
	end          // of the flow
)

// Draw makes a Graph of what was explained.
func (f *Flow) Draw() *Graph {
	g := &Graph{}
	start := "input"
	if f.Trigger != nil {
		start = f.Trigger.Route
	}
	first := g.node(start, -1, end)
	g.sequence(f.Steps, -1, []exit{{from: first}})
	return g
}

// exit is where the flow comes from when it enters a step.
type exit struct {
	from   int
	label  string
	dashed bool
}

func (g *Graph) node(label string, group int, s shape) int {
	g.nodes = append(g.nodes, node{label, group, s})
	return len(g.nodes) - 1
}

func (g *Graph) group(label string, outer int) int {
	g.groups = append(g.groups, group{label, outer})
	return len(g.groups) - 1
}

func (g *Graph) enter(to int, from []exit) {
	for _, x := range from {
		g.edges = append(g.edges, edge{x.from, to, x.label, x.dashed})
	}
}

// sequence draws steps one after the other, and gives where the flow leaves the
// last.
func (g *Graph) sequence(steps []Step, in int, from []exit) []exit {
	for _, s := range steps {
		from = g.step(s, in, from)
	}
	return from
}

// title is what stands in the box of a step.
func (s Step) title() string {
	what := oneLine(s.What)
	if s.Verb != "call" {
		what = strings.TrimSpace(s.Verb + " " + what)
	}
	if s.plan.Named() {
		what = s.Name + ": " + what
	}
	const most = 60
	if r := []rune(what); len(r) > most {
		what = string(r[:most-1]) + "…"
	}
	return what
}

func (g *Graph) step(s Step, in int, from []exit) (out []exit) {
	var skipped []exit
	if s.When != "" {
		when := g.node(oneLine(s.When), in, choice)
		g.enter(when, from)
		from = []exit{{from: when, label: "yes"}}
		skipped = []exit{{from: when, label: "no"}}
	}
	inner := s.parts(engine.PartSteps)
	first := len(g.nodes)
	switch {
	case len(inner) == 0:
		form := box
		if s.plan.Ends || s.plan.Fails {
			form = end
		}
		n := g.node(s.title(), in, form)
		g.enter(n, from)
		if form == box {
			out = []exit{{from: n}}
		}
	case s.plan.Order == engine.OneOf:
		out = g.cases(s, inner, in, from)
	default:
		frame := g.group(s.title(), in)
		for _, b := range inner {
			switch s.plan.Order {
			case engine.ByData:
				out = append(out, g.members(b.Steps, frame, from)...)
			case engine.Race:
				out = append(out, g.sequence(b.Steps, frame, from)...)
			default:
				out = g.sequence(b.Steps, frame, from)
				from = out
			}
		}
	}
	if first < len(g.nodes) {
		out = append(out, g.others(s, in, first)...)
	}
	return append(out, skipped...)
}

// others draws what runs when the step, whose first node is at first, fails.
func (g *Graph) others(s Step, in, first int) (out []exit) {
	for _, b := range s.Bodies {
		if b.Part == engine.PartSteps || len(b.Steps) == 0 {
			continue
		}
		labels := map[string]string{engine.PartCatch: "fails", engine.PartFinally: "ends", engine.PartUndo: "undo", engine.PartTap: "beside", engine.PartAggregate: "complete"}
		frame := g.group(b.Part+" of "+s.Name, in)
		left := g.sequence(b.Steps, frame, []exit{{first, labels[b.Part], true}})
		if b.Part == engine.PartCatch {
			out = append(out, left...)
		}
	}
	return out
}

func (s Step) parts(part string) (all []Steps) {
	for _, b := range s.Bodies {
		if b.Part == part && len(b.Steps) > 0 {
			all = append(all, b)
		}
	}
	return all
}

func (g *Graph) cases(s Step, inner []Steps, in int, from []exit) (out []exit) {
	n := g.node(s.title(), in, choice)
	g.enter(n, from)
	for _, b := range inner {
		label := oneLine(b.When)
		if label == "" {
			label = "otherwise"
		}
		out = append(out, g.sequence(b.Steps, in, []exit{{from: n, label: label}})...)
	}
	if !s.plan.Sure || len(inner) < s.plan.Cases {
		out = append(out, exit{from: n})
	}
	return out
}

// members draws the members of a compose: an edge is data that one waits for.
func (g *Graph) members(steps []Step, in int, from []exit) (out []exit) {
	exits := map[string][]exit{}
	waited := map[string]bool{}
	var draw func(s Step)
	draw = func(s Step) {
		if _, drawn := exits[s.Name]; drawn {
			return
		}
		exits[s.Name] = nil // a circle would have been reported
		entries := from
		if len(s.WaitsFor) > 0 {
			entries = nil
		}
		for _, other := range steps {
			for _, name := range s.WaitsFor {
				if name == other.Name {
					draw(other)
					waited[name] = true
					entries = append(entries, exits[name]...)
				}
			}
		}
		exits[s.Name] = g.step(s, in, entries)
	}
	for _, s := range steps {
		draw(s)
	}
	for _, s := range steps {
		if !waited[s.Name] {
			out = append(out, exits[s.Name]...)
		}
	}
	return out
}

// Mermaid writes the graph for mermaid.js.org, which GitHub and GitLab draw.
func (g *Graph) Mermaid(w io.Writer) error {
	t := &text{}
	t.line("flowchart TD")
	g.nested(-1, "  ", t, func(indent string, i int) {
		open, closed := "[", "]"
		switch g.nodes[i].shape {
		case choice:
			open, closed = "{", "}"
		case end:
			open, closed = "([", "])"
		}
		t.line("%sn%d%s%s%s", indent, i, open, mermaidText(g.nodes[i].label), closed)
	}, func(indent string, i int) {
		t.line("%ssubgraph g%d[%s]", indent, i, mermaidText(g.groups[i].label))
	}, "end")
	for _, e := range g.edges {
		arrow := "-->"
		if e.dashed {
			arrow = "-.->"
		}
		if e.label != "" {
			arrow += "|" + mermaidText(e.label) + "|"
		}
		t.line("  n%d %s n%d", e.from, arrow, e.to)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// mermaidText is quoted text; what Mermaid or Markdown would take for more is
// written as entities.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\"#&<>`*_[]|\\", r) {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// DOT writes the graph in the language of Graphviz.
func (g *Graph) DOT(w io.Writer) error {
	t := &text{}
	t.line("digraph flow {")
	t.line("  node [shape=box, style=rounded, fontname=monospace]")
	t.line("  edge [fontname=monospace]")
	g.nested(-1, "  ", t, func(indent string, i int) {
		form := ""
		switch g.nodes[i].shape {
		case choice:
			form = ", shape=diamond"
		case end:
			form = ", shape=oval"
		}
		t.line("%sn%d [label=%s%s]", indent, i, dotText(g.nodes[i].label), form)
	}, func(indent string, i int) {
		t.line("%ssubgraph cluster_%d {", indent, i)
		t.line("%s  label=%s", indent, dotText(g.groups[i].label))
	}, "}")
	for _, e := range g.edges {
		var attributes []string
		if e.label != "" {
			attributes = append(attributes, "label="+dotText(e.label))
		}
		if e.dashed {
			attributes = append(attributes, "style=dashed")
		}
		more := ""
		if len(attributes) > 0 {
			more = " [" + strings.Join(attributes, ", ") + "]"
		}
		t.line("  n%d -> n%d%s", e.from, e.to, more)
	}
	t.line("}")
	_, err := io.WriteString(w, t.String())
	return err
}

func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}

// nested writes the nodes of a group, and then the groups inside of it.
func (g *Graph) nested(in int, indent string, t *text, node, open func(indent string, i int), closed string) {
	for i := range g.nodes {
		if g.nodes[i].group == in {
			node(indent, i)
		}
	}
	for i := range g.groups {
		if g.groups[i].outer == in {
			open(indent, i)
			g.nested(i, indent+"  ", t, node, open, closed)
			t.line("%s%s", indent, closed)
		}
	}
}
