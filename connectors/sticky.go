package connectors

import (
	"context"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// stickyCall is the key sticky of the verbs that reach a service.
type stickyCall struct {
	Sticky dsl.Text `yaml:"sticky" doc:"Keeps requests with one version of the service: those for which this text is the same, such as $(consumer.name), go to the same one while the weights stay. It comes before what sticky of the service says, which decides where it is empty."`
}

// compile gives the text, or nil. Without versions there is nothing to stay with.
func (s stickyCall) compile(c *engine.Compiler, service *Service) *dsl.TextTemplate {
	n := s.Sticky.Node
	if n == nil {
		return nil
	}
	text := c.Text(n, dsl.PlainText)
	if text == nil || service == nil {
		return nil
	}
	if _, static := text.Static(); static {
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "same-key", Message: "this key is the same for all requests: they would all go to one version", Hint: "write an expression, such as $(consumer.name), or remove sticky"})
	}
	if len(service.config.Versions) == 0 {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "no-versions", Message: "the service " + service.Name.Value + " has no versions that a request could stay with", Hint: "remove sticky, or write versions at the service",
			Related: []dsl.Related{{Span: service.Name.Span, Message: "the service"}}})
	}
	return text
}

// stickyOf is what keeps one request with a version; empty if nothing does.
func stickyOf(ctx context.Context, x *engine.Exchange, text *dsl.TextTemplate) (string, error) {
	if text == nil {
		return "", nil
	}
	return text.String(ctx, x)
}
