package mesh

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ClientCredentials are what a client gets access tokens for: the grant of that
// name, RFC 6749 section 4.4.
type ClientCredentials struct {
	// Path is that of the token endpoint, at the service that gives the tokens.
	Path string
	// ID and Secret are what the client is registered with.
	ID, Secret string
	// Method is how it says them: "client_secret_basic", the default, is a header;
	// "client_secret_post" is the body, which RFC 6749 section 2.3.1 leaves to
	// servers that cannot do otherwise.
	Method string
	// Scopes are what the token is to allow; none is what the server grants.
	Scopes []string
	// Audience is whom the token is for, for servers that want to be told so.
	Audience string
	// Resources say the same in the way of RFC 8707: absolute URIs without fragment.
	Resources []string
	// Header are further fields of the request; Host takes the place of its host.
	Header http.Header
}

// Methods of [ClientCredentials].
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
)

// Validate returns all faults of the credentials, in the order of their fields.
func (c ClientCredentials) Validate() []ConfigError {
	var f faults
	if u, err := url.Parse(c.Path); err != nil || !strings.HasPrefix(c.Path, "/") || u.Host != "" || u.RawQuery != "" || u.Fragment != "" {
		f.add("path", fmt.Sprintf("%q is not the path of a token endpoint", c.Path), "write path: /oauth2/token")
	}
	if c.ID == "" {
		f.add("client_id", "the client has no id", "write the one that it is registered with")
	}
	if c.Secret == "" {
		f.add("client_secret", "the client has no secret", "write client_secret: $(secret.NAME)")
	}
	if c.Method != "" && c.Method != methodBasic && c.Method != methodPost {
		f.add("method", fmt.Sprintf("there is no method %q", c.Method), "write client_secret_basic or client_secret_post")
	}
	for i, s := range c.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			f.add(fmt.Sprintf("scopes[%d]", i), fmt.Sprintf("%q is not a scope (RFC 6749 section 3.3)", s), "write one scope in each item of the list")
		}
	}
	for i, s := range c.Resources {
		if u, err := url.Parse(s); err != nil || !u.IsAbs() || strings.Contains(s, "#") {
			f.add(fmt.Sprintf("resources[%d]", i), fmt.Sprintf("%q is not an absolute URI without a fragment (RFC 8707 section 2)", s), "write the one by which the service is known, such as https://ledger.example")
		}
	}
	return f
}

// AccessToken is a token that is had for [ClientCredentials] and kept fresh: the
// next one is fetched while the one in use still has a fifth of its time or
// more, beside the calls, which use the old one meanwhile. Nothing is fetched
// that no call asks for, so that there is nothing to close.
type AccessToken struct {
	service *Service // that gives tokens
	cfg     ClientCredentials
	form    string
	host    string

	credentialsWatch

	token atomic.Pointer[token]
	due   atomic.Int64 // when the next one is fetched, in Unix nanoseconds

	mu       sync.Mutex
	fetching *fetch // nil if none is under way
	pause    pause
	status   CredentialsStats
}

// token is one that was had. It does not change.
type token struct {
	header  []string
	since   time.Time
	expires time.Time // zero: that is not known
}

func (t *token) usable(now time.Time) bool {
	return t != nil && (t.expires.IsZero() || now.Before(t.expires))
}

// fetch is one that is under way, whoever waits for it.
type fetch struct {
	done  chan struct{} // closed when one of the others is set
	token *token
	err   error
}

const (
	// fetchTime bounds a fetch, with what the service that gives tokens does for
	// it: callers come and go meanwhile.
	fetchTime = 30 * time.Second
	// renewInterval bounds how often tokens are fetched because a server does not
	// take them: one that is that young is refused for another reason.
	renewInterval = 10 * time.Second
	// unknownLifetime is when a token that does not say how long it lasts is
	// fetched anew. It is used until that succeeds.
	unknownLifetime = 5 * time.Minute
	// maxLifetime is the most that is believed of what a token says.
	maxLifetime = 24 * time.Hour
	// maxMargin is how long before its end a token is no longer used, for the
	// time that requests and clocks take: a tenth of its life, but no more.
	maxMargin = 10 * time.Second
)

