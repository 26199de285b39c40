package flows

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/mesh"
)

// ServicesHandler answers with the live state of the services of the program
// that is served, as JSON: what an operator asks when calls fail. It shows
// numbers and places, and nothing of requests. What a place holds of secrets is
// for [gateway.Redacted] to take out.
func (h *Host) ServicesHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		state := struct {
			Services []serviceState `json:"services"`
		}{[]serviceState{}}
		for name, s := range h.statistics() {
			state.Services = append(state.Services, serviceStateOf(name, s))
		}
		slices.SortFunc(state.Services, func(a, b serviceState) int { return strings.Compare(a.Service, b.Service) })
		writeState(w, state)
	})
}

// writeState answers an operator.
func writeState(w http.ResponseWriter, state any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	_ = out.Encode(state) // a client that has gone is no fault
}

// ServiceState is a service as GET /services shows it, for who reads that.
type ServiceState = serviceState

// EndpointState is one of its endpoints, and BreakerState a breaker of either.
type (
	EndpointState = endpointState
	BreakerState  = breakerState
)

// serviceState is [mesh.Stats] as it is shown. What does not apply is left out.
type serviceState struct {
	Service   string          `json:"service"`
	Requests  int64           `json:"requests"`
	InFlight  int64           `json:"in_flight"`
	Retries   int64           `json:"retries"`
	Injected  int64           `json:"injected,omitempty"`
	Budget    *budgetState    `json:"budget,omitempty"`
	Hedges    hedgeState      `json:"hedges"`
	Breaker   *breakerState   `json:"breaker,omitempty"`
	Limit     limitState      `json:"limit"`
	Rate      *rateState      `json:"rate,omitempty"`
	Panic     *panicState     `json:"panic,omitempty"`
	Failures  []failureState  `json:"failures"`
	Affinity  *affinityState  `json:"affinity,omitempty"`
	Versions  []versionState  `json:"versions,omitempty"`
	Mirror    *mirrorState    `json:"mirror,omitempty"`
	Endpoints []endpointState `json:"endpoints"`
	Sources   []sourceState   `json:"sources,omitempty"`
	TLS       *tlsState       `json:"tls,omitempty"`

	Credentials *credentialsState `json:"credentials,omitempty"`
}

type rateState struct {
	Waited  int64 `json:"waited"`
	Refused int64 `json:"refused"`
}

type versionState struct {
	Version   string `json:"version"`
	Requests  int64  `json:"requests"`
	Fallbacks int64  `json:"fallbacks"`
}

type affinityState struct {
	Kept  int64 `json:"kept"`
	Given int64 `json:"given"`
	Moved int64 `json:"moved"`
}

type mirrorState struct {
	To        string `json:"to"`
	InFlight  int64  `json:"in_flight"`
	Sent      int64  `json:"sent"`
	Dropped   int64  `json:"dropped"`
	Skipped   int64  `json:"skipped"`
	Failed    int64  `json:"failed"`
	Same      int64  `json:"same_status"`
	Different int64  `json:"different_status"`
}

type budgetState struct {
	Left   int   `json:"left"`
	Denied int64 `json:"denied"`
}

type limitState struct {
	Limit     int64            `json:"limit"`
	InUse     int64            `json:"in_use"`
	Waiting   int64            `json:"waiting"`
	Refused   int64            `json:"refused"`
	RefusedBy map[string]int64 `json:"refused_by,omitempty"` // priority
	Late      int64            `json:"late"`
	Usual     string           `json:"usual,omitempty"`
	Last      string           `json:"last,omitempty"`
}

type panicState struct {
	Now      bool  `json:"now"`
	Attempts int64 `json:"attempts"`
}

type ejectionState struct {
	Until   time.Time `json:"until,omitzero"`
	Because string    `json:"because,omitempty"`
	Times   int64     `json:"times"`
}

