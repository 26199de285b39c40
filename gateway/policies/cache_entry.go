package policies

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// cached is one stored answer. It is immutable but for what is derived from the
// clock.
type cached struct {
	route, version string // of which it is the answer
	status         int
	fields         []cachedField // of the answer, with Date and Content-Length
	brief          []cachedField // of a 304 in its place
	header         http.Header
	body           []byte
	tags           []string
	vary           []selecting
	search         *searchVariance // nil: it is for one URL
	weight         int             // what it takes, in bytes

	at       time.Time // when it came
	date     time.Time // when it was made, as it says
	age      time.Duration
	lifetime time.Duration
	terms
	etag     string
	modified string

	stamp atomic.Pointer[cachedStamp]
}

type cachedField struct {
	name   string
	values []string
}

// cachedStamp is what an entry tells within one second.
type cachedStamp struct {
	second      int64
	age, status []string
}

// terms are under which conditions an answer can be used.
type terms struct {
	noCache bool // never without validation
	strict  bool // never when stale
	byTTL   bool // it is fresh by what the author says, not by what it says itself
	// staleRevalidate and staleError are for how long a stale answer is good
	// enough meanwhile, or if there is none (RFC 5861).
	staleRevalidate, staleError time.Duration
}

// judgement is what this cache makes of the header of an answer.
type judgement struct {
	store    bool
	lasting  bool // that it is not stored will be so for the next one, too
	age      time.Duration
	lifetime time.Duration
	vary     []string
	without  []string
	terms
}

// judge decides whether an answer may be stored, and for how long it is fresh
// (RFC 9111, sections 3 and 4.2). asked is when it was asked for.
func (p *cache) judge(v *visit, status int, h http.Header, asked, now time.Time) judgement {
	d, targeted := responseDirectives(h)
	m := judgement{lasting: status < http.StatusBadRequest, without: d.without, age: initialAge(h, asked, now)}
	names, ok := varying(h)
	m.vary = names
	understood := d.mustUnderstand && understands(status)
	switch {
	case !ok, d.private, v.ask.noStore:
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified, h["Content-Range"] != nil:
	case d.noStore && !understood, d.mustUnderstand && !understood:
	case h["Set-Cookie"] != nil && !slices.Contains(d.without, "Set-Cookie"):
	case v.credentials && !v.keyed && !d.public && d.sMaxAge == absent && !d.mustRevalidate: // section 3.5
	default:
		m.store = true
	}
	if v.ask.noStore || status == http.StatusPartialContent || status == http.StatusNotModified {
		m.lasting = false
	}
	if !m.store {
		return m
	}
	m.noCache = d.noCache
	m.strict = d.noCache || d.mustRevalidate || d.proxyRevalidate || d.sMaxAge != absent
	m.staleRevalidate, m.staleError = p.staleRevalidate, p.staleError
	if d.staleRevalidate != absent {
		m.staleRevalidate = time.Duration(d.staleRevalidate) * time.Second
	}
	if d.staleError != absent {
		m.staleError = time.Duration(d.staleError) * time.Second
	}
	var explicit bool
	m.lifetime, explicit = lifetime(h, &d, targeted, now)
	own := p.ttl > 0 && lasting(status) && !d.noCache && !v.personal()
	modified, known := httpDate(firstLine(h["Last-Modified"]))
	switch {
	case own && (p.override || !explicit):
		m.lifetime, m.byTTL = p.ttl, true
		m.age = 0 // it is the author who says for how long, from now on
	case explicit:
	case p.heuristic > 0 && known && heuristic(status) && !v.personal():
		m.lifetime = min(max(now.Sub(modified)/10, 0), p.heuristic) // section 4.2.2
	case d.noCache || d.public:
	default:
		m.store = false
	}
	if m.lifetime <= m.age && h["Etag"] == nil && !known && m.staleRevalidate == 0 && m.staleError == 0 {
		m.store = false // it could never be used
	}
	return m
}

// lifetime is for how long an answer says it is fresh; explicit is false if it
// does not say (section 4.2.1).
func lifetime(h http.Header, d *directives, targeted bool, now time.Time) (fresh time.Duration, explicit bool) {
	switch {
	case d.sMaxAge != absent:
		return time.Duration(d.sMaxAge) * time.Second, true
	case d.maxAge != absent:
		return time.Duration(d.maxAge) * time.Second, true
	case targeted || h["Expires"] == nil:
		return 0, false
	}
	expires, ok := httpDate(firstLine(h["Expires"]))
	if !ok {
		return 0, true // an invalid date, above all 0, is one in the past (section 5.3)
	}
	date, ok := httpDate(firstLine(h["Date"]))
	if !ok {
		date = now
	}
	return max(expires.Sub(date), 0), true
}

// initialAge is how old an answer is when it comes (section 4.2.3).
func initialAge(h http.Header, asked, now time.Time) time.Duration {
	var apparent time.Duration
	if date, ok := httpDate(firstLine(h["Date"])); ok {
		apparent = max(now.Sub(date).Truncate(time.Second), 0)
	}
	return max(apparent, ageField(h)+now.Sub(asked))
}

func firstLine(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// heuristic reports statuses whose answers may be kept although they say nothing
// of their freshness (RFC 9110, section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// lasting reports statuses that ttl is for: failures come and go.
func lasting(status int) bool { return heuristic(status) && status < http.StatusBadRequest }

// understands reports statuses whose rules for caches this one keeps.
func understands(status int) bool {
	switch status {
	case 302, 303, 307, 451:
		return true
	}
	return heuristic(status)
}

// keptField reports whether a field of an answer is stored with it (section 3.1): not
// those of the connection, nor those that tell of how it came.
func keptField(name string, listed, without []string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
		"Age", "Cache-Status", "Content-Length", "X-Request-Id", "Proxy-Status":
		return false
	}
	return !strings.HasPrefix(name, http.TrailerPrefix) && !slices.Contains(listed, name) && !slices.Contains(without, name)
}

