package gateway

import (
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Routes are found in a trie with one level for each path segment, so that the
// time of a match depends on the length of the path and not on the number of
// routes. At each node the children are tried from the most to the least
// specific: the literal, the patterned parameters, the plain parameter, the
// rest of the path. A child that leads nowhere is left again, so the first
// route found is the one that is most specific, segment by segment from the
// left, among all that take the path and the method. It does not depend on the
// order in which routes were added.
type node struct {
	literals  literals
	patterns  []pattern
	parameter *node
	rest      *leaf
	restOrNil *leaf
	leaf      *leaf
}

// literals are the children behind literal segments. Most nodes that have any
// have one, and of ten thousand maps each would be a few places in memory that
// nothing else has brought into the processor's caches.
type literals struct {
	text  string
	child *node            // behind text; nil: there is none
	more  map[string]*node // in place of both, once there are two
}

func (l *literals) get(text string) *node {
	switch {
	case l.more != nil:
		return l.more[text]
	case l.child != nil && l.text == text:
		return l.child
	}
	return nil
}

func (l *literals) add(text string, child *node) {
	switch {
	case l.more != nil:
		l.more[text] = child
	case l.child == nil:
		l.text, l.child = text, child
	default:
		*l = literals{more: map[string]*node{l.text: l.child, text: child}}
	}
}

func (l *literals) all() iter.Seq2[string, *node] {
	return func(yield func(string, *node) bool) {
		if l.child != nil {
			yield(l.text, l.child)
			return
		}
		for text, child := range l.more {
			if !yield(text, child) {
				return
			}
		}
	}
}

// pattern is the edge to a child behind a patterned parameter.
type pattern struct {
	text  string
	re    *regexp.Regexp
	whole bool // one variable, which is the whole segment
	child *node
}

// leaf is where a path may end: its routes. Of one method there are several only
// if they are told apart by conditions; the narrower ones come first.
type leaf struct {
	routes []*Route
	// choices are what the conditions of the routes for a method look at, those of
	// "" of the routes for any. Nil: no route has conditions.
	choices map[string]*Choice
}

// choose settles what decides for each method.
func (l *leaf) choose() {
	if l.choices == nil && !slices.ContainsFunc(l.routes, func(r *Route) bool { return len(r.Match) > 0 }) {
		return
	}
	l.choices = map[string]*Choice{}
	for _, method := range l.methods() {
		var c *Choice
		for _, r := range l.routes {
			if r.takesMethod(method) {
				c = c.with(choiceOf(r.Match))
			}
		}
		l.choices[method] = c
	}
}

func (l *leaf) methods() []string {
	all := []string{"", http.MethodHead}
	for _, r := range l.routes {
		all = append(all, r.Method)
	}
	return all
}

func (l *leaf) choice(method string) *Choice {
	if c, ok := l.choices[method]; ok {
		return c
	}
	return l.choices[""]
}

// builder is what building a trie needs to know.
type builder struct {
	root      node
	known     patterns
	relations map[[2]string]relation
	crossings []crossing
}

func newBuilder() *builder {
	return &builder{known: patterns{}, relations: map[[2]string]relation{}}
}

func (b *builder) relate(x, y string) relation {
	key := [2]string{x, y}
	r, known := b.relations[key]
	if !known {
		r = relate(x, y)
		b.relations[key] = r
	}
	return r
}

// add puts the route at the place that segments name. It returns the route
// that is already there for some of the same requests, if there is one which is
// neither narrower nor wider.
func (b *builder) add(route *Route, segments []segment) (occupant *Route, as relation) {
	n := &b.root
	for _, s := range segments {
		switch s.kind {
		case literal:
			n = n.literalChild(s.text)
		case patterned:
			n = b.patternChild(n, s)
		case parameter:
			if n.parameter == nil {
				n.parameter = new(node)
			}
			n = n.parameter
		case rest:
			return addTo(&n.rest, route)
		case restOrNil:
			return addTo(&n.restOrNil, route)
		}
	}
	return addTo(&n.leaf, route)
}

func (n *node) literalChild(text string) *node {
	child := n.literals.get(text)
	if child == nil {
		child = new(node)
		n.literals.add(text, child)
	}
	return child
}

// patternChild keeps narrower patterns before wider ones. Of patterns that
// cross it keeps note, for [meet].
func (b *builder) patternChild(n *node, s segment) *node {
	p := pattern{text: s.text, re: s.re, whole: s.whole, child: new(node)}
	at := len(n.patterns)
	for i := range n.patterns {
		other := &n.patterns[i]
		if other.text == p.text {
			return other.child
		}
		r := b.relate(p.expression(), other.expression())
		switch {
		case r.disjoint() || r.wider():
		case r.narrower():
			at = min(at, i)
		default:
			b.crossings = append(b.crossings, crossing{a: other.child, b: p.child, shared: r.shared})
		}
	}
	n.patterns = slices.Insert(n.patterns, at, p)
	return p.child
}

func addTo(l **leaf, route *Route) (occupant *Route, as relation) {
	if *l == nil {
		*l = new(leaf)
	}
	at := len((*l).routes)
	for i, r := range (*l).routes {
		if r.Method != route.Method {
			continue
		}
		switch as := relateMatches(route.Match, r.Match); {
		case as.disjoint() || as.wider():
		case as.narrower():
			at = min(at, i)
		default:
			return r, as
		}
	}
	(*l).routes = slices.Insert((*l).routes, at, route)
	(*l).choose()
	return nil, as
}

// search is one walk through the trie.
type search struct {
	path   string
	method string
	vars   []Var // names are filled in when the route is known

	// asked is what conditions look into, and choice what those that were met on
	// the way did.
	asked  Asked
	query  url.Values
	choice *Choice

	// gather makes the walk visit every leaf that takes the path and note its
	// routes.
	gather bool
	there  []*Route
}

func (s *search) values() url.Values {
	if s.query == nil {
		s.query = s.asked.URL.Query()
	}
	return s.query
}

// fits reports whether the request is as the route wants it. A preflight has not
// the headers of the request that comes after it: they may be anything.
func (s *search) fits(r *Route) bool {
	for i := range r.Match {
		if c := &r.Match[i]; !(c.In == InHeader && s.asked.Preflight) && !c.holds(s.asked.Header, s.values) {
			return false
		}
	}
	return true
}

// find continues the search below n with the segment that starts at path[at:].
func (s *search) find(n *node, at int) *Route {
	end, last := strings.IndexByte(s.path[at:], '/')+at, false
	if end < at {
		end, last = len(s.path), true
	}
	text := s.path[at:end]
	if child := n.literals.get(text); child != nil {
		if route := s.enter(child, end, last); route != nil {
			return route
		}
	}
	kept := len(s.vars)
	if text != "" {
		for i := range n.patterns {
			if p := &n.patterns[i]; s.capture(p, s.path[at-1:end]) {
				if route := s.enter(p.child, end, last); route != nil {
					return route
				}
				s.vars = s.vars[:kept]
			}
		}
		if n.parameter != nil {
			s.push(text)
			if route := s.enter(n.parameter, end, last); route != nil {
				return route
			}
			s.vars = s.vars[:kept]
		}
	}
	if n.rest != nil || n.restOrNil != nil {
		if route := s.findRest(n, s.path[at:]); route != nil {
			return route
		}
		s.vars = s.vars[:kept]
	}
	return nil
}

func (s *search) enter(child *node, end int, last bool) *Route {
	if !last {
		return s.find(child, end+1)
	}
	return s.pick(child.leaf)
}

func (s *search) findRest(n *node, text string) *Route {
	s.push(text)
	if text != "" {
		if route := s.pick(n.rest); route != nil {
			return route
		}
	}
	return s.pick(n.restOrNil)
}

// capture matches a slash and a segment and keeps the variables in it. Encoded
// slashes are still marked then, so that {name}.json takes them like {name}.
func (s *search) capture(p *pattern, slashed string) bool {
	if p.whole {
		if !p.re.MatchString(slashed) {
			return false
		}
		s.push(slashed[1:])
		return true
	}
	groups := p.re.FindStringSubmatchIndex(slashed)
	for i := 2; i < len(groups); i += 2 {
		s.push(slashed[groups[i]:groups[i+1]])
	}
	return groups != nil
}

func (s *search) push(text string) {
	s.vars = append(s.vars, Var{Value: restoreSlashes(text)})
}

func restoreSlashes(text string) string {
	return strings.ReplaceAll(text, encodedSlash, "/")
}

// pick chooses a leaf's route for the method: its own, GET for HEAD, then the
// one that takes any method. One whose conditions do not hold is as if it were not
// there.
func (s *search) pick(l *leaf) *Route {
	if l == nil {
		return nil
	}
	if s.gather {
		s.there = append(s.there, l.routes...)
		return nil
	}
	if l.choices != nil {
		s.choice = s.choice.with(l.choice(s.method))
	}
	var get, any *Route
	for _, r := range l.routes {
		if l.choices != nil && !s.fits(r) {
			continue
		}
		switch {
		case r.Method == s.method:
			return r
		case r.Method == http.MethodGet && get == nil:
			get = r
		case r.Method == "" && any == nil:
			any = r
		}
	}
	if get != nil && s.method == http.MethodHead {
		return get
	}
	return any
}