type healthState struct {
	Since       time.Time `json:"since"`
	Checks      int64     `json:"checks"`
	Failures    int64     `json:"failures"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Failure     string    `json:"failure,omitempty"`
}

type hedgeState struct {
	After   string `json:"after,omitempty"`
	Started int64  `json:"started"`
	Won     int64  `json:"won"`
	Spared  int64  `json:"spared"`
}

type breakerState struct {
	State        string    `json:"state"`
	Since        time.Time `json:"since,omitzero"`
	Because      string    `json:"because,omitempty"`
	FailedProbes int       `json:"failed_probes,omitempty"`
	NextProbe    time.Time `json:"next_probe,omitzero"`
	Openings     int64     `json:"openings"`
}

type failureState struct {
	Class string    `json:"class"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

type endpointState struct {
	Address     string         `json:"address"`
	State       string         `json:"state"` // see stateOf
	Host        string         `json:"host,omitempty"`
	Weight      int            `json:"weight"`
	Zone        string         `json:"zone,omitempty"`
	Priority    int            `json:"priority,omitempty"`
	Version     string         `json:"version,omitempty"`
	Attempts    int64          `json:"attempts"`
	InFlight    int64          `json:"in_flight"`
	Connections int64          `json:"connections"`
	Dialed      int64          `json:"dialed"`
	Breaker     *breakerState  `json:"breaker,omitempty"`
	Ejection    *ejectionState `json:"ejection,omitempty"`
	Health      *healthState   `json:"health,omitempty"`
	Failures    []failureState `json:"failures"`
}

type sourceState struct {
	Source      string    `json:"source"`
	How         string    `json:"how"`
	Targets     int       `json:"targets"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Failures    int64     `json:"failures"`
	Failure     string    `json:"failure,omitempty"`
}

type tlsState struct {
	Loaded      time.Time `json:"loaded"`
	Expires     time.Time `json:"expires,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Failures    int64     `json:"failures"`
	Failure     string    `json:"failure,omitempty"`
}

type credentialsState struct {
	Kind        string    `json:"kind"`
	Refreshed   time.Time `json:"refreshed,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	Refreshes   int64     `json:"refreshes"`
	Refused     int64     `json:"refused"`
	Failures    int64     `json:"failures"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Failure     string    `json:"failure,omitempty"`
}

func serviceStateOf(name string, s mesh.Stats) serviceState {
	out := serviceState{
		Service: name, Requests: s.Requests, InFlight: s.InFlight, Retries: s.Retries, Injected: s.Injected,
		Limit:   limitStateOf(s.Limit),
		Hedges:  hedgeState{Started: s.Hedges, Won: s.HedgesWon, Spared: s.HedgesSpared},
		Breaker: breakerStateOf(s.Breaker), Failures: failureStates(s.Failures, s.Failed), Endpoints: []endpointState{},
	}
	if s.HedgeAfter > 0 {
		out.Hedges.After = s.HedgeAfter.String()
	}
	if s.Budget >= 0 {
		out.Budget = &budgetState{Left: s.Budget, Denied: s.Denied}
	}
	if r := s.Rate; r != nil {
		out.Rate = (*rateState)(r)
	}
	if p := s.Panic; p != nil {
		out.Panic = &panicState{p.Now, p.Attempts}
	}
	for _, v := range s.Versions {
		out.Versions = append(out.Versions, versionState{v.Name, v.Calls, v.Fallbacks})
	}
	if a := s.Affinity; a != nil {
		out.Affinity = (*affinityState)(a)
	}
	if m := s.Mirror; m != nil {
		out.Mirror = (*mirrorState)(m)
	}
	for _, e := range s.Endpoints {
		out.Endpoints = append(out.Endpoints, endpointState{
			Address: e.Address, State: stateOf(e), Host: e.Target.Host, Weight: max(1, e.Target.Weight), Zone: e.Target.Zone,
			Priority: e.Target.Priority, Version: e.Target.Version,
			Attempts: e.Attempts, InFlight: e.InFlight, Connections: e.Dialed - e.Closed, Dialed: e.Dialed,
			Breaker: breakerStateOf(e.Breaker), Ejection: ejectionStateOf(e.Ejection), Health: healthStateOf(e.Health), Failures: failureStates(e.Failures, e.Failed),
		})
	}
	for _, f := range s.Sources {
		source := sourceState{
			Source: f.Source, How: f.How, Targets: f.Targets,
			LastSuccess: f.LastSuccess.UTC(), LastFailure: f.LastFailure.UTC(), Failures: f.Failures,
		}
		if f.Failure != nil {
			source.Failure = f.Failure.Error()
		}
		out.Sources = append(out.Sources, source)
	}
	if t := s.TLS; t != nil {
		out.TLS = &tlsState{Loaded: t.Loaded.UTC(), Expires: t.NotAfter.UTC(), LastFailure: t.LastFailure.UTC(), Failures: t.Failures}
		if t.Failure != nil {
			out.TLS.Failure = t.Failure.Error()
		}
	}
	if c := s.Credentials; c != nil {
		out.Credentials = &credentialsState{
			Kind: c.Kind, Refreshed: c.Refreshed.UTC(), Expires: c.Expires.UTC(),
			Refreshes: c.Refreshes, Refused: c.Refused, Failures: c.Failures, LastFailure: c.LastFailure.UTC(),
		}
		if c.Failure != nil {
			out.Credentials.Failure = c.Failure.Error()
		}
	}
	return out
}

func limitStateOf(s mesh.LimitStats) limitState {
	out := limitState{Limit: s.Limit, InUse: s.InUse, Waiting: s.Waiting, Refused: s.Refused, Late: s.Late, RefusedBy: map[string]int64{}}
	for p, n := range s.RefusedBy {
		out.RefusedBy[p.String()] = n
	}
	if a := s.Adaptive; a != nil && a.Last > 0 {
		out.Usual, out.Last = a.Usual.String(), a.Last.String()
	}
	return out
}

// stateOf says in a word whether an endpoint gets calls.
func stateOf(e mesh.EndpointStats) string {
	switch {
	case e.Breaker.State == "open":
		return "blocked"
	case e.Breaker.State == "half-open":
		return "probing"
	case e.Ejection != nil && e.Ejection.Out:
		return "ejected"
	case e.Health != nil && !e.Health.Healthy:
		return "unhealthy"
	case e.Target.Draining:
		return "draining"
	}
	return "ready"
}

func breakerStateOf(b mesh.BreakerStats) *breakerState {
	if b.State == "" {
		return nil
	}
	return &breakerState{
		State: b.State, Since: b.Since.UTC(), Because: b.Because, FailedProbes: b.FailedProbes, NextProbe: b.NextProbe.UTC(), Openings: b.Openings,
	}
}

func ejectionStateOf(e *mesh.EjectionStats) *ejectionState {
	if e == nil {
		return nil
	}
	return &ejectionState{Until: e.Until.UTC(), Because: e.Because, Times: e.Times}
}

func healthStateOf(h *mesh.HealthStats) *healthState {
	if h == nil {
		return nil
	}
	out := &healthState{Since: h.Since.UTC(), Checks: h.Checks, Failures: h.Failures, LastFailure: h.LastFailure.UTC()}
	if h.Failure != nil {
		out.Failure = h.Failure.Error()
	}
	return out
}

// failureStates gives what failed last first.
func failureStates(counts map[mesh.Class]int64, last map[mesh.Class]time.Time) []failureState {
	all := []failureState{}
	for class, n := range counts {
		all = append(all, failureState{class.String(), n, last[class].UTC()})
	}
	slices.SortFunc(all, func(a, b failureState) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Class, b.Class)
	})
	return all
}
