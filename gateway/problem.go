package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway/h1"
)

// Codes of the problems that a gateway itself finds. They are part of the
// interface: clients, logs and metrics may rely on them.
const (
	CodeBadRequest         = "bad-request"
	CodeBadPath            = "bad-path"
	CodeMisdirected        = "misdirected-request"
	CodeLoop               = "request-loop"
	CodeRouteNotFound      = "route-not-found"
	CodeUnknownVersion     = "unknown-version"
	CodeNotAcceptable      = "not-acceptable"
	CodeUnsupportedType    = "unsupported-media-type"
	CodeMethodNotAllowed   = "method-not-allowed"
	CodeMethodNotSupported = "method-not-supported"
	CodeURLTooLong         = "url-too-long"
	CodeHeaderTooLarge     = "header-too-large"
	CodeHeaderTooSlow      = "header-too-slow"
	CodeBodyTooLarge       = "body-too-large"
	CodeBodyTooSlow        = "body-too-slow"
	CodeDeadlineExceeded   = "deadline-exceeded"
	CodeOverloaded         = "overloaded"
	CodeUnavailable        = "unavailable"
	CodeInternal           = "internal-error"
)

// Problem is a problem document (RFC 9457). It is shown to callers: nothing in
// it may tell of the inside.
type Problem struct {
	Type     string // a URI; "" leaves it out, which means about:blank
	Title    string // "" is the status's own phrase
	Status   int    // 0 is 500
	Detail   string
	Instance string
	Code     string // stable, kebab-case
	// RequestID is filled in by WriteProblem.
	RequestID string
	// Extensions are further members. The members above keep their names
	// whatever stands here.
	Extensions map[string]any
}

// WriteProblem answers a request with a problem document. An answer that has
// already begun cannot become another one: it is cut off, so that nobody takes
// a part of it for the whole.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	var redactor *dsl.Redactor
	if q := FromContext(r.Context()); q != nil {
		if q.w.begun() {
			panic(http.ErrAbortHandler)
		}
		p.RequestID = q.ID
		q.Code = p.Code
		redactor = q.redactor
	}
	body := redactor.Bytes(p.render())
	h := w.Header()
	for _, name := range describesAnswer {
		delete(h, name)
	}
	h["Content-Type"] = contentTypeProblem
	h["Cache-Control"] = cacheControlNoStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(p.status())
	_, _ = w.Write(body) // a client that has gone is not a second fault
}

var (
	contentTypeProblem  = []string{"application/problem+json"}
	cacheControlNoStore = []string{"no-store"}
	noSniff             = []string{"nosniff"}

	// describesAnswer are the fields that spoke of the answer which the
	// problem takes the place of.
	describesAnswer = []string{
		"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location",
		"Content-Range", "Etag", "Expires", "Last-Modified", "Trailer",
	}
)

func (p *Problem) status() int {
	if p.Status < 100 || p.Status > 999 {
		return http.StatusInternalServerError
	}
	return p.Status
}

// render writes the members in the order of the RFC, then the extensions by
// name. Extensions that JSON cannot hold are left out.
func (p *Problem) render() []byte {
	title := p.Title
	if title == "" {
		title = http.StatusText(p.status())
	}
	members := []member{
		{"type", p.Type}, {"title", title}, {"status", p.status()}, {"detail", p.Detail},
		{"instance", p.Instance}, {"code", p.Code}, {"request_id", p.RequestID},
	}
	own := len(members)
	for _, name := range slices.Sorted(maps.Keys(p.Extensions)) {
		if !slices.ContainsFunc(members[:own], func(m member) bool { return m.name == name }) {
			members = append(members, member{name, p.Extensions[name]})
		}
	}
	b := []byte{'{'}
	for _, m := range members {
		text, err := json.Marshal(m.value)
		if m.value == "" || err != nil {
			continue
		}
		name, _ := json.Marshal(m.name) // text always has a JSON form
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), text...)
	}
	return append(b, '}', '\n')
}

type member struct {
	name  string
	value any
}

// ProblemOf is the problem that an error of the gateway itself means: a body
// over its cap, too slow or no HTTP, a deadline that has passed. It is false for all
// other errors.
func ProblemOf(err error) (Problem, bool) {
	var tooLarge *http.MaxBytesError
	var fault *h1.Fault
	switch {
	case errors.As(err, &fault):
		return problemOf(fault), true
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit), true
	case errors.Is(err, ErrBodyTooSlow):
		return Problem{Status: http.StatusRequestTimeout, Code: CodeBodyTooSlow,
			Detail: "The request's body arrived too slowly."}, true
	case errors.Is(err, context.DeadlineExceeded):
		return Problem{Status: http.StatusGatewayTimeout, Code: CodeDeadlineExceeded,
			Detail: "The answer was not ready within the route's deadline."}, true
	default:
		return Problem{}, false
	}
}

// problemOf is what the server finds wrong with a request.
func problemOf(fault *h1.Fault) Problem {
	code := CodeBadRequest
	switch fault.Status {
	case http.StatusRequestHeaderFieldsTooLarge:
		code = CodeHeaderTooLarge
	case http.StatusRequestTimeout:
		code = CodeHeaderTooSlow
	}
	return Problem{Status: fault.Status, Code: code, Detail: fault.Detail}
}

func bodyTooLarge(limit int64) Problem {
	return Problem{
		Status:     http.StatusRequestEntityTooLarge,
		Code:       CodeBodyTooLarge,
		Detail:     "The request's body is larger than this route takes.",
		Extensions: map[string]any{"limit_bytes": limit},
	}
}
