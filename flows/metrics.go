package flows

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

// serviceMetrics shows the statistics of a Host's services and steps. They are
// counted where things happen and read here when someone asks, so that calls pay
// nothing for it. A service that went takes its series with it.
type serviceMetrics struct{ host *Host }

// Collector gives the metrics of the services that h calls.
func (h *Host) Collector() prometheus.Collector { return serviceMetrics{h} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weir_service_"+name, help, labels, nil)
}

var (
	serviceRequests  = describe("requests_total", "Calls of a service.", "service")
	serviceRetries   = describe("retries_total", "Attempts beyond the first of their call.", "service")
	serviceInjected  = describe("injected_total", "Calls that were made to go wrong on purpose.", "service")
	serviceDenied    = describe("budget_denied_total", "Retries and hedges that the retry budget did not allow.", "service")
	serviceBudget    = describe("budget_left", "Retries and hedges that the retry budget allows now.", "service")
	serviceHedges    = describe("hedges_total", "Attempts beside another that took long.", "service")
	hedgesWon        = describe("hedges_won_total", "Attempts beside another whose answer came first.", "service")
	hedgesSpared     = describe("hedges_spared_total", "Calls that took longer than most and were not sent a second time, because others that run beside them take longer still.", "service")
	hedgeAfter       = describe("hedge_delay_seconds", "How long an attempt takes now before another is started beside it; 0 while that is not known.", "service")
	serviceFailures  = describe("failures_total", "Calls that failed, by the class of the failure.", "service", "class")
	serviceInFlight  = describe("in_flight", "Calls of a service that have not returned.", "service")
	versionCalls     = describe("version_requests_total", "Calls that were given to a version of a service.", "service", "version")
	versionFallbacks = describe("version_fallbacks_total", "Calls that another version took because their own had no usable endpoint.", "service", "version")
	affinityCalls    = describe("affinity_requests_total", "Calls by what became of where their caller is kept: kept, given (it had no place), or moved.", "service", "caller")
	mirrorSent       = describe("mirror_requests_total", "Copies of calls that were begun.", "service", "version")
	mirrorInFlight   = describe("mirror_in_flight", "Copies of calls under way.", "service", "version")
	mirrorOmitted    = describe("mirror_omitted_total", "Copies of calls that were not made: dropped, as there were too many under way, or skipped for their body.", "service", "version", "reason")
	mirrorFailures   = describe("mirror_failures_total", "Copies of calls without an answer.", "service", "version")
	mirrorReplies    = describe("mirror_replies_total", "Answers to copies whose call was answered, by whether the status was the same.", "service", "version", "status")

	endpointAttempts    = describe("endpoint_attempts_total", "Attempts at an endpoint.", "service", "endpoint")
	endpointFailures    = describe("endpoint_failures_total", "Attempts that failed, by the class of the failure.", "service", "endpoint", "class")
	endpointInFlight    = describe("endpoint_in_flight", "Attempts whose answer has not been read to its end.", "service", "endpoint")
	endpointConnections = describe("endpoint_connections", "Open connections to an endpoint.", "service", "endpoint")
	endpointDials       = describe("endpoint_connections_opened_total", "Connections made to an endpoint.", "service", "endpoint")
	tlsFailures         = describe("tls_reload_failures_total", "Looks at the files of a service's tls that found what cannot be used.", "service")
	tlsExpiry           = describe("tls_certificate_expiry_timestamp_seconds", "When the certificate that a service knows us by expires.", "service")
	credentialsExpiry   = describe("credentials_expiry_timestamp_seconds", "When the token that a service knows us by expires, if that is known.", "service")
	credentialsRefresh  = describe("credentials_last_refresh_timestamp_seconds", "When the token that a service knows us by was had.", "service")
	credentialsHad      = describe("credentials_refreshes_total", "Tokens that were had for a service.", "service")
	credentialsRefused  = describe("credentials_refused_total", "Answers with status 401 that were a reason to look for another token.", "service")
	credentialsFailures = describe("credentials_failures_total", "Looks for a token of a service that gave none.", "service")
	sourceTargets       = describe("discovery_targets", "Places that a source has found last.", "service", "source")
	sourceFailures      = describe("discovery_failures_total", "Looks of a source that failed.", "service", "source")
	sourceFailure       = describe("discovery_last_failure_timestamp_seconds", "When a look of a source last failed.", "service", "source")
	sourceSuccess       = describe("discovery_last_success_timestamp_seconds", "When a source was last looked at with success.", "service", "source")
	stepEvents          = prometheus.NewDesc("weir_step_events_total", "What happened to a step, such as a hit of its cache or a compensation that failed.", []string{"flow", "step", "event"}, nil)
	flowEvents          = prometheus.NewDesc("weir_flow_events_total", "What happened to runs of a flow: attempts beyond the first of their call (extra_attempt), those that the retry budget of the run did not allow (extra_attempt_denied), and runs that failed before their first call because of fail_fast (failed_fast). An event that has not happened yet has no series.", []string{"flow", "event"}, nil)
	configInfo          = prometheus.NewDesc("weir_config_info", "1 for the state of the files that is served, which other signals name as config.", []string{"config"}, nil)
	flowInfo            = prometheus.NewDesc("weir_flow_info", "1 for each flow with the state of it that is served: another if its text, a template that it uses or a flow that it runs is another.", []string{"flow", "flow_config"}, nil)
	stepLevel           = prometheus.NewDesc("weir_step_level", "What a step holds, such as the bytes of its cache.", []string{"flow", "step", "of"}, nil)

	limitInUse   = describe("limit_in_use", "Calls that have a place under the limit.", "service")
	limitWaiting = describe("limit_waiting", "Calls in the queue of the limit.", "service")
	limitRefused = describe("limit_refused_total", "Calls that the limit refused.", "service", "priority")
	limitLate    = describe("limit_late_total", "Calls that the limit refused because they had too little time left to wait.", "service")
	rateWaited   = describe("rate_waited_total", "Requests that waited for their turn, because the rate of the service is bound.", "service")
	rateRefused  = describe("rate_refused_total", "Requests that were not made, because their turn would not have come in time.", "service")
	limitNow     = describe("limit", "How many calls may be under way now; 0 is any number.", "service")
	limitUsual   = describe("limit_usual_seconds", "What half of the answers take at most if none has to wait, as an adaptive limit has it.", "service")
	limitLast    = describe("limit_last_seconds", "What half of the answers took at most when an adaptive limit last looked.", "service")

	serviceBreaker  = describe("breaker_open", "1 while the service's breaker lets no call through, 0.5 while it probes.", "service")
	breakerOpenings = describe("breaker_openings_total", "How often the service's breaker opened.", "service")
	endpointBreaker = describe("endpoint_breaker_open", "1 while the endpoint's breaker lets nothing through, 0.5 while it probes.", "service", "endpoint")

	servicePanic     = describe("panic", "1 while too few endpoints are usable, so that all are used.", "service")
	panicAttempts    = describe("panic_attempts_total", "Attempts made while too few endpoints were usable.", "service")
	endpointEjected  = describe("endpoint_ejected", "1 while the endpoint is left out for failing more than the others.", "service", "endpoint")
	endpointEjection = describe("endpoint_ejections_total", "How often the endpoint was ejected.", "service", "endpoint")

	endpointHealthy      = describe("endpoint_healthy", "1 while the checks of the endpoint's health let it be used.", "service", "endpoint")
	endpointChecks       = describe("endpoint_checks_total", "Checks of the endpoint's health.", "service", "endpoint")
	endpointChecksFailed = describe("endpoint_check_failures_total", "Checks of the endpoint's health that failed.", "service", "endpoint")

	endpointBreakerOpenings = describe("endpoint_breaker_openings_total", "How often the endpoint's breaker opened.", "service", "endpoint")
)

