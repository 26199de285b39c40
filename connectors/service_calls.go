package connectors

import (
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceCalls is what one call of a service may take: time, attempts, and load.
type serviceCalls struct {
	Deadline          dsl.Duration `yaml:"deadline" doc:"How long a call may take with all its attempts and the pauses between them. What is left of the deadline of a step or a route bounds it, too." min:"1ms"`
	DeadlineHeader    dsl.String   `yaml:"deadline_header" doc:"The header in which each attempt tells the service how many milliseconds its answer is waited for, such as X-Envoy-Expected-Rq-Timeout-Ms, or Grpc-Timeout, in the form that gRPC wants. Default: none."`
	Timeout           dsl.Duration `yaml:"timeout" doc:"How long one attempt may take, with its body; forward counts to the header of the answer. While a long body is sent it starts anew with each piece that the service takes." default:"10s" min:"1ms"`
	StreamIdleTimeout dsl.Duration `yaml:"stream_idle_timeout" doc:"How long forward waits for more of an answer that has begun." default:"5m" min:"1ms"`
	ConnectTimeout    dsl.Duration `yaml:"connect_timeout" doc:"How long making a connection may take." default:"1s" min:"1ms"`
	Retry             *retryConfig `yaml:"retry" doc:"Repeats attempts of calls whose method is idempotent (RFC 9110 section 9.2.2) or that have an idempotency key, and of others only if the service has not seen them."`
	Hedge             *hedgeConfig `yaml:"hedge" doc:"Sends a call a second time, to another endpoint, when the first answer takes longer than most, and takes the one that comes first. Only of calls whose method is GET, HEAD or OPTIONS."`
}

type retryConfig struct {
	Attempts     int          `yaml:"attempts" doc:"How often a call is tried in all." default:"3" min:"2" max:"10"`
	On           []dsl.String `yaml:"on" doc:"The outcomes that are worth another attempt: connect, refused_stream, reset, timeout, or statuses such as 503 and 5xx. Default: connect, refused_stream, reset, 502, 503, 504."`
	Backoff      dsl.Duration `yaml:"backoff" doc:"The most the first pause can last; each further one can last twice as long. The pause itself is random." default:"25ms" min:"1ns"`
	MaxBackoff   dsl.Duration `yaml:"max_backoff" doc:"The most any pause can last." default:"250ms" min:"1ms"`
	Budget       dsl.Percent  `yaml:"budget" doc:"How many requests more than its calls the service gets at most in any ten seconds, by retries and hedges together. Beyond it a failure is not repeated." default:"20%" min:"1%"`
	MinPerSecond int          `yaml:"min_per_second" doc:"How many retries in a second are allowed on top of the budget, on average, for the sake of services that are not called often." default:"10" min:"1" max:"1000000"`
	Replay       dsl.Size     `yaml:"replay" doc:"How much of a body is kept that forward streams, so that it can be sent again." default:"64KiB" min:"1B" max:"64MiB"`
}

type hedgeConfig struct {
	Extra    dsl.Percent `yaml:"extra" doc:"How many calls may be sent a second time. They count in the budget of retry, too." default:"1%" min:"0.1%" max:"50%"`
	Quantile dsl.Percent `yaml:"quantile" doc:"How many of the good answers of the last minute came sooner than what is waited for. Default: 100% less extra." min:"50%" max:"99.9%"`
}

func (c *serviceCalls) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	to.Deadline, to.Timeout, to.ConnectTimeout = time.Duration(c.Deadline), time.Duration(c.Timeout), time.Duration(c.ConnectTimeout)
	to.StreamIdleTimeout = time.Duration(c.StreamIdleTimeout)
	to.DeadlineHeader = c.DeadlineHeader.Value
	if r := c.Retry; r != nil {
		to.Retry = mesh.Retry{
			Attempts: r.Attempts, Backoff: time.Duration(r.Backoff), MaxBackoff: time.Duration(r.MaxBackoff),
			Budget: float64(r.Budget), MinPerSecond: float64(r.MinPerSecond), Replay: int64(r.Replay),
		}
		for _, on := range r.On {
			to.Retry.On = append(to.Retry.On, on.Value)
		}
	}
	if h := c.Hedge; h != nil {
		to.Hedge = mesh.Hedge{Extra: float64(h.Extra), Quantile: float64(h.Quantile)}
	}
	return true
}
