package explain

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/weir-run/weir/engine"
)

// Text writes the explanation as people read it.
func (f *Flow) Text(w io.Writer) error {
	t := &text{}
	t.line("%s  %s", f.Flow, f.At)
	if f.Summary != "" {
		t.line("%s", f.Summary)
	}
	t.line("")
	t.head(f)
	t.line("\nsteps")
	t.steps(f.Steps, "  ", "")
	t.line("\nat worst")
	t.worst(f)
	if len(f.Services) > 0 {
		t.line("\nservices")
		for _, s := range f.Services {
			t.service(s)
		}
	}
	if len(f.Bodies) > 0 {
		t.line("\nbodies")
		for _, b := range f.Bodies {
			how := b.How
			if b.Limit != "" {
				how += " up to " + b.Limit
			}
			t.line("  %s: %s (%s)", b.Of, how, b.Why)
		}
	}
	t.errors(f)
	_, err := io.WriteString(w, t.String())
	return err
}

// oneLine is text without what ends a line, what a terminal would obey and what
// XML cannot hold.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

type text struct{ strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) head(f *Flow) {
	if f.Trigger == nil {
		switch {
		case len(f.RunBy) > 0:
			t.line("run by    %s", listed(f.RunBy))
		default:
			t.line("run by    no flow")
		}
		return
	}
	t.line("trigger   %s, on gateway %s (%s)", f.Trigger.Route, f.Trigger.Gateway, f.Trigger.Listen)
	for _, s := range f.Trigger.Settings {
		t.line("%-9s %s (%s)", s.Key, s.Value, s.origin())
	}
	if len(f.Trigger.Policies) > 0 {
		t.line("\npolicies, in the order in which requests go through them")
		for _, p := range f.Trigger.Policies {
			if p.Detail != "" {
				p.Policy += ": " + p.Detail
			}
			t.line("  %s, of %s (%s)", p.Policy, p.From, p.At)
		}
	}
}

func (s Setting) origin() string {
	switch s.From {
	case "written", "default":
		return s.From
	}
	return "of " + s.From
}

// deadline is what bounds the flow, "" if nothing does.
func (f *Flow) deadline() string {
	if f.Trigger != nil {
		for _, s := range f.Trigger.Settings {
			if s.Key == "deadline" {
				return s.Value
			}
		}
	}
	return ""
}

// steps writes steps that run in order, or as order says.
func (t *text) steps(steps []Step, indent, order string) {
	width := 0
	for _, s := range steps {
		if s.plan.Named() {
			width = max(width, len([]rune(s.Name)))
		}
	}
	for _, s := range steps {
		what := strings.TrimSuffix(s.Verb+": "+oneLine(s.What), ": ")
		if s.plan.Named() {
			what = fmt.Sprintf("%-*s  %s", width, s.Name, what)
		}
		t.line("%s%s", indent, what)
		for _, note := range s.notes(order) {
			t.line("%s    %s", indent, note)
		}
		if s.plan.Order == engine.Race {
			t.steps(s.branches(), indent+"    ", "branch")
		}
		for _, b := range s.Bodies {
			t.body(s, b, indent+"    ")
		}
	}
}

func (t *text) body(s Step, b Steps, indent string) {
	order, title := "", ""
	switch {
	case b.Part == engine.PartFinally:
		title = "at the end, in any case"
	case b.Part == engine.PartCatch:
		title = "if it fails"
	case b.Part == engine.PartUndo:
		title = "if the saga fails later"
	case b.Part == engine.PartTap:
		title = "beside the request, which does not wait for it"
	case b.Part == engine.PartAggregate:
		title = "once for each complete group"
	case s.plan.Order == engine.ByData:
		order = "member"
	case s.plan.Order == engine.Race:
		return // they stand there already
	case s.plan.Order == engine.OneOf && b.When != "":
		title = "when " + oneLine(b.When)
	case s.plan.Order == engine.OneOf:
		title = "otherwise"
	}
	if title != "" {
		t.line("%s%s", indent, title)
		indent += "    "
	}
	t.steps(b.Steps, indent, order)
}

// branches are the steps of a race.
func (s Step) branches() (all []Step) {
	for _, b := range s.parts(engine.PartSteps) {
		all = append(all, b.Steps...)
	}
	return all
}

