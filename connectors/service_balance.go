package connectors

import (
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceBalance is how the endpoint of an attempt is chosen.
type serviceBalance struct {
	Balance dsl.String    `yaml:"balance" doc:"How an endpoint is chosen: peak_ewma (the one that is expected to answer soonest), least_request (that has the fewest requests under way), round_robin, weighted (in turn, by weight), random, ring_hash and maglev (the same one for the same user)." default:"peak_ewma"`
	Hash    *hashConfig   `yaml:"hash" doc:"What of a request decides where it goes, with ring_hash and maglev. A request that does not have it goes anywhere."`
	Zone    dsl.String    `yaml:"zone" doc:"Where Weir runs, such as $(env.ZONE). Endpoints that discovery finds in another zone are used only when none in this one can be."`
	Inject  *injectConfig `yaml:"inject" doc:"Makes calls go wrong on purpose, before retries and everything else that would help. For tests: leave it out where it matters. It does not act in weir test, where mocks say what fails."`
}

type hashConfig struct {
	Header dsl.String `yaml:"header" doc:"The header whose value is hashed."`
	Cookie dsl.String `yaml:"cookie" doc:"The cookie whose value is hashed. Write header or cookie."`
	Load   float64    `yaml:"load" doc:"How many requests one endpoint may have under way, as a multiple of the mean, such as 1.25: what is above goes to the next one. Default: any number." min:"1" max:"100"`
}

type injectConfig struct {
	Share dsl.Percent  `yaml:"share" doc:"The share of the calls that it happens to." default:"100%"`
	Delay dsl.Duration `yaml:"delay" doc:"How much longer such a call takes." min:"1ms"`
	Abort int          `yaml:"abort" doc:"The status that such a call is answered with, from 400 to 599; nothing is sent."`
}

func (c *serviceBalance) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	to.Balance, to.Zone = c.Balance.Value, c.Zone.Value
	if i := c.Inject; i != nil && i.Share > 0 { // which is all to mesh
		to.Inject = mesh.Inject{Share: float64(i.Share), Delay: time.Duration(i.Delay), Abort: i.Abort}
	}
	if h := c.Hash; h != nil {
		to.Hash = mesh.Hash{Header: h.Header.Value, Cookie: h.Cookie.Value, Load: h.Load}
	}
	return true
}
