package policies

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// Codes of the problems of the policy cache.
const (
	CodeNotCached = "not-cached"
	CodeBadRange  = "range-not-satisfiable"
)

type cacheConfig struct {
	TTL                  dsl.Duration `yaml:"ttl" doc:"For how long an answer is fresh that says nothing of that itself, if its status is 200, 203, 204, 300, 301 or 308. Without ttl such answers are not kept. It is not for answers to requests with credentials (Authorization, a cookie, a known consumer), unless by says what they depend on." min:"1s"`
	Override             bool         `yaml:"override" doc:"Whether ttl also stands in place of what answers say themselves: max-age, s-maxage and Expires. What they say of no-store, no-cache and private holds all the same." default:"false"`
	By                   dsl.Text     `yaml:"by" doc:"What answers depend on besides the URL and the headers that Vary names: text with expressions, such as $(consumer.name). Requests with the same text share answers, also those with credentials."`
	StaleWhileRevalidate dsl.Duration `yaml:"stale_while_revalidate" doc:"For how long a stale answer is given while a new one is asked for, where the answer does not say (RFC 5861)." default:"0s"`
	StaleIfError         dsl.Duration `yaml:"stale_if_error" doc:"For how long a stale answer is given instead of a failure (500, 502, 503, 504), where the answer does not say (RFC 5861)." default:"0s"`
	Heuristic            dsl.Duration `yaml:"heuristic" doc:"The longest that an answer is taken for fresh that says nothing but Last-Modified: a tenth of the time since then. 0s: it is not." default:"0s"`
	IgnoreQuery          []string     `yaml:"ignore_query" doc:"Parameters of the query that answers do not depend on, such as utm_source. The flow sees them all the same."`
	RequestDirectives    bool         `yaml:"request_directives" doc:"Whether callers may ask, with Cache-Control, for answers that are newer than those that are kept." default:"true"`
	Size                 dsl.Size     `yaml:"size" doc:"How much memory all answers take, with their headers. When there is no room, what was asked for least goes." default:"64MB" min:"64KB"`
	MaxEntry             dsl.Size     `yaml:"max_entry" doc:"The largest body that is kept. Larger ones are streamed." default:"1MB" min:"1B"`
}

// Cache is the Kind of the policy cache.
var Cache = Kind{
	Why: "what is kept must not be had without passing all that guards it, and is kept as the flow gives it: what is made of it for one caller, such as a coding, is made outside",
	Kind: dsl.Define("cache",
		"Keeps answers and gives them again, as a shared HTTP cache does (RFC 9111): what an answer says of itself decides (Cache-Control, CDN-Cache-Control, Expires, Vary, No-Vary-Search, ETag), and Cache-Status tells what became of each request. Requests for the same answer at the same time ask for it once. The step cache keeps values inside of a flow; this keeps whole answers in front of it.",
		compileCache,
		dsl.Example{Name: "as answers say", YAML: "{}"},
		dsl.Example{Name: "half a minute where they do not say, for each caller alone", YAML: "ttl: 30s\nby: $(request.remote)\nstale_if_error: 10m"}),
}

type cache struct {
	next            http.Handler
	store           *engine.Kept[*cacheStore]
	crew            *engine.Kept[*crew]
	by              *dsl.TextTemplate // nil: nothing
	ignore          []string
	asks            bool // callers have a say
	ttl             time.Duration
	override        bool
	heuristic       time.Duration
	staleRevalidate time.Duration
	staleError      time.Duration
	maxEntry        int64
}

func compileCache(c *Compiler, at *dsl.Node, cfg *cacheConfig) gateway.Middleware {
	p := cache{
		by: c.Text(cfg.By, dsl.PlainText), ignore: cfg.IgnoreQuery, asks: cfg.RequestDirectives, ttl: time.Duration(cfg.TTL), override: cfg.Override,
		heuristic: time.Duration(cfg.Heuristic), staleRevalidate: time.Duration(cfg.StaleWhileRevalidate), staleError: time.Duration(cfg.StaleIfError), maxEntry: int64(cfg.MaxEntry),
	}
	report := func(key, message, hint string) {
		c.Report(dsl.Diagnostic{Span: at.Field(key).KeySpan(), Code: "bad-policy", Message: message, Hint: hint})
	}
	if p.override && p.ttl == 0 {
		report("override", "there is no ttl that could stand in place of what answers say", "add ttl, or remove override")
	}
	if cfg.Size > 0 && int64(cfg.MaxEntry) > int64(cfg.Size) {
		key := "max_entry"
		if at.Field(key) == nil {
			key = "size"
		}
		report(key, fmt.Sprintf("a body of %v has no room in %v", cfg.MaxEntry, cfg.Size), "write a larger size, or a smaller max_entry")
	}
	size := int64(cfg.Size)
	p.store = Keep(c, func() *cacheStore { return openCacheStore(size) })
	p.crew = Own(c, openCrew)
	return func(next http.Handler) http.Handler {
		with := p
		with.next = next
		return &with
	}
}

