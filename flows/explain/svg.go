package explain

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/weir-run/weir/engine"
)

// The picture follows the structure of the flow, so that no layout has to be
// searched for: what runs in order stands below each other, what runs at the
// same time beside each other, and a step with steps inside is a frame around
// them. The members of a compose stand in rows, each below those that it waits
// for, and lines show what it reads from whom. Sizes are in pixels; letters of a
// monospaced font have one width, so that no font has to be asked.

const (
	letter  = 7  // width of a letter
	lineGap = 17 // from one line of text to the next
	pad     = 12 // between text and border, and border and inner steps
	gap     = 24 // between steps
)

// figure is a piece of the picture. The flow enters it from above at cx, and
// leaves it at cx again, foot below its top.
type figure struct {
	w, h     int
	cx, foot int
	draw     func(c *canvas, x, y int)
}

// canvas collects what is drawn.
type canvas struct{ strings.Builder }

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

func (c *canvas) text(class string, x, y int, s string) {
	c.add(`<text class="%s" x="%d" y="%d">%s</text>`, class, x, y, html.EscapeString(oneLine(s)))
}

func (c *canvas) arrow(class string, x1, y1, x2, y2 int) {
	if x1 == x2 {
		c.add(`<path class="%s" d="M%d %dV%d"/>`, class, x1, y1, y2)
		return
	}
	bend := (y2 - y1) / 2
	c.add(`<path class="%s" d="M%d %dC%d %d %d %d %d %d"/>`, class, x1, y1, x1, y1+bend, x2, y2-bend, x2, y2)
}

// SVG draws the flow as a picture that stands for itself.
func (f *Flow) SVG(w io.Writer) error {
	start := f.Flow
	if f.Trigger != nil {
		start = f.Trigger.Route
	}
	whole := column([]figure{boxed("start", []string{start}, nil), sequence(f.Steps)})
	const margin = 20
	c := &canvas{}
	width, height := whole.w+2*margin, whole.h+2*margin
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11.5">`, width, height, width, height)
	c.add(`<title>%s</title>`, html.EscapeString(oneLine(f.Flow)))
	c.add(`%s`, style)
	c.add(`<rect class="paper" width="%d" height="%d"/>`, width, height)
	whole.draw(c, margin, margin)
	c.add(`</svg>`)
	_, err := io.WriteString(w, c.String())
	return err
}

const style = `<style>
.paper { fill: #ffffff }
rect.step { fill: #f4f7fb; stroke: #4a6a8a }
rect.start, rect.end { fill: #e8f3ec; stroke: #3f7d57 }
rect.frame { fill: none; stroke: #9aa9b8 }
rect.part { fill: none; stroke: #b4823a; stroke-dasharray: 4 3 }
text { fill: #1c2733 }
text.name { font-weight: bold }
text.note, text.title { fill: #5b6b7b }
path { fill: none; stroke: #4a6a8a; marker-end: url(#tip) }
path.fails { stroke: #b4823a; stroke-dasharray: 4 3 }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" style="fill: #4a6a8a; stroke: none; marker-end: none"/></marker></defs>`

func textWidth(lines ...string) (w int) {
	for _, l := range lines {
		w = max(w, len([]rune(l))*letter)
	}
	return w
}

// boxed is a box with lines of text, the first of them bold, and notes.
func boxed(class string, lines, notes []string) figure {
	w := textWidth(slices.Concat(lines, notes)...) + 2*pad
	h := (len(lines)+len(notes))*lineGap + pad
	round := 4
	if class != "step" {
		round = h / 2
	}
	return figure{w, h, w / 2, h, func(c *canvas, x, y int) {
		c.add(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, class, x, y, w, h, round)
		for i, l := range slices.Concat(lines, notes) {
			kind := "note"
			switch {
			case i == 0:
				kind = "name"
			case i < len(lines):
				kind = "what"
			}
			c.text(kind, x+pad, y+(i+1)*lineGap, l)
		}
	}}
}

// column sets figures below each other, with arrows between.
func column(figures []figure) figure {
	if len(figures) == 1 {
		return figures[0]
	}
	left, right, h := 0, 0, 0
	for i, f := range figures {
		left, right = max(left, f.cx), max(right, f.w-f.cx)
		if h += f.h; i > 0 {
			h += gap
		}
	}
	last := figures[len(figures)-1]
	return figure{left + right, h, left, h - last.h + last.foot, func(c *canvas, x, y int) {
		for i, f := range figures {
			f.draw(c, x+left-f.cx, y)
			if i < len(figures)-1 {
				c.arrow("next", x+left, y+f.foot, x+left, y+f.h+gap)
			}
			y += f.h + gap
		}
	}}
}

// row sets figures beside each other. at, if it is set, is told where each is.
func row(figures []figure, at func(i, x, y int)) figure {
	w, h := -gap, 0
	for _, f := range figures {
		w += f.w + gap
		h = max(h, f.h)
	}
	return figure{w, h, w / 2, h, func(c *canvas, x, y int) {
		for i, f := range figures {
			if at != nil {
				at(i, x, y)
			}
			f.draw(c, x, y)
			x += f.w + gap
		}
	}}
}

