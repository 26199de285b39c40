package connectors

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

// authConfig is what a service knows us by. Exactly one key is written.
type authConfig struct {
	BearerFile dsl.String   `yaml:"bearer_file" doc:"A file with a token that something else keeps fresh, such as Kubernetes. It is relative to this one, read when the program goes live and again every 10s."`
	Basic      *basicConfig `yaml:"basic" doc:"A user and a password (RFC 7617)."`
}

type basicConfig struct {
	User     dsl.String `yaml:"user" doc:"The name of the user." required:"true"`
	Password dsl.Secret `yaml:"password" doc:"The password." required:"true"`
}

// serviceAuth is what authorizes requests; the zero value is nothing.
type serviceAuth struct {
	path  string // of a file with a token
	token *mesh.TokenFile
	basic []string // the value of the header
}

const authorization = "Authorization"

// authOf gives the authorization of a service; headers are those that it has.
func authOf(r dsl.Reporter, at *dsl.Node, cfg *authConfig, headers []serviceHeader) (auth serviceAuth) {
	if cfg == nil {
		return auth
	}
	fault := func(span dsl.Span, message, hint string) {
		r.Report(dsl.Diagnostic{Span: span, Code: "bad-service", Message: message, Hint: hint})
	}
	for _, h := range headers {
		if h.name == authorization {
			fault(at.KeySpan(), "the header Authorization is written already", "keep auth or the header")
		}
	}
	if (at.Field("bearer_file") == nil) == (at.Field("basic") == nil) {
		fault(at.KeySpan(), "auth is one of bearer_file and basic", "write bearer_file: FILE, or basic: { user: NAME, password: $(secret.NAME) }")
		return auth
	}
	if b := cfg.Basic; b != nil {
		user, password := b.User.Value, b.Password.Reveal()
		switch {
		case strings.Contains(user, ":"):
			fault(b.User.Span, "the name of a user cannot have a colon (RFC 7617 section 2)", "leave it out")
		case strings.ContainsFunc(user, engine.IsControl):
			fault(b.User.Span, "the name of a user cannot have control characters", "write it in one line")
		case strings.ContainsFunc(password, engine.IsControl):
			fault(b.Password.Span, "the password cannot have control characters", "write it in one line")
		}
		auth.basic = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
		return auth
	}
	auth.path = besides(cfg.BearerFile)
	return auth
}

// open reads what has to be there.
func (a *serviceAuth) open(service string) (err error) {
	if a.path == "" {
		return nil
	}
	if a.token, err = mesh.OpenTokenFile(a.path); err != nil {
		return fmt.Errorf("service %s: auth: %w", service, err)
	}
	return nil
}

// add authorizes a request.
func (a *serviceAuth) add(h http.Header) {
	switch {
	case a.token != nil:
		h[authorization] = a.token.Authorization()
	case a.basic != nil:
		h[authorization] = a.basic
	}
}
