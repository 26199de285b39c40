// Package acme obtains the certificates of listeners from an authority that speaks
// ACME (RFC 8555), and renews them. It shows who it is by TLS-ALPN-01 (RFC 8737), on
// the listener itself, or by HTTP-01, on any listener without TLS.
package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
)

// Production is the directory of Let's Encrypt.
const Production = "https://acme-v02.api.letsencrypt.org/directory"

// Config says which certificates are obtained, and from whom.
type Config struct {
	// Domains have a certificate each. They are names of hosts, without wildcards:
	// those need a record of DNS.
	Domains []string
	// Directory is the URL of the authority. Its terms are agreed to.
	Directory string
	// Email is where the authority writes to; it may be empty.
	Email string
	// Cache is a directory for certificates, their keys, and that of the account.
	// It is made if it is not there.
	Cache string
	// CA is a file with the certificates, in PEM, that the authority's own server is
	// known by; empty: those of the system.
	CA string
	// HTTP01 says that a listener without TLS answers for the cache.
	HTTP01 bool
}

// Issuer has the certificates of a Config. It is safe for concurrent use.
type Issuer struct {
	config Config
	log    *slog.Logger
	client *acme.Client
	store  store

	certificates map[string]*atomic.Pointer[tls.Certificate] // by domain
	challenges   sync.Map                                    // domain to *tls.Certificate, while it is proved

	start  sync.Once
	cancel context.CancelFunc
	ended  chan struct{}
}

// New makes an Issuer of what its files say. It obtains nothing until it is started.
func New(c Config, log *slog.Logger) (*Issuer, error) {
	i := &Issuer{config: c, log: log, certificates: map[string]*atomic.Pointer[tls.Certificate]{}, cancel: func() {}, ended: make(chan struct{})}
	var err error
	if i.store, err = openStore(c.Cache, c.Directory); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	i.client = &acme.Client{DirectoryURL: c.Directory, UserAgent: "weir", HTTPClient: &http.Client{Timeout: time.Minute}}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("acme: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("acme: %s has no certificate in PEM", c.CA)
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		i.client.HTTPClient.Transport = transport
	}
	for _, domain := range c.Domains {
		i.certificates[domain] = new(atomic.Pointer[tls.Certificate])
		i.certificates[domain].Store(i.store.certificate(domain))
	}
	return i, nil
}

// Config is what the Issuer was made of.
func (i *Issuer) Config() Config { return i.config }

// Start begins to obtain and renew certificates, in the background.
func (i *Issuer) Start() {
	i.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		i.cancel = cancel
		go func() {
			defer close(i.ended)
			i.run(ctx)
		}()
	})
}

// Stop ends that, and returns when it has ended. Certificates stay in use.
func (i *Issuer) Stop() {
	i.start.Do(func() { close(i.ended) }) // it is not started any more
	i.cancel()
	<-i.ended
	i.client.HTTPClient.CloseIdleConnections()
}

// Certificate is the one for the name that a client asks for, or that of the first
// domain.
func (i *Issuer) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	held := i.certificates[name]
	if held == nil {
		name = i.config.Domains[0]
		held = i.certificates[name]
	}
	if c := held.Load(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("there is no certificate for %s yet", name)
}

// Protocol is what the connections of TLS-ALPN-01 negotiate. They end when they
// have shaken hands.
const Protocol = acme.ALPNProto

// Challenge is the configuration for a client that proves a domain, and nil for all
// others. Such a client shows no certificate.
func (i *Issuer) Challenge(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Equal(hello.SupportedProtos, []string{Protocol}) {
		return nil, nil
	}
	c, ok := i.challenges.Load(strings.ToLower(hello.ServerName))
	if !ok {
		return nil, errors.New("no domain of that name is being proved")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{Protocol}, Certificates: []tls.Certificate{*c.(*tls.Certificate)}}, nil
}

// Pauses after a failure. Authorities bound how often a domain may fail: Let's
// Encrypt to five times an hour.
const (
	firstPause = 2 * time.Minute
	mostPause  = 2 * time.Hour
)