// breakerLevels are the states of a breaker as numbers.
var breakerLevels = map[string]float64{"closed": 0, "half-open": 0.5, "open": 1}

// Describe is what prometheus.Collector asks for.
func (serviceMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		hedgesSpared,
		serviceRequests, serviceInjected, versionCalls, versionFallbacks, affinityCalls, mirrorSent, mirrorInFlight, mirrorOmitted, mirrorFailures, mirrorReplies, serviceDenied, serviceBudget, serviceHedges, hedgesWon, hedgeAfter, sourceFailure, serviceRetries, serviceFailures, serviceInFlight, endpointAttempts, endpointFailures,
		endpointInFlight, endpointConnections, endpointDials, endpointBreaker,
		limitInUse, limitWaiting, limitRefused, limitLate, rateWaited, rateRefused, limitNow, limitUsual, limitLast,
		serviceBreaker, breakerOpenings, endpointBreakerOpenings,
		servicePanic, panicAttempts, endpointEjected, endpointEjection,
		endpointHealthy, endpointChecks, endpointChecksFailed,
		sourceTargets, sourceFailures, sourceSuccess, tlsFailures, tlsExpiry,
		credentialsExpiry, credentialsRefresh, credentialsHad, credentialsRefused, credentialsFailures,
		stepEvents, stepLevel, flowEvents, configInfo, flowInfo,
	} {
		out <- d
	}
}

