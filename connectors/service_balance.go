package connectors

import (
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceBalance is how the endpoint of an attempt is chosen.
type serviceBalance struct {
	Balance  dsl.String      `yaml:"balance" doc:"How an endpoint is chosen: peak_ewma (the one that is expected to answer soonest), least_request (that has the fewest requests under way), round_robin, weighted (in turn, by weight), random, ring_hash and maglev (the same one for the same user)." default:"peak_ewma"`
	Hash     *hashConfig     `yaml:"hash" doc:"What of a request decides where it goes, with ring_hash and maglev. A request that does not have it goes anywhere."`
	Affinity *affinityConfig `yaml:"affinity" doc:"Keeps a caller with one endpoint while that lives, by a cookie that the first answer sets. forward passes it on; a flow that calls has to."`
	Zone     dsl.String      `yaml:"zone" doc:"Where Weir runs, such as $(env.ZONE). Endpoints that discovery finds in another zone are used only when none in this one can be."`
	Inject   *injectConfig   `yaml:"inject" doc:"Makes calls go wrong on purpose, before retries and everything else that would help. For tests: leave it out where it matters. It does not act in weir test, where mocks say what fails."`
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

type affinityConfig struct {
	Cookie   dsl.String   `yaml:"cookie" doc:"The name of the cookie. Its value is a code for the endpoint, never its address." required:"true"`
	Path     dsl.String   `yaml:"path" doc:"Where browsers send it, with all below." default:"/"`
	MaxAge   dsl.Duration `yaml:"max_age" doc:"How long browsers keep it. Default: until they are closed." min:"1s"`
	SameSite string       `yaml:"same_site" doc:"Whether browsers send it with requests that come from other sites: with none they do, with lax only where a link is followed." default:"lax" enum:"lax|strict|none"`
	Secure   bool         `yaml:"secure" doc:"Keeps it to TLS. It is also set so where the caller came to Weir over TLS: write it if something before Weir speaks TLS."`
	Key      dsl.Secret   `yaml:"key" doc:"Makes the codes unpredictable, so that nobody can try which addresses there are. Weir processes that share callers need the same one."`
}

func (c *serviceBalance) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	to.Balance, to.Zone = c.Balance.Value, c.Zone.Value
	if i := c.Inject; i != nil && i.Share > 0 { // which is all to mesh
		to.Inject = mesh.Inject{Share: float64(i.Share), Delay: time.Duration(i.Delay), Abort: i.Abort}
	}
	if a := c.Affinity; a != nil {
		to.Affinity = mesh.Affinity{Cookie: a.Cookie.Value, Path: a.Path.Value, MaxAge: time.Duration(a.MaxAge), SameSite: a.SameSite, Secure: a.Secure, Key: a.Key.Reveal()}
	}
	if h := c.Hash; h != nil {
		to.Hash = mesh.Hash{Header: h.Header.Value, Cookie: h.Cookie.Value, Load: h.Load}
	}
	return true
}
