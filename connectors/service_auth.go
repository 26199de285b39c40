package connectors

import (
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/mesh"
)

// authConfig is what a service knows us by. Exactly one key is written.
type authConfig struct {
	BearerFile dsl.String    `yaml:"bearer_file" doc:"A file with a token that something else keeps fresh, such as Kubernetes. It is relative to this one, read when the program goes live and again every 10s."`
	Basic      *basicConfig  `yaml:"basic" doc:"A user and a password (RFC 7617)."`
	OAuth2     *oauth2Config `yaml:"oauth2" doc:"An access token that another service gives for an id and a secret (RFC 6749 section 4.4, the grant client_credentials). It is fetched when a call needs it, and again while the one in use still has a fifth of its time or more."`
}

type basicConfig struct {
	User     dsl.String `yaml:"user" doc:"The name of the user." required:"true"`
	Password dsl.Secret `yaml:"password" doc:"The password." required:"true"`
}

type oauth2Config struct {
	Service   dsl.String   `yaml:"service" doc:"The authorization server: one of services, so that it has timeouts, retries and a breaker of its own." required:"true"`
	Path      dsl.String   `yaml:"path" doc:"The path of its token endpoint, such as /oauth2/token." required:"true"`
	ID        dsl.String   `yaml:"client_id" doc:"The id that the client is registered with." required:"true"`
	Secret    dsl.Secret   `yaml:"client_secret" doc:"The secret that it is registered with." required:"true"`
	Method    dsl.String   `yaml:"method" doc:"How the id and the secret are sent: client_secret_basic, in a header, or client_secret_post, in the body, for servers that cannot do otherwise." default:"client_secret_basic"`
	Scopes    []dsl.String `yaml:"scopes" doc:"What the token is to allow. Default: what the server grants unasked."`
	Audience  dsl.String   `yaml:"audience" doc:"Whom the token is for, for servers that want to be told so in this way."`
	Resources []dsl.String `yaml:"resources" doc:"Whom the token is for, in the way of RFC 8707: absolute URIs."`
}

// serviceAuth is what requests are sent with that changes from time to time;
// the zero value is nothing.
type serviceAuth struct {
	path   string // of a file with a token
	oauth2 mesh.ClientCredentials
	by     dsl.String // the name of the service that gives tokens
	issuer *Service   // that it is, when Link has found it
}

const authorization = "Authorization"

func (a *serviceAuth) any() bool { return a.path != "" || a.by.Value != "" }

// authOf gives the authorization of a service, and what of it is a header;
// headers are those that it has.
func authOf(r dsl.Reporter, at *dsl.Node, cfg *authConfig, headers []serviceHeader) (auth serviceAuth, basic []serviceHeader) {
	if cfg == nil {
		return auth, nil
	}
	fault := func(span dsl.Span, message, hint string) {
		r.Report(dsl.Diagnostic{Span: span, Code: "bad-service", Message: message, Hint: hint})
	}
	if slices.ContainsFunc(headers, serviceHeader.authorizes) {
		fault(at.KeySpan(), "the header Authorization is written already", "keep auth or the header")
	}
	if len(at.Fields) != 1 {
		fault(at.KeySpan(), "auth is one of bearer_file, basic and oauth2", "write bearer_file: FILE, basic: { user: NAME, password: $(secret.NAME) }, or oauth2: { service: NAME, path: /PATH, client_id: ID, client_secret: $(secret.NAME) }")
		return auth, nil
	}
	switch {
	case cfg.Basic != nil:
		b := cfg.Basic
		user, password := b.User.Value, b.Password.Reveal()
		switch {
		case strings.Contains(user, ":"):
			fault(b.User.Span, "the name of a user cannot have a colon (RFC 7617 section 2)", "leave it out")
		case strings.ContainsFunc(user, engine.IsControl):
			fault(b.User.Span, "the name of a user cannot have control characters", "write it in one line")
		case strings.ContainsFunc(password, engine.IsControl):
			fault(b.Password.Span, "the password cannot have control characters", "write it in one line")
		}
		value := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		return auth, []serviceHeader{{authorization, []string{value}}}
	case cfg.OAuth2 != nil:
		c := cfg.OAuth2
		auth.by = c.Service
		auth.oauth2 = mesh.ClientCredentials{
			Path: c.Path.Value, ID: c.ID.Value, Secret: c.Secret.Reveal(), Method: c.Method.Value,
			Scopes: values(c.Scopes), Audience: c.Audience.Value, Resources: values(c.Resources),
		}
		for _, f := range auth.oauth2.Validate() {
			fault(place(at.Field("oauth2"), f.Field), f.Message, f.Hint)
		}
	default:
		auth.path = cfg.BearerFile.Path()
	}
	return auth, nil
}

