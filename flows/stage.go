package flows

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// Stage is a program opened without a network: nothing listens, and its
// services are played. It serves tests as a Host serves callers.
type Stage struct {
	program *Program
	log     *slog.Logger
	keepers keepers
	held    []held
	metrics *gateway.Metrics
	redact  dsl.Redactor
}

// Stage opens the program. A transport carries the attempts of each service,
// with all that the service's configuration says around it. A program has one
// Stage or one Host.
func (p *Program) Stage(log *slog.Logger, play func(*connectors.Service) http.RoundTripper) (*Stage, error) {
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	for _, s := range p.Services {
		if err := s.OpenOver(play(s)); err != nil {
			return nil, err
		}
	}
	s := &Stage{program: p, log: log, metrics: metrics}
	s.redact.Add(p.Secrets.Values())
	s.held = s.keepers.open(p)
	return s, nil
}

// Handler is what a gateway does with the requests of a consumer, whom its
// policies take for known; nil: they find out.
func (s *Stage) Handler(g *Gateway, as *engine.Consumer) http.Handler {
	o := g.options(s.log, s.metrics, &s.redact)
	o.Assumed = as
	return gateway.NewHandler(g.router, o)
}

// Close ends the services, and what steps keep.
func (s *Stage) Close() {
	s.keepers.close(s.held)
	for _, service := range s.program.Services {
		service.Client().Close()
	}
}

// Router is how the gateway finds the route of a request.
func (g *Gateway) Router() *gateway.Router { return g.router }

// Match is the name of the flow that takes a request for a host, and whether
// there is one. With no host it is one of the flow's: as is "" if it takes any.
func (g *Gateway) Match(host string, a gateway.Asked) (flow, asked string, ok bool) {
	route := g.router.At(host).Match(a, nil).Route
	if route == nil {
		return "", "", false
	}
	if host == "" && len(route.Hosts) > 0 {
		host = strings.Replace(route.Hosts[0].Value, "*", "www", 1)
	}
	return route.Name, host, true
}
