package engine

import "net/http"

// Origins hears of what an answer is made of, so that it can be told for how
// long it is good, and for whom. Goroutines of the flow call it, also at the same
// time.
type Origins interface {
	// Came tells of the answer to a call that the flow made.
	Came(method string, h http.Header)
	// Unsure tells of a part of which nobody says how fresh it is: one that was
	// kept, or made together with other requests.
	Unsure()
	// Degraded tells of a part that stands in for one that failed.
	Degraded()
}

// unheard is Origins where nobody asks.
type unheard struct{}

func (unheard) Came(string, http.Header) {}
func (unheard) Unsure()                  {}
func (unheard) Degraded()                {}

// MadeOf is who hears of what the answer is made of.
func (in *Input) MadeOf() Origins {
	if in.Origins == nil {
		return unheard{}
	}
	return in.Origins
}
