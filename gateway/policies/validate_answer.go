package policies

import (
	"maps"
	"net/http"
	"unsafe"

	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
)

// held serves a request whose answer is looked at.
func (p *validate) held(w http.ResponseWriter, r *http.Request, q *gateway.Request, answers *openapi.Answers, next http.Handler) {
	before := maps.Clone(w.Header())
	v := &answerWriter{policy: p, q: q, answers: answers, to: w, hold: p.answer == "refuse", head: r.Method == http.MethodHead}
	next.ServeHTTP(v, r)
	all := v.end()
	if len(all) == 0 {
		return
	}
	s := p.state.It()
	s.faulty.Add(1)
	s.tell(q, "an answer is not as its operation says", all)
	if !v.hold || v.begun {
		return
	}
	h := w.Header()
	clear(h)
	maps.Copy(h, before) // what there is belongs to the answer that nobody gets
	gateway.Refuse(w, r, "validate", gateway.Problem{Status: http.StatusBadGateway, Code: CodeInvalidAnswer, Detail: "The answer is not as it has to be."})
}

// answerWriter keeps a copy of an answer, or holds it until it is whole.
type answerWriter struct {
	policy  *validate
	q       *gateway.Request
	answers *openapi.Answers
	to      http.ResponseWriter
	hold    bool // and not only copied
	head    bool

	status int // 0: nothing was written
	begun  bool
	found  []schema.Violation // in the head
	body   *openapi.Content   // what the body is held against; nil: nothing
	media  string
	kept   []byte
	large  bool // more than is kept
}

// Header is what http.ResponseWriter asks for.
func (v *answerWriter) Header() http.Header { return v.to.Header() }

// Unwrap is for http.ResponseController.
func (v *answerWriter) Unwrap() http.ResponseWriter { return v.to }

// WriteHeader is what http.ResponseWriter asks for.
func (v *answerWriter) WriteHeader(status int) {
	if status < 200 || v.status != 0 {
		if !v.hold || v.begun || status < 200 {
			v.to.WriteHeader(status)
		}
		return
	}
	v.status = status
	v.look(status, v.to.Header())
	if !v.hold || len(v.found) == 0 && v.body == nil {
		v.begin()
	}
}

// look holds the head of an answer against the document.
func (v *answerWriter) look(status int, h http.Header) {
	if v.q.Code != "" || status == http.StatusNotModified || status == http.StatusPartialContent {
		return
	}
	a := v.answers.Of(status)
	if a == nil {
		v.found = append(v.found, schema.Violation{Pointer: "/status", Message: "is none that the operation has"})
		return
	}
	v.found = append(v.found, a.Header(h)...)
	if !a.Says() || status == http.StatusNoContent || h.Get("Content-Length") == "0" {
		return
	}
	v.media = h.Get("Content-Type")
	c := a.Body(v.media)
	switch {
	case c == nil:
		v.found = append(v.found, schema.Violation{Pointer: "/headers/Content-Type", Message: "is none that the operation has with this status"})
	case !v.head && c.Looks(v.media) && h["Content-Encoding"] == nil:
		v.body = c
	case !v.head && c.Looks(v.media):
		v.policy.state.It().unchecked.Add(1)
	}
}

func (v *answerWriter) begin() {
	v.begun = true
	v.to.WriteHeader(v.status)
}

func (v *answerWriter) Write(b []byte) (int, error) {
	if v.status == 0 {
		v.WriteHeader(http.StatusOK)
	}
	if v.body != nil && !v.large {
		if v.large = len(v.kept)+len(b) > v.policy.maxResponse; v.large {
			v.kept = nil
		} else {
			v.kept = append(v.kept, b...)
		}
	}
	if v.begun {
		return v.to.Write(b)
	}
	return len(b), nil // it is kept, or refused
}

// WriteString is for io.WriteString, which would copy the text otherwise.
func (v *answerWriter) WriteString(text string) (int, error) {
	return v.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // a writer never changes what it is given
}

// Flush is what http.Flusher asks for.
func (v *answerWriter) Flush() { _ = v.FlushError() }

// FlushError is Flush for http.ResponseController. What is held stays.
func (v *answerWriter) FlushError() error {
	if v.status == 0 {
		v.WriteHeader(http.StatusOK)
	}
	if !v.begun {
		return nil
	}
	return http.NewResponseController(v.to).Flush()
}

// end gives what the answer does not keep to. One that was held and fits is sent.
func (v *answerWriter) end() []schema.Violation {
	all := v.found
	switch {
	case v.body == nil:
	case v.large && v.hold:
		all = append(all, schema.Violation{Pointer: "/body", Message: "is larger than max_response"})
	case v.large:
		v.policy.state.It().unchecked.Add(1)
	default:
		all = append(all, schema.Under("/body", v.body.Check(v.media, string(v.kept)))...)
	}
	if len(all) == 0 && v.status != 0 && !v.begun {
		v.begin()
		_, _ = v.to.Write(v.kept) // a client that has gone is no fault
	}
	return all
}
