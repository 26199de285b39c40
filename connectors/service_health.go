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
	Breaker        *breakerConfig  `yaml:"breaker" doc:"Stops attempts at an endpoint that fails, or is too slow. Each endpoint has its own."`
	ServiceBreaker *breakerConfig  `yaml:"service_breaker" doc:"Stops calls of the service when they fail in spite of all attempts. Written like breaker; what it counts is calls."`
	Ejection       *ejectionConfig `yaml:"ejection" doc:"Leaves out endpoints that fail more than the others do. A breaker judges an endpoint alone; ejection judges it against its peers, and takes away neither more than at_most of them nor the last one."`
	SlowStart      dsl.Duration    `yaml:"slow_start" doc:"How long an endpoint that is new, was ejected, or whose breaker has just closed, takes to get its whole share of the attempts. Without it, it gets it at once." min:"1ms" max:"1h"`
}

type breakerConfig struct {
	Failures dsl.String   `yaml:"failures" doc:"What opens the breaker: a share of the last attempts such as 50%, or a number of failures."`
	Of       int          `yaml:"of" doc:"How many of the last attempts are looked at: 20, if not written. With a number of failures, leaving it out means failures in a row. With within: how many attempts there have to be before a share counts." min:"1" max:"10000"`
	Within   dsl.Duration `yaml:"within" doc:"How long is looked back, in place of a number of attempts." min:"10ms"`
	Slow     *slowConfig  `yaml:"slow" doc:"Opens the breaker when too many attempts take too long, whether they fail or not."`
	Open     dsl.Duration `yaml:"open" doc:"How long the breaker stays open before one attempt probes the endpoint. Each probe that fails doubles it, less a random part of up to a half." default:"10s" min:"1ms"`
	MaxOpen  dsl.Duration `yaml:"max_open" doc:"How long it stays open at most between two probes. Default: 1m, or open if that is longer." min:"1ms"`
}

type ejectionConfig struct {
	Failures dsl.String   `yaml:"failures" doc:"What ejects an endpoint: a number of failures in a row, while its share of failures is above that of its peers; or by how much its share of failures is above that of its peers, such as 30%." default:"5"`
	Of       int          `yaml:"of" doc:"How many attempts there have to be before a share counts, the endpoint's and its peers': 20, if not written." min:"1" max:"10000"`
	Within   dsl.Duration `yaml:"within" doc:"How long is looked back to compare." default:"10s" min:"10ms"`
	For      dsl.Duration `yaml:"for" doc:"How long an endpoint is left out first. Each ejection after that doubles it." default:"30s" min:"1ms"`
	MaxFor   dsl.Duration `yaml:"max_for" doc:"How long it is left out at most. An endpoint that has been back for that long begins with for again. Default: 5m, or for if that is longer." min:"1ms"`
	AtMost   dsl.Percent  `yaml:"at_most" doc:"How many of the endpoints are left out at the same time, rounded down." default:"50%" min:"1%"`
	Panic    dsl.Percent  `yaml:"panic" doc:"Below which share of usable endpoints, neither ejected nor stopped by their breakers, all are used again that are not draining." default:"50%" min:"1%"`
}

type slowConfig struct {
	Over  dsl.Duration `yaml:"over" doc:"The time above which an attempt is slow." required:"true" min:"1ms"`
	Share dsl.Percent  `yaml:"share" doc:"The share of slow attempts that opens the breaker." default:"50%" min:"1%"`
}

func (c *serviceHealth) configure(r dsl.Reporter, at *dsl.Node, to *mesh.Config) bool {
	to.SlowStart = time.Duration(c.SlowStart)
	ok := c.Ejection.configure(r, &to.Ejection)
	ok = c.Breaker.configure(r, at.Field("breaker"), &to.Breaker) && ok
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
	return failures(r, c.Failures, "bad-breaker", &to.Failures, &to.Ratio)
}

func (c *ejectionConfig) configure(r dsl.Reporter, to *mesh.Ejection) bool {
	if c == nil {
		return true
	}
	*to = mesh.Ejection{Of: c.Of, Within: time.Duration(c.Within), For: time.Duration(c.For), MaxFor: time.Duration(c.MaxFor), AtMost: float64(c.AtMost), Panic: float64(c.Panic)}
	return failures(r, c.Failures, "bad-service", &to.Failures, &to.Ratio)
}

// failures reads a number of failures, or a share of them.
func failures(r dsl.Reporter, s dsl.String, code string, number *int, ratio *float64) bool {
	if share, err := dsl.ParsePercent(s.Value); err == nil && share > 0 {
		*ratio = float64(share)
	} else if n, err := strconv.Atoi(s.Value); err == nil && n > 0 {
		*number = n
	} else {
		r.Report(dsl.Diagnostic{Span: s.Span, Code: code, Message: fmt.Sprintf("%s is not a number of failures", s.Value),
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
