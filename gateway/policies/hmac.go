package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type hmacConfig struct {
	File          dsl.String   `yaml:"file" doc:"A file with the keys, relative to this one: a line for each, with its id, algorithm, the key in base64, its consumer, and maybe plan=PLAN and expires=TIME. It is looked at every 2s. Secrets of hmac-sha256 stand in it as they are." required:"true"`
	Covers        []string     `yaml:"covers" doc:"What a signature must cover at least: fields in lower case, @method, @authority, @scheme, @target-uri, @request-target, @path, @query, or a component as it stands in signatures, such as '\"@query-param\";name=\"tenant\"'. @target-uri covers @scheme, @authority, @path and @query, too, and @request-target the last two." default:"[\"@method\", \"@authority\", \"@path\", \"@query\"]"`
	RequireDigest bool         `yaml:"require_digest" doc:"Whether the signature of a request with a body must cover content-digest." default:"true"`
	Body          dsl.Size     `yaml:"body" doc:"The largest body that is compared with its Content-Digest, which takes that much memory. A request whose body is longer is refused with status 413." default:"1MB" min:"1KB" max:"64MB"`
	Require       []string     `yaml:"require" doc:"Parameters that a signature must have, beside created and keyid." enum:"expires|nonce"`
	Tag           dsl.String   `yaml:"tag" doc:"The parameter tag of signatures that count. Default: all do."`
	Label         dsl.String   `yaml:"label" doc:"The label of the signature that counts. Default: all do; the first that holds decides."`
	Algorithms    []string     `yaml:"algorithms" doc:"What signatures may be made with. Default: all that there are keys for." enum:"hmac-sha256|ed25519|ecdsa-p256-sha256|ecdsa-p384-sha384|rsa-pss-sha512|rsa-v1_5-sha256"`
	MaxAge        dsl.Duration `yaml:"max_age" doc:"How long after it was created a signature holds, if it does not expire before." default:"5m" min:"1s" max:"24h"`
	Leeway        dsl.Duration `yaml:"leeway" doc:"By how much the clocks of a signer and this machine may differ." default:"30s" min:"0s" max:"5m"`
	Nonces        int          `yaml:"nonces" doc:"How many nonces are remembered of each key, for as long as a signature can hold. A signature with one that was sent before is refused, and so is one for which there is no room." default:"100000" min:"1" max:"10000000"`
	tellConfig
	realmConfig
	optionalConfig
}

// HMAC is the Kind of the policy hmac.
var HMAC = Kind{
	Why:        "a signature is of the request as it came, before other policies take credentials out of it",
	Identifies: true,
	Kind: dsl.Define("hmac", "Lets in who has signed the request with a key that is known: HTTP Message Signatures (RFC 9421), by HMAC or by a private key. The signature covers the method, the target and the body, so that nobody can use it for anything else.",
		func(c *Compiler, at *dsl.Node, cfg *hmacConfig) gateway.Middleware { return c.hmac(at, cfg) },
		dsl.Example{Name: "partners that sign", YAML: "file: partners.signers\nheaders: { X-Partner: $(consumer.name) }"},
		dsl.Example{Name: "orders that nobody can send a second time", YAML: `
file: partners.signers
covers: ["@method", "@target-uri", idempotency-key]
require: [nonce]
max_age: 1m
`}),
}

// signatures is immutable and shared by all requests.
type signatures struct {
	teller
	covers  []string // as identified has them
	digest  bool
	body    int64
	expires bool
	nonce   bool
	tag     string
	label   string
	allowed []string // nil: all
	maxAge  time.Duration
	leeway  time.Duration
	asks    string
	log     *slog.Logger
	signers *engine.Kept[*signers]
}

func (c *Compiler) hmac(at *dsl.Node, cfg *hmacConfig) gateway.Middleware {
	p := &signatures{
		teller: c.teller(at, cfg.tellConfig), digest: cfg.RequireDigest, body: int64(cfg.Body), tag: cfg.Tag.Value, label: cfg.Label.Value, allowed: cfg.Algorithms,
		expires: slices.Contains(cfg.Require, "expires"), nonce: slices.Contains(cfg.Require, "nonce"),
		maxAge: time.Duration(cfg.MaxAge), leeway: time.Duration(cfg.Leeway), asks: "Signature " + cfg.checked(c),
	}
	for i, text := range cfg.Covers {
		id, err := componentOf(text)
		if err != nil {
			d := dsl.Diagnostic{Span: at.Field("covers").Items[i].Span, Code: "bad-policy", Message: fmt.Sprintf("%q is nothing that a signature of a request covers: %v", text, err), Hint: "write a field in lower case, or one of " + strings.Join(derived, ", ")}
			d.Suggest(text, derived)
			c.Report(d)
			continue
		}
		p.covers = append(p.covers, identified(id))
	}
	path, log, most, hold := cfg.File.Path(), c.Log(), cfg.Nonces, p.maxAge+2*p.leeway
	p.log = log
	p.signers = Keep(c, func() *signers { return openSigners(log, path, most, hold) })
	return c.identified(p, cfg.optionalConfig)
}