func (h serviceHeader) authorizes() bool { return h.name == authorization }

func values(all []dsl.String) (texts []string) {
	for _, s := range all {
		texts = append(texts, s.Value)
	}
	return texts
}

// Issuer is the name of the service that gives the tokens of s; its value is
// empty if none does.
func (s *Service) Issuer() dsl.String { return s.auth.by }

// Link finds the services that give tokens to others of all. partial says that
// some could not be read: one that is not there may be one of them.
func Link(all []*Service, partial bool, r dsl.Reporter) {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name.Value
	}
	for _, s := range all {
		by := s.Issuer()
		if by.Value == "" {
			continue
		}
		i := slices.Index(names, by.Value)
		switch {
		case i >= 0 && (all[i].auth.any() || slices.ContainsFunc(all[i].headers, serviceHeader.authorizes)):
			r.Report(dsl.Diagnostic{Span: by.Span, Code: "bad-service", Message: fmt.Sprintf("the service %q has an Authorization itself, so it cannot be asked for tokens", by.Value),
				Hint: "define a service without auth for the token endpoint", Related: []dsl.Related{{Span: all[i].Name.Span, Message: "this one"}}})
		case i >= 0:
			s.auth.issuer = all[i]
		case !partial:
			d := dsl.Diagnostic{Span: by.Span, Code: "unknown-service", Message: fmt.Sprintf("there is no service %q", by.Value), Hint: "define it in services:, with the base URL of the authorization server"}
			d.Suggest(by.Value, names)
			r.Report(d)
		}
	}
}

// IssuersFirst are the services in an order in which they can be opened.
func IssuersFirst(all []*Service) []*Service {
	var rest []*Service // an issuer has no issuer itself
	first := make([]*Service, 0, len(all))
	for _, s := range all {
		if s.Issuer().Value == "" {
			first = append(first, s)
		} else {
			rest = append(rest, s)
		}
	}
	return append(first, rest...)
}

// seed keeps what is told apart by a hash from being known by it.
var seed = maphash.MakeSeed()

// key is equal for what authorizes in the same way. It tells nothing of secrets.
func (a *serviceAuth) key() string {
	switch {
	case a.issuer != nil:
		c := a.oauth2
		c.Secret = fmt.Sprint(maphash.String(seed, c.Secret))
		return fmt.Sprintf(" %#v %q %s", c, a.issuer.headersKey(), a.issuer.Key())
	case a.path != "":
		return fmt.Sprintf(" %q", a.path)
	}
	return ""
}

func (s *Service) headersKey() string {
	return fmt.Sprint(maphash.String(seed, fmt.Sprint(s.headers)))
}

// open gives what authorizes, nil if nothing does. What has to be there is read.
func (a *serviceAuth) open() (mesh.Credentials, error) {
	switch {
	case a.path != "":
		return mesh.OpenTokenFile(a.path)
	case a.issuer != nil:
		c := a.oauth2
		c.Header = http.Header{"User-Agent": agent}
		a.issuer.addHeaders(c.Header)
		return mesh.OpenAccessToken(a.issuer.client, c)
	}
	return nil, nil
}
