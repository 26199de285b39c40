package connectors

import (
	"fmt"
	"time"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

// callee is the service as flows see it that fail fast; nil if it has no breaker,
// so that nothing is known beforehand.
func (s *Service) callee() engine.Callee {
	if s.config.Breaker == (mesh.Breaker{}) && s.config.ServiceBreaker == (mesh.Breaker{}) {
		return nil
	}
	return s
}

// Expect is what engine.Callee asks for. While breakers are open, one run at a time
// goes on to where it may be the probe; the others would get there in vain.
func (s *Service) Expect(at time.Time) (leave func(), failed *engine.Error) {
	why := s.client.Blocked()
	if why == nil {
		return nil, nil
	}
	name, b := s.Name.Value, why.Breaker
	if !b.NextProbe.After(at) && s.probing.CompareAndSwap(false, true) {
		return func() { s.probing.Store(false) }, nil
	}
	e := &engine.Error{Kind: engine.KindBreaker, Message: fmt.Sprintf("service %s: nothing was begun: %s", name, why.Text)}
	e.Detail = fmt.Sprintf("The service %s, which this answer needs, is failing and is given time to recover", name)
	if wait := time.Until(b.NextProbe); b.State == "open" && wait > 0 {
		e.RetryAfter = wait
		e.Detail += fmt.Sprintf("; it is asked again in %v", (wait + time.Second - 1).Truncate(time.Second))
	} else {
		e.Detail += "; it is being asked again"
	}
	e.Detail += "."
	return nil, e
}
