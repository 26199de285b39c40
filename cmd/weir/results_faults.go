package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows/suite"
)

func (w *resultWriter) faults(all []suite.Matrix) {
	for _, m := range all {
		within := ""
		if m.Deadline > 0 {
			within = ", deadline " + short(m.Deadline)
		}
		fmt.Fprintf(w, "\nfaults of %s%s, %s\n\n", m.Flow, within, plural(m.Tests, "test"))
		w.matrix(m)
		w.undone(m)
		for _, d := range remarks(m) {
			fmt.Fprintln(w)
			dsl.Render(w, []dsl.Diagnostic{d}, dsl.RenderOptions{Color: w.color})
		}
	}
	good, total, defects := suite.Resilience(all)
	fmt.Fprintf(w, "\nresilience: %s", share(good, total))
	if defects > 0 {
		fmt.Fprintf(w, ", and %s", w.paint(inRed, plural(defects, "defect")))
	}
	fmt.Fprintln(w)
}

func share(good, total int) string {
	if total == 0 {
		return "no calls"
	}
	return fmt.Sprintf("%d of %s answered, degraded or failed clean (%d%%)", good, plural(total, "fault"), 100*good/total)
}

// cells are the outcomes as the matrix has them, for it to be narrow.
var cells = map[suite.Outcome]string{suite.FailedClean: "clean", suite.FailedLate: "late", suite.OverDeadline: "over", suite.LeftUndone: "left"}

const (
	matrixWidth = 80 // what a matrix fits into
	leastStep   = 16 // characters of a step's name
	leastCalls  = 8
)

