// Package explain says in words, in JSON and in pictures what flows do: what the
// compiler knows of them and their author cannot see in the files.
package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
)

// Flow is what there is to say of a flow. Durations are written as in flow
// files; what takes them at most is the worst of everything at once.
type Flow struct {
	Flow     string    `json:"flow"`
	Summary  string    `json:"summary,omitempty"`
	At       string    `json:"at"`
	Trigger  *Trigger  `json:"trigger,omitempty"`
	RunBy    []string  `json:"runBy,omitempty"` // flows
	Steps    []Step    `json:"steps"`
	AtMost   Worst     `json:"atMost"`         // without the deadline
	Undo     string    `json:"undo,omitempty"` // how long sagas can take behind that, and behind the deadline, to take back what they did
	Critical []Stage   `json:"critical"`       // the chain of steps that takes longest
	Services []Service `json:"services"`
	Bodies   []Body    `json:"bodies"`
	Errors   []Answer  `json:"errors"`
	Retries  *Retries  `json:"retryBudget,omitempty"` // absent where there is nothing to repeat
	FailFast []Need    `json:"failFast,omitempty"`
}

// Retries bound the attempts that a run makes beyond the first of each call.
type Retries struct {
	Share string `json:"share"` // of the calls
	Min   int    `json:"min"`   // or so many, if that is more
	From  string `json:"from"`  // written, default
}

// Need is a call without which a flow that fails fast does not begin.
type Need struct {
	Step    string `json:"step"`
	Service string `json:"service"`
}

// Trigger is how a request comes to a flow.
type Trigger struct {
	Route    string    `json:"route"`
	Gateway  string    `json:"gateway"`
	Listen   string    `json:"listen"`
	Settings []Setting `json:"settings"`
	Policies []Policy  `json:"policies"` // in the order in which requests go through them
}

// Policy is one policy of a route.
type Policy struct {
	Policy string `json:"policy"`
	From   string `json:"from"` // gateway NAME, policies NAME, flow NAME
	Detail string `json:"detail,omitempty"`
	At     string `json:"at"`
}

// Step is one step, with the steps inside of it.
type Step struct {
	Name     string    `json:"name"`
	Verb     string    `json:"verb"`
	What     string    `json:"what,omitempty"`
	At       string    `json:"at"`
	When     string    `json:"when,omitempty"`
	WaitsFor []string  `json:"waitsFor,omitempty"` // of the members of the same compose
	Reads    []string  `json:"reads,omitempty"`
	Settings []Setting `json:"settings,omitempty"`
	Fallback bool      `json:"fallback,omitempty"`
	Service  string    `json:"service,omitempty"`
	Method   string    `json:"method,omitempty"`
	Path     string    `json:"path,omitempty"`
	Runs     string    `json:"runs,omitempty"`   // a flow
	Detail   string    `json:"detail,omitempty"` // in words, what the rest does not tell
	AtMost   Worst     `json:"atMost"`
	Bodies   []Steps   `json:"bodies,omitempty"`

	plan *engine.PlanStep
}

// Steps are the steps of one part of a step.
type Steps struct {
	Part  string `json:"part"` // steps, catch, finally, undo, tap, aggregate
	When  string `json:"when,omitempty"`
	Steps []Step `json:"steps"`
}

// Worst is the longest that something takes.
type Worst struct {
	Time   string `json:"time"`
	OrMore bool   `json:"orMore,omitempty"` // there are rounds that nobody can count, or something without a bound
}

// Stage is one step of a chain.
type Stage struct {
	Step   string `json:"step"`
	AtMost Worst  `json:"atMost"`
}

// Service is what a flow asks of a service, with all retries.
type Service struct {
	Service   string    `json:"service"`
	At        string    `json:"at"`
	Requests  int       `json:"requests"`           // at most
	PerRound  int       `json:"perRound,omitempty"` // more for each round of loops whose rounds nobody can count
	Call      Worst     `json:"call"`               // one call
	Endpoints []string  `json:"endpoints"`
	Settings  []Setting `json:"settings"`
}

// Body is one body on its way through the flow.
type Body struct {
	Of    string `json:"of"`
	How   string `json:"how"` // streamed, buffered, unread
	Limit string `json:"limit,omitempty"`
	Why   string `json:"why"`
}

// Answer is an answer to failures.
type Answer struct {
	When   string `json:"when,omitempty"` // "": every failure
	Status string `json:"status"`
	At     string `json:"at,omitempty"`
}

// Setting is the effective value of a key.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"` // written, default, or what it is taken from
	At    string `json:"at,omitempty"`
}