// notes are what there is to say of a step, a line each.
func (s Step) notes(order string) (lines []string) {
	var runs []string
	switch {
	case order == "member" && len(s.WaitsFor) == 0:
		runs = append(runs, "starts at once")
	case order == "member":
		runs = append(runs, "waits for "+listed(s.WaitsFor))
	case order == "branch":
		runs = append(runs, "starts at once; the first success is the result")
	}
	if s.When != "" {
		runs = append(runs, "when "+oneLine(s.When))
	}
	if s.Fallback {
		runs = append(runs, "the fallback, if it fails")
	}
	if len(runs) > 0 {
		lines = append(lines, strings.Join(runs, "; "))
	}
	if s.Detail != "" {
		lines = append(lines, oneLine(s.Detail))
	}
	if written, defaults := split(s.Settings); written != "" || defaults != "" {
		lines = append(lines, written+defaults)
	}
	return lines
}

// split gives the settings that are written, and the defaults in parentheses.
func split(settings []Setting) (written, defaults string) {
	var w, d []string
	for _, s := range settings {
		if s.From == "default" {
			d = append(d, s.Key+" "+s.Value)
		} else {
			w = append(w, s.Key+" "+s.Value)
		}
	}
	written = strings.Join(w, "; ")
	if len(d) > 0 {
		if defaults = "(default: " + strings.Join(d, "; ") + ")"; written != "" {
			defaults = " " + defaults
		}
	}
	return written, defaults
}

func (w Worst) String() string {
	if w.OrMore {
		return w.Time + " or more"
	}
	return w.Time
}

func (t *text) worst(f *Flow) {
	if len(f.Critical) == 0 {
		t.line("  nothing in this flow takes time")
		return
	}
	var chain []string
	for _, s := range f.Critical {
		chain = append(chain, fmt.Sprintf("%s %s", s.Step, s.AtMost))
	}
	t.line("  %s", strings.Join(chain, " -> "))
	sum := f.AtMost.String()
	if deadline := f.deadline(); deadline != "" {
		t.line("  in all %s; the deadline ends it after %s", sum, deadline)
	} else {
		t.line("  in all %s", sum)
	}
	t.foresight(f)
	if f.Undo != "" {
		t.line("  if it fails, taking back what was done is waited for, too: %s", f.Undo)
	}
}

// foresight is what a run does not do although it could.
func (t *text) foresight(f *Flow) {
	if b := f.Retries; b != nil && b.From == "written" {
		t.line("  a run makes at most %d attempts beyond the first of each call, or %s of its calls if that is more", b.Min, b.Share)
	}
	for _, n := range f.FailFast {
		t.line("  it fails before its first call while the breaker of %s, which %s needs, is open", n.Service, n.Step)
	}
}

func (t *text) service(s Service) {
	requests := "at most " + counted(s.Requests)
	switch {
	case s.PerRound > 0 && s.Requests > 0:
		requests += fmt.Sprintf(", and %d for each round", s.PerRound)
	case s.PerRound > 0:
		requests = "at most " + counted(s.PerRound) + " for each round"
	}
	call := "a call takes at most " + s.Call.Time
	switch {
	case s.Call.Time == "0s":
		call = "a call takes any time"
	case s.Call.OrMore:
		call = "a call takes at most " + s.Call.Time + " until the answer begins"
	}
	t.line("  %s  %s", s.Service, s.At)
	t.line("    %s; %s", requests, call)
	t.line("    endpoints %s", strings.Join(s.Endpoints, ", "))
	written, defaults := split(s.Settings)
	t.line("    %s%s", written, defaults)
}

func counted(requests int) string {
	if requests == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", requests)
}

func (t *text) errors(f *Flow) {
	t.line("\nerrors")
	all := false
	for _, e := range f.Errors {
		status := e.Status
		if status == "" {
			status = "what the kind of failure means"
		}
		when := "when " + oneLine(e.When)
		if e.When == "" {
			when, all = "every failure", true
		}
		t.line("  %s: status %s  %s", when, status, e.At)
	}
	which := "every failure"
	if len(f.Errors) > 0 {
		which = "any other failure"
	}
	switch {
	case all:
	case f.Trigger == nil:
		t.line("  %s: the step that runs this flow fails", which)
	default:
		t.line("  %s: a problem document (RFC 9457) with the status that its kind means", which)
	}
}
