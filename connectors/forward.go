package connectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/mesh"
)

type forwardConfig struct {
	Forward  dsl.String           `yaml:"forward" doc:"The service that gets the request." required:"true"`
	Path     dsl.Text             `yaml:"path" doc:"The path to ask for instead of the one that the caller asked for."`
	Query    map[string]dsl.Shape `yaml:"query" doc:"Parameters of the query that are set, in place of what the caller sent in them. A value that is null takes the parameter away, a list repeats it. All others are kept."`
	Headers  map[string]dsl.Shape `yaml:"headers" doc:"Headers to set on the request."`
	Priority dsl.String           `yaml:"priority" doc:"How important the request is, where the limit of the service makes some wait. Default: what the flow is." enum:"critical|high|normal|low"`
	stickyCall
}

// Forward passes a request through to a service, and the answer back.
var Forward = dsl.Define("forward",
	"Passes the request to a service and its answer to the caller, as they are: method, path, query, headers, body and trailers. "+
		"Both bodies are streamed and never held. Interim answers, such as 103 (Early Hints), are passed on when they come. It ends the flow.",
	compileForward,
	dsl.Example{Name: "another path", YAML: `
forward: users
path: /internal/users/$(params.id)
`},
	dsl.Example{Name: "another query", YAML: `
forward: users
query: { tenant: shop, utm_source: null }
`})

type forward struct {
	service  *Service
	path     *dsl.TextTemplate
	query    []parameter
	headers  []engine.Header
	priority priority
	sticky   *dsl.TextTemplate // nil: the service decides
	role     *engine.Role
}

func compileForward(c *engine.Compiler, at *dsl.Node, cfg *forwardConfig) engine.Step {
	if !c.CanReturn(at.Field("forward").KeySpan(), "forward") {
		return nil
	}
	if c.Flow().Trigger == nil {
		c.Report(dsl.Diagnostic{Span: cfg.Forward.Span, Code: "forward-without-request", Message: "a flow that others run has no request to forward", Hint: "write call: METHOD " + cfg.Forward.Value + " /path, and return its result"})
		return nil
	}
	s := &forward{priority: priorityOf(cfg.Priority)}
	s.service, _ = engine.Use[*Service](c, "service", cfg.Forward)
	s.role = roleOf(c, s.service)
	if n := cfg.Path.Node; n != nil {
		if !strings.HasPrefix(n.Text, "/") {
			c.Report(dsl.Diagnostic{Span: n.At(0, len(n.Text)), Code: "bad-path", Message: "a path starts with /", Hint: "write /" + n.Text})
			return nil
		}
		s.path = compilePath(c, nil, n, 0)
		c.InURL(n)
	}
	s.query = compileQuery(c, at.Field("query"))
	c.InURL(at.Field("query"))
	s.headers = c.Headers(cfg.Headers)
	s.sticky = cfg.stickyCall.compile(c, s.service)
	return s
}

// Describe is what engine.Describer asks for.
func (s *forward) Describe(p *engine.PlanStep) {
	if p.Ends = true; s.service == nil {
		return
	}
	path := ""
	if at, ok := p.Setting("path"); ok {
		path = at.Span.Text()
	}
	p.Call = s.service.describe("", path, false)
	p.Call.Streams = true
}

