package connectors

import (
	"fmt"
	"slices"
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
	Health         *healthConfig   `yaml:"health" doc:"Asks each endpoint, whether it is called or not, if it is well, and leaves out those that are not. Write one of http, tcp and grpc. Checks go over the connections that calls go over, and are neither retried nor counted as attempts."`
	Panic          dsl.Percent     `yaml:"panic" doc:"Below which share of usable endpoints, neither ejected, nor unhealthy, nor stopped by their breakers, all are used again that are not draining. Default: 50%, with ejection or health." min:"1%"`
	SlowStart      dsl.Duration    `yaml:"slow_start" doc:"How long an endpoint that is new, was ejected or unhealthy, or whose breaker has just closed, takes to get its whole share of the attempts. Without it, it gets it at once." min:"1ms" max:"1h"`
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
}

type healthConfig struct {
	HTTP           *httpCheck   `yaml:"http" doc:"Sends GET for a path. An endpoint is well that answers with one of some statuses; redirections are not followed."`
	TCP            *tcpCheck    `yaml:"tcp" doc:"Makes a connection, with TLS if the endpoint has it, and closes it. Written tcp: {}."`
	GRPC           *grpcCheck   `yaml:"grpc" doc:"Asks grpc.health.v1.Health whether a service is SERVING, over HTTP/2."`
	Interval       dsl.Duration `yaml:"interval" doc:"The time from one check of an endpoint to the next, give or take a tenth. The first comes at once." default:"10s" min:"100ms"`
	Timeout        dsl.Duration `yaml:"timeout" doc:"How long a check may take, to the end of the answer. Default: 1s, or interval if that is shorter." min:"1ms"`
	HealthyAfter   int          `yaml:"healthy_after" doc:"How many checks in a row have to succeed until an endpoint that was unhealthy is used again." default:"2" min:"1" max:"100"`
	UnhealthyAfter int          `yaml:"unhealthy_after" doc:"How many checks in a row have to fail until an endpoint is left out." default:"3" min:"1" max:"100"`
	Initial        string       `yaml:"initial" doc:"What an endpoint is until it has been checked. One that is unhealthy at first is used after one check that succeeds." default:"healthy" enum:"healthy|unhealthy"`
}

type httpCheck struct {
	Path    dsl.String            `yaml:"path" doc:"What is asked for, with a query if wanted. The path of the endpoint is not put before it." required:"true"`
	Status  []dsl.String          `yaml:"status" doc:"The statuses of an endpoint that is well: codes, and classes such as 2xx. Default: 2xx."`
	Host    dsl.String            `yaml:"host" doc:"The Host header. Default: that of calls."`
	Headers map[string]dsl.Secret `yaml:"headers" doc:"Headers that the check is sent with. Those of the service are for calls."`
}

type tcpCheck struct{}

type grpcCheck struct {
	Service dsl.String `yaml:"service" doc:"The name that is asked about. Default: the server as a whole."`
}

type slowConfig struct {
	Over  dsl.Duration `yaml:"over" doc:"The time above which an attempt is slow." required:"true" min:"1ms"`
	Share dsl.Percent  `yaml:"share" doc:"The share of slow attempts that opens the breaker." default:"50%" min:"1%"`
}

func (c *serviceHealth) configure(r dsl.Reporter, at *dsl.Node, to *mesh.Config) bool {
	to.SlowStart, to.Panic = time.Duration(c.SlowStart), float64(c.Panic)
	ok := c.Health.configure(r, at.Field("health"), &to.Health)
	ok = c.Ejection.configure(r, &to.Ejection) && ok
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
	*to = mesh.Ejection{Of: c.Of, Within: time.Duration(c.Within), For: time.Duration(c.For), MaxFor: time.Duration(c.MaxFor), AtMost: float64(c.AtMost)}
	return failures(r, c.Failures, "bad-service", &to.Failures, &to.Ratio)
}

var healthChecks = []string{"http", "tcp", "grpc"}

func (c *healthConfig) configure(r dsl.Reporter, at *dsl.Node, to *mesh.Health) bool {
	if c == nil {
		return true
	}
	*to = mesh.Health{
		Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout),
		HealthyAfter: c.HealthyAfter, UnhealthyAfter: c.UnhealthyAfter, Initial: c.Initial,
	}
	for _, check := range healthChecks {
		switch {
		case at.Field(check) == nil:
		case to.Check != "":
			r.Report(dsl.Diagnostic{Span: at.Field(check).KeySpan(), Code: "bad-service", Message: "health is one of http, tcp and grpc", Hint: "leave out " + to.Check + " or " + check})
			return false
		default:
			to.Check = check
		}
	}
	switch {
	case to.Check == "" && slices.ContainsFunc(at.Fields, func(f dsl.Field) bool {
		_, meant := dsl.Nearest(f.Key.Text, healthChecks)
		return meant
	}):
		return false // a misspelt key has been told
	case to.Check == "":
		r.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-service", Message: "nothing is checked", Hint: "write http: { path: /health }, tcp: {} or grpc: {}"})
		return false
	case c.HTTP == nil && c.TCP == nil && c.GRPC == nil, c.HTTP != nil && at.Field("http").Field("path") == nil:
		return false // which has been told
	case c.HTTP != nil:
		to.HTTP = mesh.HTTPCheck{Path: c.HTTP.Path.Value, Host: c.HTTP.Host.Value}
		for _, s := range c.HTTP.Status {
			to.HTTP.Status = append(to.HTTP.Status, s.Value)
		}
		for _, h := range headersOf(r, at.Field("http").Field("headers"), c.HTTP.Headers) {
			if to.HTTP.Headers == nil {
				to.HTTP.Headers = map[string]string{}
			}
			to.HTTP.Headers[h.name] = h.values[0]
		}
	case c.GRPC != nil:
		to.GRPC.Service = c.GRPC.Service.Value
	}
	return true
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
