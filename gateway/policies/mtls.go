package policies

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type mtlsConfig struct {
	Consumer  string               `yaml:"consumer" doc:"Which name of the certificate is the consumer's: its common name, a DNS name, a URI (such as a SPIFFE ID), an email address, or the SHA-256 of the certificate in hex." default:"cn" enum:"cn|dns|uri|email|fingerprint"`
	Allow     []dsl.String         `yaml:"allow" doc:"Patterns of names of which one must fit. A star stands for what has no dot in it (of a URI no slash, of an email address no @), two for anything. Of several names of a certificate the first that fits is taken. Default: all names."`
	Issuers   []dsl.String         `yaml:"issuers" doc:"Authorities of which one must have issued the certificate, itself or through others. Each is the SHA-256 of its certificate in hex, or, of those that the gateway knows by itself, its name, such as CN=Partners,O=Bank."`
	File      dsl.String           `yaml:"file" doc:"A file of those who may come in, relative to this one: lines of a name, the consumer that it stands for, and plan=PLAN and expires=TIME if need be. It is looked at every 2s."`
	When      dsl.Cond             `yaml:"when" doc:"What else must be true: an expression over claims, consumer and the request."`
	Forwarded *mtlsForwardedConfig `yaml:"forwarded" doc:"Takes certificates from the header Client-Cert (RFC 9440) of requests that trusted_proxies of the gateway send, which end the connections of clients and have seen them prove that the certificate is theirs. From anyone else the header is taken away."`
	tellConfig
	realmConfig
	optionalConfig
}

type mtlsForwardedConfig struct {
	ClientCA dsl.String `yaml:"client_ca" doc:"A file with the certificates of the authorities that vouch for clients, in PEM, relative to this one. It is looked at every 2s." required:"true"`
}

// MTLS is the Kind of the policy mtls.
var MTLS = Kind{
	Why:        "all further inside may ask who calls",
	Identifies: true,
	Kind: dsl.Define("mtls", "Lets in who shows a certificate on the connection, which the gateway has verified: its tls has client: request or client: require. What the certificate says is claims in expressions: "+
		"common_name, subject, issuer, serial, dns, uris, emails, ips, fingerprint, not_before and not_after.",
		func(c *Compiler, at *dsl.Node, cfg *mtlsConfig) gateway.Middleware { return c.mtls(at, cfg) },
		dsl.Example{Name: "services of a mesh, by their SPIFFE IDs", YAML: `
consumer: uri
allow: ["spiffe://bank.example/ns/lending/**"]
headers: { X-Caller: $(consumer.name) }
`},
		dsl.Example{Name: "partners that are listed, of one authority", YAML: `
issuers: ["CN=Partners,O=Bank"]
file: partners.certificates
`}),
}

type mtls struct {
	teller
	kind      string // of names
	allow     []*regexp.Regexp
	issuers   []string
	prints    map[[sha256.Size]byte]bool // of issuers
	when      *Cond
	forwarded bool
	asks      string
	state     *engine.Kept[*mtlsState]
}

func (c *Compiler) mtls(at *dsl.Node, cfg *mtlsConfig) gateway.Middleware {
	p := &mtls{kind: cfg.Consumer, prints: map[[sha256.Size]byte]bool{}, forwarded: cfg.Forwarded != nil, teller: c.teller(at, cfg.tellConfig), asks: "Certificate " + cfg.checked(c)}
	for _, pattern := range cfg.Allow {
		if x := c.namePattern(p.kind, pattern); x != nil {
			p.allow = append(p.allow, x)
		}
	}
	for _, name := range cfg.Issuers {
		if sum, ok := fingerprintOf(name.Value); ok {
			p.prints[sum] = true
		} else if strings.Contains(name.Value, "=") {
			p.issuers = append(p.issuers, name.Value)
		} else {
			c.Report(dsl.Diagnostic{Span: name.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is neither the name of an authority nor the SHA-256 of its certificate", name.Value),
				Hint: "write one as openssl x509 -subject -nameopt RFC2253 shows it, such as CN=Partners,O=Bank"})
		}
	}
	if cfg.When.Node != nil {
		p.when = c.Cond(cfg.When)
	}
	ca, file := "", cfg.File.Path()
	if cfg.File.Value == "" {
		file = ""
	}
	c.entry.certificate, c.entry.proxied = at.KeySpan(), at.Field("forwarded") != nil
	if p.forwarded {
		ca = cfg.Forwarded.ClientCA.Path()
	}
	kind, log := p.kind, c.Log()
	p.state = Keep(c, func() *mtlsState { return openMTLS(log, kind, file, ca) })
	return c.identified(p, cfg.optionalConfig)
}

