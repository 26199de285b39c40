package mesh

import (
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// Stats is a snapshot of a service's counters. Each number is exact; numbers read
// while calls are under way may be of slightly different moments.
type Stats struct {
	Requests  int64 // calls of Do and RoundTrip
	InFlight  int64 // calls that have not returned
	Retries   int64 // attempts beyond the first of their call
	Hedges    int64 // attempts beside another
	HedgesWon int64 // those whose reply came first
	// HedgesSpared is how many calls were not hedged, although they took longer than
	// most, because of [Call].Slack.
	HedgesSpared int64
	Denied       int64           // retries and hedges that the budget did not allow
	Injected     int64           // calls that were given to [Inject]
	Budget       int             // requests that the retry budget allows now; -1 without one
	Failures     map[Class]int64 // calls by the class of their failure; absent is 0
	// Failed is when a call last failed so. It has the keys of Failures.
	Failed map[Class]time.Time
	// HedgeAfter is how long an attempt takes now before another is started beside
	// it; 0 without hedging, and while too few replies are known.
	HedgeAfter time.Duration
	Breaker    BreakerStats // of the service
	Limit      LimitStats
	Rate       *RateStats     // nil without
	Panic      *PanicStats    // nil without ejection and health checks
	Versions   []VersionStats // in their order; none without versions
	Mirror     *MirrorStats   // nil without
	Affinity   *AffinityStats // nil without
	Endpoints  []EndpointStats
	Sources    []SourceStats // what finds endpoints; none if all are configured
	TLS        *TLSStats     // of the files of Config.TLS; nil without any
	// Credentials are the state of those of the configuration; nil without any.
	Credentials *CredentialsStats
}

// EndpointStats are the counters of one endpoint.
type EndpointStats struct {
	Address  string
	Target   discovery.Target // as it was configured or found; its URL is Address
	Attempts int64
	InFlight int64               // attempts whose reply has not been read to its end
	Failures map[Class]int64     // attempts by the class of their failure
	Failed   map[Class]time.Time // when an attempt last failed so
	Breaker  BreakerStats
	Ejection *EjectionStats // nil without
	Health   *HealthStats   // nil without checks
	Dialed   int64          // connections made; 0 with Config.Transport
	Closed   int64          // connections closed; Dialed-Closed are open
}

// Stats returns a snapshot.
func (s *Service) Stats() Stats {
	st := Stats{
		Requests: s.requests.Load(),
		InFlight: s.inFlight.Load(),
		Retries:  s.retries.Load(),
		Denied:   s.denied.Load(),
		Injected: s.injected.Load(),
		Budget:   s.budget.left(s.clock()),
		Breaker:  s.breaker.stats(s.opened),
		Limit:    s.limit.stats(),
		Rate:     s.rate.stats(),
		Panic:    s.cfg.overload.stats(s.set.Load()),
		Versions: s.split.stats(),
		Mirror:   s.mirror.stats(),
		Affinity: s.affinity.stats(),
		Sources:  s.finder.stats(),
		TLS:      s.cfg.trust.stats(),

		Credentials: s.cfg.credentialsStats(),
	}
	st.Failures, st.Failed = s.failures.read()
	if s.hedge != nil {
		st.HedgeAfter = s.hedge.after(s.clock())
		st.Hedges, st.HedgesWon = s.hedge.started.Load(), s.hedge.won.Load()
		st.HedgesSpared = s.hedge.spared.Load()
	}
	for _, e := range s.set.Load().endpoints {
		es := EndpointStats{
			Address:  e.target.URL,
			Target:   e.target,
			Attempts: e.attempts.Load(),
			InFlight: e.inFlight.Load(),
			Breaker:  e.breaker.stats(s.opened),
			Ejection: e.ejection.stats(s.opened),
			Health:   e.health.stats(),
		}
		es.Failures, es.Failed = e.failures.read()
		es.Dialed, es.Closed = e.transport.connections()
		st.Endpoints = append(st.Endpoints, es)
	}
	return st
}

// failures counts failures by their class, and keeps when each came last.
type failures struct {
	counts [classes]atomic.Int64
	last   [classes]atomic.Int64 // Unix time in ns
}

func (f *failures) count(class Class, now time.Time) {
	f.last[class].Store(now.UnixNano())
	f.counts[class].Add(1)
}

func (f *failures) read() (counts map[Class]int64, last map[Class]time.Time) {
	counts, last = map[Class]int64{}, map[Class]time.Time{}
	for c := range f.counts {
		if n := f.counts[c].Load(); n > 0 {
			counts[Class(c)], last[Class(c)] = n, time.Unix(0, f.last[c].Load())
		}
	}
	return counts, last
}
