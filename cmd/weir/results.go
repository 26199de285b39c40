package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows/suite"
)

// resultWriter prints the results of tests for people.
type resultWriter struct {
	io.Writer
	color bool
}

func (w *resultWriter) paint(code, text string) string {
	if !w.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	inGreen  = "1;32"
	inRed    = "1;31"
	inYellow = "1;33"
)

func (w *resultWriter) test(r suite.Result) {
	if r.Passed() {
		fmt.Fprintf(w, "%s    %s%s\n", w.paint(inGreen, "ok"), r.Test.Name, inTime(r.Took))
		return
	}
	fmt.Fprintf(w, "%s  %s%s\n\n", w.paint(inRed, "FAIL"), r.Test.Name, inTime(r.Took))
	dsl.Render(w, r.Faults, dsl.RenderOptions{Color: w.color})
	fmt.Fprintln(w)
}

// inTime tells how much time has passed for the flow, if it waited at all.
func inTime(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " (" + short(d) + ")"
}

// short is a duration without digits that mean nothing.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(time.Millisecond)
	}
	return d.String()
}

func (w *resultWriter) summary(r *results) {
	verdict := fmt.Sprintf("%s passed", plural(len(r.tests), "test"))
	if r.failed > 0 {
		verdict = fmt.Sprintf("%d of %s failed", r.failed, plural(len(r.tests), "test"))
	}
	fmt.Fprintln(w, verdict)
}

func (w *resultWriter) coverage(all []suite.Coverage) {
	fmt.Fprintln(w)
	for _, c := range all {
		if c.Steps == 0 && c.AllSteps > 0 {
			fmt.Fprintf(w, "coverage of %s: no test runs it\n", c.Flow)
			continue
		}
		fmt.Fprintf(w, "coverage of %s: %d%%, %d of %s, %d of %s\n", c.Flow, c.Percent(), c.Steps, plural(c.AllSteps, "step"), c.Ways, branches(c.AllWays))
		for _, m := range c.Missed {
			fmt.Fprintf(w, "  %s: never: %s\n", m.Span, m.What)
		}
	}
}

func branches(n int) string {
	if n == 1 {
		return "1 branch"
	}
	return fmt.Sprintf("%d branches", n)
}

