package mesh

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Version is one version of a service, with endpoints of its own. A call goes to
// one version with all its attempts: one that has seen the new answer a request
// with an error is not to see the old one do what the new may have done.
type Version struct {
	// Name tells it from the others: letters, digits, "-" and "_".
	Name string
	// Endpoints are as in [Config].
	Endpoints []string
	// Weight is its share of the calls that no When decides, from 0 to 1000. Of a
	// number of calls that is a multiple of the sum of all weights each version
	// gets exactly its share.
	Weight int
	// When, if set, gives the version all calls that match. Of several the first
	// decides.
	When When
	// Fallback names the version that takes the calls of this one while none of
	// its endpoints is usable. Without it they fail: a version that is on trial is
	// not to seem well because another one does its work. It is followed once.
	Fallback string
}

// When is a condition on the header of a request: one of the fields called
// Header has the value Is.
type When struct{ Header, Is string }

// Sticky names what of a request decides the version that it goes to, so that
// one user stays with one version while the weights stay. Requests without it
// go anywhere. Set one of them, or none. What a call says itself, [Call].Sticky,
// comes before it.
type Sticky struct{ Header, Cookie string }

const (
	maxVersions      = 32
	maxVersionWeight = 1000
)

// split is the choice of a version, ready to be made. It is nil without versions.
type split struct {
	versions []version
	total    uint64  // of the weights
	turns    []uint8 // versions, in the order in which they take calls
	next     atomic.Uint64
	sticky   Sticky
}

type version struct {
	Version
	fallback int // -1 is none

	calls     atomic.Int64
	fallbacks atomic.Int64
}

func newSplit(c Config) *split {
	if len(c.Versions) == 0 {
		return nil
	}
	s := &split{versions: make([]version, len(c.Versions)), sticky: c.Sticky}
	s.sticky.Header = textproto.CanonicalMIMEHeaderKey(s.sticky.Header)
	for i, v := range c.Versions {
		v.When.Header = textproto.CanonicalMIMEHeaderKey(v.When.Header)
		s.versions[i].Version = v
		s.total += uint64(v.Weight)
	}
	for i := range s.versions {
		s.versions[i].fallback = s.index(s.versions[i].Fallback)
	}
	s.turns = turns(c.Versions)
	return s
}

// turns spreads the versions by weight over one round, as the smooth weighted
// round robin of nginx does: the table makes a turn one atomic addition.
func turns(versions []Version) []uint8 {
	divisor, total := 0, 0
	for _, v := range versions {
		for a := v.Weight; a != 0; {
			divisor, a = a, divisor%a
		}
		total += v.Weight
	}
	round := make([]uint8, total/divisor)
	due := make([]int, len(versions))
	for turn := range round {
		most := 0
		for i, v := range versions {
			due[i] += v.Weight
			if due[i] > due[most] {
				most = i
			}
		}
		due[most] -= total
		round[turn] = uint8(most)
	}
	return round
}

// index is that of the version called name; -1 if there is none.
func (s *split) index(name string) int {
	for i := range s.versions {
		if s.versions[i].Name == name {
			return i
		}
	}
	return -1
}

// indexOf is the index of the version that an endpoint belongs to.
func (s *split) indexOf(name string) int {
	if s == nil {
		return 0
	}
	return s.index(name)
}

// choose gives the version of a call of the service.
func (s *split) choose(req *http.Request, sticky string, service *Service, at time.Duration) int {
	if s == nil {
		return 0
	}
	i := s.match(req, sticky, service, at)
	s.versions[i].calls.Add(1)
	return i
}

func (s *split) match(req *http.Request, sticky string, service *Service, at time.Duration) int {
	for i := range s.versions {
		if w := &s.versions[i].When; w.Header != "" && slices.Contains(req.Header[w.Header], w.Is) {
			return i
		}
	}
	if e := service.affinity.home(service.set.Load(), req, at); e != nil && e.version >= 0 {
		return e.version
	}
	if sticky == "" {
		sticky = hashed(req.Header, s.sticky.Header, s.sticky.Cookie)
	}
	if sticky != "" {
		// Ranges of one line: a weight that changes moves no more users than it has to.
		at := hashText(sticky, splitSeed) % s.total
		for i := range s.versions {
			weight := uint64(s.versions[i].Weight)
			if at < weight {
				return i
			}
			at -= weight
		}
	}
	return int(s.turns[(s.next.Add(1)-1)%uint64(len(s.turns))])
}

// splitSeed keeps the users of a version from being those of a part of its
// endpoints, if those are chosen by the same hash.
const splitSeed = 0x5bd1e995

// fallBack turns a call to the version that stands in for its own, if that has
// no usable endpoint. It comes before all of them are used in spite of that.
func (t *tried) fallBack(s *split, at time.Duration) bool {
	if s == nil || t.fellBack || s.versions[t.version].fallback < 0 {
		return false
	}
	for _, e := range t.in.endpoints {
		if e.version == t.version && e.usable(at) {
			return false
		}
	}
	s.versions[t.version].fallbacks.Add(1)
	t.version, t.fellBack = s.versions[t.version].fallback, true
	return true
}

