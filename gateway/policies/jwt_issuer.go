package policies

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// jwtIssuerConfig is one issuer: what its tokens say, and what they are verified
// with.
type jwtIssuerConfig struct {
	Issuer     dsl.String   `yaml:"issuer" doc:"Who issues the tokens, letter for letter as in their claim iss. any takes tokens whoever they say they are of, if their keys are written here."`
	Audience   *dsl.Node    `yaml:"audience" doc:"Whom the tokens are for: a text, or a list of which one must be in their claim aud. any takes tokens for others, too."`
	JWKS       dsl.String   `yaml:"jwks" doc:"The URL of the issuer's keys (RFC 7517 section 5). Default: where the issuer says, at its URL with /.well-known/openid-configuration."`
	Service    dsl.String   `yaml:"service" doc:"The service that the keys are fetched from, if it is not reached where the URL says: then only the path of the URL counts."`
	File       dsl.String   `yaml:"file" doc:"A file with the keys, relative to this one, instead: a JWK Set, or public keys and certificates in PEM. It is looked at every 2s."`
	Keys       []*dsl.Node  `yaml:"keys" doc:"The keys themselves, instead: each a JWK as a mapping, or a public key or certificate in PEM."`
	Secrets    []dsl.Secret `yaml:"secrets" doc:"Instead of public keys: secrets that tokens are signed with by HMAC, each of 32 bytes or more. Whoever knows one can make tokens."`
	Encoding   string       `yaml:"encoding" doc:"What the secrets are written in." default:"text" enum:"text|base64"`
	Algorithms []string     `yaml:"algorithms" doc:"What tokens may be signed with. Default: all that the keys are for, HS256, HS384 and HS512 with secrets and all others without." enum:"RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA|Ed25519|HS256|HS384|HS512"`
	Type       string       `yaml:"type" doc:"What typ in the header of a token must be, such as at+jwt for access tokens (RFC 9068). Default: JWT, at+jwt or nothing."`
	Consumer   string       `yaml:"consumer" doc:"The claim that names the consumer: a name, or the names on the way to it with dots between." default:"sub"`
	Plan       string       `yaml:"plan" doc:"The claim that names its plan, in the same way. Default: it has none."`
	Refresh    dsl.Duration `yaml:"refresh" doc:"How often keys are fetched anew while they are used. Nobody waits for it." default:"10m" min:"1s" max:"24h"`
	Stale      dsl.Duration `yaml:"stale" doc:"For how long the keys are used when they cannot be fetched." default:"24h" min:"1s"`
}

// jwtIssuer is one issuer, compiled. It is immutable.
type jwtIssuer struct {
	name     string
	any      bool // whoever tokens say they are of
	audience audience
	allowed  []*algorithm
	typ      string
	consumer claimPath
	prefix   string // of the consumer's name
	plan     claimPath
	client   func() http.RoundTripper // fetches the keys; nil: nothing is fetched
}

const anyone = "any"

// jwtIssuers compiles the issuers of a policy, and gives what opens the keys of
// each.
func (c *Compiler) jwtIssuers(p *jwt, at *dsl.Node, cfg *jwtConfig) (open []func() *keyring) {
	fault := func(span dsl.Span, code, message, hint string) {
		c.Report(dsl.Diagnostic{Span: span, Code: code, Message: message, Hint: hint})
	}
	list := at.Field("issuers")
	if list == nil {
		issuer, ring := c.jwtIssuer(at, &cfg.jwtIssuerConfig, "")
		p.issuers = append(p.issuers, issuer)
		return append(open, ring)
	}
	of := jwtIssuerKeys()
	for _, f := range at.Fields {
		if slices.Contains(of, f.Key.Text) {
			fault(f.Key.Span, "bad-policy", fmt.Sprintf("%s is said of each of the issuers", f.Key.Text), "write it in the items of issuers")
		}
	}
	if len(cfg.Issuers) < 2 {
		fault(list.KeySpan(), "bad-policy", "one issuer needs no list", "write what is in it beside the other keys of jwt")
	}
	named := map[string]dsl.Span{}
	for i := range cfg.Issuers {
		one := &cfg.Issuers[i]
		name := one.Issuer.Value
		if first, twice := named[name]; twice && name != "" {
			c.Report(dsl.Diagnostic{Span: one.Issuer.Span, Code: "bad-policy", Message: fmt.Sprintf("the issuer %s stands in the list twice", name), Hint: "write both audiences and all keys in one item",
				Related: []dsl.Related{{Span: first, Message: "the other one"}}})
		}
		if name == anyone || strings.Contains(name, " ") {
			fault(one.Issuer.Span, "bad-policy", "of several issuers each has a name, without spaces", "write the claim iss of its tokens")
		}
		named[name] = one.Issuer.Span
		issuer, ring := c.jwtIssuer(list.Items[i], one, name+" ")
		p.issuers = append(p.issuers, issuer)
		open = append(open, ring)
	}
	return open
}

