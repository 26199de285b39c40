package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Flow is one flow of a program: declared first, so that others can refer to
// it, and compiled then.
type Flow struct {
	Name    dsl.String
	Summary string
	Trigger *Trigger // nil: other flows run it

	config   flowConfig
	params   map[string]dsl.Span // nil: what the path has is not known
	headless bool                // whether there is a trigger is not known
	calls    []flowCall
	places   []Place
	program  *Program
	plan     *Plan
	fast     dsl.Span // of fail_fast
	text     uint64   // a hash of what it is made from
}

type flowCall struct {
	flow *Flow
	at   dsl.Span
}

// Trigger says how a request comes to a flow.
type Trigger struct {
	Method, Path string       // no Method takes any
	Hosts        []dsl.String // none: any
	Match        []Match
	Versions     []dsl.String // of what the gateway serves; none: all
	Gateway      dsl.String
	Deadline     time.Duration
	Priority     Priority
	MaxBody      int64 // bytes; 0 is the gateway's
	Span         dsl.Span
	Written      []Setting    // its keys
	Policies     []*dsl.Node  // names of bundles, and bundles
	Without      []dsl.String // policies of the gateway that do not apply
	// Identified says that a policy of the route finds out who calls. It is set
	// before the flow is compiled.
	Identified bool
}

// Match is what a trigger wants of one header or parameter of the query. One of
// Is, Pattern and Present is there.
type Match struct {
	Header  bool // or else a parameter
	Name    string
	Span    dsl.Span
	Is      []string
	Pattern string
	Present *bool
}

// Sound reports whether the trigger names a route at all; if not, that has
// been reported.
func (t *Trigger) Sound() bool { return t.Path != "" }

// flowConfig is a flow as it is written.
type flowConfig struct {
	Flow     dsl.String                 `yaml:"flow" doc:"The name of the flow, unique in the program." required:"true"`
	Summary  string                     `yaml:"summary" doc:"What the flow is for, in a sentence."`
	Trigger  *triggerConfig             `yaml:"trigger" doc:"What starts the flow. A flow without one is run by other flows."`
	Input    map[string]InputDefinition `yaml:"input" doc:"The values that a flow without a trigger takes, read as input.NAME."`
	Output   *dsl.Node                  `yaml:"output" doc:"What the flow returns: a schema (JSON Schema 2020-12), or { $ref: FILE } relative to this file. What return gives is checked against it as far as it is known, and the results of run are known by it."`
	Budget   *retryBudgetConfig         `yaml:"retry_budget" doc:"How many attempts one run may make beyond the first of each call: retries of services and steps, and hedges, of the flows that it runs, too. What is more is not repeated."`
	FailFast bool                       `yaml:"fail_fast" doc:"Fails before the first call if a call that every run makes would find the breaker of its service open, and says when that may change. Calls for whose failure there is a fallback or a catch, and those that not every run makes, do not matter."`
	Steps    dsl.Steps                  `yaml:"steps" doc:"What the flow does, in order." required:"true"`
	Errors   []handlerConfig            `yaml:"errors" doc:"Answers to failures that no step handled. The first that fits is given."`
}

type triggerConfig struct {
	HTTP     dsl.String   `yaml:"http" doc:"METHOD /path, or ANY /path for every method; {name} stands for one segment of the path, {name:pattern} for one that matches." required:"true"`
	Hosts    []dsl.String `yaml:"hosts" doc:"The hosts whose requests this route takes, such as shop.example, or *.shop.example for all below it. Of several routes the one with the most specific host is taken, then the one with the most specific path. Default: all."`
	Match    *matchConfig `yaml:"match" doc:"What else requests must be like: routes of one method and path can be told apart by headers and by parameters of the query. The route that wants more is taken: all that the others want, and something else."`
	Versions []dsl.String `yaml:"versions" doc:"The versions that this route is of, as the gateway names them in versions. Default: none, which is for requests of any."`
	Gateway  dsl.String   `yaml:"gateway" doc:"The gateway whose route this is. Not needed if there is only one."`
	Deadline dsl.Duration `yaml:"deadline" doc:"How long a request may take in all." default:"30s" min:"1ms"`
	Priority dsl.String   `yaml:"priority" doc:"How important the requests are: who goes first where the limit of a service or of the gateway makes some wait, and who is refused last. Flows that this one runs have the same; a tap is low. Default: normal." enum:"critical|high|normal|low"`
	Policies dsl.Bundles  `yaml:"policies" doc:"What applies to the requests of this route on top of the policies of its gateway: names of bundles of the section policies, and bundles that stand in their place. A policy that both have applies as it stands here, but for those that say otherwise."`
	Without  []dsl.String `yaml:"without" doc:"The policies of the gateway that do not apply to this route."`
	MaxBody  dsl.Size     `yaml:"max_body" doc:"How large the body of a request may be. Default: what the gateway says." min:"1B"`
	Input    *inputConfig `yaml:"input" doc:"What requests must be like. One that is not is answered with status 400 and all its faults, before any step runs; expressions are checked against it."`
}