// challenge is what identifier asks for. The scheme is registered nowhere, as
// there is none for what is shown below HTTP.
func (p *mtls) challenge() string { return p.asks }

// cleanse is what identifier asks for.
func (p *mtls) cleanse(r *http.Request) {
	p.teller.cleanse(r)
	if !p.forwarded || !gateway.FromContext(r.Context()).Proxied() {
		p.conceal(r)
	}
}

// certificateSpoofs are headers that say which certificate a client has shown, and
// that backends could believe.
var certificateSpoofs = []string{"client-cert", "client-cert-chain"}

// conceal is what concealer asks for.
func (p *mtls) conceal(r *http.Request) { cleanse(r.Header, certificateSpoofs) }

// identify is what identifier asks for.
func (p *mtls) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	s, now := p.state.It(), time.Now()
	var shown *verified
	var no *refusal
	if p.forwarded && q.Proxied() {
		// The certificate of the connection is the proxy's own.
		shown, no = p.passedOn(r, s, now)
	} else {
		shown, no = p.ofConnection(r, s, now)
	}
	if shown == nil {
		return nil, no
	}
	if s.listed == nil {
		return shown.consumer, nil
	}
	s.listed.fresh.recent(r.Context(), now, nil)
	list := s.listed.known.Load()
	if list == nil {
		return nil, unavailable(s.listed.fresh.failing())
	}
	entry := (*list)[shown.consumer.Name]
	if entry == nil || !entry.lasts(now) {
		return nil, p.stranger(s)
	}
	consumer := *entry.consumer
	consumer.Claims = shown.consumer.Claims
	return &consumer, nil
}

// stranger is the refusal of a certificate that is sound, of someone who may not
// come in.
func (p *mtls) stranger(s *mtlsState) *refusal {
	s.refused.Add(1)
	return forbidden("", nil)
}

func (p *mtls) unsound(s *mtlsState, err error) *refusal {
	s.refused.Add(1)
	return &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: "The certificate does not hold.", err: err}
}

// ofConnection is the certificate that was shown on the connection. Listeners take
// none that they have not verified; that it has expired since is for us to see.
func (p *mtls) ofConnection(r *http.Request, s *mtlsState, now time.Time) (*verified, *refusal) {
	leaf := clientCertificate(r)
	if leaf == nil {
		return nil, nil
	}
	if now.After(leaf.NotAfter) {
		return nil, p.unsound(s, errors.New("the certificate of the connection has expired"))
	}
	sum := sha256.Sum256(leaf.Raw)
	if v := s.cache.find(&sum); v != nil {
		return v, nil
	}
	return p.admitted(s, &sum, leaf, r.TLS.VerifiedChains, leaf.NotAfter)
}

// clientCertificate is the one that the client has shown on the connection, and
// which was verified; nil: there is none.
func clientCertificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// passedOn is the certificate that a trusted proxy says its client has shown.
func (p *mtls) passedOn(r *http.Request, s *mtlsState, now time.Time) (*verified, *refusal) {
	fields := r.Header["Client-Cert"]
	if len(fields) == 0 {
		return nil, nil
	}
	if len(fields) > 1 {
		return nil, &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, detail: "This request does not say in one way who sends it."}
	}
	s.authorities.fresh.recent(r.Context(), now, nil)
	roots := s.authorities.pool.Load()
	if roots == nil {
		return nil, unavailable(s.authorities.fresh.failing())
	}
	sum := sha256.Sum256(bytesOf(fields[0]))
	if v := s.cache.find(&sum); v != nil && now.Before(v.until) {
		return v, nil
	}
	leaf, chain, err := readClientCert(fields[0], r.Header["Client-Cert-Chain"])
	if err != nil {
		return nil, p.unsound(s, err)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil, p.unsound(s, err)
	}
	until := now.Add(fileEvery) // the authorities may be others by then
	if leaf.NotAfter.Before(until) {
		until = leaf.NotAfter
	}
	return p.admitted(s, &sum, leaf, chains, until)
}

// admitted remembers what a certificate says, if it is one that may come in.
func (p *mtls) admitted(s *mtlsState, sum *[sha256.Size]byte, leaf *x509.Certificate, chains [][]*x509.Certificate, until time.Time) (*verified, *refusal) {
	if !p.issuedBy(chains) {
		return nil, p.stranger(s)
	}
	name := p.nameIn(leaf)
	if name == "" {
		return nil, p.stranger(s)
	}
	v := &verified{consumer: &engine.Consumer{Name: name, By: "mtls", Claims: certificateClaims(leaf)}, until: until, size: verifiedSize + claimsFactor*len(leaf.Raw)}
	s.cache.add(sum, v)
	return v, nil
}