func jwtIssuerKeys() (keys []string) {
	for _, f := range dsl.SchemaOf[jwtIssuerConfig]().Fields {
		keys = append(keys, f.Key)
	}
	return keys
}

func (c *Compiler) jwtIssuer(at *dsl.Node, cfg *jwtIssuerConfig, prefix string) (*jwtIssuer, func() *keyring) {
	missing := func(key, hint string) {
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "missing-key", Message: fmt.Sprintf("the key %q is missing", key), Hint: hint})
	}
	i := &jwtIssuer{name: cfg.Issuer.Value, any: cfg.Issuer.Value == anyone, typ: mediaType(cfg.Type), consumer: claimPathOf(cfg.Consumer), prefix: prefix}
	if cfg.Plan != "" {
		i.plan = claimPathOf(cfg.Plan)
	}
	if i.name == "" {
		missing("issuer", "add issuer: and the claim iss of the tokens; any takes them whoever they say they are of")
	}
	i.audience = c.audience(at, cfg.Audience)
	if cfg.Stale < cfg.Refresh {
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-policy", Message: "keys would be too old before they are fetched anew", Hint: "write a stale that is longer than refresh"})
	}
	for _, a := range algorithms {
		secret := a.family == hmacFamily
		if len(cfg.Algorithms) == 0 && secret == (len(cfg.Secrets) > 0) || slices.Contains(cfg.Algorithms, a.name) {
			i.allowed = append(i.allowed, algorithmOf(a.name))
		}
		if n := at.Field("algorithms"); secret != (len(cfg.Secrets) > 0) && slices.Contains(cfg.Algorithms, a.name) {
			d := dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-policy", Message: fmt.Sprintf("%s takes a secret, and the keys are public", a.name), Hint: "remove it: whoever knows the public keys could sign with it"}
			if !secret {
				d.Message, d.Hint = fmt.Sprintf("%s takes public keys, and there are only secrets", a.name), "remove it"
			}
			c.Report(d)
		}
	}
	return i, c.jwtKeys(i, at, cfg)
}

// jwtKeys finds where the keys of an issuer are, and gives what opens them.
func (c *Compiler) jwtKeys(i *jwtIssuer, at *dsl.Node, cfg *jwtIssuerConfig) func() *keyring {
	none := func() *keyring { return &keyring{} }
	var places []string
	for _, name := range []string{"jwks", "file", "keys", "secrets"} {
		if at.Field(name) != nil {
			places = append(places, name)
		}
	}
	switch {
	case len(places) > 1:
		c.Report(dsl.Diagnostic{Span: at.Field(places[1]).KeySpan(), Code: "bad-policy", Message: "the keys of an issuer are in one place", Hint: "keep " + strings.Join(places, " or "),
			Related: []dsl.Related{{Span: at.Field(places[0]).KeySpan(), Message: "the other one"}}})
		return none
	case len(places) == 0 && i.any:
		c.Report(dsl.Diagnostic{Span: cfg.Issuer.Span, Code: "bad-policy", Message: "nobody knows where the keys of any issuer are", Hint: "add jwks, file, keys or secrets"})
		return none
	case len(cfg.Secrets) > 0:
		return fixed(c.secretKeys(cfg))
	case len(cfg.Keys) > 0:
		return fixed(c.inlineKeys(cfg))
	case cfg.File.Value != "":
		path, log := cfg.File.Path(), c.Log()
		return func() *keyring { return fileKeys(log, path) }
	}
	return c.fetchedKeys(i, cfg, none)
}

func fixed(keys []*key) func() *keyring {
	return func() *keyring {
		r := &keyring{}
		r.set.Store(&keySet{keys})
		return r
	}
}

