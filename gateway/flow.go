package gateway

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// Codes of the problems of a flow that failed and did not say what to answer.
const (
	CodeInvalidRequest      = "invalid-request"
	CodeBodyMalformed       = "body-malformed"
	CodeBodyEncoded         = "body-encoded"
	CodeUpstreamFailed      = "upstream-failed"
	CodeUpstreamUnreachable = "upstream-unreachable"
	CodeUpstreamTimeout     = "upstream-timeout"
	CodeUpstreamMalformed   = "upstream-malformed"
	CodeFlowFailed          = "flow-failed"
	CodeExpressionFailed    = "expression-failed"
	CodeClientGone          = "client-gone"
)

// FlowHandler runs a flow for each request.
func FlowHandler(p *engine.Program, log *slog.Logger) http.Handler {
	return &flowHandler{program: p, readsBody: p.ReadsBody(), log: log, priority: p.Flow().Trigger.Priority}
}

type flowHandler struct {
	program   *engine.Program
	readsBody bool
	log       *slog.Logger
	priority  engine.Priority
}

func (h *flowHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := FromContext(r.Context())
	in := &q.input
	in.Request, in.Writer, in.Log, in.Priority = r, w, h.log, h.priority
	if h.readsBody {
		if IsEncoded(r) {
			w.Header()["Accept-Encoding"] = identityOnly
			WriteProblem(w, r, BodyEncoded)
			return
		}
		if problem, err := readBody(r, in); err != nil {
			q.Err = err
			WriteProblem(w, r, problem)
			return
		}
	}
	answer, failed := h.program.Run(r.Context(), in)
	if failed != nil {
		h.fail(w, r, q, failed)
		return
	}
	if answer.Failure != nil {
		q.Err = answer.Failure
	}
	if !answer.Written {
		writeAnswer(w, &answer, q.redactor)
	}
	answer.Release()
}

var identityOnly = []string{"identity"}

// BodyEncoded is the problem of requests that IsEncoded.
var BodyEncoded = Problem{Status: http.StatusUnsupportedMediaType, Code: CodeBodyEncoded, Detail: "The body of this request has to come without a Content-Encoding."}

// IsEncoded reports whether the body of a request is in a coding. Such a body can
// be forwarded, but nothing looks into it: what a few bytes expand to has no
// bound that a caller could not reach. The status is that of RFC 9110, 15.5.16.
func IsEncoded(r *http.Request) bool {
	e := r.Header["Content-Encoding"]
	return e != nil && r.ContentLength != 0 && !(len(e) == 1 && strings.EqualFold(e[0], "identity"))
}

// readBody reads the whole body for a flow whose expressions look into it.
func readBody(r *http.Request, in *engine.Input) (Problem, error) {
	text, problem, err := ReadBody(r)
	if err != nil {
		return problem, err
	}
	if in.Body, err = engine.Body(text, r.Header.Get("Content-Type")); err != nil {
		return Problem{Status: http.StatusBadRequest, Code: CodeBodyMalformed,
			Detail: "The body says it is JSON: " + err.Error() + "."}, err
	}
	return Problem{}, nil
}

// ReadBody reads the whole body of a request, for who looks into it before others
// do: these read it anew. Its error is what keeps it from being read, and problem
// what the caller is told of it.
func ReadBody(r *http.Request) (text string, problem Problem, err error) {
	if before, ok := r.Body.(*replay); ok {
		text = before.text
	} else if text, err = readAll(r.Body, r.ContentLength); err != nil {
		if p, ok := ProblemOf(err); ok {
			return "", p, err
		}
		return "", Problem{Status: http.StatusBadRequest, Code: CodeBadRequest, Detail: "The body of the request broke off."}, err
	}
	r.GetBody = func() (io.ReadCloser, error) { return &replay{text: text}, nil }
	r.Body = &replay{text: text}
	return text, Problem{}, nil
}

// readAll reads a body, in one piece if its length is known.
func readAll(body io.Reader, length int64) (string, error) {
	if length == 0 {
		return "", nil
	}
	// A long body gets its memory as it comes: announcing one costs nothing.
	if length < 0 || length > 64<<10 {
		b, err := io.ReadAll(body)
		return unsafe.String(unsafe.SliceData(b), len(b)), err
	}
	b := make([]byte, length)
	_, err := io.ReadFull(body, b)
	return unsafe.String(unsafe.SliceData(b), len(b)), err
}

