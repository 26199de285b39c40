package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
)

// Suite is the tests of a program. It is safe for concurrent use.
type Suite struct {
	Program *flows.Program
	Tests   []*Test // in the order of their files

	draft   *flows.Draft
	catalog *flows.Catalog
	env     flows.Environment
	plan    *plan
}

// Test is one test of a Suite. It is immutable.
type Test struct {
	Name string
	Flow string // the name of the flow it is about; "" if no route takes its request
	Span dsl.Span

	before    []earlier
	request   *request // or
	run       *runInput
	meanwhile []*other
	env       map[string]string
	secrets   *flows.Secrets
	given     map[string]string // of the secrets, those that are not made up
	now       time.Time         // zero: when the bubble begins
	mocks     []*mock
	expect    expectation
}

// Check is Draft.Check with the tests: it gives no Suite if one of the diagnostics
// is an error. Tests see no secrets of the environment.
func Check(draft *flows.Draft, catalog *flows.Catalog, env flows.Environment) (*Suite, []dsl.Diagnostic) {
	s := &Suite{draft: draft, catalog: catalog, env: env, plan: newPlan()}
	env.Probe, env.Plans = s.plan, true
	var faults []dsl.Diagnostic
	if s.Program, faults = s.draft.Check(catalog, env); s.Program == nil {
		return nil, faults // a test can only be held against flows that are sound
	}
	c := &checker{suite: s, named: map[string]dsl.Span{}}
	for _, d := range faults {
		c.Report(d)
	}
	for _, n := range s.Program.Tests {
		c.test(n)
	}
	for _, f := range s.Program.Flows {
		f.Forget()
	}
	all := slices.DeleteFunc(c.All(), func(d dsl.Diagnostic) bool { return d.Severity == dsl.Note && !env.Notes })
	if c.Failed() {
		return nil, all
	}
	return s, all
}

// Conceal makes a Redactor know the secrets that tests are given.
func (s *Suite) Conceal(r *dsl.Redactor) {
	for _, t := range s.Tests {
		r.Add(t.given)
	}
}

// checker is one check.
type checker struct {
	dsl.Diagnostics
	suite *Suite
	named map[string]dsl.Span // tests, by name
	exprs *dsl.Expressions

	// Of the test at hand.
	given names
	flow  *engine.Flow // nil: no route takes the request
	calls []callSite   // of its flows
	name  string       // what is mocked

	beside []dsl.Related // what takes part in all faults that are reported
}

// Report is what dsl.Reporter asks for.
func (c *checker) Report(d dsl.Diagnostic) {
	d.Related = append(d.Related[:len(d.Related):len(d.Related)], c.beside...)
	c.Diagnostics.Report(d)
}

// test compiles one test.
func (c *checker) test(n *dsl.Node) {
	if n.Broken() {
		return
	}
	if n.Kind != dsl.Map {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a test is a mapping, not " + n.Describe(), Hint: "begin it with test: what it shows"})
		return
	}
	c.exprs = dsl.NewExpressions(c)
	c.exprs.Index = c.suite.env.Index
	defer c.exprs.Close()
	c.flow = nil
	if t, ok := TestKind.Compile(c, n); ok && t != nil {
		c.suite.Tests = append(c.suite.Tests, t)
	}
}

func compileTest(c *checker, at *dsl.Node, cfg *testConfig) *Test {
	t := &Test{Name: cfg.Test.Value, Span: cfg.Test.Span, env: cfg.Env}
	t.secrets, t.given = c.secrets(at.Field("secrets"), cfg.Secrets), map[string]string{}
	for name, text := range cfg.Secrets {
		t.given["secret."+name] = text
	}
	c.given = names{lookup: environment(t.env, c.suite.env.Env), secret: t.secrets.Name()}
	if first, twice := c.named[t.Name]; twice {
		c.Report(dsl.Diagnostic{Span: t.Span, Code: "duplicate-test", Message: fmt.Sprintf("there are two tests named %q", t.Name), Hint: "rename one of them",
			Related: []dsl.Related{{Span: first, Message: "the other one"}}})
	}
	c.named[t.Name] = t.Span
	request, run := cfg.Request.Value != "", cfg.Run.Value != ""
	switch {
	case request && run:
		c.Report(dsl.Diagnostic{Span: cfg.Run.Span, Code: "two-inputs", Message: "a test has a request or runs a flow, not both", Hint: "make two tests of it",
			Related: []dsl.Related{{Span: cfg.Request.Span, Message: "the request"}}})
		return nil
	case request:
		c.misplaced(at, "run", "with")
		if t.request = c.request(&cfg.requestConfig, cfg.Expect.answer()); t.request == nil {
			return nil
		}
		t.Flow, c.flow = t.request.flow, c.find(t.request.flow)
		c.others(t, at, cfg)
	case run:
		c.misplaced(at, "request", "gateway", "headers", "query", "body", "as", "before", "meanwhile")
		if !c.run(t, cfg) {
			return nil
		}
	default:
		if at.Field("request") == nil && at.Field("run") == nil {
			c.Report(dsl.Diagnostic{Span: t.Span, Code: "no-input", Message: "this test does nothing", Hint: "add request: METHOD /path, or run: flow"})
		}
		return nil
	}
	if cfg.Now.Value != "" {
		c.clock(t, cfg.Now)
	}
	if mocks := at.Field("mock"); mocks != nil && mocks.Kind == dsl.Map {
		c.calls = c.suite.callsOf(t.flows())
		for _, f := range mocks.Fields {
			if m := c.mock(f); m != nil {
				t.mocks = append(t.mocks, m)
			}
		}
	}
	c.expect(t, at.Field("expect"), cfg.Expect)
	return t
}

