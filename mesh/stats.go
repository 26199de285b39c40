package mesh

import "sync/atomic"

// Stats is a snapshot of a service's counters. Each number is exact; numbers read
// while calls are under way may be of slightly different moments.
type Stats struct {
	Requests  int64           // calls of Do and RoundTrip
	InFlight  int64           // calls that have not returned
	Retries   int64           // attempts beyond the first of their call
	Hedges    int64           // attempts beside another
	HedgesWon int64           // those whose reply came first
	Denied    int64           // retries and hedges that the budget did not allow
	Injected  int64           // calls that were given to [Inject]
	Budget    int             // requests that the retry budget allows now; -1 without one
	Failures  map[Class]int64 // calls by the class of their failure; absent is 0
	Breaker   BreakerStats    // of the service
	Limit     LimitStats
	Panic     *PanicStats // nil without ejection
	Endpoints []EndpointStats
	Sources   []SourceStats // what finds endpoints; none if all are configured
	TLS       *TLSStats     // of the files of Config.TLS; nil without any
}

// EndpointStats are the counters of one endpoint.
type EndpointStats struct {
	Address  string
	Attempts int64
	InFlight int64           // attempts whose reply has not been read to its end
	Failures map[Class]int64 // attempts by the class of their failure
	Breaker  BreakerStats
	Ejection *EjectionStats // nil without
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
		Failures: counts(&s.failures),
		Breaker:  s.breaker.stats(s.opened),
		Limit:    s.limit.stats(),
		Panic:    s.cfg.ejector.stats(s.set.Load()),
		Sources:  s.finder.stats(),
		TLS:      s.cfg.trust.stats(),
	}
	if s.hedge != nil {
		st.Hedges, st.HedgesWon = s.hedge.started.Load(), s.hedge.won.Load()
	}
	for _, e := range s.set.Load().endpoints {
		es := EndpointStats{
			Address:  e.target.URL,
			Attempts: e.attempts.Load(),
			InFlight: e.inFlight.Load(),
			Failures: counts(&e.failures),
			Breaker:  e.breaker.stats(s.opened),
			Ejection: e.ejection.stats(s.opened),
		}
		es.Dialed, es.Closed = e.transport.connections()
		st.Endpoints = append(st.Endpoints, es)
	}
	return st
}

func counts(counters *[classes]atomic.Int64) map[Class]int64 {
	m := map[Class]int64{}
	for c := range counters {
		if n := counters[c].Load(); n > 0 {
			m[Class(c)] = n
		}
	}
	return m
}