// anyUsable reports whether another attempt has somewhere to go.
func (t *tried) anyUsable(service *Service) bool {
	set, at := service.set.Load(), service.clock()
	if set.anyUsable(t.version, at) {
		return true
	}
	if service.split == nil || t.fellBack {
		return false
	}
	other := service.split.versions[t.version].fallback
	return other >= 0 && set.anyUsable(other, at)
}

// unusable is the error of a call that nothing may be tried for.
func (t *tried) unusable(service *Service) error {
	err := t.in.breakersOpen(t.version)
	if service.split == nil {
		return err
	}
	return fmt.Errorf("version %s: %w", service.split.versions[t.version].Name, err)
}

// VersionStats are the counters of one version.
type VersionStats struct {
	Name      string
	Calls     int64 // that were given to it
	Fallbacks int64 // those of them that went to its fallback
}

func (s *split) stats() (all []VersionStats) {
	if s == nil {
		return nil
	}
	for i := range s.versions {
		v := &s.versions[i]
		all = append(all, VersionStats{v.Name, v.calls.Load(), v.fallbacks.Load()})
	}
	return all
}

// AllEndpoints are the endpoints of the configuration and of its versions.
func (c Config) AllEndpoints() []string {
	all := slices.Clone(c.Endpoints)
	for _, v := range c.Versions {
		all = append(all, v.Endpoints...)
	}
	return all
}

func (c Config) validateVersions(f *faults) {
	const write = "write sticky: { header: x-user } or sticky: { cookie: session }"
	switch s := c.Sticky; {
	case s == Sticky{}:
	case len(c.Versions) == 0:
		f.add("sticky", "there are no versions to choose from", "write versions, or hash to choose the endpoint")
	case s.Header != "" && s.Cookie != "":
		f.add("sticky", "sticky is by either a header or a cookie", write)
	case s.Header != "" && !isToken(s.Header):
		f.add("sticky.header", fmt.Sprintf("%q is not the name of a header", s.Header), write)
	case s.Cookie != "" && !isToken(s.Cookie):
		f.add("sticky.cookie", fmt.Sprintf("%q is not the name of a cookie", s.Cookie), write)
	}
	if len(c.Versions) == 0 {
		return
	}
	if len(c.Endpoints) > 0 {
		f.add("versions", "a service has either endpoints or versions", "move the endpoints into a version")
	}
	if len(c.Versions) > maxVersions {
		f.add("versions", fmt.Sprintf("a service has at most %d versions", maxVersions), "")
	}
	seen, total := map[string]bool{}, 0
	for i, v := range c.Versions {
		v.validate(f, c.Versions, i, seen)
		total += max(0, v.Weight)
	}
	if total == 0 {
		f.add("versions", "no version has a weight above 0", "write weight: 100 for the one that calls go to")
	}
}

func (v Version) validate(f *faults, all []Version, index int, seen map[string]bool) {
	at := "versions." + v.Name
	named := func(name string) func(Version) bool { return func(o Version) bool { return o.Name == name } }
	switch {
	case v.Name == "" || strings.Trim(v.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
		f.add(at, fmt.Sprintf("%q is not the name of a version", v.Name), "write letters, digits, - and _, such as v2")
	case slices.ContainsFunc(all[:index], named(v.Name)):
		f.add(at, fmt.Sprintf("there are two versions %q", v.Name), "rename one")
	}
	if len(v.Endpoints) == 0 {
		f.add(at+".endpoints", "a version needs at least one endpoint", `write endpoints: ["http://host:port"]`)
	}
	f.endpoints(at+".endpoints", v.Endpoints, seen)
	if v.Weight < 0 || v.Weight > maxVersionWeight {
		f.add(at+".weight", fmt.Sprintf("a weight lies between 0 and %d", maxVersionWeight), "")
	}
	if v.When != (When{}) {
		if !isToken(v.When.Header) {
			f.add(at+".when.header", fmt.Sprintf("%q is not the name of a header", v.When.Header), "write a name such as X-Canary")
		}
		for _, o := range all[:index] {
			if strings.EqualFold(o.When.Header, v.When.Header) && o.When.Is == v.When.Is {
				f.add(at+".when", fmt.Sprintf("version %s has the same condition, and comes first", o.Name), "change one of them")
			}
		}
	}
	switch {
	case v.Fallback == "":
	case v.Fallback == v.Name:
		f.add(at+".fallback", "a version cannot stand in for itself", "name another one")
	case !slices.ContainsFunc(all, named(v.Fallback)):
		others := slices.DeleteFunc(slices.Clone(all), named(v.Name))
		f.add(at+".fallback", fmt.Sprintf("there is no version %q", v.Fallback), "write "+strings.Join(versionNames(others), ", "))
	}
}

func versionNames(versions []Version) (names []string) {
	for _, v := range versions {
		names = append(names, v.Name)
	}
	return names
}
