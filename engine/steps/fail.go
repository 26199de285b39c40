package steps

import (
	"context"
	"fmt"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type failConfig struct {
	Fail   dsl.Text   `yaml:"fail" doc:"What went wrong, for people: it is the title of the problem document that the caller gets, unless a handler answers." required:"true"`
	Status int        `yaml:"status" doc:"The status of the answer." default:"500" min:"400" max:"599"`
	Code   dsl.String `yaml:"code" doc:"A stable code for programs, in lower-case words with hyphens."`
}

// Fail makes the flow fail.
var Fail = dsl.Define("fail", "Fails, as a failing call would: catch, fallback and errors see it.", compileFail,
	dsl.Example{Name: "refuse an order", YAML: `
when: body.qty > 100
fail: At most 100 pieces can be ordered at once
status: 422
code: order-too-large
`})

type fail struct {
	message *dsl.TextTemplate
	status  int
	code    string
}

func compileFail(c *engine.Compiler, _ *dsl.Node, cfg *failConfig) engine.Step {
	if code := cfg.Code; code.Span.Valid() && !isCode(code.Value) {
		c.Report(dsl.Diagnostic{Span: code.Span, Code: "bad-code", Message: fmt.Sprintf("%q is not a code", code.Value),
			Hint: "write lower-case letters, digits and hyphens, such as order-too-large"})
	}
	f := &fail{message: c.Text(cfg.Fail.Node, dsl.PlainText), status: cfg.Status, code: cfg.Code.Value}
	c.Shown(cfg.Fail.Node, "the answer")
	return f
}

// isCode reports whether programs can rely on s: words of lower-case letters and
// digits with hyphens between.
func isCode(s string) bool {
	for word := range strings.SplitSeq(s, "-") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return true
}

// Describe is what engine.Describer asks for.
func (f *fail) Describe(p *engine.PlanStep) { p.Fails = true }

// Run is what engine.Step asks for.
func (f *fail) Run(ctx context.Context, x *engine.Exchange) error {
	message, err := f.message.String(ctx, x)
	if err != nil {
		return err
	}
	return &engine.Error{Kind: engine.KindFail, Status: f.status, Message: message, Code: f.code}
}