// visit is one request at the cache.
type visit struct {
	p           *cache
	q           *gateway.Request
	r           *http.Request
	header      http.Header // of r
	ask         asking
	key         cacheKey
	at          cacheKey // where what it selects is kept
	url         string
	keyed       bool   // by tells what answers depend on
	credentials bool   // the caller showed who it is
	fwd         string // why the flow is asked, for Cache-Status
}

// asking is what a caller wants of a stored answer (RFC 9111, section 5.2.1).
type asking struct {
	noCache, noStore, onlyIfCached bool

	maxAge             time.Duration // negative: any
	minFresh, maxStale time.Duration
}

// personal reports whether an answer may depend on who asks in a way that only
// the answer itself, or the author, can rule out.
func (v *visit) personal() bool {
	return !v.keyed && (v.credentials || v.header["Cookie"] != nil)
}

// ServeHTTP is what http.Handler asks for.
func (p *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := gateway.FromContext(r.Context())
	if q.Route == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.ContentLength != 0 || r.Header["Upgrade"] != nil {
			p.bypass(w, r, q, "fwd=bypass")
			return
		}
		p.lookup(w, r, q, "")
	case "QUERY":
		p.query(w, r, q)
	default:
		p.bypass(w, r, q, "fwd=method")
	}
}

var keyRooms = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// lookup answers what has no body, or one that stands in child.
func (p *cache) lookup(w http.ResponseWriter, r *http.Request, q *gateway.Request, child string) {
	v := visit{p: p, q: q, r: r, header: r.Header, ask: asking{maxAge: -1}}
	v.credentials = v.header["Authorization"] != nil || q.Input().Consumer != nil
	if p.asks && (v.header["Cache-Control"] != nil || v.header["Pragma"] != nil) {
		v.ask = askingOf(v.header)
	}
	if p.by != nil {
		text, err := p.by.String(r.Context(), q)
		if err != nil {
			q.Err = err
			p.bypass(w, r, q, "fwd=bypass; detail=by")
			return
		}
		child, v.keyed = child+"\x00"+text, true
	}
	room := keyRooms.Get().(*[]byte)
	*room = p.appendKey((*room)[:0], r, q)
	v.key.base = unsafe.String(unsafe.SliceData(*room), len(*room)) // nobody keeps it
	if child != "" {
		v.key.child = v.key.base + child
	}
	now := time.Now()
	stored, e, at := p.store.It().find(&v)
	if e != nil {
		if v.mayUse(e) && v.header["If-Match"] == nil && v.header["If-Unmodified-Since"] == nil && e.use(&v.ask, now) == useFresh {
			p.store.It().hits.Add(1)
			told := e.told(now)
			w.Header()["Cache-Status"] = told.status
			v.give(w, e, told.age)
			keyRooms.Put(room)
			return
		}
	}
	slow := v // the only one that goes to the heap
	slow.key.base = strings.Clone(v.key.base)
	if slow.at = at; at.base == v.key.base {
		slow.at.base = slow.key.base
	}
	keyRooms.Put(room)
	slow.url = slow.key.base[strings.LastIndexByte(slow.key.base, 0)+1:]
	p.miss(w, &slow, stored, e, now)
}