// replay is a body that was read and can be forwarded all the same.
type replay struct {
	text string
	at   int
}

func (b *replay) Read(p []byte) (int, error) {
	if b.at == len(b.text) {
		return 0, io.EOF
	}
	n := copy(p, b.text[b.at:])
	b.at += n
	return n, nil
}

func (b *replay) Close() error { return nil }

func remote(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

var (
	typeJSON = []string{"application/json"}
	typeText = []string{"text/plain; charset=utf-8"}
)

// writeAnswer sends what a flow returned: a shape as JSON, text as text, bytes
// as what they came as. What a flow tells of failures may quote what it knows
// nothing of: problem documents hold no secrets.
func writeAnswer(w http.ResponseWriter, a *engine.Answer, redactor *dsl.Redactor) {
	h := w.Header()
	for k, v := range a.Header {
		h[k] = v
	}
	status := a.Status
	if a.Body.Null() {
		if status == 0 {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
		return
	}
	if status == 0 {
		status = http.StatusOK
	}
	var body string
	media := typeJSON
	if text, contentType, ok := a.Body.Raw(); ok {
		body, media = text, []string{contentType}
	} else if text, ok := a.Body.Text(); ok {
		body, media = text, typeText
	} else {
		body = a.Body.JSON()
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = media
	}
	if h["Content-Type"][0] == contentTypeProblem[0] {
		body = redactor.String(body)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that has gone is no fault of the flow
}

// fail answers for a flow that did not.
func (h *flowHandler) fail(w http.ResponseWriter, r *http.Request, q *Request, failed *engine.Error) {
	q.Err = failed
	if q.w.begun() {
		q.Code = string(failed.Kind)
		panic(http.ErrAbortHandler) // a part must not be taken for the whole
	}
	if p, ok := ProblemOf(failed); ok && failed.Kind == engine.KindInternal {
		WriteProblem(w, r, p) // the request's own body ended the flow
		return
	}
	if failed.RetryAfter > 0 {
		w.Header()["Retry-After"] = []string{strconv.FormatInt(int64((failed.RetryAfter+time.Second-1)/time.Second), 10)}
	}
	WriteProblem(w, r, failureProblem(failed))
}

// failureProblem says of a failed flow what a caller may know: which kind of thing
// went wrong, and nothing of the inside.
func failureProblem(e *engine.Error) Problem {
	p := Problem{Status: e.HTTPStatus()}
	switch e.Kind {
	case engine.KindStatus:
		p.Code, p.Detail = CodeUpstreamFailed, "A service that this answer needs could not give its part."
	case engine.KindConnect, engine.KindReset, engine.KindNoCredentials:
		p.Code, p.Detail = CodeUpstreamUnreachable, "A service that this answer needs could not be reached."
	case engine.KindTimeout:
		p.Code, p.Detail = CodeUpstreamTimeout, "A service that this answer needs took too long."
	case engine.KindDeadline:
		p.Code, p.Detail = CodeDeadlineExceeded, "The answer was not ready within the route's deadline."
	case engine.KindBreaker:
		p.Code, p.Detail = CodeUnavailable, "A service that this answer needs is failing and is given time to recover."
		if e.Detail != "" {
			p.Detail = e.Detail
		}
	case engine.KindOverloaded:
		p.Code, p.Detail = CodeOverloaded, "There is too much to do at the moment."
		if e.Detail != "" {
			p.Detail = e.Detail
		}
	case engine.KindMalformed, engine.KindTooLarge:
		p.Code, p.Detail = CodeUpstreamMalformed, "A service that this answer needs gave something that cannot be used."
	case engine.KindInput:
		p.Code, p.Detail = CodeBadRequest, "The request holds something that cannot be worked with."
		if e.Detail != "" {
			p.Detail = e.Detail
		}
		if len(e.Violations) > 0 {
			p.Code, p.Extensions = CodeInvalidRequest, map[string]any{"errors": e.Violations}
		}
	case engine.KindExpression:
		p.Code, p.Detail = CodeExpressionFailed, "The flow cannot work with the values it got."
	case engine.KindFail:
		p.Title, p.Code = e.Message, e.Code
		if p.Code == "" {
			p.Code = CodeFlowFailed
		}
	case engine.KindCanceled:
		p.Code = CodeClientGone
	default:
		p.Code = CodeInternal
	}
	return p
}
