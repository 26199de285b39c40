package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// A keyring is the keys of one issuer. Those that come from outside are had anew
// while they are used, beside the requests; those that it no longer has are
// marked, so that what was verified with them is forgotten. When they cannot be
// had the old ones stay in use, up to a bound.
type keyring struct {
	set   atomic.Pointer[keySet]
	fresh *fresh        // nil: they never change
	stale time.Duration // how old keys may be; 0: any age
	waits atomic.Int32  // requests that wait for a key that is not known
}

// keySet is keys as they were at one moment. It is immutable.
type keySet struct{ keys []*key }

const (
	// unknownEvery bounds how often an issuer is asked because of tokens that name
	// a key nobody knows: anyone can make such.
	unknownEvery = 10 * time.Second
	// unknownWait is how long such a request waits, and mostUnknown how many do.
	unknownWait = 2 * time.Second
	mostUnknown = 64
	// mostTried bounds the keys that a token without kid is tried with.
	mostTried = 16
	// maxKeyText bounds a JWK Set, in bytes.
	maxKeyText = 1 << 20
)

// with makes the keys those of the ring. A key that stays is the same one.
func (r *keyring) with(keys []*key) {
	old := r.set.Load()
	if old != nil {
		for i, k := range keys {
			for _, was := range old.keys {
				if was.print == k.print {
					keys[i] = was
				}
			}
		}
	}
	next := &keySet{keys}
	r.set.Store(next)
	if old != nil {
		for _, was := range old.keys {
			if !next.has(was) {
				was.gone.Store(true)
			}
		}
	}
}

func (s *keySet) has(k *key) bool {
	for _, other := range s.keys {
		if other == k {
			return true
		}
	}
	return false
}

// candidates are the keys that may have signed a token. kid only chooses: among
// the keys that have none, too, since those may be any.
func (s *keySet) candidates(kid string, a *algorithm, room []*key) []*key {
	for _, k := range s.keys {
		if (kid == "" || k.id == "" || k.id == kid) && k.fits(a) && len(room) < mostTried {
			room = append(room, k)
		}
	}
	return room
}

// usable reports whether the keys are not too old.
func (r *keyring) usable(now time.Time) bool {
	return r.set.Load() != nil && (r.stale == 0 || now.UnixNano()-r.fresh.had.Load() < int64(r.stale))
}

// tend has the keys anew if that is due, and reports whether those that are there
// can be used. It does not wait for what is far away.
func (r *keyring) tend(ctx context.Context, now time.Time, client http.RoundTripper) bool {
	switch {
	case r.fresh == nil:
	case r.fresh.near:
		r.fresh.recent(ctx, now, client)
	default:
		r.fresh.tend(now, client)
	}
	return r.usable(now)
}

// current are the keys. Only who finds none that can be used waits for them.
func (r *keyring) current(ctx context.Context, now time.Time, client http.RoundTripper) (*keySet, error) {
	if r.tend(ctx, now, client) {
		return r.set.Load(), nil
	}
	err := r.fresh.wait(ctx, now, client)
	if now = time.Now(); r.usable(now) {
		return r.set.Load(), nil
	}
	if err == nil {
		err = errors.New("the keys are too old")
	}
	return nil, fmt.Errorf("there are no keys to verify tokens with: %w", err)
}

// newer are keys that were not there at now, or nil if there are none: for a
// token whose key is not among the others.
func (r *keyring) newer(ctx context.Context, now time.Time, client http.RoundTripper) *keySet {
	if r.fresh == nil {
		return nil
	}
	defer r.waits.Add(-1)
	if r.waits.Add(1) > mostUnknown || !r.fresh.again(ctx, now, client, unknownEvery, unknownWait) {
		return nil
	}
	return r.set.Load()
}

func (r *keyring) close() {
	if r.fresh != nil {
		r.fresh.close()
	}
}

// fileKeys are the keys in a file.
func fileKeys(log *slog.Logger, path string) *keyring {
	r := &keyring{}
	r.fresh = freshFile(log, path, maxKeyText, r.read)
	r.fresh.open()
	return r
}

func (r *keyring) read(text []byte) error {
	keys, err := readKeys(text)
	if err == nil {
		r.with(keys)
	}
	return err
}

// issuerKeys are keys at a URL; if that is nil, where the issuer says.
func issuerKeys(log *slog.Logger, issuer string, at *url.URL, every, stale time.Duration) *keyring {
	r := &keyring{stale: stale}
	r.fresh = freshFrom(log, every, func(ctx context.Context, client http.RoundTripper) error {
		from := at
		if from == nil {
			d, err := discover(ctx, client, issuer)
			if err != nil {
				return err
			}
			if from, err = d.place("the keys are", d.Keys, "jwks"); err != nil {
				return err
			}
		}
		text, err := download(ctx, client, from, "application/jwk-set+json, application/json", maxKeyText)
		if err != nil {
			return err
		}
		if err := r.read(text); err != nil {
			return fmt.Errorf("%s: %w", from.Redacted(), err)
		}
		return nil
	})
	return r
}

// configurationURL is where an issuer says what it is (OpenID Connect Discovery
// section 4). It is nil if the issuer is none that can be asked.
func configurationURL(issuer string) *url.URL {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/.well-known/openid-configuration", ""
	return u
}

// discovery is what an issuer says of itself.
type discovery struct {
	at *url.URL // where it says so

	Issuer        string `json:"issuer"`
	Keys          string `json:"jwks_uri"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	EndSession    string `json:"end_session_endpoint"`
	TellsIssuer   bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207 section 3
}

// discover asks an issuer what it is.
func discover(ctx context.Context, client http.RoundTripper, issuer string) (*discovery, error) {
	d := &discovery{at: configurationURL(issuer)}
	text, err := download(ctx, client, d.at, "application/json", maxKeyText)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", d.at, err)
	}
	if d.Issuer != issuer {
		return nil, fmt.Errorf("%s is of the issuer %q, not %q", d.at, d.Issuer, issuer)
	}
	return d, nil
}

// place reads where something of the issuer is. What it says is believed of itself
// only: whoever could lead us elsewhere could have us ask anything.
func (d *discovery) place(what, said, key string) (*url.URL, error) {
	u, err := url.Parse(said)
	if err != nil || u.Scheme != d.at.Scheme || u.Host != d.at.Host {
		return nil, fmt.Errorf("%s says that %s at %q, which is not of the issuer's origin: if that is right, write it as %s", d.at, what, said, key)
	}
	return u, nil
}
