package connectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

type callConfig struct {
	Call        dsl.Text             `yaml:"call" literal:"2" doc:"METHOD SERVICE /path. Values in the path are escaped and stay within their segment." required:"true"`
	Query       map[string]dsl.Shape `yaml:"query" doc:"The query. A value that is null leaves its parameter out, a list repeats it."`
	Headers     map[string]dsl.Shape `yaml:"headers" doc:"Headers of the request."`
	Body        dsl.Shape            `yaml:"body" doc:"The body: a shape becomes JSON, text stays text."`
	Idempotency dsl.String           `yaml:"idempotency" doc:"The header in which the service is sent a key that is the same for every attempt of this call in this run of the flow, such as Idempotency-Key. The service then does it once, so that a POST or PATCH is repeated like any other call. Rounds of a loop that send the same request share a key."`
	Priority    dsl.String           `yaml:"priority" doc:"How important the call is, where the limit of the service makes some wait. Default: what the flow is." enum:"critical|high|normal|low"`
	stickyCall
	Accept []dsl.String `yaml:"accept" doc:"Statuses from 400 that are no failure: numbers such as 404, or classes such as 4xx."`
}

// Call sends one request to a service and reads the answer.
var Call = dsl.Define("call",
	"Sends a request to a service. The result is the answer's body. A status of 400 or more is a failure unless accept lists it.",
	compileCall,
	dsl.Example{Name: "a call that may find nothing", YAML: `
id: user
call: GET users /users/$(params.id)
query: { fields: "name,mail" }
accept: [404]
timeout: 500ms
`},
	dsl.Example{Name: "a payment that may be tried again, and is made once", YAML: `
id: payment
call: POST payments /payments
body: { order: $(params.id) }
idempotency: Idempotency-Key
`})

