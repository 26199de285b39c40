package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/flows"
)

// Live is the state of services as a running process tells it.
type Live struct {
	Services []flows.ServiceState `json:"services"`

	now time.Time
}

// ReadLive reads what GET /services answered at now.
func ReadLive(r io.Reader, now time.Time) (*Live, error) {
	l := &Live{now: now}
	if err := json.NewDecoder(r).Decode(l); err != nil {
		return nil, fmt.Errorf("it is not the state of services: %w", err)
	}
	return l, nil
}

// Of leaves the services that the flow calls. Those that the process does not
// know are given back: it serves other files than those at hand.
func (l *Live) Of(f *Flow) (missing []string) {
	var of []flows.ServiceState
	for _, s := range f.Services {
		i := slices.IndexFunc(l.Services, func(state flows.ServiceState) bool { return state.Service == s.Service })
		if i < 0 {
			missing = append(missing, s.Service)
			continue
		}
		of = append(of, l.Services[i])
	}
	l.Services = of
	return missing
}

// FlowLive is a flow with the state of what it calls.
type FlowLive struct {
	*Flow
	Live    []flows.ServiceState `json:"live"`
	Missing []string             `json:"missing,omitempty"` // services that the process does not know

	state *Live
}

// With adds the state of the services that the flow calls.
func (f *Flow) With(l *Live) *FlowLive {
	missing := l.Of(f)
	return &FlowLive{Flow: f, Live: l.Services, Missing: missing, state: l}
}