type handlerConfig struct {
	Span    dsl.Span             `yaml:",span"`
	When    dsl.Cond             `yaml:"when" doc:"Which failures this answers; all, if it is left out."`
	Return  dsl.Shape            `yaml:"return" doc:"The body of the answer. An object with a title becomes a problem document (RFC 9457)."`
	Status  dsl.Shape            `yaml:"status" doc:"The status of the answer. Default: what the kind of failure means, such as 502 for a backend that failed."`
	Headers map[string]dsl.Shape `yaml:"headers" doc:"Headers of the answer."`
}

// DeclareFlow reads the head of a flow. It gives nil if there is not even a
// name.
func DeclareFlow(n *dsl.Node, r dsl.Reporter) *Flow {
	f := &Flow{text: hashed(0, n.Span.Text())}
	ok := dsl.Decode(n, r, &f.config)
	if f.config.Flow.Value == "" {
		if name := n.Field("flow"); ok {
			r.Report(dsl.Diagnostic{Span: name.Span, Code: "bad-name", Message: "the name of a flow cannot be empty", Hint: "write flow: name"})
		}
		return nil
	}
	f.headless = !ok && f.config.Trigger == nil
	if fast := n.Field("fail_fast"); fast != nil {
		f.fast = fast.KeySpan()
	}
	f.Name, f.Summary = f.config.Flow, f.config.Summary
	if t := f.config.Trigger; t != nil {
		f.Trigger = f.declare(t, r)
		if ok { // what could not be read says too little
			f.Trigger.Match = t.Match.list(r)
		}
		f.Trigger.Written = Settings(n.Field("trigger"))
		if len(f.config.Input) > 0 {
			r.Report(dsl.Diagnostic{Span: n.Field("input").KeySpan(), Code: "input-and-trigger", Message: "a flow with a trigger reads params, query, headers and body, not input",
				Hint: "move the steps that others share into a flow without a trigger"})
		}
	} else if b := n.Field("retry_budget"); b != nil && !f.headless {
		r.Report(dsl.Diagnostic{Span: b.KeySpan(), Code: "budget-without-trigger", Message: "a flow that others run has the retry budget of the one that runs it",
			Hint: "move it into the flow with the trigger"})
	}
	return f
}

// anyMethod stands for every method in a route.
const anyMethod = "ANY"

func (f *Flow) declare(t *triggerConfig, r dsl.Reporter) *Trigger {
	method, path, _ := strings.Cut(t.HTTP.Value, " ")
	out := &Trigger{Method: method, Path: strings.TrimSpace(path), Hosts: t.Hosts, Versions: t.Versions, Gateway: t.Gateway, Deadline: time.Duration(t.Deadline), Priority: PriorityOf(t.Priority.Value), MaxBody: int64(t.MaxBody), Span: t.HTTP.Span,
		Policies: t.Policies.Items, Without: t.Without}
	if !strings.HasPrefix(out.Path, "/") {
		r.Report(dsl.Diagnostic{Span: t.HTTP.Span, Code: "bad-route", Message: fmt.Sprintf("%q is not a route", t.HTTP.Value), Hint: "write METHOD /path, for example GET /customers/{id}"})
		out.Path = ""
		return out
	}
	if method == anyMethod {
		out.Method = ""
	}
	if strings.Contains(out.Path, "/:") {
		return out // as other routers write variables; the router reports it
	}
	f.params = map[string]dsl.Span{}
	for rest := out.Path; ; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			break
		}
		depth, end := 0, -1
		for i := open; i < len(rest) && end < 0; i++ {
			switch rest[i] {
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					end = i
				}
			}
		}
		if end < 0 {
			f.params = nil // the router reports it with the rest of the template
			return out
		}
		name, _, _ := strings.Cut(rest[open+1:end], ":")
		f.params[name] = t.HTTP.Span
		rest = rest[end+1:]
	}
	return out
}

// Params are the names of the variables of the trigger's path, sorted.
func (f *Flow) Params() []string { return slices.Sorted(maps.Keys(f.params)) }

// Inputs are the values that the flow takes from others, by name.
func (f *Flow) Inputs() map[string]InputDefinition { return f.config.Input }

// Program is what Compile made.
func (f *Flow) Program() *Program { return f.program }

// Runs are the flows that steps of this one run. They are known once it is
// compiled.
func (f *Flow) Runs() (flows []*Flow) {
	for _, call := range f.calls {
		flows = append(flows, call.flow)
	}
	return flows
}

