package policies

import (
	"context"
	"fmt"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// priorityConfig is the key priority, which policies have in common that cannot
// let all requests in.
type priorityConfig struct {
	Priority dsl.Text `yaml:"priority" doc:"How important a request is: low, normal, high or critical, or an expression that gives one of them, such as $(consumer.plan == \"gold\" ? \"high\" : \"normal\"). Without it, or where it fails or gives anything else, it is the priority of the route."`
}

// ranking tells how important requests are.
type ranking struct{ by *dsl.TextTemplate } // nil: by route

// ranking compiles a key priority.
func (c *Compiler) ranking(cfg priorityConfig) ranking {
	text := c.Text(cfg.Priority, dsl.PlainText)
	if text == nil {
		return ranking{}
	}
	if static, ok := text.Static(); ok {
		if _, known := rankOf(static); !known {
			d := dsl.Diagnostic{Span: cfg.Priority.Node.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is no priority", static),
				Hint: "write " + strings.Join(engine.Priorities(), ", ") + ", or an expression that gives one"}
			d.Suggest(static, engine.Priorities())
			c.Report(d)
		}
	}
	return ranking{text}
}

// rankOf is the rank of a priority as it is written, the lowest 0.
func rankOf(text string) (rank int, known bool) {
	for i, name := range engine.Priorities() {
		if name == text {
			return i, true
		}
	}
	return 0, false
}

// of is the rank of a request.
func (k ranking) of(ctx context.Context, q *gateway.Request) int {
	if k.by != nil {
		if text, err := k.by.String(ctx, q); err == nil {
			if rank, known := rankOf(text); known {
				return rank
			}
		}
	}
	var p engine.Priority
	if q.Route != nil {
		p = q.Route.Priority
	}
	return int(p - engine.PriorityLow)
}
