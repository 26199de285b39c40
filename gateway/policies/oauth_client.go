package policies

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// oauthClientConfig is how the gateway shows an authorization server who it is.
type oauthClientConfig struct {
	ID     dsl.String `yaml:"id" doc:"What the server calls the gateway." required:"true"`
	Secret dsl.Secret `yaml:"secret" doc:"The secret that the two share."`
	Auth   string     `yaml:"auth" doc:"How the secret is sent: as user and password (client_secret_basic), in the form (client_secret_post), or not at all." default:"basic" enum:"basic|post|none"`
}

// oauthClient is a client of an authorization server. It is immutable.
type oauthClient struct {
	id, secret, auth string
}

func (c *Compiler) oauthClient(at *dsl.Node, cfg *oauthClientConfig) *oauthClient {
	o := &oauthClient{cfg.ID.Value, cfg.Secret.Reveal(), cfg.Auth}
	switch written := at.Field("secret") != nil; {
	case !written && o.auth != "none":
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-policy", Message: "the server cannot know the gateway without a secret", Hint: "add secret: $(secret.NAME), or auth: none if the server knows the gateway without"})
	case written && o.auth == "none":
		c.Report(dsl.Diagnostic{Span: at.Field("secret").KeySpan(), Code: "bad-policy", Message: "the secret is not sent", Hint: "remove it, or write auth: basic"})
	}
	return o
}

// maxOAuthAnswer bounds what is read of an authorization server, in bytes.
const maxOAuthAnswer = 256 << 10

// oauthError is an answer that says why there is none (RFC 6749 section 5.2). What
// else the server says of it is not kept: it may hold what was sent.
type oauthError struct {
	at     string
	status int
	code   string
}

func (e *oauthError) Error() string {
	if e.code != "" {
		return fmt.Sprintf("%s is answered with status %d (%q)", e.at, e.status, e.code)
	}
	return fmt.Sprintf("%s is answered with status %d", e.at, e.status)
}

// post sends a form and gives the JSON object of the answer. No error has in it
// what was sent. again says that the request can be repeated.
func (o *oauthClient) post(ctx context.Context, via http.RoundTripper, at *url.URL, form url.Values, again bool) (map[string]any, error) {
	if via == nil {
		return nil, errors.New("there is no client")
	}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	switch o.auth {
	case "basic": // RFC 6749 section 2.3.1: each is encoded by itself
		pair := url.QueryEscape(o.id) + ":" + url.QueryEscape(o.secret)
		h["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	case "post":
		form.Set("client_id", o.id)
		form.Set("client_secret", o.secret)
	default:
		form.Set("client_id", o.id)
	}
	if again {
		h["Idempotency-Key"] = []string{rand.Text()}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header = h
	res, err := via.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxOAuthAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxOAuthAnswer {
		return nil, fmt.Errorf("what %s answers is larger than %d bytes", at.Redacted(), maxOAuthAnswer)
	}
	answer, err := readObject(string(text))
	if res.StatusCode != http.StatusOK {
		code, _ := answer["error"].(string)
		if !isErrorCode(code) {
			code = ""
		}
		return nil, &oauthError{at.Redacted(), res.StatusCode, code}
	}
	if err != nil {
		return nil, fmt.Errorf("what %s answers cannot be read: %w", at.Redacted(), err)
	}
	return answer, nil
}

// isErrorCode reports whether a text is a code of an error as servers make them,
// and nothing that someone put there.
func isErrorCode(text string) bool {
	if text == "" || len(text) > 64 {
		return false
	}
	for i := range len(text) {
		if b := text[i]; !('a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '_') {
			return false
		}
	}
	return true
}
