package connectors

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// idempotency gives a request a key by which its service knows it again
// (draft-ietf-httpapi-idempotency-key-header). The key is made of what the
// request is: the run of the flow, the step, and what is sent. So it is the same
// for each attempt of the call and of the step, and another one for each run.
type idempotency struct {
	header string // canonical
	step   string // its flow and place
}

// compileIdempotency is nil if there is no such key, or it is at fault.
func compileIdempotency(c *engine.Compiler, name dsl.String, at dsl.Span, headers []engine.Header) *idempotency {
	if name.Value == "" {
		return nil
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "bad-header"}
	if d.Message, d.Hint = engine.HeaderFault(name.Value); d.Message != "" {
		c.Report(d)
		return nil
	}
	k := &idempotency{header: textproto.CanonicalMIMEHeaderKey(name.Value), step: c.Flow().Name.Value + " " + at.String()}
	for _, h := range headers {
		if strings.EqualFold(h.Name(), k.header) {
			d.Message, d.Hint = "the header "+k.header+" is written twice", "keep one of them: idempotency, which makes a key, or headers, which says which"
			c.Report(d)
			return nil
		}
	}
	return k
}

// mark adds the key.
func (k *idempotency) mark(x *engine.Exchange, req *http.Request) error {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q\n", x.In.ID, k.step, req.Method, req.URL.RequestURI())
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return err
		}
		if _, err := io.Copy(h, body); err != nil {
			return err
		}
	}
	id := h.Sum(nil)[:16]
	id[6], id[8] = 0x80|id[6]&0x0f, 0x80|id[8]&0x3f // RFC 9562 section 5.8
	req.Header[k.header] = []string{fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])}
	return nil
}