// frame is a border with a title around a figure.
func frame(class string, titles []string, f figure) figure {
	inner := max(f.w, textWidth(titles...))
	w, head := inner+2*pad, len(titles)*lineGap+pad
	h := head + f.h + pad
	shift := pad + (inner-f.w)/2
	return figure{w, h, shift + f.cx, h, func(c *canvas, x, y int) {
		c.add(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, class, x, y, w, h)
		for i, title := range titles {
			c.text("title", x+pad, y+(i+1)*lineGap, title)
		}
		f.draw(c, x+shift, y+head)
	}}
}

func sequence(steps []Step) figure {
	figures := make([]figure, 0, len(steps))
	for _, s := range steps {
		figures = append(figures, s.figure())
	}
	if len(figures) == 0 {
		return boxed("step", []string{"no steps"}, nil)
	}
	return column(figures)
}

// marks are the modifiers of a step, a line each.
func (s Step) marks() (lines []string) {
	if s.When != "" {
		lines = append(lines, cut("when "+s.When))
	}
	for _, x := range s.Settings {
		if x.Key == "timeout" || x.Key == "retry.attempts" || x.Key == "limit" {
			lines = append(lines, x.Key+" "+x.Value)
		}
	}
	if s.Fallback {
		lines = append(lines, "fallback")
	}
	return lines
}

func cut(s string) string {
	const most = 52
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (s Step) figure() figure {
	what := strings.TrimSpace(s.Verb + " " + oneLine(s.What))
	lines := []string{cut(what)}
	if s.plan.Named() {
		lines = []string{s.Name, cut(what)}
	}
	inner := s.parts(engine.PartSteps)
	var f figure
	if len(inner) == 0 {
		class := "step"
		if s.plan.Ends || s.plan.Fails {
			class = "end"
		}
		f = boxed(class, lines, s.marks())
	} else {
		f = frame("frame", []string{cut(strings.Join(append([]string{strings.Join(lines, ": ")}, s.marks()...), "; "))}, s.inside(inner))
	}
	return s.withParts(f)
}

// inside is what stands in the frame of a step.
func (s Step) inside(inner []Steps) figure {
	var figures []figure
	for _, b := range inner {
		switch {
		case s.plan.Order == engine.ByData:
			return members(b.Steps)
		case s.plan.Order == engine.OneOf && b.When != "":
			figures = append(figures, frame("frame", []string{cut("when " + b.When)}, sequence(b.Steps)))
		case s.plan.Order == engine.OneOf:
			figures = append(figures, frame("frame", []string{"otherwise"}, sequence(b.Steps)))
		default:
			figures = append(figures, sequence(b.Steps))
		}
	}
	if s.plan.Order == engine.Race || s.plan.Order == engine.OneOf {
		return row(figures, nil)
	}
	return column(figures)
}

// withParts sets beside a step what runs when it fails or ends.
func (s Step) withParts(f figure) figure {
	titles := map[string]string{engine.PartCatch: "if it fails", engine.PartFinally: "at the end, in any case", engine.PartUndo: "if the saga fails later", engine.PartTap: "beside the request", engine.PartAggregate: "once for each complete group"}
	var parts []figure
	for _, b := range s.Bodies {
		if b.Part != engine.PartSteps && len(b.Steps) > 0 {
			parts = append(parts, frame("part", []string{titles[b.Part]}, sequence(b.Steps)))
		}
	}
	if len(parts) == 0 {
		return f
	}
	side := row(parts, nil)
	const lane = 36
	return figure{f.w + lane + side.w, max(f.h, side.h), f.cx, f.foot, func(c *canvas, x, y int) {
		f.draw(c, x, y)
		c.add(`<path class="fails" d="M%d %dH%d"/>`, x+f.w, y+lineGap, x+f.w+lane)
		side.draw(c, x+f.w+lane, y)
	}}
}

// members is the picture of a compose.
func members(steps []Step) figure {
	depth := map[string]int{}
	var level func(s Step) int
	level = func(s Step) int {
		if d, known := depth[s.Name]; known {
			return d
		}
		depth[s.Name] = 0 // a circle would have been reported
		d := 0
		for _, other := range steps {
			if slices.Contains(s.WaitsFor, other.Name) {
				d = max(d, level(other)+1)
			}
		}
		depth[s.Name] = d
		return d
	}
	var rows [][]Step
	for _, s := range steps {
		for d := level(s); len(rows) <= d; {
			rows = append(rows, nil)
		}
		rows[depth[s.Name]] = append(rows[depth[s.Name]], s)
	}
	const lane = 2 * gap // for the lines between rows
	type place struct{ x, top, bottom int }
	var lines []figure
	w, h := 0, -lane
	at := map[string]place{}
	for _, r := range rows {
		figures := make([]figure, len(r))
		for i, s := range r {
			figures[i] = s.figure()
		}
		f := row(figures, func(i, x, y int) { at[r[i].Name] = place{x + figures[i].cx, y, y + figures[i].foot} })
		lines = append(lines, f)
		w, h = max(w, f.w), h+f.h+lane
	}
	return figure{w, h, w / 2, h, func(c *canvas, x, y int) {
		for _, f := range lines {
			f.draw(c, x+(w-f.w)/2, y)
			y += f.h + lane
		}
		for _, s := range steps {
			for _, name := range s.WaitsFor {
				c.arrow("data", at[name].x, at[name].bottom, at[s.Name].x, at[s.Name].top)
			}
		}
	}}
}