// clock reads when a test takes place.
func (c *checker) clock(t *Test, now dsl.String) {
	var err error
	if t.now, err = time.Parse(time.RFC3339, now.Value); err != nil || t.now.Year() < 2000 {
		c.Report(dsl.Diagnostic{Span: now.Span, Code: "bad-time", Message: fmt.Sprintf("%q is not a time from the year 2000 on", now.Value), Hint: "write it as 2026-01-31T23:59:00Z"})
	}
}

// misplaced reports keys that belong to the other kind of test.
func (c *checker) misplaced(at *dsl.Node, owner string, keys ...string) {
	for _, key := range keys {
		if n := at.Field(key); n != nil {
			d := dsl.Diagnostic{Span: n.KeySpan(), Code: "misplaced-key", Message: fmt.Sprintf("%s belongs to tests with %s:", key, owner), Hint: "remove it"}
			if e, ok := at.Without(key); ok {
				d.Offer("remove "+key, e)
			}
			c.Report(d)
		}
	}
}

// target checks the name of what can be mocked and called: a service, or
// steps.ID of the flow. With a name that is not known it reports.
func (c *checker) target(name dsl.String) bool {
	id, isStep := strings.CutPrefix(name.Value, "steps.")
	if isStep {
		site := c.step(dsl.String{Value: id, Span: name.Span})
		if site != nil {
			c.uses("step", dsl.String{Value: id, Span: behind(name.Span, "steps.")}, site.ID)
		}
		return site != nil
	}
	var known []string
	for _, s := range c.suite.Program.Services {
		known = append(known, s.Name.Value)
	}
	if slices.Contains(known, name.Value) {
		c.uses("service", name, dsl.Span{})
		return true
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-service", Message: fmt.Sprintf("there is no service %q", name.Value)}
	if c.flow != nil && c.suite.plan.step(c.flow.Name.Value, name.Value) != nil {
		d.Hint = "write steps." + name.Value + " for the step, or the name of its service"
	} else if _, ok := d.Suggest(name.Value, known); !ok {
		d.Hint = "it is one of " + listed(known) + ", or steps.ID for a step"
	}
	c.Report(d)
	return false
}

// step finds a step of the flow by its id, or reports that there is none.
func (c *checker) step(id dsl.String) *engine.Site {
	if c.flow == nil {
		c.Report(dsl.Diagnostic{Span: id.Span, Code: "unknown-step", Message: "no flow takes this request, and so there are no steps", Hint: "remove it"})
		return nil
	}
	flow := c.flow.Name.Value
	if site := c.suite.plan.step(flow, id.Value); site != nil {
		return site
	}
	known := c.suite.plan.steps(flow)
	d := dsl.Diagnostic{Span: id.Span, Code: "unknown-step", Message: fmt.Sprintf("flow %q has no step %q", flow, id.Value), Hint: "give the step an id"}
	if len(known) > 0 {
		d.Hint += ", or use one of " + listed(known)
	}
	d.Suggest(id.Value, known)
	c.Report(d)
	return nil
}

// uses tells the index what a test names.
func (c *checker) uses(noun string, name dsl.String, of dsl.Span) {
	if index := c.suite.env.Index; index != nil {
		index.Use(noun, name, of)
	}
}

// behind is the place of what stands behind a prefix of a text, or that of the
// whole if it is not written as it is.
func behind(at dsl.Span, prefix string) dsl.Span {
	if i := strings.Index(at.Text(), prefix); i >= 0 {
		at.Start += i + len(prefix)
		if i == 1 { // a quote
			at.End--
		}
	}
	return at
}

// listed names a few of many.
func listed(names []string) string {
	const most = 8
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// secrets are those of a test. What a machine has is none of its business.
func (c *checker) secrets(at *dsl.Node, given map[string]string) *flows.Secrets {
	var known []string
	for _, name := range c.suite.draft.Secrets() {
		known = append(known, strings.ReplaceAll(name, "/", "."))
	}
	for _, name := range sortedKeys(given) {
		n := at.Field(name)
		d := dsl.Diagnostic{Span: n.KeySpan(), Code: "unknown-secret", Message: fmt.Sprintf("no file reads a secret %q", name), Hint: "remove it; the files read " + listed(known)}
		near, isNear := dsl.Nearest(name, known)
		err := flows.CheckSecret(given[name])
		switch {
		case !slices.Contains(known, name) && isNear:
			d.Hint = fmt.Sprintf("did you mean %q?", near)
		case !slices.Contains(known, name):
		case err != nil:
			d.Span, d.Code, d.Message, d.Hint = n.Span, "no-secret", fmt.Sprintf("the secret %s %v", name, err), "write a text that could be one"
		default:
			continue
		}
		c.Report(d)
	}
	return c.suite.draft.MadeUp(given)
}

func environment(own map[string]string, outer func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if v, ok := own[name]; ok {
			return v, true
		}
		if outer == nil {
			return "", false
		}
		return outer(name)
	}
}