// Collect is what prometheus.Collector asks for.
func (m serviceMetrics) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if p := m.host.Program(); p != nil {
		gauge(configInfo, 1, p.Revision())
		for _, f := range p.Flows {
			gauge(flowInfo, 1, f.Name.Value, f.Revision())
		}
	}
	m.steps(counter, func(d *prometheus.Desc, v int64, labels ...string) { gauge(d, float64(v), labels...) })
	breaker := func(b mesh.BreakerStats, state, openings *prometheus.Desc, labels ...string) {
		if b.State != "" {
			gauge(state, breakerLevels[b.State], labels...)
			counter(openings, b.Openings, labels...)
		}
	}
	for name, s := range m.host.statistics() {
		counter(serviceRequests, s.Requests, name)
		counter(serviceRetries, s.Retries, name)
		counter(serviceInjected, s.Injected, name)
		counter(serviceHedges, s.Hedges, name)
		counter(hedgesWon, s.HedgesWon, name)
		counter(hedgesSpared, s.HedgesSpared, name)
		gauge(hedgeAfter, s.HedgeAfter.Seconds(), name)
		if s.Budget >= 0 {
			counter(serviceDenied, s.Denied, name)
			gauge(serviceBudget, float64(s.Budget), name)
		}
		for _, v := range s.Versions {
			counter(versionCalls, v.Calls, name, v.Name)
			counter(versionFallbacks, v.Fallbacks, name, v.Name)
		}
		if a := s.Affinity; a != nil {
			counter(affinityCalls, a.Kept, name, "kept")
			counter(affinityCalls, a.Given, name, "given")
			counter(affinityCalls, a.Moved, name, "moved")
		}
		if m := s.Mirror; m != nil {
			counter(mirrorSent, m.Sent, name, m.To)
			gauge(mirrorInFlight, float64(m.InFlight), name, m.To)
			counter(mirrorOmitted, m.Dropped, name, m.To, "dropped")
			counter(mirrorOmitted, m.Skipped, name, m.To, "skipped")
			counter(mirrorFailures, m.Failed, name, m.To)
			counter(mirrorReplies, m.Same, name, m.To, "same")
			counter(mirrorReplies, m.Different, name, m.To, "different")
		}
		breaker(s.Breaker, serviceBreaker, breakerOpenings, name)
		gauge(serviceInFlight, float64(s.InFlight), name)
		gauge(limitInUse, float64(s.Limit.InUse), name)
		gauge(limitWaiting, float64(s.Limit.Waiting), name)
		for p := mesh.PriorityLow; p <= mesh.PriorityCritical; p++ {
			if n := s.Limit.RefusedBy[p]; n > 0 || p == mesh.PriorityNormal {
				counter(limitRefused, n, name, p.String())
			}
		}
		counter(limitLate, s.Limit.Late, name)
		gauge(limitNow, float64(s.Limit.Limit), name)
		if r := s.Rate; r != nil {
			counter(rateWaited, r.Waited, name)
			counter(rateRefused, r.Refused, name)
		}
		if a := s.Limit.Adaptive; a != nil {
			gauge(limitUsual, a.Usual.Seconds(), name)
			gauge(limitLast, a.Last.Seconds(), name)
		}
		for class, n := range s.Failures {
			counter(serviceFailures, n, name, class.String())
		}
		if s.TLS != nil {
			counter(tlsFailures, s.TLS.Failures, name)
			if !s.TLS.NotAfter.IsZero() {
				gauge(tlsExpiry, float64(s.TLS.NotAfter.Unix()), name)
			}
		}
		if c := s.Credentials; c != nil {
			counter(credentialsHad, c.Refreshes, name)
			counter(credentialsRefused, c.Refused, name)
			counter(credentialsFailures, c.Failures, name)
			if !c.Refreshed.IsZero() {
				gauge(credentialsRefresh, float64(c.Refreshed.UnixMilli())/1000, name)
			}
			if !c.Expires.IsZero() {
				gauge(credentialsExpiry, float64(c.Expires.Unix()), name)
			}
		}
		for _, f := range s.Sources {
			gauge(sourceTargets, float64(f.Targets), name, f.Source)
			counter(sourceFailures, f.Failures, name, f.Source)
			if !f.LastSuccess.IsZero() {
				gauge(sourceSuccess, float64(f.LastSuccess.UnixMilli())/1000, name, f.Source)
			}
			if !f.LastFailure.IsZero() {
				gauge(sourceFailure, float64(f.LastFailure.UnixMilli())/1000, name, f.Source)
			}
		}
		if s.Panic != nil {
			gauge(servicePanic, one(s.Panic.Now), name)
			counter(panicAttempts, s.Panic.Attempts, name)
		}
		for _, e := range byAddress(s.Endpoints) {
			counter(endpointAttempts, e.Attempts, name, e.Address)
			gauge(endpointInFlight, float64(e.InFlight), name, e.Address)
			counter(endpointDials, e.Dialed, name, e.Address)
			gauge(endpointConnections, float64(e.Dialed-e.Closed), name, e.Address)
			for class, n := range e.Failures {
				counter(endpointFailures, n, name, e.Address, class.String())
			}
			breaker(e.Breaker, endpointBreaker, endpointBreakerOpenings, name, e.Address)
			if e.Ejection != nil {
				gauge(endpointEjected, one(e.Ejection.Out), name, e.Address)
				counter(endpointEjection, e.Ejection.Times, name, e.Address)
			}
			if h := e.Health; h != nil {
				gauge(endpointHealthy, one(h.Healthy), name, e.Address)
				counter(endpointChecks, h.Checks, name, e.Address)
				counter(endpointChecksFailed, h.Failures, name, e.Address)
			}
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// byAddress makes one of the endpoints that share an address, as those do that
// are told apart by their Host alone: two series of the same labels would fail
// the whole collection.
func byAddress(endpoints []mesh.EndpointStats) (all []mesh.EndpointStats) {
	at := map[string]int{}
	for _, e := range endpoints {
		i, known := at[e.Address]
		if !known {
			at[e.Address] = len(all)
			e.Failures = maps.Clone(e.Failures)
			all = append(all, e)
			continue
		}
		sum := &all[i]
		sum.Attempts += e.Attempts
		sum.InFlight += e.InFlight
		sum.Dialed += e.Dialed
		sum.Closed += e.Closed
		sum.Breaker.Openings += e.Breaker.Openings
		if breakerLevels[e.Breaker.State] > breakerLevels[sum.Breaker.State] {
			sum.Breaker.State = e.Breaker.State
		}
		if h := e.Health; h != nil {
			sum.Health = &mesh.HealthStats{Healthy: sum.Health.Healthy && h.Healthy, Checks: sum.Health.Checks + h.Checks, Failures: sum.Health.Failures + h.Failures}
		}
		for class, n := range e.Failures {
			sum.Failures[class] += n
		}
	}
	return all
}

// steps shows the Keepers of the current generation. One that several steps
// share is shown for the first of them.
func (m serviceMetrics) steps(counter, gauge func(d *prometheus.Desc, v int64, labels ...string)) {
	g := m.host.acquire()
	if g == nil {
		return
	}
	defer g.release()
	seen := map[engine.Keeper]bool{}
	for _, places := range g.program.places() {
		for _, place := range places {
			k, ok := place.Keeper().(engine.Observed)
			if !ok || seen[k] {
				continue
			}
			seen[k] = true
			flow, step := place.Step()
			k.Observe(func(name string, total bool, value int64) {
				if step == "" {
					if value > 0 { // flows are many, and what happens to them rare
						counter(flowEvents, value, flow, name)
					}
				} else if total {
					counter(stepEvents, value, flow, step, name)
				} else {
					gauge(stepLevel, value, flow, step, name)
				}
			})
		}
	}
}

// statistics are those of the services of the current generation: a client of
// the same name that an older one still drains is not shown twice.
func (h *Host) statistics() map[string]mesh.Stats {
	out := map[string]mesh.Stats{}
	g := h.acquire()
	if g == nil {
		return out
	}
	defer g.release()
	for _, s := range g.program.Services {
		out[s.Name.Value] = s.Client().Stats()
	}
	return out
}
