package policies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// question is how a service is asked about a request.
type question struct {
	client   func() http.RoundTripper
	at       *url.URL
	where    string // in words
	protocol string
	send     []string // canonical
	set      []claimHeader
	body     int64 // how much of it goes along; 0: nothing
	timeout  time.Duration
}

func (c *Compiler) question(at *dsl.Node, cfg *extAuthConfig) (a question) {
	a = question{protocol: cfg.Protocol, send: c.fieldNames(at.Field("send"), cfg.Send), body: int64(cfg.Body), timeout: time.Duration(cfg.Timeout), at: &url.URL{Path: "/"}}
	fault := func(span dsl.Span, message, hint string) {
		c.Report(dsl.Diagnostic{Span: span, Code: "bad-policy", Message: message, Hint: hint})
	}
	switch {
	case (cfg.URL.Value == "") == (cfg.Service.Value == ""):
		fault(at.KeySpan(), "one service decides", "write service, and path, or url")
	case cfg.URL.Value != "" && cfg.Path.Value != "":
		fault(at.Field("path").KeySpan(), "the path stands in url already", "write service and path, or url")
	case cfg.URL.Value != "":
		if client, u, ok := c.Fetch(cfg.URL); ok {
			a.client, a.at, a.where = client, u, u.Redacted()
		}
	default:
		a.client, _ = c.Service(cfg.Service)
		a.where = cfg.Service.Value
		if cfg.Path.Value != "" {
			u, err := url.ParseRequestURI(cfg.Path.Value)
			if err != nil || !strings.HasPrefix(cfg.Path.Value, "/") || u.Host != "" {
				fault(cfg.Path.Span, fmt.Sprintf("%q is no path", cfg.Path.Value), "write one such as /verify")
				break
			}
			a.at, a.where = u, a.where+" "+cfg.Path.Value
		}
	}
	if a.protocol == "ext_authz" && a.at.RawQuery != "" {
		fault(at.KeySpan(), "with ext_authz the query is that of the request", "leave out the query, or choose another protocol")
	}
	for i, name := range cfg.Send {
		if folds := folded(name); strings.HasPrefix(folds, "x-forwarded-") || strings.HasPrefix(folds, "x-original-") || folds == "x-request-id" {
			c.Report(dsl.Diagnostic{Span: at.Field("send").Items[i].Span, Code: "bad-header", Message: name + " is what the service is told by the gateway, and not by the caller", Hint: "remove it; protocol says which it gets"})
		}
	}
	for _, name := range sortedKeys(cfg.Set) {
		key := at.Field("set").Field(name).KeySpan()
		message, hint := engine.HeaderFault(name)
		if message == "" && strings.EqualFold(name, "Host") {
			message, hint = "Host tells where a request goes, and is no header to choose", "remove it"
		}
		if message != "" {
			c.Report(dsl.Diagnostic{Span: key, Code: "bad-header", Message: message, Hint: hint})
			continue
		}
		if text := c.Text(cfg.Set[name], dsl.HeaderValue); text != nil {
			a.set = append(a.set, claimHeader{http.CanonicalHeaderKey(name), text})
		}
	}
	return a
}

// request is what the service is asked.
func (a *question) request(ctx context.Context, q *gateway.Request, r *http.Request, body []byte) (*http.Request, error) {
	in := q.Input()
	host, scheme := in.Host, in.Scheme
	if host == "" {
		host = r.Host
	}
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	uri := r.URL.RequestURI()
	h := http.Header{"X-Request-Id": {q.ID}, "X-Forwarded-For": {in.Remote}}
	asks := &http.Request{Method: http.MethodGet, URL: a.at, Header: h}
	if a.body > 0 && body != nil {
		asks.Method = http.MethodPost
	}
	switch a.protocol {
	case "forward_auth":
		h["X-Forwarded-Method"], h["X-Forwarded-Proto"], h["X-Forwarded-Host"], h["X-Forwarded-Uri"] = []string{r.Method}, []string{scheme}, []string{host}, []string{uri}
	case "auth_request":
		h["X-Original-Method"], h["X-Original-Url"], h["X-Original-Uri"] = []string{r.Method}, []string{scheme + "://" + host + uri}, []string{uri}
	case "ext_authz":
		asks.Method, asks.Host = r.Method, host
		asks.URL = prefixed(a.at, r.URL)
		h["X-Forwarded-Proto"] = []string{scheme}
	}
	q.Trace.Inject(h)
	for _, name := range a.send {
		if values := r.Header[name]; values != nil {
			h[name] = values
		}
	}
	for i := range a.set {
		value, err := a.set[i].text.String(r.Context(), q)
		if err == nil && strings.ContainsFunc(value, engine.IsControl) {
			err = fmt.Errorf("the value of %s holds control characters", a.set[i].name)
		}
		if err != nil {
			return nil, err
		}
		if delete(h, a.set[i].name); value != "" {
			h[a.set[i].name] = []string{value}
		}
	}
	if body != nil {
		asks.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		asks.Body, _ = asks.GetBody()
		asks.ContentLength = int64(len(body))
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			if values := r.Header[name]; values != nil {
				h[name] = values
			}
		}
	}
	return asks.WithContext(ctx), nil
}