// derived are the components of requests that are no fields, and have no
// parameters.
var derived = []string{"@method", "@authority", "@scheme", "@target-uri", "@request-target", "@path", "@query"}

// componentOf reads a component as an author writes it.
func componentOf(text string) (id sfItem, err error) {
	if !strings.HasPrefix(text, `"`) {
		id = sfItem{bare: sfBare{kind: sfString, text: text}}
	} else if id, err = readItem(text); err != nil {
		return id, err
	}
	name := id.bare.text
	switch {
	case strings.HasPrefix(name, "@") && name == "@query-param":
		if len(id.params) != 1 || id.params[0].key != "name" {
			return id, errors.New(`it needs a name, as in "@query-param";name="tenant"`)
		}
	case strings.HasPrefix(name, "@") && (!slices.Contains(derived, name) || len(id.params) > 0):
		return id, errors.New("there is no such component")
	case !strings.HasPrefix(name, "@") && (!isToken(name) || name != strings.ToLower(name)):
		return id, errors.New("it is no name of a field in lower case")
	}
	return id, nil
}

// challenge is what identifier asks for. The scheme is registered nowhere, as
// signatures are no credentials of the kind that RFC 9110 knows.
func (p *signatures) challenge() string { return p.asks }

// Bounds of what is read of a request's signatures: all else costs nothing.
const (
	maxSignatureText = 32 << 10 // bytes of both fields
	maxSignatures    = 8
)

// identify is what identifier asks for.
func (p *signatures) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	inputs, values := r.Header["Signature-Input"], r.Header["Signature"]
	if inputs == nil && values == nil {
		return nil, nil
	}
	now, s := time.Now(), p.signers.It()
	s.fresh.recent(r.Context(), now, nil)
	known := s.known.Load()
	if known == nil {
		return nil, unavailable(s.fresh.failing())
	}
	consumer, no := p.verify(r.Context(), signedOf(q, r), inputs, values, *known, s, now)
	if no == nil {
		s.verified.Add(1)
	} else if no.status == http.StatusUnauthorized {
		s.refused.Add(1)
		p.log.LogAttrs(r.Context(), slog.LevelDebug, "a signature does not hold", slog.String("request_id", q.ID), slog.String("error", no.err.Error()))
	}
	return consumer, no
}

// invalid is the refusal of a signature. Why is for the log.
func invalid(err error) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: "The signature does not hold.", err: fmt.Errorf("hmac: %w", err)}
}

// verify finds a signature that holds (section 3.2).
func (p *signatures) verify(ctx context.Context, m signed, inputs, values []string, known map[string]*signer, s *signers, now time.Time) (*engine.Consumer, *refusal) {
	all, made, err := readSignatures(inputs, values)
	if err != nil {
		return nil, invalid(err)
	}
	reason := errors.New("there is no signature that counts, by a key that is known")
	for i := range all {
		input := &all[i]
		if p.label != "" && input.key != p.label {
			continue
		}
		claim, err := p.claim(input)
		if err != nil {
			reason = err
			continue
		}
		if p.tag != "" && claim.tag != p.tag {
			continue
		}
		by := known[claim.keyID]
		if by == nil {
			continue
		}
		if err := p.holds(&m, input, made[i], by, &claim, now); err != nil {
			reason = err
			continue
		}
		if no := p.checkBody(m.r, input); no != nil {
			return nil, no
		}
		if claim.hasNonce {
			now = time.Now() // a body can be sent for so long that the nonce is forgotten
			if err := p.timely(&claim, now); err != nil {
				return nil, invalid(err)
			}
			err := by.nonces.once(claim.nonce, now)
			if errors.Is(err, errNoRoom) {
				s.full.note(now, err)
				return nil, unavailable(fmt.Errorf("hmac: %w", err))
			}
			if s.full.note(now, nil); err != nil {
				s.replayed.Add(1)
				return nil, invalid(err)
			}
		}
		return by.consumer, nil
	}
	return nil, invalid(reason)
}

// readSignatures reads the two fields: what each signature is of, and its bytes.
func readSignatures(inputs, values []string) (all []sfMember, made []string, err error) {
	input, value := strings.Join(inputs, ", "), strings.Join(values, ", ")
	if len(input)+len(value) > maxSignatureText {
		return nil, nil, fmt.Errorf("signatures are longer than %d bytes", maxSignatureText)
	}
	if all, err = readDictionary(input, maxSignatures); err != nil {
		return nil, nil, fmt.Errorf("field Signature-Input: %w", err)
	}
	bytes, err := readDictionary(value, maxSignatures)
	if err != nil {
		return nil, nil, fmt.Errorf("field Signature: %w", err)
	}
	if len(bytes) != len(all) {
		return nil, nil, errors.New("the fields Signature-Input and Signature are not of the same signatures")
	}
	for i := range all {
		at := slices.IndexFunc(bytes, func(m sfMember) bool { return m.key == all[i].key })
		if at < 0 || bytes[at].inner || bytes[at].bare.kind != sfBytes || !all[i].inner {
			return nil, nil, errors.New("the fields Signature-Input and Signature are not of the same signatures")
		}
		made = append(made, bytes[at].bare.text)
	}
	return all, made, nil
}