// issuedBy reports whether one of the issuers is in a chain. Names count at its
// end only: whoever is trusted can give any name to an authority below it.
func (p *mtls) issuedBy(chains [][]*x509.Certificate) bool {
	if len(p.issuers)+len(p.prints) == 0 {
		return true
	}
	for _, chain := range chains {
		for i, by := range chain[1:] {
			if p.prints[sha256.Sum256(by.Raw)] {
				return true
			}
			if i == len(chain)-2 {
				for _, name := range p.issuers {
					if name == by.Subject.String() {
						return true
					}
				}
			}
		}
	}
	return false
}

// admit is what identifier asks for.
func (p *mtls) admit(q *gateway.Request, r *http.Request) *refusal {
	if p.when != nil {
		if ok, err := p.when.Holds(r.Context()); err != nil || !ok {
			return forbidden("", err)
		}
	}
	return p.teller.admit(q, r)
}

// mtlsState is what outlives requests, and programs that have the same policy.
type mtlsState struct {
	cache       *tokenCache
	listed      *certificateList // nil: all may come in
	authorities *authorities     // nil: no proxy passes certificates on
	refused     atomic.Int64
}

const maxCertificates = 10000 // that are remembered

func openMTLS(log *slog.Logger, kind, file, ca string) *mtlsState {
	s := &mtlsState{cache: newTokenCache(maxCertificates, 32<<20)}
	if file != "" {
		s.listed = &certificateList{}
		s.listed.fresh = freshFile(log, file, maxKeyFile, func(text []byte) error {
			known, err := readCertificateList(kind, text)
			if err == nil {
				s.listed.known.Store(&known)
			}
			return err
		})
		s.listed.fresh.open()
	}
	if ca != "" {
		s.authorities = &authorities{}
		s.authorities.fresh = freshFile(log, ca, maxKeyText, func(text []byte) error {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(text) {
				return errors.New("there is no certificate in PEM in it")
			}
			s.authorities.pool.Store(pool)
			return nil
		})
		s.authorities.fresh.open()
	}
	return s
}

// certificateList are those who may come in.
type certificateList struct {
	fresh *fresh
	known atomic.Pointer[map[string]*listed]
}

// authorities vouch for the certificates that proxies pass on.
type authorities struct {
	fresh *fresh
	pool  atomic.Pointer[x509.CertPool]
}

// readCertificateList reads who may come in: a line for each,
//
//	NAME CONSUMER [plan=PLAN] [expires=TIME]
//
// where NAME is one of the kind that the policy goes by, in double quotes if there
// is a space in it. Lines that are empty or begin with # say nothing.
func readCertificateList(kind string, text []byte) (map[string]*listed, error) {
	known := map[string]*listed{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if quoted, err := strconv.QuotedPrefix(line); err == nil && quoted[0] == '"' {
			rest = line[len(quoted):]
			name, _ = strconv.Unquote(quoted) // it is one
		}
		if kind == "fingerprint" {
			sum, ok := fingerprintOf(name)
			if !ok {
				return nil, fmt.Errorf("line %d: %q is not the SHA-256 of a certificate in hex", number, name)
			}
			name = fmt.Sprintf("%x", sum)
		}
		if kind == "dns" {
			name = strings.ToLower(name)
		}
		entry, err := readListed(strings.Fields(rest), "mtls")
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if known[name] != nil {
			return nil, fmt.Errorf("line %d is of a name that stands there already", number)
		}
		known[name] = entry
	}
	return known, lines.Err()
}

// Observe is what engine.Observed asks for.
func (s *mtlsState) Observe(show func(name string, total bool, value int64)) {
	show("certificates_refused", true, s.refused.Load())
	entries, _ := s.cache.held()
	show("certificates_cached", false, int64(entries))
	if s.listed != nil {
		s.listed.fresh.observe("file", show)
	}
	if s.authorities != nil {
		s.authorities.fresh.observe("client_ca", show)
	}
}

// Close is what engine.Keeper asks for.
func (s *mtlsState) Close() {
	if s.listed != nil {
		s.listed.fresh.close()
	}
	if s.authorities != nil {
		s.authorities.fresh.close()
	}
}

// boundTo reports whether a token is of the client that shows its certificate on
// the connection (RFC 8705 section 3.1).
func boundTo(claims map[string]any, r *http.Request) bool {
	leaf := clientCertificate(r)
	members, _ := claims["cnf"].(map[string]any)
	print, _ := members["x5t#S256"].(string)
	if leaf == nil || print == "" {
		return false
	}
	sum := sha256.Sum256(leaf.Raw)
	b, err := decode64(print)
	return err == nil && bytes.Equal(b, sum[:])
}