func (c *Compiler) secretKeys(cfg *jwtIssuerConfig) (keys []*key) {
	for _, s := range cfg.Secrets {
		secret := []byte(s.Reveal())
		if cfg.Encoding == "base64" {
			var err error
			if secret, err = decodeAny64(s.Reveal()); err != nil && !c.lang.MadeUp {
				c.Report(dsl.Diagnostic{Span: s.Span, Code: "bad-policy", Message: "the secret is not written in Base64", Hint: "write encoding: text, or the secret in Base64"})
				continue
			}
		}
		if len(secret) < 32 && !c.lang.MadeUp {
			c.Report(dsl.Diagnostic{Span: s.Span, Code: "bad-policy", Message: "the secret has less than 32 bytes, and can be guessed from one token (RFC 7518 section 3.2)", Hint: "take one that openssl rand -hex 32 makes"})
			continue
		}
		keys = append(keys, newSecret(secret))
	}
	return keys
}

func (c *Compiler) inlineKeys(cfg *jwtIssuerConfig) (all []*key) {
	for _, n := range cfg.Keys {
		if n.Broken() {
			continue
		}
		keys, err := inlineKey(n, schema.Plain)
		if err != nil {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-policy", Message: "this is no key that tokens are verified with: " + err.Error(), Hint: "write a public key in PEM, or as a JWK of RSA, EC or Ed25519"})
			continue
		}
		all = append(all, keys...)
	}
	return all
}

// fetchedKeys are those at a URL.
func (c *Compiler) fetchedKeys(i *jwtIssuer, cfg *jwtIssuerConfig, none func() *keyring) func() *keyring {
	from := cfg.JWKS
	var at *url.URL
	if from.Value == "" {
		if from = cfg.Issuer; from.Value == "" {
			return none
		}
		if configurationURL(from.Value) == nil {
			c.Report(dsl.Diagnostic{Span: from.Span, Code: "bad-policy", Message: fmt.Sprintf("nobody knows where the keys of %q are: it is no URL", from.Value), Hint: "add jwks, file, keys or secrets"})
			return none
		}
	}
	client, u, ok := c.fetchFrom(from, cfg.Service)
	if !ok {
		return none
	}
	if cfg.JWKS.Value != "" {
		at = u
	}
	i.client = client
	name, every, stale, log := i.name, time.Duration(cfg.Refresh), time.Duration(cfg.Stale), c.Log()
	return func() *keyring { return issuerKeys(log, name, at, every, stale) }
}

// fetchFrom is Fetch, by a service if one is named.
func (c *Compiler) fetchFrom(at, service dsl.String) (client func() http.RoundTripper, u *url.URL, ok bool) {
	if service.Value == "" {
		return c.Fetch(at)
	}
	if u, ok = c.fetchable(at); !ok {
		return nil, nil, false
	}
	client, ok = c.Service(service)
	return client, u, ok
}

// takes reports whether a token is of a type and signed with an algorithm that
// the issuer's are.
func (i *jwtIssuer) takes(t *token) bool {
	if i.algorithm(t.alg) == nil {
		return false
	}
	typ := mediaType(t.typ)
	if i.typ != "" {
		return strings.EqualFold(typ, i.typ)
	}
	return typ == "" || strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt")
}

func (i *jwtIssuer) algorithm(name string) *algorithm {
	for _, a := range i.allowed {
		if a.name == name {
			return a
		}
	}
	return nil
}

// signer finds the key that a token is signed with; nil is none. The error says
// that it cannot be known.
func (i *jwtIssuer) signer(ctx context.Context, ring *keyring, t *token, now time.Time) (*key, error) {
	a, signed := i.algorithm(t.alg), []byte(t.signed)
	client := fetcher(i.client)
	set, err := ring.current(ctx, now, client)
	if err != nil {
		return nil, err
	}
	var room [mostTried]*key
	keys := set.candidates(t.kid, a, room[:0])
	if len(keys) == 0 {
		if set = ring.newer(ctx, now, client); set == nil {
			if ring.fresh != nil && t.kid != "" {
				return nil, ring.fresh.failing()
			}
			return nil, nil
		}
		keys = set.candidates(t.kid, a, room[:0])
	}
	for _, k := range keys {
		if k.verifies(a, signed, t.signature) {
			return k, nil
		}
	}
	return nil, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