// claim is what a signature says of itself (section 2.3).
type claim struct {
	created, expires  int64
	nonce, alg, tag   string
	keyID             string
	hasNonce, hasTime bool
	hasExpiry         bool
}

func (p *signatures) claim(input *sfMember) (c claim, err error) {
	for _, param := range input.params {
		v, want := param.value, sfString
		switch param.key {
		case "created":
			want, c.created, c.hasTime = sfInteger, v.number, true
		case "expires":
			want, c.expires, c.hasExpiry = sfInteger, v.number, true
		case "nonce":
			c.nonce, c.hasNonce = v.text, true
		case "alg":
			c.alg = v.text
		case "keyid":
			c.keyID = v.text
		case "tag":
			c.tag = v.text
		default:
			continue // it is signed, and means nothing here
		}
		if v.kind != want || want == sfString && v.text == "" {
			return c, fmt.Errorf("the parameter %s of the signature is not what it should be", param.key)
		}
	}
	switch {
	case c.keyID == "":
		return c, errors.New("the signature has no keyid")
	case !c.hasTime:
		return c, errors.New("the signature does not say when it was created")
	case p.expires && !c.hasExpiry:
		return c, errors.New("the signature does not expire")
	case p.nonce && !c.hasNonce:
		return c, errors.New("the signature has no nonce")
	}
	return c, nil
}

// holds reports why a signature does not, or nil.
func (p *signatures) holds(m *signed, input *sfMember, made string, by *signer, c *claim, now time.Time) error {
	switch {
	case !by.lasts(now):
		return errors.New("the key has expired")
	case p.allowed != nil && !slices.Contains(p.allowed, by.name), c.alg != "" && c.alg != by.name:
		return errors.New("the algorithm is not that of the key, or not allowed")
	}
	if err := p.timely(c, now); err != nil {
		return err
	}
	if missing := p.uncovered(m, input); missing != "" {
		return fmt.Errorf("the signature does not cover %s", missing)
	}
	base, err := m.base(nil, input)
	if err != nil {
		return err
	}
	if !by.key.verifies(by.alg, base, []byte(made)) {
		return errors.New("the signature is not one of the key, or of another request")
	}
	return nil
}

// timely reports why a signature does not hold at this time, or nil.
func (p *signatures) timely(c *claim, now time.Time) error {
	created := time.Unix(c.created, 0)
	switch {
	case now.Add(p.leeway).Before(created):
		return errors.New("the signature is from the future: the clocks differ")
	case !now.Before(created.Add(p.maxAge + p.leeway)):
		return errors.New("the signature is too old")
	case c.hasExpiry && !now.Before(time.Unix(c.expires, 0).Add(p.leeway)):
		return errors.New("the signature has expired")
	}
	return nil
}

// uncovered is something that the signature should cover, or "".
func (p *signatures) uncovered(m *signed, input *sfMember) string {
	for _, want := range p.covers {
		if !slices.ContainsFunc(input.list, func(id sfItem) bool { return m.implies(id, want) }) {
			return want
		}
	}
	if p.digest && m.r.ContentLength != 0 && !coversDigest(input) {
		return `"content-digest"`
	}
	return ""
}

// implies reports whether who signs a component signs another one with it.
func (m *signed) implies(id sfItem, want string) bool {
	name := `"` + id.bare.text + `"`
	if identified(id) == want {
		return true
	}
	if _, part := sfParamOf(id.params, "key"); !part && name == want && id.bare.text != "@query-param" {
		return true // the same field, in other words
	}
	switch name {
	case `"@target-uri"`:
		return want == `"@scheme"` || want == `"@authority"` || want == `"@path"` || want == `"@query"`
	case `"@request-target"`:
		return strings.HasPrefix(m.r.RequestURI, "/") && (want == `"@path"` || want == `"@query"`)
	}
	return false
}

// coversDigest reports whether a signature covers a digest that counts: one by
// another algorithm leaves those to anyone who passes the request on.
func coversDigest(input *sfMember) bool {
	return slices.ContainsFunc(input.list, func(id sfItem) bool {
		of, part := sfParamOf(id.params, "key")
		return id.bare.text == "content-digest" && (!part || of.text == "sha-256" || of.text == "sha-512")
	})
}

// checkBody compares the body with the digest that the signature covers.
func (p *signatures) checkBody(r *http.Request, input *sfMember) *refusal {
	if !coversDigest(input) {
		return nil
	}
	body, over, err := holdBody(r, p.body)
	switch {
	case over:
		return &refusal{status: http.StatusRequestEntityTooLarge, code: gateway.CodeBodyTooLarge, detail: "The request's body is larger than this route takes."}
	case err != nil:
		return broken(err)
	}
	if err := checkDigest(r.Header["Content-Digest"], body); err != nil {
		return invalid(err)
	}
	return nil
}