// explainer explains flows of one program.
type explainer struct {
	program   *flows.Program
	catalog   *flows.Catalog
	modifiers *dsl.Schema
	schemas   map[string]*dsl.Schema // of verbs
	bounds    engine.Bounds
	gateway   *flows.Gateway
}

// Explain explains a flow of a program that was checked with its plans.
func Explain(p *flows.Program, catalog *flows.Catalog, f *engine.Flow) *Flow {
	x := &explainer{program: p, catalog: catalog, modifiers: engine.ModifierSchema(), schemas: map[string]*dsl.Schema{}}
	plan := f.Plan()
	out := &Flow{Flow: f.Name.Value, Summary: f.Summary, At: f.Name.Span.String(), Steps: x.steps(plan.Steps), AtMost: worst(x.bounds.Flow(f)), Critical: []Stage{}, Errors: []Answer{}}
	if d := x.undo(plan.Steps); d > 0 {
		out.Undo = d.String()
	}
	if f.Trigger != nil {
		out.Trigger = x.trigger(f.Name.Value, f.Trigger)
	}
	for _, other := range p.Flows {
		if slices.Contains(other.Runs(), f) {
			out.RunBy = append(out.RunBy, other.Name.Value)
		}
	}
	for _, s := range x.bounds.Critical(plan.Steps) {
		if bound := x.bounds.Step(s); bound.Time > 0 || bound.Open {
			out.Critical = append(out.Critical, Stage{s.Name, worst(bound)})
		}
	}
	out.Services = x.services(f)
	out.Bodies = x.bodies(f)
	if b := plan.Budget; b != nil && extra(f) {
		out.Retries = &Retries{dsl.Percent(b.Share).String(), b.Min, "default"}
		if b.Written {
			out.Retries.From = "written"
		}
	}
	for _, s := range plan.Needs {
		out.FailFast = append(out.FailFast, Need{s.Name, s.Call.Service})
	}
	for _, e := range plan.Errors {
		out.Errors = append(out.Errors, Answer{When: e.When, Status: e.Status, At: e.Span.String()})
	}
	return out
}

// extra reports whether a run of a flow can make more than the first attempt of each
// call.
func extra(f *engine.Flow) bool {
	return f.Plan() != nil && f.Plan().Extra || slices.ContainsFunc(f.Runs(), extra)
}

func worst(b engine.Bound) Worst { return Worst{shown(b.Time), b.Open} }

// shown is a duration as people write it.
func shown(d time.Duration) string {
	text := d.Round(time.Microsecond).String()
	if trimmed, ok := strings.CutSuffix(text, "m0s"); ok {
		text = trimmed + "m"
	}
	if trimmed, ok := strings.CutSuffix(text, "h0m"); ok {
		text = trimmed + "h"
	}
	return text
}

func (x *explainer) trigger(name string, t *engine.Trigger) *Trigger {
	out := &Trigger{Route: strings.TrimSpace(t.Method + " " + t.Path), Gateway: t.Gateway.Value, Policies: []Policy{}}
	if t.Method == "" {
		out.Route = "ANY " + t.Path
	}
	for _, g := range x.program.Gateways {
		if g.Name.Value == t.Gateway.Value || t.Gateway.Value == "" {
			x.gateway = g
			out.Gateway, out.Listen = g.Name.Value, g.Listen
		}
	}
	trigger := field(engine.FlowSchema(), "trigger")
	out.Settings = settings(trigger, t.Written, nil, "http", "gateway", "without")
	for _, l := range x.program.Layers(name) {
		out.Policies = append(out.Policies, Policy{Policy: l.Policy, From: l.From, Detail: l.Detail, At: l.Span.String()})
	}
	if x.gateway != nil && !slices.ContainsFunc(out.Settings, func(s Setting) bool { return s.Key == "max_body" }) {
		out.Settings = append(out.Settings, Setting{Key: "max_body", Value: bytes(x.gateway.MaxBody), From: "gateway " + x.gateway.Name.Value})
	}
	if x.gateway != nil && x.gateway.DeadlineHeader != "" {
		out.Settings = append(out.Settings, Setting{Key: "deadline_header", Value: x.gateway.DeadlineHeader, From: "gateway " + x.gateway.Name.Value})
	}
	return out
}

func field(s *dsl.Schema, key string) *dsl.Schema {
	for _, f := range s.Fields {
		if f.Key == key {
			return f.Schema
		}
	}
	return &dsl.Schema{}
}

