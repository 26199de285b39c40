package policies

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/gateway"
)

// composed gathers what is known of the calls that an answer is made of. An
// answer of several is fresh as long as the one that is so for the least time,
// depends on all that they depend on, and is one caller's own if one of them is.
// What says nothing, or was made by a call that changes something, leaves the
// answer without a word on that; what stands in for a failure makes it one that is
// not kept.
type composed struct {
	mu       sync.Mutex
	calls    int
	unsure   bool
	degraded bool
	private  bool
	noStore  bool
	shared   bool // all are public
	until    time.Time
	vary     []string
}

// of has q tell c what its answer is made of.
func (c *composed) of(q *gateway.Request) {
	c.shared = true
	q.Input().Origins = c
}

// Came is what engine.Origins asks for.
func (c *composed) Came(method string, h http.Header) {
	now := time.Now()
	d, targeted := responseDirectives(h)
	fresh, explicit := lifetime(h, &d, targeted, now)
	names, ok := varying(h)
	until := now.Add(fresh - initialAge(h, now, now))
	if d.noCache {
		until = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls++; c.calls == 1 || until.Before(c.until) {
		c.until = until
	}
	c.unsure = c.unsure || !explicit && !d.noCache && !d.private || !safe(method)
	c.private = c.private || d.private || h["Set-Cookie"] != nil
	c.noStore = c.noStore || d.noStore || !ok
	c.shared = c.shared && (d.public || d.sMaxAge != absent)
	for _, name := range names {
		if !slices.Contains(c.vary, name) {
			c.vary = append(c.vary, name)
		}
	}
}

// Unsure is what engine.Origins asks for.
func (c *composed) Unsure() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsure = true
}

// Degraded is what engine.Origins asks for.
func (c *composed) Degraded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.degraded = true
}

// describe tells in the header of an answer for how long it is good, where the
// author does not. It is false for one that must not be kept whatever it says.
func (c *composed) describe(status int, h http.Header, now time.Time) (keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written := h["Cache-Control"] != nil || h["Cdn-Cache-Control"] != nil || h["Expires"] != nil
	if written || c.calls == 0 && !c.degraded || status >= http.StatusBadRequest {
		return !c.degraded
	}
	var words []string
	switch {
	case c.degraded, c.noStore:
		words = []string{"no-store"}
	case c.private:
		words = []string{"private"}
	case c.unsure:
		return true
	case c.shared:
		words = []string{"public"}
	}
	if !c.degraded && !c.noStore && !c.unsure {
		words = append(words, "max-age="+strconv.FormatInt(int64(max(c.until.Sub(now), 0)/time.Second), 10))
	}
	h["Cache-Control"] = []string{strings.Join(words, ", ")}
	if len(c.vary) > 0 {
		slices.Sort(c.vary)
		h["Vary"] = append(slices.Clip(h["Vary"]), strings.Join(c.vary, ", "))
	}
	return !c.degraded
}