// describesBody reports fields that a 304 does not carry (RFC 9110, section
// 15.4.5).
func describesBody(name string) bool {
	switch name {
	case "Content-Type", "Content-Encoding", "Content-Language", "Content-Length", "Content-Disposition":
		return true
	}
	return false
}

// newEntry stores an answer that is whole.
func newEntry(v *visit, m judgement, status int, h http.Header, body []byte, now time.Time) *cached {
	var listed []string
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			listed = append(listed, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	e := &cached{
		route: v.q.Route.Name, version: v.q.Input().Version, status: status, header: make(http.Header, len(h)), body: body,
		at: now, age: m.age, lifetime: m.lifetime, terms: m.terms, vary: selected(m.vary, v.header),
	}
	for name, values := range h {
		if keptField(name, listed, m.without) {
			e.header[name] = slices.Clip(slices.Clone(values)) // who appends to it gets memory of its own
		}
	}
	if e.header["Date"] == nil {
		e.header["Date"] = []string{now.UTC().Format(http.TimeFormat)} // RFC 9110, section 6.6.1
	}
	e.date, _ = httpDate(e.header["Date"][0])
	for name, values := range e.header {
		e.fields = append(e.fields, cachedField{name, values})
		if !describesBody(name) {
			e.brief = append(e.brief, cachedField{name, values})
		}
	}
	if status != http.StatusNoContent {
		e.fields = append(e.fields, cachedField{"Content-Length", []string{e.length()}})
	}
	e.etag, e.modified = firstLine(e.header["Etag"]), firstLine(e.header["Last-Modified"])
	e.tags = tagsOf(e.header)
	return e
}

// tagsOf are the names by which an answer can be purged.
func tagsOf(h http.Header) (tags []string) {
	for _, line := range h["Surrogate-Key"] {
		tags = append(tags, strings.Fields(line)...)
	}
	for _, line := range h["Cache-Tag"] {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

// sameAs reports whether a 304 is about e: a strong tag must be that of e, a weak
// one may be (section 4.3.4). One that says nothing answers what it was asked.
func (e *cached) sameAs(h http.Header) bool {
	tag, modified := firstLine(h["Etag"]), firstLine(h["Last-Modified"])
	if weak, ok := strings.CutPrefix(tag, "W/"); ok {
		return weak == strings.TrimPrefix(e.etag, "W/")
	}
	if tag != "" {
		return tag == e.etag
	}
	return modified == "" || e.modified == "" || modified == e.modified
}

// freshened is e with what a 304 says of it (section 3.2).
func (e *cached) freshened(p *cache, v *visit, h http.Header, asked, now time.Time) (*cached, judgement) {
	merged := e.header.Clone()
	delete(merged, "Date") // that of the 304, or now
	for name, values := range h {
		switch name {
		case "Content-Encoding", "Content-Range", "Content-Type", "Content-Length":
		default:
			merged[name] = values
		}
	}
	m := p.judge(v, e.status, merged, asked, now)
	return newEntry(v, m, e.status, merged, e.body, now), m
}

func (e *cached) length() string { return strconv.Itoa(len(e.body)) }

// size is what an entry takes, in bytes, roughly.
func (e *cached) size() int {
	n := 512 + cap(e.body)
	for _, f := range e.fields {
		n += 2*len(f.name) + 96
		for _, value := range f.values {
			n += len(value) + 16
		}
	}
	for _, s := range e.vary {
		n += len(s.name) + len(s.value) + 32
	}
	return n
}

func (e *cached) ageAt(now time.Time) time.Duration { return e.age + now.Sub(e.at) }

// use is what can be done with a stored answer.
type use uint8

const (
	useFresh     use = iota // it is the answer
	useStale                // it is the answer, and has to be asked for anew behind it
	useValidated            // it is the answer once it is validated
)

// use decides what a request can do with e (section 4).
func (e *cached) use(ask *asking, now time.Time) use {
	age := e.ageAt(now)
	stale := age - e.lifetime // from 0 on it is
	switch {
	case e.noCache || ask.noCache, ask.maxAge >= 0 && age > ask.maxAge:
		return useValidated
	case stale < 0:
		if stale+ask.minFresh > 0 {
			return useValidated
		}
		return useFresh
	case e.strict:
		return useValidated
	case ask.maxStale > 0 && stale <= ask.maxStale:
		return useFresh
	case stale < e.staleRevalidate && ask.minFresh == 0:
		return useStale
	}
	return useValidated
}

// goodOnError reports whether e is better than a failure (RFC 5861, section 4).
func (e *cached) goodOnError(now time.Time) bool {
	return !e.strict && e.ageAt(now)-e.lifetime < e.staleError
}

// told are the fields Age and Cache-Status of e, if it is the answer now. They
// are made once a second.
func (e *cached) told(now time.Time) *cachedStamp {
	age := e.ageAt(now)
	second := int64(age / time.Second)
	s := e.stamp.Load()
	if s == nil || s.second != second {
		ttl := strconv.FormatInt(int64((e.lifetime-age)/time.Second), 10)
		s = &cachedStamp{second: second, age: []string{strconv.FormatInt(second, 10)}, status: []string{"weir; hit; ttl=" + ttl}}
		e.stamp.Store(s)
	}
	return s
}
