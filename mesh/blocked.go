package mesh

// Blockage is why no call of a service passes.
type Blockage struct {
	Breaker BreakerStats // of the service, or of the endpoint that a probe may go to first
	Text    string       // that in words
}

// Blocked reports whether every call that began now would be refused by a breaker,
// but for one that is let through as a probe; it is nil if not. That asks less than
// a call does: there may be no endpoint at all, or no room. With ejection or health
// checks no endpoint's breaker stops calls for good: if too few are usable all are
// used ([Config].Panic).
func (s *Service) Blocked() *Blockage {
	if b := s.breaker; b != nil && b.blockedUntil.Load() != 0 {
		return s.blockage(b, "its breaker is ")
	}
	var first *breaker
	for _, e := range s.set.Load().endpoints {
		if e.breaker == nil || e.ejection != nil || e.health != nil || e.breaker.blockedUntil.Load() == 0 {
			return nil
		}
		if first == nil || e.breaker.blockedUntil.Load() < first.blockedUntil.Load() {
			first = e.breaker
		}
	}
	if first == nil {
		return nil
	}
	return s.blockage(first, "the breakers of all endpoints are ")
}

func (s *Service) blockage(b *breaker, which string) *Blockage {
	state := b.stats(s.opened)
	if state.State == "closed" { // since it was looked at
		return nil
	}
	return &Blockage{state, which + b.refusal()}
}