// matrix prints one line for each call. Where there is no room, names are
// shortened, and then the services are left out.
func (w *resultWriter) matrix(m suite.Matrix) {
	table := [][]string{append([]string{"step", "calls"}, suite.Kinds...)}
	for _, r := range m.Rows {
		row := []string{r.Step, r.Call}
		for _, c := range r.Cells {
			row = append(row, cmp.Or(cells[c.Outcome], c.Outcome.String()))
		}
		table = append(table, row)
	}
	widths := make([]int, len(table[0]))
	excess := -matrixWidth
	for i := range widths {
		for _, row := range table {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		excess += 2 + widths[i]
	}
	if excess > 0 {
		excess -= widths[1] - min(widths[1], leastCalls)
		widths[1] = min(widths[1], leastCalls)
	}
	if excess > max(0, widths[0]-leastStep) {
		excess -= 2 + widths[1]
		widths[1] = 0
	}
	widths[0] -= max(0, excess)
	for i, row := range table {
		line := ""
		for j, text := range row {
			if widths[j] == 0 {
				continue
			}
			cell := fmt.Sprintf("  %-*s", widths[j], shortened(text, widths[j]))
			if j == len(row)-1 {
				cell = strings.TrimRight(cell, " ")
			}
			if i > 0 && j > 1 {
				cell = w.shade(m.Rows[i-1].Cells[j-2].Outcome, cell)
			}
			line += cell
		}
		fmt.Fprintln(w, line)
	}
}

// shortened is text of no more than width characters.
func shortened(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

func (w *resultWriter) shade(o suite.Outcome, text string) string {
	switch {
	case o.Defect():
		return w.paint(inRed, text)
	case o.Good():
		return text
	}
	return w.paint(inYellow, text)
}

// undone tells what sagas did about each fault: one line for all faults of a
// call that lead to the same.
func (w *resultWriter) undone(m suite.Matrix) {
	var lines [][2]string
	for _, r := range m.Rows {
		var fates []string
		by := map[string][]string{}
		for i, c := range r.Cells {
			if fate := w.fates(c.Effects); fate != "" {
				if by[fate] == nil {
					fates = append(fates, fate)
				}
				by[fate] = append(by[fate], suite.Kinds[i])
			}
		}
		for _, fate := range fates {
			lines = append(lines, [2]string{r.Step + " (" + named(by[fate]) + ")", fate})
		}
	}
	if lines == nil {
		return
	}
	fmt.Fprint(w, "\n  what is undone then\n\n")
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n    %s\n", line[0], line[1])
	}
	if !slices.ContainsFunc(m.Rows, func(r suite.Row) bool {
		lost, _ := kinds(r, func(c suite.Cell) bool {
			return slices.ContainsFunc(c.Effects, func(e suite.Effect) bool { return e.Fate == suite.Left || e.Fate == suite.Doubted })
		})
		return lost != nil
	}) {
		fmt.Fprint(w, "\n  nothing is left that could be undone\n")
	}
}

// named names kinds of faults.
func named(kinds []string) string {
	switch len(kinds) {
	case len(suite.Kinds):
		return "any"
	case len(suite.Kinds) - 1:
		i := slices.IndexFunc(suite.Kinds, func(k string) bool { return !slices.Contains(kinds, k) })
		return "any but " + suite.Kinds[i]
	}
	return strings.Join(kinds, ", ")
}

// fates are effects in words: those of one fate together.
func (w *resultWriter) fates(effects []suite.Effect) string {
	var parts []string
	for _, fate := range []suite.Fate{suite.Undone, suite.Stays, suite.Doubted, suite.Left} {
		var steps []string
		for _, e := range effects {
			if e.Fate == fate {
				steps = append(steps, e.Step)
			}
		}
		if steps == nil {
			continue
		}
		switch text := strings.Join(steps, ", "); fate {
		case suite.Undone:
			parts = append(parts, "undone: "+text)
		case suite.Stays:
			parts = append(parts, w.paint(inYellow, "cannot be undone: "+text))
		case suite.Doubted:
			parts = append(parts, w.paint(inYellow, "perhaps left: "+text))
		case suite.Left:
			parts = append(parts, w.paint(inRed, "left: "+text))
		}
	}
	return strings.Join(parts, "; ")
}

// remedies say what to do about an outcome.
var remedies = map[suite.Outcome]string{
	suite.Unreached:    "add a test of the flow that makes this call",
	suite.Stumbled:     "say what is read where there is nothing, with ?. and ??, or give the fallback what is read of it",
	suite.FailedLate:   "give the call a timeout that leaves time to answer, and a fallback if the flow can do without it",
	suite.NoMock:       "mock it in that test, to see what the flow makes of the fault",
	suite.LeftUndone:   "give what undo calls a timeout that leaves time for the others within undo_timeout",
	suite.OverDeadline: "bound what runs after the deadline, such as finally",
	suite.Leaks:        "answer with words of your own: error.message and error.body are not for callers",
}

// remarks are about what can be improved, one for each call and outcome.
func remarks(m suite.Matrix) (all []dsl.Diagnostic) {
	for _, r := range m.Rows {
		for _, outcome := range []suite.Outcome{suite.Leaks, suite.LeftUndone, suite.OverDeadline, suite.NoMock, suite.FailedLate, suite.Stumbled, suite.Unreached} {
			faults, first := kinds(r, func(c suite.Cell) bool { return c.Outcome == outcome })
			if faults == nil {
				continue
			}
			d := dsl.Diagnostic{Span: r.Span, Severity: dsl.Warning, Code: strings.ReplaceAll(outcome.String(), " ", "-"), Hint: remedies[outcome]}
			if outcome.Defect() {
				d.Severity = dsl.Error
			}
			if outcome == suite.Unreached {
				d.Code, d.Message = "unreached", "no test of flow "+m.Flow+" makes this call"
			} else {
				d.Message = fmt.Sprintf("%s (%s): %s", outcome, named(faults), first.Detail)
				d.Related = seen(first)
			}
			all = append(all, d)
		}
		doubted := func(e suite.Effect) bool { return e.Fate == suite.Doubted && e.Span == r.Span }
		if faults, first := kinds(r, func(c suite.Cell) bool { return slices.ContainsFunc(c.Effects, doubted) }); faults != nil {
			all = append(all, dsl.Diagnostic{Span: r.Span, Severity: dsl.Warning, Code: "perhaps-left", Related: seen(first),
				Message: fmt.Sprintf("perhaps left (%s): the service may have done what it was asked to, and the undo cannot run without the result of %s", named(faults), r.Step),
				Hint:    "let the flow choose the key of what is made, with uuid7() for example, and undo by that key"})
		}
	}
	slices.SortStableFunc(all, func(a, b dsl.Diagnostic) int { return int(a.Severity) - int(b.Severity) })
	return all
}

// seen tells where an outcome is seen.
func seen(c suite.Cell) []dsl.Related {
	after := ""
	if c.After != "" {
		after = ", when " + c.After + " fails first"
	}
	return []dsl.Related{{Message: fmt.Sprintf("seen in test %q%s", c.Test, after)}}
}

// kinds are the faults of a call whose cells are such, and the first of these.
func kinds(r suite.Row, such func(suite.Cell) bool) (faults []string, first suite.Cell) {
	for i, c := range r.Cells {
		if such(c) {
			if faults == nil {
				first = c
			}
			faults = append(faults, suite.Kinds[i])
		}
	}
	return faults, first
}
