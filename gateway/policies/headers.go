package policies

import (
	"context"
	"net/http"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type headersConfig struct {
	Request  *headerEdits `yaml:"request" doc:"What is changed before the policies further inside, the flow and the services that it forwards to see the request."`
	Response *headerEdits `yaml:"response" doc:"What is changed when the answer leaves, whoever made it: a flow, a backend, a policy, or a problem."`
}

type headerEdits struct {
	Set    map[string]dsl.Text `yaml:"set" doc:"Headers and their values, in place of what was there. One whose value is empty is removed."`
	Add    map[string]dsl.Text `yaml:"add" doc:"Headers and values that are added to what is there. One whose value is empty adds nothing."`
	Remove []dsl.String        `yaml:"remove" doc:"Headers that are taken away."`
}

// Headers is the Kind of the policy headers.
var Headers = Kind{
	Why:      "who calls is known; a cache further inside keeps requests apart by what they are made into",
	Together: true,
	Kind: dsl.Define("headers", "Sets, adds and removes headers of requests and of answers. Values are text with expressions over the request.",
		func(c *Compiler, at *dsl.Node, cfg *headersConfig) gateway.Middleware {
			p := &headers{request: c.edits(at.Field("request"), cfg.Request, true), response: c.edits(at.Field("response"), cfg.Response, false)}
			if p.request == nil && p.response == nil {
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "headers changes nothing", Hint: "add request or response, with set, add or remove"})
			}
			return func(next http.Handler) http.Handler { return &headersHandler{p, next} }
		},
		dsl.Example{Name: "what backends are told, and what callers are not", YAML: `
request:
  set: { X-Client: $(request.remote), X-Version: '$(query.version ?? "1")' }
  remove: [Cookie]
response:
  add: { Link: '</docs>; rel="service-doc"' }
  remove: [X-Backend]
`}),
}

type headers struct{ request, response *edits }

// edits are the changes to one message.
type edits struct {
	remove   []string // canonical
	spoofs   []string // names that the sender may not bring itself, folded; nil for answers
	set, add []edit
}

type edit struct {
	name  string   // canonical
	fixed []string // the value; nil: it is text
	text  *dsl.TextTemplate
	span  dsl.Span
}

// edits compiles the changes that stand at n; nil are none.
func (c *Compiler) edits(n *dsl.Node, cfg *headerEdits, request bool) *edits {
	if cfg == nil || len(cfg.Set)+len(cfg.Add)+len(cfg.Remove) == 0 {
		return nil
	}
	e := &edits{}
	written := map[string]dsl.Span{}
	usable := func(name string, at dsl.Span) bool {
		canonical := http.CanonicalHeaderKey(name)
		d := dsl.Diagnostic{Span: at, Code: "bad-header"}
		d.Message, d.Hint = engine.HeaderFault(name)
		first, twice := written[canonical]
		switch {
		case d.Message != "":
		case request && isSetByWeir(canonical):
			d.Message, d.Hint = canonical+" is what forward sets itself", "remove it"
			if canonical == "Host" {
				d.Hint = "write it in headers of the step forward"
			}
		case twice:
			d.Message, d.Hint = "the header "+canonical+" is changed twice", "set replaces what was there; keep one of them"
			d.Related = []dsl.Related{{Span: first, Message: "the other one"}}
		default:
			written[canonical] = at
			return true
		}
		c.Report(d)
		return false
	}
	for _, name := range cfg.Remove {
		if usable(name.Value, name.Span) {
			e.remove = append(e.remove, http.CanonicalHeaderKey(name.Value))
			e.spoofs = append(e.spoofs, folded(name.Value))
		}
	}
	for _, of := range []struct {
		key  string
		all  map[string]dsl.Text
		into *[]edit
	}{{"set", cfg.Set, &e.set}, {"add", cfg.Add, &e.add}} {
		for _, name := range sortedKeys(of.all) {
			if !usable(name, n.Field(of.key).Field(name).KeySpan()) {
				continue
			}
			if x, ok := c.edit(name, of.all[name]); ok {
				*of.into = append(*of.into, x)
			}
			if of.key == "set" {
				e.spoofs = append(e.spoofs, folded(name))
			}
		}
	}
	if !request {
		e.spoofs = nil
	}
	return e
}

func (c *Compiler) edit(name string, t dsl.Text) (edit, bool) {
	e := edit{name: http.CanonicalHeaderKey(name), text: c.Text(t, dsl.HeaderValue), span: t.Node.Span}
	if e.text == nil {
		return e, false
	}
	text, static := e.text.Static()
	if static && strings.ContainsFunc(text, engine.IsControl) {
		c.Report(dsl.Diagnostic{Span: t.Node.Span, Code: "bad-header", Message: "the value of " + e.name + " holds a control character, such as a line break", Hint: "write it in one line"})
		return e, false
	}
	if static {
		e.fixed = []string{text}
	}
	return e, true
}

// isSetByWeir reports headers of requests that forward writes itself, whatever
// stands there.
func isSetByWeir(name string) bool {
	return name == "Host" || name == "Via" || name == "Forwarded" || name == "X-Real-Ip" || name == "X-Request-Id" || strings.HasPrefix(name, "X-Forwarded-")
}

// to changes the headers of a message. It gives the first fault of a value, whose
// header is then not there: what a caller sent in it is not what was meant.
func (e *edits) to(ctx context.Context, q *gateway.Request, h http.Header) (fault error) {
	for _, name := range e.remove {
		delete(h, name)
	}
	value := func(x *edit) []string {
		if x.fixed != nil {
			return x.fixed
		}
		text, err := x.text.String(ctx, q)
		if err == nil && strings.ContainsFunc(text, engine.IsControl) {
			err = &dsl.Fault{Span: x.span, Message: "the value of header " + x.name + " holds control characters"}
		}
		if err != nil && fault == nil {
			fault = err
		}
		if err != nil || text == "" {
			return nil
		}
		return []string{text}
	}
	// All values are those of the message as it came.
	var room [8][]string
	values := room[:0]
	for i := range e.set {
		values = append(values, value(&e.set[i]))
	}
	for i := range e.add {
		values = append(values, value(&e.add[i]))
	}
	cleanse(h, e.spoofs)
	for i, v := range values[:len(e.set)] {
		if name := e.set[i].name; v == nil || v[0] == "" {
			delete(h, name)
		} else {
			h[name] = v
		}
	}
	for i, v := range values[len(e.set):] {
		if v != nil && v[0] != "" {
			name := e.add[i].name
			h[name] = append(h[name][:len(h[name]):len(h[name])], v...)
		}
	}
	return fault
}

type headersHandler struct {
	*headers
	next http.Handler
}

func (p *headersHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := gateway.FromContext(r.Context())
	if p.response != nil {
		q.BeforeAnswer(p.headers)
	}
	if p.request != nil {
		if err := p.request.to(r.Context(), q, r.Header); err != nil {
			q.Err = err
			gateway.Refuse(w, r, "headers", gateway.Problem{Status: http.StatusBadRequest, Code: gateway.CodeBadRequest, Detail: "The request holds something that cannot be worked with."})
			return
		}
	}
	p.next.ServeHTTP(w, r)
}

// EditHeader is what gateway.HeaderEditor asks for. An answer is not held back
// for a value that cannot be had.
func (p *headers) EditHeader(q *gateway.Request, _ int, h http.Header) {
	if err := p.response.to(q.Input().Request.Context(), q, h); err != nil && q.Err == nil {
		q.Err = err
	}
}