// Text writes both as people read them.
func (f *FlowLive) Text(w io.Writer) error {
	if err := f.Flow.Text(w); err != nil {
		return err
	}
	t := &text{}
	t.line("\nlive")
	t.live(f.state)
	for _, name := range f.Missing {
		t.line("  %s: the process does not know it; it serves other files", oneLine(name))
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// Text writes the state as people read it.
func (l *Live) Text(w io.Writer) error {
	t := &text{}
	t.live(l)
	if len(l.Services) == 0 {
		t.line("  no services")
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (t *text) live(l *Live) {
	for i := range l.Services {
		l.service(t, &l.Services[i])
	}
}

func (l *Live) service(t *text, s *flows.ServiceState) {
	t.line("  %s: %s", oneLine(s.Service), counts(count{s.Requests, "call", "calls"}, count{s.InFlight, "under way", "under way"}, count{s.Retries, "retry", "retries"},
		count{s.Hedges.Started, "hedge", "hedges"}, count{s.Injected, "injected", "injected"}))
	if b := s.Breaker; b != nil {
		t.line("      breaker %s", l.breaker(b))
	}
	if p := s.Panic; p != nil && p.Now {
		t.line("      too few endpoints are usable: all are used")
	}
	if b := s.Budget; b != nil {
		t.line("      budget  %d retries left, %d denied", b.Left, b.Denied)
	}
	if m := s.Limit; m.Limit+m.InUse+m.Waiting+m.Refused > 0 {
		of := ""
		if m.Limit > 0 {
			of = fmt.Sprintf(" of %d", m.Limit)
		}
		late := ""
		if m.Late > 0 {
			late = fmt.Sprintf(" (%d too late)", m.Late)
		}
		t.line("      limit   %d%s in use, %d waiting, %d refused%s", m.InUse, of, m.Waiting, m.Refused, late)
	}
	if r := s.Rate; r != nil {
		t.line("      rate    %d waited, %d refused", r.Waited, r.Refused)
	}
	if m := s.Mirror; m != nil {
		t.line("      mirror  %s: %d sent, %d dropped, %d failed, %d with another status", oneLine(m.To), m.Sent, m.Dropped, m.Failed, m.Different)
	}
	if c := s.Credentials; c != nil {
		token := "no token yet"
		if !c.Refreshed.IsZero() {
			token = "a token had " + l.since(c.Refreshed) + " ago"
			if !c.Expires.IsZero() {
				token += ", good for " + l.until(c.Expires)
			}
		}
		if c.Failure != "" {
			token += fmt.Sprintf("; failed %s ago: %s", l.since(c.LastFailure), oneLine(c.Failure))
		}
		t.line("      %-7s %s", oneLine(c.Kind), token)
	}
	if s.Hedges.After != "" {
		t.line("      hedges  after %s; %d won", oneLine(s.Hedges.After), s.Hedges.Won)
	}
	for _, f := range s.Failures {
		t.line("      failed  %s %d, the last %s ago", oneLine(f.Class), f.Count, l.since(f.Last))
	}
	for _, v := range s.Versions {
		t.line("      version %s: %s", oneLine(v.Version), counts(count{v.Requests, "call", "calls"}, count{v.Fallbacks, "taken by another", "taken by another"}))
	}
	for _, f := range s.Sources {
		found := fmt.Sprintf("%d found %s ago", f.Targets, l.since(f.LastSuccess))
		if f.LastSuccess.IsZero() {
			found = "nothing found yet"
		}
		if f.Failure != "" && f.LastFailure.After(f.LastSuccess) {
			found += fmt.Sprintf("; failed %s ago: %s", l.since(f.LastFailure), oneLine(f.Failure))
		}
		t.line("      source  %s: %s", oneLine(f.Source), found)
	}
	if c := s.TLS; c != nil && c.Failure != "" {
		t.line("      tls     failed %s ago: %s", l.since(c.LastFailure), oneLine(c.Failure))
	}
	width := 0
	for _, e := range s.Endpoints {
		width = max(width, len([]rune(oneLine(e.Address))))
	}
	for i := range s.Endpoints {
		l.endpoint(t, &s.Endpoints[i], width)
	}
}

func (l *Live) endpoint(t *text, e *flows.EndpointState, width int) {
	place := ""
	for _, part := range []string{e.Version, e.Zone} {
		if part != "" {
			place += ", " + oneLine(part)
		}
	}
	t.line("      %-*s  %-8s %s%s", width, oneLine(e.Address), oneLine(e.State),
		counts(count{e.Attempts, "attempt", "attempts"}, count{e.InFlight, "under way", "under way"}, count{e.Connections, "connection", "connections"}), place)
	if b := e.Breaker; b != nil && b.State != "closed" {
		t.line("          breaker %s", l.breaker(b))
	}
	if j := e.Ejection; j != nil && e.State == "ejected" {
		t.line("          ejected for %s more: %s", l.until(j.Until), oneLine(j.Because))
	}
	if h := e.Health; h != nil && h.Failure != "" && h.Failures > 0 {
		t.line("          checks  failed %s ago: %s", l.since(h.LastFailure), oneLine(h.Failure))
	}
	for _, f := range e.Failures {
		t.line("          failed  %s %d, the last %s ago", oneLine(f.Class), f.Count, l.since(f.Last))
	}
}

// breaker is the state of a breaker in words: open since when, why, and until
// when.
func (l *Live) breaker(b *flows.BreakerState) string {
	s := oneLine(b.State)
	if b.State == "closed" {
		if b.Openings > 0 {
			s += fmt.Sprintf(", opened %d times", b.Openings)
		}
		return s
	}
	if !b.Since.IsZero() {
		s += " for " + l.since(b.Since)
	}
	if b.Because != "" {
		s += ": " + oneLine(b.Because)
	}
	if b.NextProbe.After(l.now) {
		s += "; next probe in " + l.until(b.NextProbe)
	}
	if b.FailedProbes > 0 {
		s += fmt.Sprintf("; %d probes failed", b.FailedProbes)
	}
	return s
}

// since and until are times as people say them: the clocks of two machines do
// not agree to the millisecond.
func (l *Live) since(at time.Time) string { return roughly(l.now.Sub(at)) }

func (l *Live) until(at time.Time) string { return roughly(at.Sub(l.now)) }

func roughly(d time.Duration) string {
	if d < time.Second {
		return max(d, 0).Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

type count struct {
	n         int64
	one, many string
}

// counts lists the first count, and those of the others that are not zero.
func counts(all ...count) string {
	var b strings.Builder
	for i, c := range all {
		if i > 0 && c.n == 0 {
			continue
		}
		if i > 0 {
			b.WriteString(", ")
		}
		what := c.many
		if c.n == 1 {
			what = c.one
		}
		fmt.Fprintf(&b, "%d %s", c.n, what)
	}
	return b.String()
}