// Revision tells any two states of the flow apart: it is that of its text, of the
// templates that it uses, and of the flows that it runs. What is around it, such
// as services and policies, has no part in it. It is known once all are compiled.
func (f *Flow) Revision() string {
	seen := map[*Flow]bool{}
	var of func(f *Flow) uint64
	of = func(f *Flow) uint64 {
		if seen[f] {
			return 0
		}
		seen[f] = true
		sum := f.text
		for _, call := range f.calls {
			sum = hashed(sum, strconv.FormatUint(of(call.flow), 16))
		}
		return sum
	}
	return fmt.Sprintf("%012x", of(f)>>16)
}

// Calls records that a step of this flow runs another.
func (f *Flow) Calls(other *Flow, at dsl.Span) { f.calls = append(f.calls, flowCall{other, at}) }

// Program is a compiled flow: immutable, shared by all requests.
type Program struct {
	flow     *Flow
	frame    *frame
	body     Step // a Sequence, made a Step once
	input    *name
	request  *name          // body of the request
	schema   *requestSchema // nil: any request will do
	handlers []handler
	budget   retryBudget
	tally    *Kept[*Tally] // nil: there is nothing to count
	needs    []need        // what it fails without at once; nil: it does not
	spine    *spine        // nil without steps
}

type handler struct {
	name    *name
	when    *dsl.Expr
	answer  *AnswerTemplate
	problem bool // the answer is a problem document (RFC 9457)
	taken   func()
}

// Compile compiles the flow and reports every fault. Flows of one program may
// be compiled concurrently, each with a Reporter of its own.
func (f *Flow) Compile(lang *Language, r dsl.Reporter) {
	c := newCompiler(f, lang, r)
	defer c.exprs.Close()
	p := &Program{flow: f, body: Sequence(nil), frame: c.pushFrame()}
	c.scope = c.global()
	c.scope.torn = f.headless
	if f.Trigger != nil {
		p.schema = c.requestSchema()
		c.scope.requestNames(f, p.schema)
		p.request = c.name(p.frame, "body")
		if p.schema != nil && p.schema.body != nil {
			p.request.read, p.request.static = true, c.docs.Type(f.config.Trigger.Input.Body, f.config.Trigger.Input.Body)
		}
		p.request.caller, p.request.asked = true, true
		c.scope.names["body"] = &entry{Name: c.scope.bound(p.request)}
	} else {
		p.input = c.name(p.frame, "input")
		p.input.caller = true
		c.inputs(f.config.Input)
		c.scope.names["input"] = &entry{Name: c.scope.inputs(p.input, f.config.Input)}
	}
	if f.config.Steps.Node != nil {
		p.body = c.own(f.config.Steps.Node)
		p.spine = c.spine
	}
	plan := &Plan{}
	for _, b := range c.plan.Bodies {
		plan.Steps = b.Steps
	}
	conds := make([]dsl.Cond, len(f.config.Errors))
	for i := range f.config.Errors {
		conds[i] = f.config.Errors[i].When
	}
	c.Alternatives(conds...)
	for i := range f.config.Errors {
		c.plan = &PlanStep{}
		p.handlers = append(p.handlers, c.handler(&f.config.Errors[i]))
		plan.Errors = append(plan.Errors, c.planAnswer(&f.config.Errors[i]))
	}
	if lang.Probe != nil {
		p.body = lang.Probe.Flow(f, p.body)
	}
	p.budget = f.config.Budget.bound()
	plan.Extra = c.spends
	if f.Trigger != nil {
		plan.Budget = &PlanBudget{p.budget.share, int(p.budget.min), f.config.Budget != nil}
	}
	if (c.spends || len(f.calls) > 0 || f.config.FailFast) && f.Trigger != nil {
		p.tally = f.tally()
	}
	for _, fr := range c.frames {
		fr.seal()
	}
	if !c.failed {
		f.program, f.plan = p, plan
	}
	f.config.Steps, f.config.Errors = dsl.Steps{}, nil // or the nodes of the whole file would stay
}

// inputs makes the declared values readable as fields of input.
func (s *scope) inputs(n *name, defs map[string]InputDefinition) *dsl.Name {
	whole := s.bound(n)
	fields := map[string]*dsl.Name{}
	var static *dsl.StaticType
	for text, def := range defs {
		fields[text] = &dsl.Name{At: def.Span, Static: s.c.inputType(def), Secret: def.Secret, Bind: func(path dsl.Path) dsl.Read {
			return whole.Bind(append(dsl.Path{{Name: text}}, path...))
		}}
		if def.Secret && (static == nil || text < static.Holds.Name[len("input."):]) {
			static = dsl.Static(dsl.IsObject).Holding(&dsl.Held{Name: "input." + text, Span: def.Span})
		}
	}
	return &dsl.Name{Type: dsl.TypeObject, Static: static, Fields: fields, Absent: s.c.flow.noInput, Bind: whole.Bind}
}