// miss answers what is not stored, or not fresh: prior is what the request
// selects all the same.
func (p *cache) miss(w http.ResponseWriter, v *visit, stored *resource, prior *cached, now time.Time) {
	s := p.store.It()
	v.fwd = "fwd=uri-miss"
	if stored != nil && len(stored.variants) > 0 {
		v.fwd = "fwd=vary-miss"
		if prior != nil {
			v.fwd = "fwd=stale"
			if prior.ageAt(now) < prior.lifetime {
				v.fwd = "fwd=request"
			}
			if !v.mayUse(prior) {
				prior, v.fwd = nil, "fwd=bypass"
			}
		}
	}
	conditions := v.header["If-Match"] != nil || v.header["If-Unmodified-Since"] != nil // only the origin can tell (section 4.3.2)
	if prior != nil && !conditions && prior.use(&v.ask, now) == useStale {
		s.stale.Add(1)
		if v.r.Method != http.MethodHead {
			p.renew(v, v.flight(stored), prior)
		}
		told := prior.told(now)
		w.Header()["Cache-Status"] = told.status
		v.give(w, prior, told.age)
		return
	}
	if v.ask.onlyIfCached {
		w.Header()["Cache-Status"] = []string{"weir; detail=only-if-cached"}
		gateway.WriteProblem(w, v.r, gateway.Problem{Status: http.StatusGatewayTimeout, Code: CodeNotCached, Detail: "No stored answer fits, and the request wants no other."})
		return
	}
	s.misses.Add(1)
	passed := stored != nil && now.Before(stored.pass) || v.personal()
	switch {
	case conditions, v.header["Range"] != nil && prior == nil, overridesMethod(v.header):
		s.passed.Add(1)
		v.ask.noStore = true // what comes is a part, or about a state that only the caller knows, or poison
		p.relay(w, v, nil)
	case v.r.Method == http.MethodHead, v.ask.noStore, prior == nil && passed:
		s.passed.Add(1)
		p.relay(w, v, prior)
	default:
		p.share(w, v, stored, prior)
	}
}

// share answers with a fill that others may wait for, too.
func (p *cache) share(w http.ResponseWriter, v *visit, stored *resource, prior *cached) {
	flight := v.flight(stored)
	for range 2 {
		f, r, joined, e := p.fly(v, flight, prior)
		if e != nil {
			v.count(true)
			v.tell(w, v.fwd+"; stored; collapsed")
			v.give(w, e, e.told(time.Now()).age)
			return
		}
		if f.follow(w, v, r, joined) {
			return
		}
		// What came depends on what this request has otherwise, which is known now.
		again := v.key.own() + selection(f.meta.vary, v.header)
		if again == flight {
			break
		}
		flight = again
	}
	p.store.It().passed.Add(1)
	p.relay(w, v, nil)
}

// flight is the key of those who wait for the same.
func (v *visit) flight(stored *resource) string {
	if stored == nil || len(stored.variants) == 0 {
		return v.key.own()
	}
	var names []string
	for _, s := range stored.variants[0].vary {
		names = append(names, s.name)
	}
	return v.key.own() + selection(names, v.header)
}

func selection(names []string, asked http.Header) string {
	var b strings.Builder
	for _, s := range selected(names, asked) {
		b.WriteString("\x00" + s.name + "\x00" + s.value)
	}
	return b.String()
}

// overridesMethod reports requests that some frameworks take for others than they
// are: what they get is not what a GET gets.
func overridesMethod(h http.Header) bool {
	return h["X-Http-Method-Override"] != nil || h["X-Http-Method"] != nil || h["X-Method-Override"] != nil
}

// mayUse reports whether e may be given to this caller: what is fresh only
// because the author says so is not for those who may have a version of their own.
func (v *visit) mayUse(e *cached) bool { return !e.byTTL || !v.personal() }

func (v *visit) count(joined bool) {
	if joined {
		v.p.store.It().coalesced.Add(1)
	}
}

// tell adds what became of the request to Cache-Status, behind what caches nearer
// to the origin say (RFC 9211, section 2).
func (v *visit) tell(w http.ResponseWriter, how string) {
	h := w.Header()
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), "weir; "+how)
}

// setField sets a field of an answer. Vary is added to: what stands outside may
// have said that the answer depends on more.
func setField(h http.Header, name string, values []string) {
	if name == "Vary" && h[name] != nil {
		h[name] = append(slices.Clip(h[name]), values...)
		return
	}
	h[name] = values
}