func (w *resultWriter) faults(all []suite.Matrix) {
	for _, m := range all {
		within := ""
		if m.Deadline > 0 {
			within = ", deadline " + short(m.Deadline)
		}
		fmt.Fprintf(w, "\nfaults of %s%s, %s\n\n", m.Flow, within, plural(m.Tests, "test"))
		w.matrix(m)
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

// matrix prints one line for each call.
func (w *resultWriter) matrix(m suite.Matrix) {
	rows := [][]string{append([]string{"step", "calls"}, suite.Kinds...)}
	for _, r := range m.Rows {
		row := []string{r.Step, r.Call}
		for _, c := range r.Cells {
			row = append(row, c.Outcome.String())
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], len(text))
		}
	}
	for i, row := range rows {
		line := " "
		for j, text := range row {
			cell := fmt.Sprintf(" %-*s", widths[j]+1, text)
			if i > 0 && j > 1 {
				cell = w.shade(m.Rows[i-1].Cells[j-2].Outcome, cell)
			}
			line += cell
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
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

// remedies say what to do about an outcome.
var remedies = map[suite.Outcome]string{
	suite.Unreached:    "add a test of the flow that makes this call",
	suite.FailedLate:   "give the call a timeout that leaves time to answer, and a fallback if the flow can do without it",
	suite.NoMock:       "mock it in that test, to see what the flow makes of the fault",
	suite.OverDeadline: "bound what runs after the deadline, such as finally",
	suite.Leaks:        "answer with words of your own: error.message and error.body are not for callers",
}

// remarks are about the outcomes that can be improved, one for each call and
// outcome.
func remarks(m suite.Matrix) (all []dsl.Diagnostic) {
	for _, r := range m.Rows {
		for _, outcome := range []suite.Outcome{suite.Leaks, suite.OverDeadline, suite.NoMock, suite.FailedLate, suite.Unreached} {
			var kinds []string
			var first suite.Cell
			for i, c := range r.Cells {
				if c.Outcome == outcome {
					if kinds == nil {
						first = c
					}
					kinds = append(kinds, suite.Kinds[i])
				}
			}
			if kinds == nil {
				continue
			}
			d := dsl.Diagnostic{Span: r.Span, Severity: dsl.Warning, Code: strings.ReplaceAll(outcome.String(), " ", "-"), Hint: remedies[outcome]}
			switch outcome {
			case suite.Unreached:
				d.Code, d.Message = "unreached", "no test of flow "+m.Flow+" makes this call"
			default:
				d.Message = fmt.Sprintf("%s (%s): %s", outcome, strings.Join(kinds, ", "), first.Detail)
				d.Related = []dsl.Related{{Message: fmt.Sprintf("seen in test %q", first.Test)}}
			}
			if outcome.Defect() {
				d.Severity = dsl.Error
			}
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b dsl.Diagnostic) int { return int(a.Severity) - int(b.Severity) })
	return all
}

// The forms for programs.

type testJSON struct {
	Name   string          `json:"name"`
	Flow   string          `json:"flow,omitempty"`
	File   string          `json:"file"`
	Line   int             `json:"line"`
	Passed bool            `json:"passed"`
	Status int             `json:"status,omitempty"`
	Took   string          `json:"took"` // virtual
	Faults json.RawMessage `json:"faults,omitempty"`
}

type coverageJSON struct {
	Flow     string       `json:"flow"`
	Percent  int          `json:"percent"`
	Steps    [2]int       `json:"steps"` // run, and all
	Branches [2]int       `json:"branches"`
	Missed   []missedJSON `json:"missed,omitempty"`
}

type missedJSON struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	What   string `json:"what"`
}

type matrixJSON struct {
	Flow     string     `json:"flow"`
	Deadline string     `json:"deadline,omitempty"`
	Tests    int        `json:"tests"`
	Calls    []callJSON `json:"calls"`
}

type callJSON struct {
	Step    string            `json:"step"`
	Service string            `json:"service"`
	File    string            `json:"file"`
	Line    int               `json:"line"`
	Faults  map[string]string `json:"faults"`
	Details map[string]string `json:"details,omitempty"`
}

type resultsJSON struct {
	Tests      []testJSON     `json:"tests"`
	Failed     int            `json:"failed"`
	Coverage   []coverageJSON `json:"coverage,omitempty"`
	Faults     []matrixJSON   `json:"faults,omitempty"`
	Resilience *[2]int        `json:"resilience,omitempty"` // coped with, and all
}

func writeJSON(w io.Writer, r *results) error {
	out := resultsJSON{Tests: []testJSON{}, Failed: r.failed}
	for _, t := range r.tests {
		line, _ := t.Test.Span.Position()
		x := testJSON{Name: t.Test.Name, Flow: t.Test.Flow, File: t.Test.Span.Source.Name, Line: line, Passed: t.Passed(), Status: t.Status, Took: t.Took.String()}
		if !t.Passed() {
			var b bytes.Buffer
			if err := dsl.RenderJSON(&b, t.Faults); err != nil {
				return err
			}
			x.Faults = b.Bytes()
		}
		out.Tests = append(out.Tests, x)
	}
	for _, c := range r.coverage {
		x := coverageJSON{Flow: c.Flow, Percent: c.Percent(), Steps: [2]int{c.Steps, c.AllSteps}, Branches: [2]int{c.Ways, c.AllWays}}
		for _, m := range c.Missed {
			line, column := m.Span.Position()
			x.Missed = append(x.Missed, missedJSON{m.Span.Source.Name, line, column, m.What})
		}
		out.Coverage = append(out.Coverage, x)
	}
	for _, m := range r.faults {
		out.Faults = append(out.Faults, matrixOf(m))
	}
	if r.faults != nil {
		good, total, _ := suite.Resilience(r.faults)
		out.Resilience = &[2]int{good, total}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func matrixOf(m suite.Matrix) matrixJSON {
	x := matrixJSON{Flow: m.Flow, Tests: m.Tests, Calls: []callJSON{}}
	if m.Deadline > 0 {
		x.Deadline = m.Deadline.String()
	}
	for _, r := range m.Rows {
		line, _ := r.Span.Position()
		call := callJSON{Step: r.Step, Service: r.Call, File: r.Span.Source.Name, Line: line, Faults: map[string]string{}, Details: map[string]string{}}
		for i, c := range r.Cells {
			call.Faults[suite.Kinds[i]] = c.Outcome.String()
			if c.Detail != "" {
				call.Details[suite.Kinds[i]] = c.Detail
			}
		}
		x.Calls = append(x.Calls, call)
	}
	return x
}

// The format that JUnit's Ant task wrote first and every CI reads.

type suitesXML struct {
	XMLName xml.Name   `xml:"testsuites"`
	Tests   int        `xml:"tests,attr"`
	Failed  int        `xml:"failures,attr"`
	Suites  []suiteXML `xml:"testsuite"`
}

type suiteXML struct {
	Name   string    `xml:"name,attr"`
	Tests  int       `xml:"tests,attr"`
	Failed int       `xml:"failures,attr"`
	Cases  []caseXML `xml:"testcase"`
}

type caseXML struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Time    string      `xml:"time,attr"` // seconds, virtual
	Failure *failureXML `xml:"failure"`
}

type failureXML struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes one testsuite for each file of tests, and one for the
// faults of each flow.
func writeJUnit(w io.Writer, r *results) error {
	var out suitesXML
	add := func(suite string, c caseXML) {
		i := slices.IndexFunc(out.Suites, func(s suiteXML) bool { return s.Name == suite })
		if i < 0 {
			i = len(out.Suites)
			out.Suites = append(out.Suites, suiteXML{Name: suite})
		}
		s := &out.Suites[i]
		s.Cases = append(s.Cases, c)
		s.Tests++
		out.Tests++
		if c.Failure != nil {
			s.Failed++
			out.Failed++
		}
	}
	for _, t := range r.tests {
		c := caseXML{Class: t.Test.Flow, Name: t.Test.Name, Time: fmt.Sprintf("%.3f", t.Took.Seconds())}
		if !t.Passed() {
			var b strings.Builder
			dsl.Render(&b, t.Faults, dsl.RenderOptions{})
			c.Failure = &failureXML{Message: t.Faults[0].Message, Text: b.String()}
		}
		add(t.Test.Span.Source.Name, c)
	}
	for _, m := range r.faults {
		for _, row := range m.Rows {
			for i, cell := range row.Cells {
				c := caseXML{Class: m.Flow, Name: fmt.Sprintf("%s: %s: %s", row.Step, suite.Kinds[i], cell.Outcome), Time: "0.000"}
				if cell.Outcome.Defect() {
					c.Failure = &failureXML{Message: cell.Outcome.String(), Text: row.Span.String() + ": " + cell.Detail}
				}
				add("faults of "+m.Flow, c)
			}
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
