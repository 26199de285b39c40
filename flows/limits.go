package flows

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// LimitsHandler answers with the limits of policies as JSON: what each has counted,
// and what they have refused in the last minute or two, and whom.
func (h *Host) LimitsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeState(w, LimitsState{Limits: h.limits(), Refused: h.limited.All(time.Now())})
	})
}

// LimitsState is how limits are.
type LimitsState struct {
	Limits  []LimitState        `json:"limits"`
	Refused []gateway.LimitedBy `json:"refused"`
}

// LimitState is what the limit of a policy has counted since it is as it is.
type LimitState struct {
	Of     string           `json:"of"` // whose policy it is
	Policy string           `json:"policy"`
	Counts map[string]int64 `json:"counts"` // granted, refused, keys and the like
}

// limits are those of the current generation: what counts what it has granted.
func (h *Host) limits() []LimitState {
	all := []LimitState{}
	g := h.acquire()
	if g == nil {
		return all
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
			one := LimitState{Counts: map[string]int64{}}
			one.Of, one.Policy = place.Step()
			k.Observe(func(name string, _ bool, value int64) { one.Counts[name] = value })
			if _, limits := one.Counts["granted"]; limits {
				all = append(all, one)
			}
		}
	}
	slices.SortFunc(all, func(a, b LimitState) int { return cmp.Or(cmp.Compare(a.Of, b.Of), cmp.Compare(a.Policy, b.Policy)) })
	return all
}
