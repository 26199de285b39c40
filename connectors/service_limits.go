package connectors

import (
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

// serviceLimits is how much a service may have to do at a time.
type serviceLimits struct {
	Limit *limitConfig `yaml:"limit" doc:"How much may be under way at a time. What is above waits in the queue, or fails at once with the kind overloaded."`
	Rate  *rateConfig  `yaml:"rate" doc:"How many requests the service takes in a time, because its provider says so. They are spread evenly; what would wait for too long fails with the kind overloaded."`
}

type limitConfig struct {
	Concurrent  int            `yaml:"concurrent" doc:"How many calls may be under way, to the end of their answers. Default: any number." min:"1" max:"1000000"`
	Adaptive    *adaptiveLimit `yaml:"adaptive" doc:"In place of concurrent: how many calls may be under way is found out from how long answers take and how many fail of overload."`
	PerEndpoint int            `yaml:"per_endpoint" doc:"How many requests one endpoint may have under way, retries and hedges included. Default: any number." min:"1" max:"1000000"`
	Queue       int            `yaml:"queue" doc:"How many calls may wait for their turn: by priority, and within one first come, first served. Default: none." min:"1" max:"100000"`
	Wait        dsl.Duration   `yaml:"wait" doc:"How long a call waits at most, and never so long that no time is left for an answer. Default: 100ms." min:"1ms"`
}

type rateConfig struct {
	Limit dsl.Rate     `yaml:"limit" doc:"The rate: 100/s, 90/m, 5000/h. Retries, hedges and copies count." required:"true"`
	Wait  dsl.Duration `yaml:"wait" doc:"How long a request waits for its turn at most, and never so long that no time is left for an answer." default:"1s" min:"1ms"`
}

type adaptiveLimit struct {
	Max   int `yaml:"max" doc:"What the number never exceeds." required:"true" min:"1" max:"1000000"`
	Min   int `yaml:"min" doc:"What it never falls below. Default: 5, or max if that is less." min:"1" max:"1000000"`
	Start int `yaml:"start" doc:"What it begins with. Default: 20, within min and max." min:"1" max:"1000000"`
}

// priority is that of a step; if it has none of its own, that of the flow.
type priority struct {
	own   bool
	value engine.Priority
}

func priorityOf(written dsl.String) priority {
	return priority{written.Value != "", engine.PriorityOf(written.Value)}
}

func (p priority) in(x *engine.Exchange) mesh.Priority {
	if p.own {
		return mesh.Priority(p.value)
	}
	return mesh.Priority(x.In.Priority)
}

func (c *serviceLimits) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	if l := c.Limit; l != nil {
		to.Limit = mesh.Limit{Concurrent: l.Concurrent, PerEndpoint: l.PerEndpoint, Queue: l.Queue, Wait: time.Duration(l.Wait)}
		if a := l.Adaptive; a != nil {
			to.Limit.Adaptive = mesh.Adaptive{Max: a.Max, Min: a.Min, Start: a.Start}
		}
	}
	if r := c.Rate; r != nil {
		to.Rate = mesh.Rate{Requests: int(r.Limit.Count), Per: r.Limit.Per, Wait: time.Duration(r.Wait)}
	}
	return true
}