// prefixed is a URL with a path before its own. What is escaped stays so.
func prefixed(prefix, u *url.URL) *url.URL {
	before := strings.TrimSuffix(prefix.EscapedPath(), "/")
	out := &url.URL{RawPath: before + u.EscapedPath(), RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	out.Path, _ = url.PathUnescape(out.RawPath) // both parts can be
	return out
}

// extAuthNames is where an answer says who calls.
type extAuthNames struct {
	header, planHeader string
	claim, planClaim   claimPath
}

// extAuthYes is what an answer that says yes says. It is immutable once it is
// remembered.
type extAuthYes struct {
	consumer *engine.Consumer // nil: it names none
	pass     http.Header
	cookies  setCookies
	ttl      time.Duration // 0: it is not remembered
	until    time.Time
	size     int
}

func (y *extAuthYes) bytes() int { return y.size }

// setCookies are fields of an answer to the caller.
type setCookies []string

// EditHeader is what gateway.HeaderEditor asks for.
func (c setCookies) EditHeader(_ *gateway.Request, _ int, h http.Header) {
	h["Set-Cookie"] = append(slices.Clip(h["Set-Cookie"]), c...)
}

// maxExtAuthAnswer bounds a body that is read, in bytes.
const maxExtAuthAnswer = 64 << 10

// ask puts the question.
func (p *extAuth) ask(q *gateway.Request, r *http.Request, s *extAuthState) (*extAuthYes, *refusal) {
	var body []byte
	if p.body > 0 {
		held, over, err := holdBody(r, p.body)
		if over {
			return nil, &refusal{status: http.StatusRequestEntityTooLarge, code: gateway.CodeBodyTooLarge, detail: "The request's body is larger than this route takes."}
		}
		if err != nil {
			return nil, broken(err)
		}
		body = held
	}
	// Where a failure lets everyone in, no caller makes one by what it chooses:
	// when it goes, and how long it says that it waits.
	around := r.Context()
	if p.allow {
		around = context.WithoutCancel(around)
	}
	ctx, end := context.WithTimeout(around, p.timeout)
	defer end()
	asks, err := p.request(ctx, q, r, body)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, err: err, detail: "The request holds something that cannot be worked with."}
	}
	s.asked.Add(1)
	res, err := p.client().RoundTrip(asks)
	if err == nil {
		defer func() {
			_, _ = io.CopyN(io.Discard, res.Body, maxExtAuthAnswer) // so that the connection can be kept
			_ = res.Body.Close()
		}()
	}
	if gone := r.Context().Err(); gone != nil {
		return nil, broken(gone)
	}
	if err != nil {
		return p.failed(s, err)
	}
	return p.settle(s, res)
}

// broken is the refusal of a request that did not come to its end.
func broken(err error) *refusal {
	if p, ok := gateway.ProblemOf(err); ok {
		return &refusal{status: p.Status, code: p.Code, detail: p.Detail, err: err}
	}
	return &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, detail: "The request broke off.", err: err}
}

// settle reads an answer.
func (p *extAuth) settle(s *extAuthState, res *http.Response) (*extAuthYes, *refusal) {
	status := res.StatusCode
	if status >= 500 || status == http.StatusTooManyRequests {
		return p.failed(s, fmt.Errorf("%s answered with status %d", p.where, status))
	}
	s.heard.note(time.Now(), nil)
	switch {
	case status >= 200 && status < 300:
		y, err := p.yes(res)
		if err != nil {
			s.refused.Add(1)
			return nil, forbidden("", fmt.Errorf("%s said yes, but not who calls: %w", p.where, err))
		}
		s.allowed.Add(1)
		return y, nil
	case status == http.StatusUnauthorized:
		s.refused.Add(1)
		return nil, &refusal{status: status, code: CodeUnauthenticated, detail: "This request does not say who sends it, or not so that it holds.", header: fieldsOf(res.Header, p.answer)}
	case status == http.StatusForbidden:
		s.refused.Add(1)
		return nil, &refusal{status: status, code: CodeForbidden, detail: "This request is not allowed.", header: fieldsOf(res.Header, p.answer)}
	case status > 300 && status < 400 && status != http.StatusNotModified && res.Header["Location"] != nil && slices.Contains(p.answer, "Location"):
		s.refused.Add(1)
		return nil, &refusal{status: status, code: CodeUnauthenticated, detail: "This request does not say who sends it.", header: fieldsOf(res.Header, p.answer)}
	default:
		s.refused.Add(1)
		return nil, forbidden("", fmt.Errorf("%s answered with status %d, which says neither yes nor no", p.where, status))
	}
}