// run obtains what is missing, and renews what has a third of its time left.
func (i *Issuer) run(ctx context.Context) {
	pauses := map[string]time.Duration{}
	due := map[string]time.Time{}
	for _, domain := range i.config.Domains {
		due[domain] = renewal(i.certificates[domain].Load())
	}
	for {
		next := i.config.Domains[0]
		for _, domain := range i.config.Domains {
			if due[domain].Before(due[next]) {
				next = domain
			}
		}
		timer := time.NewTimer(time.Until(due[next]))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		c, err := i.obtain(ctx, next)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			pauses[next] = min(max(2*pauses[next], firstPause), mostPause)
			due[next] = time.Now().Add(pauses[next])
			i.log.Warn("a certificate cannot be obtained", "domain", next, "error", err, "again_in", pauses[next])
			continue
		}
		delete(pauses, next)
		i.certificates[next].Store(c)
		due[next] = renewal(c)
		i.log.Info("a certificate was obtained", "domain", next, "until", c.Leaf.NotAfter)
	}
}

// renewal is when a certificate is to be replaced: with a third of its time left.
func renewal(c *tls.Certificate) time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.Leaf.NotAfter.Add(-c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
}

// obtain proves a domain and has a certificate issued for it.
func (i *Issuer) obtain(ctx context.Context, domain string) (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := i.register(ctx); err != nil {
		return nil, fmt.Errorf("the account: %w", err)
	}
	order, err := i.prove(ctx, domain)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{domain}}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := i.client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, err
	}
	return i.store.keep(domain, key, chain)
}

// register makes the account, or finds it by its key.
func (i *Issuer) register(ctx context.Context) error {
	if i.client.Key != nil {
		return nil
	}
	key, err := i.store.account()
	if err != nil {
		return err
	}
	i.client.Key = key
	account := &acme.Account{}
	if i.config.Email != "" {
		account.Contact = []string{"mailto:" + i.config.Email}
	}
	if _, err = i.client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		i.client.Key = nil
		return err
	}
	return nil
}

// prove shows that the domain is ours, in the first way that works, and gives the
// order that is ready then. An order in which one way has failed is lost.
func (i *Issuer) prove(ctx context.Context, domain string) (*acme.Order, error) {
	ways := []string{"tls-alpn-01"}
	if i.config.HTTP01 {
		ways = append(ways, "http-01")
	}
	var faults []error
	for _, way := range ways {
		order, err := i.client.AuthorizeOrder(ctx, acme.DomainIDs(domain))
		if err == nil && order.Status != acme.StatusReady {
			if err = i.authorize(ctx, order, way, domain); err == nil {
				order, err = i.client.WaitOrder(ctx, order.URI)
			}
		}
		if err == nil {
			return order, nil
		}
		if faults = append(faults, fmt.Errorf("%s: %w", way, err)); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(faults...)
}

func (i *Issuer) authorize(ctx context.Context, order *acme.Order, way, domain string) error {
	for _, url := range order.AuthzURLs {
		z, err := i.client.GetAuthorization(ctx, url)
		if err != nil {
			return err
		}
		if z.Status == acme.StatusValid {
			continue
		}
		n := slices.IndexFunc(z.Challenges, func(c *acme.Challenge) bool { return c.Type == way })
		if n < 0 {
			return errors.New("the authority does not offer it")
		}
		undo, err := i.answer(z.Challenges[n], domain)
		if err != nil {
			return err
		}
		defer undo()
		if _, err := i.client.Accept(ctx, z.Challenges[n]); err != nil {
			return err
		}
		if _, err := i.client.WaitAuthorization(ctx, z.URI); err != nil {
			return err
		}
	}
	return nil
}

// answer puts what the authority looks for where it looks.
func (i *Issuer) answer(c *acme.Challenge, domain string) (undo func(), err error) {
	if c.Type == "http-01" {
		text, err := i.client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return nil, err
		}
		return i.store.token(c.Token, text)
	}
	cert, err := i.client.TLSALPN01ChallengeCert(c.Token, domain)
	if err != nil {
		return nil, err
	}
	i.challenges.Store(domain, &cert)
	return func() { i.challenges.Delete(domain) }, nil
}