func (x *explainer) steps(plans []*engine.PlanStep) []Step {
	all := make([]Step, 0, len(plans))
	for _, p := range plans {
		s := Step{
			Name: p.Name, Verb: p.Verb, What: p.What, At: p.Span.String(), When: p.When, WaitsFor: p.Waits, Reads: p.Reads,
			Settings: x.settings(p), Detail: p.Detail, Fallback: p.Fallback.Valid(), AtMost: worst(x.bounds.Step(p)), plan: p,
		}
		if c := p.Call; c != nil {
			s.Service, s.Method, s.Path = c.Service, c.Method, c.Path
		}
		if p.Runs != nil {
			s.Runs = p.Runs.Name.Value
		}
		for _, b := range p.Bodies {
			s.Bodies = append(s.Bodies, Steps{b.Part, b.When, x.steps(b.Steps)})
		}
		all = append(all, s)
	}
	return all
}

// undo is how long the sagas among steps can take to undo what they did.
func (x *explainer) undo(steps []*engine.PlanStep) (sum time.Duration) {
	for _, p := range steps {
		if p.Runs != nil && p.Runs.Plan() != nil {
			sum += x.undo(p.Runs.Plan().Steps)
		}
		var inner, within time.Duration
		for _, b := range p.Bodies {
			inner += x.undo(b.Steps)
		}
		if p.Verb == "saga" {
			each(p.Bodies[0].Steps, func(p *engine.PlanStep) {
				if b := p.Body(engine.PartUndo); b != nil {
					within = b.Within
					bound := x.bounds.Steps(b.Steps)
					if bound.Open {
						bound.Time = within
					}
					inner += bound.Time
				}
			})
			inner = min(inner, within)
		}
		sum += inner
	}
	return sum
}

// settings are the keys of a step that have defaults, and those of its
// modifiers that are written.
func (x *explainer) settings(p *engine.PlanStep) []Setting {
	schema := x.schemas[p.Verb]
	if schema == nil {
		k, _ := x.catalog.Steps.Kind(p.Verb)
		schema = k.Schema()
		x.schemas[p.Verb] = schema
	}
	all := settings(schema, p.Written, nil, p.Verb)
	var defaults map[string]string
	if p.Retry != nil {
		defaults = map[string]string{"retry.on": strings.Join(p.Retry.On, ", ")}
	}
	return append(all, settings(x.modifiers, p.Written, defaults, "id")...)
}

// settings are the effective values of the keys that set something: durations,
// sizes, numbers and words. defaults are those that the schema does not tell.
func settings(schema *dsl.Schema, written []engine.Setting, defaults map[string]string, without ...string) []Setting {
	return below(nil, schema, "", written, defaults, without)
}

func below(all []Setting, schema *dsl.Schema, prefix string, written []engine.Setting, defaults map[string]string, without []string) []Setting {
	for _, f := range schema.Fields {
		key := prefix + f.Key
		if slices.Contains(without, key) {
			continue
		}
		if f.Type == dsl.ObjectType {
			if slices.ContainsFunc(written, func(s engine.Setting) bool { return s.Key == key }) {
				all = below(all, f.Schema, key+".", written, defaults, without)
			}
			continue
		}
		if !sets(f.Schema) {
			continue
		}
		i := slices.IndexFunc(written, func(s engine.Setting) bool { return s.Key == key })
		value, known := defaults[key]
		switch {
		case i >= 0:
			all = append(all, Setting{key, strings.Join(strings.Fields(written[i].Span.Text()), " "), "written", written[i].Span.String()})
		case known:
			all = append(all, Setting{Key: key, Value: value, From: "default"})
		case f.Default != nil:
			all = append(all, Setting{Key: key, Value: f.Default.Text, From: "default"})
		}
	}
	return all
}

// sets reports whether a key of this type says how something is done, and not
// what.
func sets(s *dsl.Schema) bool {
	switch s.Type {
	case dsl.DurationType, dsl.SizeType, dsl.PercentType, dsl.RateType, dsl.BoolType, dsl.IntType, dsl.NumberType, dsl.TextType:
		return true
	case dsl.ListType:
		return s.Elem.Type == dsl.TextType
	}
	return false
}

// services are those that the flow and the flows it runs call.
func (x *explainer) services(f *engine.Flow) []Service {
	requests := x.bounds.Flow(f).Requests
	longest := map[string]engine.Bound{}
	seen := map[*engine.Flow]bool{}
	var look func(f *engine.Flow)
	look = func(f *engine.Flow) {
		if seen[f] {
			return
		}
		seen[f] = true
		each(f.Plan().Steps, func(p *engine.PlanStep) {
			if c := p.Call; c != nil {
				b := longest[c.Service]
				longest[c.Service] = engine.Bound{Time: max(b.Time, c.Time), Open: b.Open || c.Streams || c.Time == 0}
			}
			if p.Runs != nil {
				look(p.Runs)
			}
		})
	}
	look(f)
	all := []Service{}
	for _, s := range x.program.Services {
		name := s.Name.Value
		if _, called := longest[name]; !called {
			continue
		}
		all = append(all, Service{
			Service: name, At: s.Name.Span.String(), Requests: requests[name].N, PerRound: requests[name].Each, Call: worst(longest[name]),
			Endpoints: endpoints(s), Settings: serviceSettings(s),
		})
	}
	return all
}