func (c *Compiler) handler(cfg *handlerConfig) handler {
	h := handler{taken: c.Way(cfg.Span, "this answer of errors")}
	// A handler sees the request, not the steps: any of them may not have run.
	in, n := c.scope.base().handler(dsl.Span{})
	h.name = n
	c.within(in, func() {
		if cfg.When.Node != nil {
			h.when = c.Cond(cfg.When)
		}
		h.answer = c.Answer(cfg.Return, cfg.Status, cfg.Headers)
	})
	if body := cfg.Return.Node; body != nil && body.Kind == dsl.Map {
		h.problem = body.Field("title") != nil
	}
	return h
}

// base is the scope of what is there before any step runs.
func (s *scope) base() *scope {
	b := &scope{frame: s.frame, c: s.c, names: map[string]*entry{}, torn: s.torn}
	for text, e := range s.names {
		if e.step == nil {
			b.names[text] = e
			continue
		}
		b.names[text] = &entry{at: e.at, Name: &dsl.Name{Denied: &dsl.Denied{
			Message: fmt.Sprintf("step %q may not have run when the flow failed", text),
			Hint:    "errors can use error and the request; to use a step's result, catch the failure beside the step",
			Related: []dsl.Related{{Span: e.at, Message: "the step"}},
		}}}
	}
	return b
}

// ReadsBody reports whether any expression reads the request's body.
func (p *Program) ReadsBody() bool { return p.request != nil && p.request.read }

// Flow is the flow that the program was compiled from.
func (p *Program) Flow() *Flow { return p.flow }

// Run runs the flow on one input. A failure that nothing in the flow answered
// comes back as an *Error. The caller releases the Answer.
func (p *Program) Run(ctx context.Context, in *Input) (Answer, *Error) {
	x := p.frame.exchange(in, nil)
	defer func() {
		if in.ledger == nil {
			in.Attempts = x.own.calls.Load() + x.own.extra.Load()
		}
		x.release()
	}()
	x.own.bound, x.own.tally = &p.budget, p.tally
	if p.input != nil {
		x.results[p.input.index].cell.set(in.With)
	} else {
		x.results[p.request.index].cell.set(in.Body)
	}
	var err error
	if p.schema != nil {
		err = safely(ctx, admission{p}, x)
	}
	if err == nil {
		body := p.body
		if p.needs != nil {
			body = foreseen{p}
		}
		err = safely(ctx, body, x)
	}
	if err == nil || errors.Is(err, ErrReturn) {
		return x.answer, nil
	}
	x.answer.Release()
	e := failure(ctx, err)
	if e.Kind == KindCanceled || x.answer.Written {
		return x.answer, e
	}
	if len(p.handlers) > 0 && ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer cancel()
	}
	for i := range p.handlers {
		a, fits, err := p.handlers[i].handle(ctx, x, e)
		if err != nil {
			f := failure(ctx, err)
			f.Message += " (while answering: " + e.Error() + ")"
			return Answer{}, f
		}
		if fits {
			in.MadeOf().Degraded()
			return a, nil
		}
	}
	return Answer{}, e
}

// lastWord bounds the answer to a failure of a flow whose time is up. It waits
// for nothing, but its expressions can have loops.
const lastWord = time.Second

var problemType = []string{"application/problem+json"}

func (h *handler) handle(ctx context.Context, x *Exchange, e *Error) (a Answer, fits bool, err error) {
	x.setError(h.name, e)
	if h.when != nil {
		if fits, err := h.when.Bool(ctx, x); err != nil || !fits {
			return Answer{}, false, err
		}
	}
	take(h.taken)
	if a, err = h.answer.Answer(ctx, x); a.Status == 0 {
		a.Status = e.HTTPStatus()
	}
	a.Failure = e
	if h.problem && a.Header["Content-Type"] == nil {
		if a.Header == nil {
			a.Header = http.Header{}
		}
		a.Header["Content-Type"] = problemType
	}
	return a, true, err
}

// Recursion reports flows that run themselves, directly or through others.
func Recursion(flows []*Flow, r dsl.Reporter) {
	circles(flows, func(f *Flow) []flowCall { return f.calls }, func(c flowCall) *Flow { return c.flow }, func(path []flowCall) {
		names := path[len(path)-1].flow.Name.Value
		d := dsl.Diagnostic{Span: path[0].at, Code: "recursion", Hint: "use each for a repetition, or let one of them do without the other"}
		for i, call := range path {
			names += " -> " + call.flow.Name.Value
			if i > 0 {
				d.Related = append(d.Related, dsl.Related{Span: call.at, Message: "which runs " + call.flow.Name.Value})
			}
		}
		d.Message = "this flow runs itself: " + names
		r.Report(d)
	})
}