// OpenAccessToken makes the token that service gives for credentials. Nothing is
// fetched yet. The error joins all of Validate's.
func OpenAccessToken(service *Service, c ClientCredentials) (*AccessToken, error) {
	var faults []error
	for _, fault := range c.Validate() {
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	if c.Audience != "" {
		form.Set("audience", c.Audience)
	}
	if len(c.Resources) > 0 {
		form["resource"] = c.Resources
	}
	if c.Header = c.Header.Clone(); c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header.Set("Accept", "application/json")
	c.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Method == methodPost {
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret)
	} else {
		// Both are encoded as in a form before they are as RFC 7617 has it.
		pair := url.QueryEscape(c.ID) + ":" + url.QueryEscape(c.Secret)
		c.Header.Set(authorization, "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	a := &AccessToken{service: service, cfg: c, form: form.Encode(), host: c.Header.Get("Host"), status: CredentialsStats{Kind: "oauth2"}}
	c.Header.Del("Host")
	return a, nil
}

// Authorization is "Bearer " and the token. The first call waits for it, and so
// do those that find it expired; what they wait for does not end with any of
// them.
func (a *AccessToken) Authorization(ctx context.Context) ([]string, error) {
	now := time.Now()
	t := a.token.Load()
	if t.usable(now) {
		if now.UnixNano() >= a.due.Load() {
			a.begin(now, t)
		}
		return t.header, nil
	}
	return a.another(ctx, now, t)
}

// Renew fetches a token in place of one that a server did not take, unless that
// has just been fetched. If there is none to be had the old one stays in use: it
// may be good for other requests.
func (a *AccessToken) Renew(ctx context.Context, refused []string) ([]string, error) {
	now := time.Now()
	t := a.token.Load()
	switch {
	case t != nil && t.header[0] != refused[0]:
		return t.header, nil
	case t != nil && now.Sub(t.since) < renewInterval:
		return nil, errSameToken
	}
	a.mu.Lock()
	a.status.Refused++
	a.mu.Unlock()
	header, err := a.another(ctx, now, t)
	if err == nil && header[0] == refused[0] {
		return nil, errSameToken
	}
	return header, err
}

// another waits for a token in place of old.
func (a *AccessToken) another(ctx context.Context, now time.Time, old *token) ([]string, error) {
	f := a.begin(now, old)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("the service %s has given no token yet: %w", a.service.name, ctx.Err())
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.token.header, nil
}

// begin fetches a token in place of old, if it is not too early after a failure
// and nobody else does: then it is theirs.
func (a *AccessToken) begin(now time.Time, old *token) *fetch {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch current := a.token.Load(); {
	case a.fetching != nil:
		return a.fetching
	case current != old:
		return ended(current, nil)
	case a.status.Failure != nil && now.Before(a.pause.until):
		return ended(nil, fmt.Errorf("%w (the next try is in %v)", a.status.Failure, a.pause.until.Sub(now).Round(time.Millisecond)))
	}
	f := &fetch{done: make(chan struct{})}
	a.fetching = f
	a.due.Store(math.MaxInt64) // until it has ended
	go a.fetch(f)
	return f
}

func ended(t *token, err error) *fetch {
	f := &fetch{done: make(chan struct{}), token: t, err: err}
	close(f.done)
	return f
}

// fetch asks for a token.
func (a *AccessToken) fetch(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	start := time.Now()
	reply, err := a.ask(ctx)
	a.take(f, start, reply, err)
	a.refreshed(f.err)
}

// take ends the fetch that began at start.
func (a *AccessToken) take(f *fetch, start time.Time, reply *tokenReply, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer close(f.done)
	a.fetching = nil
	now := time.Now()
	if err != nil {
		f.err = fmt.Errorf("the service %s gives no token: %w", a.service.name, err)
		a.status.Failures++
		a.status.Failure, a.status.LastFailure = f.err, now
		a.due.Store(a.pause.after(now).UnixNano())
		return
	}
	f.token = &token{header: []string{"Bearer " + reply.AccessToken}, since: now}
	life := unknownLifetime
	if reply.lifetime > 0 {
		life = reply.lifetime
		f.token.expires = start.Add(life - min(life/10, maxMargin))
	}
	a.pause = pause{}
	a.status.Failure = nil
	a.status.Refreshes++
	a.status.Refreshed, a.status.Expires = now, f.token.expires
	a.due.Store(start.Add(life*7/10 + rand.N(life/10+1)).UnixNano()) // not all who began together at once
	a.token.Store(f.token)
}

// ask makes the request. It has its effect as often as it is repeated: another
// token.
func (a *AccessToken) ask(ctx context.Context) (*tokenReply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.Path, strings.NewReader(a.form))
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = a.cfg.Header, a.host
	resp, err := a.service.Do(req, &Call{Idempotent: true})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenReply+1))
	if err != nil {
		return nil, err
	}
	return readTokenReply(resp, body, a.cfg.Secret)
}

// Stats is what [Credentials] asks for.
func (a *AccessToken) Stats() CredentialsStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// pause is the time between tries that fail one after the other. It doubles from
// a second to ten, which a token endpoint does not notice and a service whose
// tokens have run out has to wait for at most; half of it is random.
type pause struct {
	failures int
	until    time.Time
}

const (
	firstPause = time.Second
	maxPause   = 10 * time.Second
)

func (p *pause) after(now time.Time) time.Time {
	d := min(firstPause<<min(p.failures, 10), maxPause)
	p.failures++
	p.until = now.Add(d/2 + rand.N(d/2+1))
	return p.until
}