// endpoints are where a service runs, or what is looked at to know.
func endpoints(s *connectors.Service) []string {
	var all []string
	add := func(endpoints []string, version string) {
		for _, e := range endpoints {
			if how := connectors.LookedFor(e); how != "" {
				e += " (" + how + ")"
			}
			all = append(all, e+version)
		}
	}
	c := s.Config()
	add(c.Endpoints, "")
	for _, v := range c.Versions {
		text := fmt.Sprintf("%s weight %d", v.Name, v.Weight)
		if v.When.Header != "" {
			text += fmt.Sprintf(", all with %s: %s", v.When.Header, v.When.Is)
		}
		if v.Fallback != "" {
			text += ", fallback " + v.Fallback
		}
		if m := c.Mirror; m.To == v.Name && m.Share > 0 {
			text += fmt.Sprintf(", copies of %v of the calls to others", dsl.Percent(m.Share))
		}
		add(v.Endpoints, " ["+text+"]")
	}
	return all
}

// serviceSettings are the keys of a service. A value that comes from the
// environment is shown as what it is.
func serviceSettings(s *connectors.Service) []Setting {
	c := s.Config()
	effective := map[string]string{
		"balance": c.Balance, "timeout": shown(c.Timeout), "stream_idle_timeout": shown(c.StreamIdleTimeout), "connect_timeout": shown(c.ConnectTimeout), "max_body": bytes(c.MaxBody),
		"retry.attempts": fmt.Sprint(c.Retry.Attempts), "retry.on": strings.Join(c.Retry.On, ", "),
		"retry.backoff": shown(c.Retry.Backoff), "retry.max_backoff": shown(c.Retry.MaxBackoff),
		"retry.budget": dsl.Percent(c.Retry.Budget).String(), "retry.min_per_second": fmt.Sprint(c.Retry.MinPerSecond), "retry.replay": bytes(c.Retry.Replay),
	}
	if c.Hedge.Extra > 0 {
		effective["hedge.extra"], effective["hedge.quantile"] = dsl.Percent(c.Hedge.Extra).String(), dsl.Percent(c.Hedge.Quantile).String()
	}
	if a := c.Limit.Adaptive; a.Max > 0 {
		effective["limit.adaptive.min"], effective["limit.adaptive.start"] = fmt.Sprint(a.Min), fmt.Sprint(a.Start)
	}
	if c.Limit.Queue > 0 {
		effective["limit.wait"] = shown(c.Limit.Wait)
	}
	if c.Rate.Requests > 0 {
		effective["rate.wait"] = shown(c.Rate.Wait)
	}
	if c.Mirror.To != "" {
		effective["mirror.timeout"] = shown(c.Mirror.Timeout)
	}
	if c.Zone != "" {
		effective["zone"] = c.Zone
	}
	if c.Deadline > 0 {
		effective["deadline"] = shown(c.Deadline)
	}
	for name, b := range s.Breakers() {
		effective[name+".open"], effective[name+".max_open"] = shown(b.Open), shown(b.MaxOpen)
		if b.Of > 0 {
			effective[name+".of"] = fmt.Sprint(b.Of)
		}
		if b.Slow.Over > 0 {
			effective[name+".slow.over"], effective[name+".slow.share"] = shown(b.Slow.Over), fmt.Sprintf("%g%%", 100*b.Slow.Ratio)
		}
	}
	if j := c.Ejection; j.Failures > 0 || j.Ratio > 0 {
		effective["ejection.max_for"] = shown(j.MaxFor)
		if j.Of > 0 {
			effective["ejection.of"] = fmt.Sprint(j.Of)
		}
	}
	if h := c.Health; h.Check != "" {
		effective["health.timeout"] = shown(h.Timeout)
		if h.Check == "http" {
			effective["health.http.status"] = strings.Join(h.HTTP.Status, ", ")
		}
	}
	if c.Panic > 0 {
		effective["panic"] = dsl.Percent(c.Panic).String()
	}
	all := settings(connectors.ServiceKind.Schema(), s.Written(), effective, "endpoints")
	for i := range all {
		if value, known := effective[all[i].Key]; known && strings.Contains(all[i].Value, "$(") {
			all[i].Value = value
		}
	}
	return all
}

func each(steps []*engine.PlanStep, fn func(p *engine.PlanStep)) {
	for _, p := range steps {
		fn(p)
		for _, b := range p.Bodies {
			each(b.Steps, fn)
		}
	}
}