// fieldsOf are those fields of an answer that have one of the names.
func fieldsOf(h http.Header, names []string) http.Header {
	fields := make(http.Header, len(names))
	for _, name := range names {
		if values := h[name]; values != nil {
			fields[name] = slices.Clip(slices.Clone(values))
		}
	}
	return fields
}

var errTooMuch = errors.New("the answer is too long")

// yes reads an answer that says it.
func (p *extAuth) yes(res *http.Response) (*extAuthYes, error) {
	y := &extAuthYes{pass: fieldsOf(res.Header, p.pass), ttl: p.ttl, size: verifiedSize}
	if cookies := res.Header["Set-Cookie"]; cookies != nil && slices.Contains(p.answer, "Set-Cookie") {
		y.cookies, y.ttl = setCookies(slices.Clone(cookies)), 0 // it is for one caller, once
	}
	if d := parseDirectives(res.Header["Cache-Control"]); d.noStore || d.noCache {
		y.ttl = 0
	} else if d.maxAge != absent {
		y.ttl = min(y.ttl, time.Duration(d.maxAge)*time.Second)
	}
	for name, values := range y.pass {
		for _, v := range values {
			y.size += len(name) + len(v)
		}
	}
	var name, plan string
	var claims map[string]any
	switch {
	case p.names.header != "":
		name, plan = single(res.Header, p.names.header), single(res.Header, p.names.planHeader)
	case p.names.claim != nil:
		text, err := io.ReadAll(io.LimitReader(res.Body, maxExtAuthAnswer+1))
		if err == nil && len(text) > maxExtAuthAnswer {
			err = errTooMuch
		}
		if err == nil && len(text) > 0 {
			claims, err = readObject(string(text))
		}
		if err != nil {
			return nil, err
		}
		name, plan = textOf(p.names.claim.in(claims)), textOf(p.names.planClaim.in(claims))
		y.size += claimsFactor * len(text)
	}
	if name != "" {
		y.consumer = &engine.Consumer{Name: name, By: p.policy, Plan: plan, Claims: claims}
	}
	return y, nil
}

// single is the value of a field that is there once.
func single(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// cacheKey is what a decision is remembered by. It is false for one that is not.
func (p *extAuth) cacheKey(q *gateway.Request, r *http.Request) (sum [sha256.Size]byte, ok bool) {
	if p.by == nil {
		return sum, false
	}
	text, err := p.by.String(r.Context(), q)
	if err != nil || text == "" {
		return sum, false
	}
	return sha256.Sum256(bytesOf(text)), true
}

// extAuthState is what outlives requests.
type extAuthState struct {
	cache *halves[*extAuthYes]
	heard trouble

	asked, cached, allowed, refused, failed, open atomic.Int64
}

func newExtAuthState(log *slog.Logger, entries int, open bool) *extAuthState {
	begins := "requests are refused: the service that decides about them cannot be asked"
	if open {
		begins = "everyone is let in: the service that decides about requests cannot be asked"
	}
	const bytesOfOne = 4 << 10 // more than an answer has, mostly
	return &extAuthState{cache: newHalves[*extAuthYes](entries, entries*bytesOfOne),
		heard: trouble{log: log, begins: begins, ends: "the service that decides about requests answers again", quiet: 10 * time.Second}}
}

// Observe is what engine.Observed asks for.
func (s *extAuthState) Observe(show func(name string, total bool, value int64)) {
	show("asked", true, s.asked.Load())
	show("cached", true, s.cached.Load())
	show("allowed", true, s.allowed.Load())
	show("refused", true, s.refused.Load())
	show("failed", true, s.failed.Load())
	show("failed_open", true, s.open.Load())
	entries, bytes := s.cache.held()
	show("cache_entries", false, int64(entries))
	show("cache_bytes", false, int64(bytes))
}

// Close is what engine.Keeper asks for.
func (s *extAuthState) Close() {}