// give answers with a stored answer.
func (v *visit) give(w http.ResponseWriter, e *cached, age []string) {
	h, r := w.Header(), v.r
	fields := e.fields
	if e.status == http.StatusOK && notModified(v.header, e.etag, e.modified, firstLine(e.header["Date"])) {
		for _, f := range e.brief {
			setField(h, f.name, f.values)
		}
		h["Age"] = age
		w.WriteHeader(http.StatusNotModified)
		return
	}
	for i := range fields {
		setField(h, fields[i].name, fields[i].values)
	}
	h["Age"] = age
	if ranges := v.header["Range"]; ranges != nil && r.Method == http.MethodGet && e.status == http.StatusOK {
		cond := v.header["If-Range"]
		if cond == nil || sameStrongly(cond[0], e.etag, e.modified, firstLine(e.header["Date"])) {
			if from, to, ok := byteRange(ranges[0], int64(len(e.body))); ok {
				partOf(w, r, e, from, to)
				return
			}
		}
	}
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead && len(e.body) > 0 {
		_, _ = w.Write(e.body) // a client that has gone is no fault
	}
}

// askingOf reads what a caller wants. Pragma counts where there is no
// Cache-Control (section 5.4).
func askingOf(h http.Header) asking {
	a := asking{maxAge: -1}
	lines := h["Cache-Control"]
	if lines == nil {
		a.noCache = strings.Contains(strings.ToLower(strings.Join(h["Pragma"], ",")), "no-cache")
		return a
	}
	d := parseDirectives(lines)
	a.noCache, a.noStore, a.onlyIfCached = d.noCache, d.noStore, d.onlyIfCached
	if d.maxAge != absent {
		a.maxAge = time.Duration(d.maxAge) * time.Second
	}
	a.minFresh = time.Duration(max(d.minFresh, 0)) * time.Second
	a.maxStale = time.Duration(max(d.maxStale, 0)) * time.Second
	return a
}

// maxQuery is the largest body of a QUERY whose answer is kept, in bytes.
const maxQuery = 64 << 10

// query answers a QUERY, whose answers depend on its body (RFC 10008, section
// 2.7).
func (p *cache) query(w http.ResponseWriter, r *http.Request, q *gateway.Request) {
	body, over, err := holdBody(r, maxQuery)
	if err != nil {
		q.Err = err
		problem, ok := gateway.ProblemOf(err)
		if !ok {
			problem = gateway.Problem{Status: http.StatusBadRequest, Code: gateway.CodeBadRequest, Detail: "The body of the request broke off."}
		}
		gateway.WriteProblem(w, r, problem)
		return
	}
	if over {
		p.bypass(w, r, q, "fwd=bypass")
		return
	}
	sum := sha256.New()
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
		_, _ = fmt.Fprintf(sum, "%q", r.Header[name]) // a hash takes all
	}
	_, _ = sum.Write(body)
	p.lookup(w, r, q, "\x00QUERY"+string(sum.Sum(nil)))
}

// bypass passes a request on that no stored answer is for, and looks whether it
// changes what is stored.
func (p *cache) bypass(w http.ResponseWriter, r *http.Request, q *gateway.Request, how string) {
	p.store.It().passed.Add(1)
	q.BeforeAnswer(&bypassed{p, r, how})
	p.next.ServeHTTP(w, r)
}

// bypassed is a request that the cache has no answer to.
type bypassed struct {
	p   *cache
	r   *http.Request
	how string
}

// EditHeader is what gateway.HeaderEditor asks for. It is where a change that
// succeeded makes what is stored of its URLs invalid (RFC 9111, section 4.4).
func (x *bypassed) EditHeader(q *gateway.Request, status int, h http.Header) {
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), "weir; "+x.how)
	if safe(x.r.Method) || status < 200 || status >= 400 {
		return
	}
	s := x.p.store.It()
	s.invalidate(string(x.p.appendKey(nil, x.r, q)))
	for _, name := range []string{"Location", "Content-Location"} {
		if at := firstLine(h[name]); at != "" {
			if other, ok := x.p.sameOrigin(x.r, at); ok {
				s.invalidate(string(x.p.appendKey(nil, other, q)))
			}
		}
	}
}

// safe reports methods that change nothing (RFC 9110, section 9.2.1). One that is
// not known may change anything.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY", "PROPFIND", "REPORT", "SEARCH":
		return true
	}
	return false
}