// Run is what engine.Step asks for.
func (s *forward) Run(ctx context.Context, x *engine.Exchange) error {
	p := passings.Get().(*passing)
	defer p.release()
	req, err := s.request(ctx, x, p)
	if err != nil {
		return err
	}
	if !countHops(req.Method, req.Header) {
		x.Return(engine.Answer{Status: http.StatusNoContent})
		return engine.ErrReturn
	}
	w := x.In.Writer
	if req.Body != nil {
		// The answer may come while the body is still on its way. Without this
		// the server holds it back until the body has ended.
		_ = http.NewResponseController(w).EnableFullDuplex() // not there: no need of it either
	}
	p.call = mesh.Call{Stream: true, Prompt: true, Fields: p.got, Priority: s.priority.in(x), Ledger: s.role.Begin(x)} // the gateway bounds how long a caller may take for its body
	if p.call.Sticky, err = stickyOf(ctx, x, s.sticky); err != nil {
		return err
	}
	if x.In.Request.ProtoAtLeast(1, 1) { // what is older knows no interim answers
		p.to, p.call.Interim = w, p.interim
	}
	observe(ctx, x, req, &p.call)
	resp, err := s.service.client.Do(req, &p.call)
	s.service.tell(ctx, x, &p.call)
	if err != nil {
		err = upstreamError(ctx, err)
		if sent, ok := req.Body.(*upload); ok {
			sent.failed = err
		}
		return err
	}
	defer resp.Body.Close()
	x.In.MadeOf().Unsure() // what it is good for its own header tells
	x.Return(engine.Answer{Status: resp.StatusCode, Written: true})
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.call.Free = false
		return s.upgrade(w, req, resp)
	}
	h := w.Header()
	passBack(h, resp.Header)
	if len(resp.Trailer) > 0 {
		dropOfConnection(resp.Trailer, resp.Header)
		for k := range resp.Trailer {
			h.Add("Trailer", k)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if err := copyBody(w, resp); err != nil {
		// The caller cannot be told any more but by a broken answer.
		e := upstreamError(ctx, err)
		if ctx.Err() != nil {
			e = engine.Interrupted(ctx)
		}
		return e
	}
	dropOfConnection(resp.Trailer, resp.Header)
	for k, v := range resp.Trailer {
		h[http.TrailerPrefix+k] = v
	}
	return engine.ErrReturn
}

// passBack puts the fields of an answer into the one to the caller, but for those
// that are of a connection, the request's id, of which ours is there already, and
// Alt-Svc (RFC 7838): callers would go past the gateway.
func passBack(h, answer http.Header) {
	listed := connectionOptions(answer)
	for k, v := range answer {
		if k != "X-Request-Id" && k != "Alt-Svc" && !ofConnection(k, listed) {
			h[k] = v
		}
	}
}

// passing is what one request is passed on with. Most of it serves the next one.
type passing struct {
	call   mesh.Call
	req    http.Request
	url    url.URL
	sent   http.Header
	got    http.Header
	values [3]string // of fields of sent

	to      http.ResponseWriter
	interim func(status int, header http.Header) // its method hint, made once
}

var passings = sync.Pool{New: func() any {
	p := &passing{sent: http.Header{}, got: http.Header{}}
	p.interim = p.hint
	return p
}}

// release gives p back, unless something may still refer to it.
func (p *passing) release() {
	const most = 64 // fields: a map never shrinks, and clearing it takes as long as it is large
	if !p.call.Free || len(p.sent) > most || len(p.got) > most {
		return
	}
	clear(p.sent)
	clear(p.got)
	*p = passing{sent: p.sent, got: p.got, interim: p.interim}
	passings.Put(p)
}

// hint passes an interim answer on, as RFC 9110 section 15.2 has a proxy do. What
// the header of the final one has already does not belong to it.
func (p *passing) hint(status int, header http.Header) {
	h := p.to.Header()
	final := maps.Clone(h)
	clear(h)
	passBack(h, header)
	delete(h, "Content-Length") // there is no content
	p.to.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
}

// request is one with ctx and nothing else. Only a copy takes a context: it is
// that of in, mostly.
func (p *passing) request(ctx context.Context, in *http.Request) *http.Request {
	if ctx != in.Context() {
		return blank.WithContext(ctx)
	}
	p.req = *in
	p.req.TransferEncoding, p.req.Close, p.req.Host, p.req.Body, p.req.GetBody = nil, false, "", nil, nil
	p.req.Form, p.req.PostForm, p.req.MultipartForm, p.req.Pattern = nil, nil, nil, ""
	p.req.RemoteAddr, p.req.RequestURI, p.req.TLS = "", "", nil
	return &p.req
}

func (s *forward) request(ctx context.Context, x *engine.Exchange, p *passing) (*http.Request, error) {
	in := x.In.Request
	u := &p.url
	u.Path, u.RawPath, u.RawQuery = in.URL.Path, in.URL.RawPath, in.URL.RawQuery
	if s.path != nil {
		u.Path, u.RawPath = "", ""
		if err := setPath(ctx, x, u, s.path); err != nil {
			return nil, err
		}
	}
	if s.query != nil {
		var err error
		if u.RawQuery, err = rewritten(ctx, x, u.RawQuery, s.query); err != nil {
			return nil, err
		}
	}
	h := p.sent
	listed := connectionOptions(in.Header)
	for k, v := range in.Header {
		// The body is asked for with Expect when the upstream wants it.
		if k != "Expect" && !claimsOrigin(k) && !ofConnection(k, listed) && !trace.Propagated(k) {
			h[k] = v
		}
	}
	upgrade := ""
	if in.ProtoAtLeast(1, 1) { // what is older cannot ask for it (RFC 9110, section 7.8)
		upgrade = upgradeOf(in.Header)
	}
	if upgrade != "" && strings.Contains(strings.ToLower(upgrade), "h2c") {
		// Whatever came over it would be requests that no gateway has seen.
		upgrade = ""
		delete(h, "Http2-Settings")
	}
	if upgrade != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	h["Via"] = via(in)
	if engine.IsGRPC(in.Header) && slices.Contains(in.Header["Te"], "trailers") {
		h["Te"] = in.Header["Te"] // many servers of gRPC refuse who does not say so
	}
	values := &p.values
	h["X-Request-Id"] = append(values[:0:1], x.In.ID)
	if x.In.Remote != in.RemoteAddr { // it has a port, so it is an address of the network
		h["X-Forwarded-For"] = append(values[1:1:2], x.In.Remote)
	}
	h["X-Forwarded-Host"] = append(values[2:2:3], cmp.Or(x.In.Host, in.Host))
	h["X-Forwarded-Proto"] = plain
	if x.In.Scheme == "https" || x.In.Scheme == "" && in.TLS != nil {
		h["X-Forwarded-Proto"] = tls
	}
	x.In.Trace.Inject(h)
	s.service.addHeaders(h)
	if _, err := engine.AppendHeaders(ctx, x, h, s.headers); err != nil {
		return nil, err
	}
	req := p.request(ctx, in)
	req.Method, req.URL, req.Header, req.ContentLength, req.Trailer = in.Method, u, h, in.ContentLength, in.Trailer
	if host := h["Host"]; host != nil {
		req.Host = host[0]
		delete(h, "Host")
	}
	if err := setUpload(req, in); err != nil {
		return nil, err
	}
	return req, nil
}

// setUpload gives req the body of in. A handler or a retry may forward a
// request once more: a body that was read for the flow is sent as often as it
// is needed, one that is streamed as long as nobody has begun to read it.
func setUpload(req, in *http.Request) (err error) {
	dropOfConnection(in.Trailer, in.Header)
	switch {
	case in.ContentLength == 0:
		return nil
	case in.GetBody != nil:
		req.GetBody = in.GetBody
		req.Body, err = in.GetBody()
		return err
	}
	body, again := in.Body.(*upload)
	if !again {
		body = &upload{ReadCloser: in.Body, of: in}
		in.Body = body
	}
	req.Body = body
	if !body.begun.Load() {
		return nil
	}
	e := &engine.Error{Kind: engine.KindReset, Message: "a part of the request's body is gone, and it cannot be sent again", Err: body.failed}
	var first *engine.Error
	if errors.As(body.failed, &first) {
		e.Kind, e.Message = first.Kind, fmt.Sprintf("%s, after: %s", e.Message, first.Message)
	}
	return e
}

// upload is the caller's body on its way to a service. It is closed by the
// server, when the request has ended.
type upload struct {
	io.ReadCloser
	of     *http.Request
	begun  atomic.Bool
	failed error // what came of sending it
}

func (u *upload) Read(p []byte) (int, error) {
	u.begun.Store(true)
	n, err := u.ReadCloser.Read(p)
	if err == io.EOF {
		dropOfConnection(u.of.Trailer, u.of.Header) // it has come with the end
	}
	return n, err
}

func (*upload) Close() error { return nil }

// claimsOrigin reports fields in which a caller says where a request came from.
// They are not passed on: only a gateway that trusts the caller could.
func claimsOrigin(name string) bool {
	return name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-")
}

var plain, tls = []string{"http"}, []string{"https"}

// ofConnection reports fields that belong to one connection (RFC 9110 section
// 7.6.1): the known ones, and those that its Connection field lists.
func ofConnection(name string, listed []string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return listed != nil && slices.Contains(listed, name)
}

// dropOfConnection takes fields of a connection out of a trailer.
func dropOfConnection(trailer, header http.Header) {
	if len(trailer) > 0 {
		listed := connectionOptions(header)
		maps.DeleteFunc(trailer, func(name string, _ []string) bool { return ofConnection(name, listed) })
	}
}

// connectionOptions are the fields that a Connection field lists.
func connectionOptions(h http.Header) (listed []string) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			listed = append(listed, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return listed
}

// upgradeOf is the protocol that a request wants to switch to, or "".
func upgradeOf(h http.Header) string {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(name), "upgrade") {
				return h.Get("Upgrade")
			}
		}
	}
	return ""
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody streams the answer. An answer whose length nobody knows may be a
// stream of events, so each piece goes out as it comes.
func copyBody(w http.ResponseWriter, resp *http.Response) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	flush := func() error { return nil }
	if resp.ContentLength < 0 {
		flush = http.NewResponseController(w).Flush
		// A header does not wait for a body that has not begun: who listens for
		// events, or talks both ways, may wait for the header.
		if b, ok := resp.Body.(interface{ Buffered() int }); ok && b.Buffered() == 0 {
			if err := flush(); err != nil {
				return fmt.Errorf("writing the answer: %w", err)
			}
		}
	}
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return fmt.Errorf("writing the answer: %w", err)
			}
			if err := flush(); err != nil {
				return fmt.Errorf("writing the answer: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// upgrade joins the two connections of an upgraded request until one side
// ends.
func (s *forward) upgrade(w http.ResponseWriter, req *http.Request, resp *http.Response) error {
	back, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !strings.EqualFold(upgradeOf(resp.Header), upgradeOf(req.Header)) {
		return &engine.Error{Kind: engine.KindMalformed, Message: s.service.Name.Value + " switched to a protocol that nobody asked for"}
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(req.Context(), func() { conn.Close(); back.Close() })
	defer stop()
	for k, v := range w.Header() {
		resp.Header[k] = v
	}
	resp.Body = nil // Write would send it
	if err := resp.Write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	done := make(chan error, 2)
	go func() { _, err := io.Copy(back, buffered); done <- err }()
	go func() { _, err := io.Copy(conn, back); done <- err }()
	err = <-done
	conn.Close()
	back.Close()
	<-done
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return upstreamError(req.Context(), err)
	}
	return engine.ErrReturn
}