type call struct {
	service  *Service
	method   string
	path     *dsl.TextTemplate
	query    []parameter
	headers  []engine.Header
	body     *dsl.ShapeTemplate
	once     *idempotency // nil without a key
	accept   []int
	priority priority
	sticky   *dsl.TextTemplate // nil: the service decides
	role     *engine.Role
	result   engine.Slot
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func compileCall(c *engine.Compiler, at *dsl.Node, cfg *callConfig) engine.Step {
	s := &call{result: c.Result(), priority: priorityOf(cfg.Priority)}
	s.result.Hold(nil) // it is the service's
	n := cfg.Call.Node
	method, service, from, ok := splitCall(n)
	if !ok {
		d := dsl.Diagnostic{Span: n.Span, Code: "bad-call", Message: "a call is METHOD SERVICE /path", Hint: "write for example GET users /users/$(params.id), where users is one of services:"}
		if strings.Contains(n.Text, "://") {
			d.Hint = "define a service with this endpoint, and write its name and the path"
		}
		c.Report(d)
		return nil
	}
	if s.method = method.Value; !slices.Contains(methods, s.method) {
		d := dsl.Diagnostic{Span: method.Span, Code: "bad-call", Message: fmt.Sprintf("%q is not a method", s.method), Hint: "use one of " + strings.Join(methods, ", ")}
		if near, ok := d.SuggestWord(s.method, methods); ok {
			d.Hint = fmt.Sprintf("did you mean %s?", near)
		}
		c.Report(d)
	}
	s.service, _ = engine.Use[*Service](c, "service", service)
	s.role = roleOf(c, s.service)
	s.sticky = cfg.stickyCall.compile(c, s.service)
	s.path = compilePath(c, at, n, from)
	c.InURL(n)
	if cfg.Body.Node != nil {
		if s.method == http.MethodGet || s.method == http.MethodHead {
			c.Report(dsl.Diagnostic{Span: cfg.Body.Node.KeySpan(), Code: "body-with-get", Message: "a " + s.method + " request has no body", Hint: "write query: for its parameters, or another method"})
		}
		s.body = c.Shape(cfg.Body)
	}
	s.query = compileQuery(c, at.Field("query"))
	c.InURL(at.Field("query"))
	s.headers = c.Headers(cfg.Headers)
	s.once = compileIdempotency(c, cfg.Idempotency, n.Span, s.headers)
	for _, a := range cfg.Accept {
		s.accept = append(s.accept, statuses(c, a)...)
	}
	s.contract(c, at, cfg, method, from)
	return s
}

// splitCall splits "METHOD service /path".
func splitCall(n *dsl.Node) (method, service dsl.String, path int, ok bool) {
	text := n.Text
	i := strings.IndexByte(text, ' ')
	if i <= 0 {
		return method, service, 0, false
	}
	j := i + len(text[i:]) - len(strings.TrimLeft(text[i:], " "))
	k := strings.IndexByte(text[j:], ' ')
	if k <= 0 {
		return method, service, 0, false
	}
	k += j
	path = k + len(text[k:]) - len(strings.TrimLeft(text[k:], " "))
	method = dsl.String{Value: text[:i], Span: n.At(0, i)}
	service = dsl.String{Value: text[j:k], Span: n.At(j, k)}
	return method, service, path, strings.HasPrefix(text[path:], "/")
}

// statuses reads 404 or 4xx.
func statuses(c *engine.Compiler, a dsl.String) []int {
	if n, err := strconv.Atoi(a.Value); err == nil && n >= 400 && n <= 599 {
		return []int{n}
	}
	if a.Value == "4xx" || a.Value == "5xx" {
		out := make([]int, 100)
		for i := range out {
			out[i] = int(a.Value[0]-'0')*100 + i
		}
		return out
	}
	c.Report(dsl.Diagnostic{Span: a.Span, Code: "bad-status", Message: fmt.Sprintf("%q is not a status that fails", a.Value), Hint: "write a number from 400 to 599, 4xx or 5xx"})
	return nil
}

// Describe is what engine.Describer asks for.
func (s *call) Describe(p *engine.PlanStep) {
	if s.service == nil {
		return
	}
	_, path, _ := strings.Cut(p.What, "/")
	p.Call = s.service.describe(s.method, "/"+path, s.keyed())
	if p.Call.Repeats = p.Call.Repeats || s.once != nil; p.Call.Repeats {
		return
	}
	for _, h := range s.headers {
		if strings.Contains(h.Name(), "Idempoten") { // Idempotency-Key, and what some call it
			p.Call.NewKey = anew.MatchString(h.Text())
			p.Call.Repeats = !p.Call.NewKey
		}
	}
}

// keyed reports whether the request has an idempotency key.
func (s *call) keyed() bool {
	return s.once != nil || slices.ContainsFunc(s.headers, func(h engine.Header) bool {
		return h.Name() == "Idempotency-Key" || h.Name() == "X-Idempotency-Key"
	})
}

// anew are the functions that give another value each time.
var anew = regexp.MustCompile(`\b(uuid7?|ulid|now)\(`)

// Run is what engine.Step asks for.
func (s *call) Run(ctx context.Context, x *engine.Exchange) error {
	req, err := s.request(ctx, x)
	if err != nil {
		return err
	}
	var start time.Time
	if s.result.Timed() {
		start = time.Now()
	}
	how := mesh.Call{Buffer: true, Prompt: true, UsefulUntil: s.role.UsefulUntil(x), Priority: s.priority.in(x), Ledger: s.role.Begin(x), Slack: s.role.Slack(x)}
	if how.Sticky, err = stickyOf(ctx, x, s.sticky); err != nil {
		return err
	}
	if s.once != nil {
		how.Idempotent = true
		if err := s.once.mark(x, req); err != nil {
			return err
		}
	}
	observe(ctx, x, req, &how)
	resp, err := s.service.client.Do(req, &how)
	s.service.tell(ctx, x, &how)
	if err != nil {
		return upstreamError(ctx, err)
	}
	x.In.MadeOf().Came(s.method, resp.Header)
	text := unsafe.String(unsafe.SliceData(how.Body), len(how.Body)) // nobody writes to it again
	contentType := resp.Header.Get("Content-Type")
	r := engine.Result{Status: resp.StatusCode, Header: resp.Header}
	if s.result.Timed() {
		r.Took = time.Since(start)
	}
	if resp.StatusCode >= 400 && !slices.Contains(s.accept, resp.StatusCode) {
		e := &engine.Error{Kind: engine.KindStatus, Status: resp.StatusCode, Attempts: how.Attempts,
			Message: fmt.Sprintf("%s answered with status %d", s.service.Name.Value, resp.StatusCode)}
		if len(how.Records) > 0 {
			e.Err = tries(how.Records)
		}
		if e.Body, err = engine.Body(text, contentType); err != nil {
			e.Body = engine.Bytes(text, contentType)
		}
		return e
	}
	if s.result.Read() {
		if r.Value, err = engine.Body(text, contentType); err != nil {
			return &engine.Error{Kind: engine.KindMalformed, Status: resp.StatusCode, Attempts: how.Attempts, Err: err,
				Message: fmt.Sprintf("the answer of %s says it is %s, but is %v", s.service.Name.Value, contentType, err)}
		}
	}
	x.Set(s.result, r)
	return nil
}

var agent = []string{"weir"}

func (s *call) request(ctx context.Context, x *engine.Exchange) (*http.Request, error) {
	u := &url.URL{}
	err := setPath(ctx, x, u, s.path)
	if err != nil {
		return nil, err
	}
	if u.RawQuery, err = queryOf(ctx, x, "", s.query); err != nil {
		return nil, err
	}
	h := make(http.Header, 4+len(s.headers)+len(s.service.headers))
	h["User-Agent"] = agent
	if x.In.ID != "" {
		h["X-Request-Id"] = []string{x.In.ID}
	}
	x.In.Trace.Inject(h)
	s.service.addHeaders(h)
	req := blank.WithContext(ctx)
	req.Method, req.URL, req.Header = s.method, u, h
	if s.body != nil {
		if err := s.setBody(ctx, x, req); err != nil {
			return nil, err
		}
	}
	if _, err := engine.AppendHeaders(ctx, x, h, s.headers); err != nil {
		return nil, err
	}
	if host := h["Host"]; host != nil {
		req.Host = host[0]
		delete(h, "Host")
	}
	return req, nil
}

// blank is what requests are made of: only its copy takes a context.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

// setBody gives the request its body, which can be sent again by a retry.
func (s *call) setBody(ctx context.Context, x *engine.Exchange, req *http.Request) error {
	v, err := engine.ValueOf(ctx, x, s.body)
	if err != nil {
		return err
	}
	var body []byte
	contentType := "application/json"
	if text, media, raw := v.Raw(); raw {
		body, contentType = []byte(text), media
	} else if text, ok := v.Text(); ok {
		body, contentType = []byte(text), "text/plain; charset=utf-8"
	} else if body, err = v.AppendJSON(nil); err != nil {
		return &dsl.Fault{Span: s.body.Span(), Message: err.Error(), Err: err}
	}
	req.Header["Content-Type"] = []string{contentType}
	req.ContentLength = int64(len(body))
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return nil
}

// kinds maps what the mesh says of a failed call.
var kinds = map[mesh.Class]engine.Kind{
	mesh.Connect: engine.KindConnect, mesh.Refused: engine.KindConnect, mesh.Timeout: engine.KindTimeout, mesh.Reset: engine.KindReset,
	mesh.Malformed: engine.KindMalformed, mesh.TooLarge: engine.KindTooLarge, mesh.Canceled: engine.KindCanceled,
	mesh.Deadline: engine.KindDeadline, mesh.BreakerOpen: engine.KindBreaker, mesh.NoEndpoint: engine.KindConnect, mesh.Overloaded: engine.KindOverloaded,
	mesh.NoCredentials: engine.KindNoCredentials,
}

// upstreamError says why a call under ctx failed. The mesh knows that the time
// for it was up; which of the bounds around the step that was, only ctx does.
func upstreamError(ctx context.Context, err error) error {
	var m *mesh.Error
	if !errors.As(err, &m) {
		return err
	}
	kind, ok := kinds[m.Class]
	switch {
	case !ok:
		kind = engine.KindInternal
	case m.Class == mesh.Deadline || m.Class == mesh.Canceled:
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			<-ctx.Done() // its timer may be a little behind the connection's
		}
		if ended := engine.Interrupted(ctx); ended != nil {
			kind = ended.Kind
		}
	}
	e := &engine.Error{Kind: kind, Message: m.Error(), Attempts: m.Attempts, Err: err}
	if errors.Is(err, mesh.ErrLate) {
		e.Detail = "There is too much to do at the moment to answer in time."
	}
	return e
}
