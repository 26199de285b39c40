package policies

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// tellConfig is how backends are told who calls.
type tellConfig struct {
	Headers map[string]dsl.Text `yaml:"headers" doc:"Headers in which backends are told of the caller, such as X-User: $(consumer.name). What the caller itself sent in them is taken away; one whose value is empty is not sent."`
}

// teller tells backends who calls, and nobody else can.
type teller struct {
	headers []claimHeader
	spoofs  []string // names of headers, folded
}

type claimHeader struct {
	name string
	text *dsl.TextTemplate
}

func (c *Compiler) teller(at *dsl.Node, cfg tellConfig) (t teller) {
	for _, name := range sortedKeys(cfg.Headers) {
		if message, hint := engine.HeaderFault(name); message != "" {
			c.Report(dsl.Diagnostic{Span: at.Field("headers").Field(name).KeySpan(), Code: "bad-header", Message: message, Hint: hint})
			continue
		}
		if text := c.Text(cfg.Headers[name], dsl.HeaderValue); text != nil {
			t.headers = append(t.headers, claimHeader{http.CanonicalHeaderKey(name), text})
		}
		t.spoofs = append(t.spoofs, folded(name))
	}
	return t
}

// folded is a name of a header as the least careful backend reads it: CGI makes
// the same variable of X-User and X_User.
func folded(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// cleanse is what identifier asks for.
func (t *teller) cleanse(r *http.Request) { cleanse(r.Header, t.spoofs) }

// cleanse takes away the headers whose names are spoofs, folded.
func cleanse(h http.Header, spoofs []string) {
	if len(spoofs) == 0 {
		return
	}
	if listed := h["Connection"]; listed != nil {
		h["Connection"] = keptOptions(listed, spoofs)
	}
	for name := range h {
		for _, spoof := range spoofs {
			if len(name) == len(spoof) && folded(name) == spoof {
				delete(h, name)
			}
		}
	}
}

// keptOptions are the options of a connection but for those that name spoofs: who
// passes a request on leaves out what they name (RFC 9110 section 7.6.1), and what
// a policy says of a caller is not for that caller to take away.
func keptOptions(lines, spoofs []string) []string {
	var kept []string
	for _, line := range lines {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); option != "" && !slices.Contains(spoofs, folded(option)) {
				kept = append(kept, option)
			}
		}
	}
	return kept
}

// tell writes the headers of a request.
func (t *teller) tell(ctx context.Context, q *gateway.Request, r *http.Request) error {
	for _, h := range t.headers {
		value, err := h.text.String(ctx, q)
		if err != nil {
			return err
		}
		if value != "" {
			r.Header[h.name] = []string{value}
		}
	}
	return nil
}

// admit is what identifier asks for: who is known may come in.
func (t *teller) admit(q *gateway.Request, r *http.Request) *refusal {
	if err := t.tell(r.Context(), q, r); err != nil {
		return forbidden("", err)
	}
	return nil
}
