package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type waitConfig struct {
	Wait dsl.Text `yaml:"wait" doc:"How long: a duration such as 2s, or text with an expression that makes one, such as $(body.seconds)s." required:"true"`
}

// Wait lets time pass.
var Wait = dsl.Define("wait", "Lets time pass. A wait that would outlast the time that is left is not begun: the step fails at once.", compileWait,
	dsl.Example{Name: "as long as a backend asks for", YAML: `
wait: $(body.retry_after ?? 1)s
`},
	dsl.Example{Name: "a fixed time", YAML: `
wait: 150ms
`})

type wait struct {
	text  *dsl.TextTemplate
	span  dsl.Span
	fixed time.Duration // if text is nil
}

func compileWait(c *engine.Compiler, at *dsl.Node, cfg *waitConfig) engine.Step {
	n := cfg.Wait.Node
	text := c.Text(n, dsl.PlainText)
	if text == nil {
		return nil
	}
	static, ok := text.Static()
	if !ok {
		return &wait{text: text, span: n.Span}
	}
	d, err := dsl.ParseDuration(static)
	if err != nil {
		what, hint, _ := strings.Cut(err.Error(), "; ")
		if hint == "" {
			hint = "write a number and its unit, such as 150ms or 2s"
		}
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-value", Message: `"wait": ` + what, Hint: hint})
		return nil
	}
	s := &wait{fixed: time.Duration(d)}
	tooLong := func(bound time.Duration, what string, at dsl.Span) {
		if s.fixed >= bound {
			c.Report(dsl.Diagnostic{Span: n.Span, Code: "waits-too-long", Message: fmt.Sprintf("%s are never waited: %s is %v", static, what, bound),
				Hint: "write a shorter wait", Related: []dsl.Related{{Span: at, Message: what}}})
		}
	}
	if timeout := at.Field("timeout"); timeout != nil {
		if bound, err := dsl.ParseDuration(timeout.Text); err == nil {
			tooLong(time.Duration(bound), "the timeout of the step", timeout.Span)
			return s
		}
	}
	if t := c.Flow().Trigger; t != nil {
		tooLong(t.Deadline, "the deadline of the flow", t.Span)
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *wait) Describe(p *engine.PlanStep) { p.Wait, p.Waiting = s.fixed, s.text != nil }

// Run is what engine.Step asks for.
func (s *wait) Run(ctx context.Context, x *engine.Exchange) error {
	d := s.fixed
	if s.text != nil {
		text, err := s.text.String(ctx, x)
		if err != nil {
			return err
		}
		parsed, err := dsl.ParseDuration(text)
		if err != nil {
			return &dsl.Fault{Span: s.span, Message: err.Error(), Err: err}
		}
		d = time.Duration(parsed)
	}
	if engine.Pause(ctx, d) {
		return nil
	}
	if e := engine.Interrupted(ctx); e != nil {
		return e
	}
	return &engine.Error{Kind: engine.KindDeadline, Message: fmt.Sprintf("there is less time left than %v, which it was to wait", d)}
}
