package connectors

import (
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceLimits is how much a service may have to do at a time.
type serviceLimits struct {
	Limit *limitConfig `yaml:"limit" doc:"How much may be under way at a time. What is above waits in the queue, or fails at once with the kind overloaded."`
}

type limitConfig struct {
	Concurrent  int          `yaml:"concurrent" doc:"How many calls may be under way, to the end of their answers. Default: any number." min:"1" max:"1000000"`
	PerEndpoint int          `yaml:"per_endpoint" doc:"How many requests one endpoint may have under way, retries and hedges included. Default: any number." min:"1" max:"1000000"`
	Queue       int          `yaml:"queue" doc:"How many calls may wait for their turn, first come, first served. Default: none." min:"1" max:"100000"`
	Wait        dsl.Duration `yaml:"wait" doc:"How long a call waits at most, and never so long that no time is left for an answer. Default: 100ms." min:"1ms"`
}

func (c *serviceLimits) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	if l := c.Limit; l != nil {
		to.Limit = mesh.Limit{Concurrent: l.Concurrent, PerEndpoint: l.PerEndpoint, Queue: l.Queue, Wait: time.Duration(l.Wait)}
	}
	return true
}
