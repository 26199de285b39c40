package policies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
)

type oidcEndpointsConfig struct {
	Authorization dsl.String `yaml:"authorization" doc:"Where browsers are sent for a login."`
	Token         dsl.String `yaml:"token" doc:"Where codes and refresh tokens are changed for tokens."`
	JWKS          dsl.String `yaml:"jwks" doc:"Where its keys are."`
	EndSession    dsl.String `yaml:"end_session" doc:"Where browsers are sent for a logout."`
}

// oidcProvider is who logs people in. It is immutable.
type oidcProvider struct {
	issuer      *jwtIssuer
	written     oidcEndpoints // in the file
	discovery   func() http.RoundTripper
	tokenClient func() http.RoundTripper
}

// oidcEndpoints are where a provider is asked; nil: it is not known.
type oidcEndpoints struct {
	authorization, token, endSession *url.URL
	tellsIssuer                      bool
}

// oidcKnown is what a provider has said of itself.
type oidcKnown struct {
	said  atomic.Pointer[oidcEndpoints]
	fresh *fresh // nil: all is written in the file
	ring  *keyring
}

const (
	discoverEvery = time.Hour
	keysEvery     = 10 * time.Minute
	keysStale     = 24 * time.Hour
)

// oidcProvider compiles who logs people in, and gives what opens what it says of
// itself.
func (c *Compiler) oidcProvider(cfg *oidcConfig) (*oidcProvider, func() *oidcKnown) {
	p := &oidcProvider{issuer: &jwtIssuer{name: cfg.Issuer.Value, audience: audience{names: []string{cfg.Client.ID.Value}}}}
	for i := range algorithms {
		if a := &algorithms[i]; a.family != hmacFamily && (len(cfg.Algorithms) == 0 || slices.Contains(cfg.Algorithms, a.name)) {
			p.issuer.allowed = append(p.issuer.allowed, a)
		}
	}
	if cfg.Issuer.Value == "" {
		return p, nil // it has been told
	}
	if configurationURL(cfg.Issuer.Value) == nil {
		c.Report(dsl.Diagnostic{Span: cfg.Issuer.Span, Code: "bad-url", Message: fmt.Sprintf("%q is not the URL of an issuer", cfg.Issuer.Value), Hint: "write one such as https://id.example/realms/shop"})
		return p, nil
	}
	own, _, ok := c.fetchFrom(cfg.Issuer, cfg.Service)
	if !ok {
		return p, nil
	}
	p.discovery, p.tokenClient, p.issuer.client = own, own, own
	e := &cfg.Endpoints
	if e.Token.Value != "" {
		p.tokenClient, p.written.token, _ = c.fetchFrom(e.Token, cfg.Service)
	}
	var keys *url.URL
	if e.JWKS.Value != "" {
		p.issuer.client, keys, _ = c.fetchFrom(e.JWKS, cfg.Service)
	}
	if e.Authorization.Value != "" {
		p.written.authorization, _ = c.fetchable(e.Authorization)
	}
	if e.EndSession.Value != "" {
		p.written.endSession, _ = c.fetchable(e.EndSession)
	}
	name, log, whole := cfg.Issuer.Value, c.Log(), p.written.authorization != nil && p.written.token != nil
	return p, func() *oidcKnown { return openKnown(log, p.written, name, keys, whole) }
}

func openKnown(log *slog.Logger, written oidcEndpoints, issuer string, keys *url.URL, whole bool) *oidcKnown {
	k := &oidcKnown{ring: issuerKeys(log, issuer, keys, keysEvery, keysStale)}
	if whole {
		k.said.Store(&written)
		return k
	}
	k.fresh = freshFrom(log, discoverEvery, func(ctx context.Context, client http.RoundTripper) error {
		d, err := discover(ctx, client, issuer)
		if err != nil {
			return err
		}
		said := written
		said.tellsIssuer = d.TellsIssuer
		if said.authorization == nil {
			if said.authorization, err = d.place("logins are", d.Authorization, "endpoints.authorization"); err != nil {
				return err
			}
		}
		if said.token == nil {
			if said.token, err = d.place("tokens are", d.Token, "endpoints.token"); err != nil {
				return err
			}
		}
		if said.endSession == nil && d.EndSession != "" {
			if said.endSession, err = d.place("logouts are", d.EndSession, "endpoints.end_session"); err != nil {
				return err
			}
		}
		k.said.Store(&said)
		return nil
	})
	return k
}

// places are those of the provider. Only who comes before anything is known waits.
func (k *oidcKnown) places(ctx context.Context, now time.Time, client http.RoundTripper) (*oidcEndpoints, error) {
	if k.fresh == nil {
		return k.said.Load(), nil
	}
	k.fresh.tend(now, client)
	if said := k.said.Load(); said != nil {
		return said, nil
	}
	err := k.fresh.wait(ctx, now, client)
	if said := k.said.Load(); said != nil {
		return said, nil
	}
	return nil, fmt.Errorf("the provider does not say where logins are: %w", errors.Join(err, k.fresh.failing()))
}

func (k *oidcKnown) close() {
	if k.fresh != nil {
		k.fresh.close()
	}
	k.ring.close()
}

var errIDToken = errors.New("the ID token does not hold")

// idToken verifies an ID token (OpenID Connect Core 3.1.3.7), and gives its
// claims. The access token is the one that came with it.
func (p *oidcProvider) idToken(ctx context.Context, k *oidcKnown, text, access string, leeway time.Duration) (map[string]any, error) {
	now := time.Now()
	t, err := parseToken(text)
	if err != nil {
		return nil, errIDToken
	}
	refuse := func(why string) error { return fmt.Errorf("%w: %s", errIDToken, why) }
	if !p.issuer.takes(t) || strings.EqualFold(mediaType(t.typ), "at+jwt") {
		return nil, refuse("typ or alg is none of those that are taken")
	}
	if t.claims["iss"] != p.issuer.name {
		return nil, refuse("it is of another issuer")
	}
	by, err := p.issuer.signer(ctx, k.ring, t, now)
	if err != nil {
		return nil, err
	}
	if by == nil {
		return nil, refuse("it is signed with no key of the issuer")
	}
	if _, description := inTime(t.claims, now, leeway, 0); description != "" || t.claims["exp"] == nil || t.claims["iat"] == nil {
		return nil, refuse("its time has passed, or has not come")
	}
	self := p.issuer.audience.names[0]
	several, _ := textsIn(t.claims["aud"])
	azp, has := t.claims["azp"]
	if !p.issuer.audience.has(t.claims) || has && azp != self || len(several) > 1 && !has {
		return nil, refuse("it is for another client")
	}
	if sub, _ := t.claims["sub"].(string); sub == "" {
		return nil, refuse("it is of nobody")
	}
	if hash, has := t.claims["at_hash"]; has && !isHashOf(hash, access, t.alg) {
		return nil, refuse("it came with another access token")
	}
	return t.claims, nil
}

// isHashOf reports whether a claim is the left half of the hash of a token (OpenID
// Connect Core 3.1.3.6), by the hash that goes with the algorithm.
func isHashOf(claim any, text, alg string) bool {
	var sum []byte
	switch {
	case strings.HasSuffix(alg, "256"):
		h := sha256.Sum256([]byte(text))
		sum = h[:]
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(text))
		sum = h[:]
	default: // Ed25519 goes with SHA-512
		h := sha512.Sum512([]byte(text))
		sum = h[:]
	}
	encoded, _ := claim.(string)
	got, err := decode64(encoded)
	return err == nil && bytes.Equal(got, sum[:len(sum)/2])
}
