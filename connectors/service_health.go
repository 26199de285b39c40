package connectors

import (
	"fmt"
	"strconv"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceHealth is when a service, or an endpoint of it, is not called.
type serviceHealth struct {
	Breaker        *breakerConfig `yaml:"breaker" doc:"Stops attempts at an endpoint that fails, or is too slow. Each endpoint has its own."`
	ServiceBreaker *breakerConfig `yaml:"service_breaker" doc:"Stops calls of the service when they fail in spite of all attempts. Written like breaker; what it counts is calls."`
	SlowStart      dsl.Duration   `yaml:"slow_start" doc:"How long an endpoint that is new, or whose breaker has just closed, takes to get its whole share of the attempts. Without it, it gets it at once." min:"1ms" max:"1h"`
}

type breakerConfig struct {
	Failures dsl.String     `yaml:"failures" doc:"What opens the breaker: a share of the last attempts such as 50%, or a number of failures."`
	Of       int            `yaml:"of" doc:"How many of the last attempts are looked at: 20, if not written. With a number of failures, leaving it out means failures in a row. With within: how many attempts there have to be before a share counts." min:"1" max:"10000"`
	Within   dsl.Duration   `yaml:"within" doc:"How long is looked back, in place of a number of attempts." min:"10ms"`
	Slow     *breakerSlowed `yaml:"slow" doc:"Opens the breaker when too many attempts take too long, whether they fail or not."`
	Open     dsl.Duration   `yaml:"open" doc:"How long the breaker stays open before one attempt probes the endpoint. Each probe that fails doubles it, less a random part of up to a half." default:"10s" min:"1ms"`
	MaxOpen  dsl.Duration   `yaml:"max_open" doc:"How long it stays open at most between two probes. Default: 1m, or open if that is longer." min:"1ms"`
}

type breakerSlowed struct {
	Over  dsl.Duration `yaml:"over" doc:"The time above which an attempt is slow." required:"true" min:"1ms"`
	Share dsl.Percent  `yaml:"share" doc:"The share of slow attempts that opens the breaker." default:"50%" min:"1%"`
}

// configure writes the keys into the configuration of the service, and reports
// whether that makes sense of them.
func (c *serviceHealth) configure(r dsl.Reporter, at *dsl.Node, to *mesh.Config) bool {
	to.SlowStart = time.Duration(c.SlowStart)
	ok := c.Breaker.configure(r, at.Field("breaker"), &to.Breaker)
	return c.ServiceBreaker.configure(r, at.Field("service_breaker"), &to.ServiceBreaker) && ok
}

func (c *breakerConfig) configure(r dsl.Reporter, at *dsl.Node, to *mesh.Breaker) bool {
	if c == nil {
		return true
	}
	*to = mesh.Breaker{Of: c.Of, Within: time.Duration(c.Within), Open: time.Duration(c.Open), MaxOpen: time.Duration(c.MaxOpen)}
	if c.Slow != nil {
		to.Slow = mesh.Slow{Over: time.Duration(c.Slow.Over), Ratio: float64(c.Slow.Share)}
	}
	if at.Field("failures") == nil {
		written := at.Field("slow") != nil
		if !written {
			r.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-breaker", Message: "nothing opens this breaker", Hint: "write failures: 50%, or slow: { over: 2s }"})
		}
		return written
	}
	if share, err := dsl.ParsePercent(c.Failures.Value); err == nil && share > 0 {
		to.Ratio = float64(share)
	} else if n, err := strconv.Atoi(c.Failures.Value); err == nil && n > 0 {
		to.Failures = n
	} else {
		r.Report(dsl.Diagnostic{Span: c.Failures.Span, Code: "bad-breaker", Message: fmt.Sprintf("%s is not a number of failures", c.Failures.Value),
			Hint: "write a share up to 100%, such as 50%, or a number such as 5"})
		return false
	}
	return true
}

// Breakers are those of the service by their keys, with their defaults.
func (s *Service) Breakers() map[string]mesh.Breaker {
	c := s.config.Effective()
	return map[string]mesh.Breaker{"breaker": c.Breaker, "service_breaker": c.ServiceBreaker}
}
