package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// How a body goes through a flow.
const (
	streamed = "streamed"
	buffered = "buffered"
	unread   = "unread"
)

// bodies says of every body that comes in or goes out whether it is held in
// memory, and why.
func (x *explainer) bodies(f *engine.Flow) []Body {
	plan := f.Plan()
	all := []Body{}
	var forwards []*engine.PlanStep
	each(plan.Steps, func(p *engine.PlanStep) {
		if p.Call != nil && p.Call.Streams {
			forwards = append(forwards, p)
		}
	})
	if f.Trigger != nil {
		all = append(all, x.requestBody(f, forwards))
	}
	each(plan.Steps, func(p *engine.PlanStep) {
		if p.Call == nil {
			return
		}
		b := Body{Of: fmt.Sprintf("the answer of %s to %s", p.Call.Service, p.Name), How: buffered, Limit: x.maxBody(p.Call.Service)}
		readers := readers(plan, p.Name)
		switch {
		case p.Call.Streams:
			b.How, b.Limit, b.Why = streamed, "", "forward passes it on as it comes"
		case p.Read() && len(readers) > 0:
			b.Why = "read by " + listed(readers)
		case p.Read():
			b.Why = "it can become the result of the step around it"
		default:
			b.Why = "a call ends with its answer; nothing reads this one, and it is dropped"
		}
		all = append(all, b)
	})
	return all
}

func (x *explainer) requestBody(f *engine.Flow, forwards []*engine.PlanStep) Body {
	b := Body{Of: "the request"}
	var names []string
	for _, p := range forwards {
		names = append(names, p.Call.Service)
	}
	switch readers := readers(f.Plan(), "body"); {
	case f.Program().ReadsBody():
		b.How, b.Why = buffered, "read by "+listed(readers)
		if len(names) > 0 {
			b.Why += ", and then sent to " + listed(names)
		}
		if b.Limit = bytes(f.Trigger.MaxBody); f.Trigger.MaxBody == 0 && x.gateway != nil {
			b.Limit = bytes(x.gateway.MaxBody)
		}
	case len(names) > 0:
		b.How, b.Why = streamed, "forward passes it on as it comes"
	default:
		b.How, b.Why = unread, "nothing in the flow reads it"
	}
	return b
}

func (x *explainer) maxBody(service string) string {
	for _, s := range x.program.Services {
		if s.Name.Value == service {
			return bytes(s.Config().MaxBody)
		}
	}
	return ""
}

// readers are the names of the steps that read a name, and "errors".
func readers(plan *engine.Plan, name string) (all []string) {
	reads := func(labels []string) bool {
		return slices.ContainsFunc(labels, func(label string) bool {
			rest, ok := strings.CutPrefix(label, name)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
	}
	each(plan.Steps, func(p *engine.PlanStep) {
		if reads(p.Reads) && !slices.Contains(all, p.Name) {
			all = append(all, p.Name)
		}
	})
	if slices.ContainsFunc(plan.Errors, func(e engine.PlanAnswer) bool { return reads(e.Reads) }) {
		all = append(all, "errors")
	}
	return all
}

// listed joins names as a sentence does.
func listed(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// bytes is a size as people write it.
func bytes(n int64) string { return dsl.Size(n).String() }
