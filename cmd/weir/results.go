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
	"github.com/weir-run/weir/flows"
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
	// Effects are what became of what sagas had done: by the fault, the steps
	// of each fate (undone, doubted, stays, left).
	Effects map[string]map[string][]string `json:"effects,omitempty"`
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
			if err := dsl.RenderJSON(&b, t.Faults, flows.Page); err != nil {
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
			for _, e := range c.Effects {
				if call.Effects == nil {
					call.Effects = map[string]map[string][]string{}
				}
				fates := call.Effects[suite.Kinds[i]]
				if fates == nil {
					fates = map[string][]string{}
					call.Effects[suite.Kinds[i]] = fates
				}
				fates[e.Fate.String()] = append(fates[e.Fate.String()], e.Step)
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
	Out     string      `xml:"system-out,omitempty"`
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
				c := caseXML{Class: m.Flow, Name: fmt.Sprintf("%s: %s: %s", row.Step, suite.Kinds[i], cell.Outcome), Time: "0.000", Out: (&resultWriter{}).fates(cell.Effects)}
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
