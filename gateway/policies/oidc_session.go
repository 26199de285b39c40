package policies

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// session is what a browser keeps for the gateway, sealed. Times are in seconds
// since 1970.
type session struct {
	ID      string          `json:"i"`
	Claims  json.RawMessage `json:"c"`
	Nonce   string          `json:"o"`           // of the login
	Born    int64           `json:"b"`           // when the login was
	Seen    int64           `json:"s"`           // when it was used, roughly
	Due     int64           `json:"d,omitempty"` // when the tokens are to be renewed; 0: never
	Until   int64           `json:"u,omitempty"` // when the access token expires; 0: it is not known
	Refresh string          `json:"r,omitempty"`
	Access  string          `json:"a,omitempty"` // if backends get it
}

// key is what the session is known by when its tokens are renewed. Some providers
// give the same refresh token again: then the next session has another time.
func (s *session) key() [sha256.Size]byte {
	return sha256.Sum256(strconv.AppendInt([]byte(s.Refresh+" "), s.Due, 10))
}

// Cookies hold 4096 bytes with their names and attributes (RFC 6265 section 6.1),
// and servers bound the size of all headers of a request.
const (
	maxPart  = 3800 // bytes
	maxParts = 4
)

// read opens what the cookies of a request hold. It is nil if that is no session,
// or none any more.
func (p *oidc) read(r *http.Request, now time.Time) *session {
	text := p.cookies(r)
	if text == "" {
		return nil
	}
	return p.unseal(text, now)
}

func (p *oidc) unseal(text string, now time.Time) *session {
	plain, ok := p.sealer.open(p.purpose+"session", text)
	if !ok {
		return nil
	}
	s := &session{}
	if json.Unmarshal(plain, s) != nil || !p.lasts(s, now) {
		return nil
	}
	return s
}

// lasts reports whether a session is neither too old nor unused for too long, and
// has not been ended.
func (p *oidc) lasts(s *session, now time.Time) bool {
	if now.Sub(time.Unix(s.Born, 0)) >= p.lifetime || now.Sub(time.Unix(s.Seen, 0)) >= p.idle {
		return false
	}
	id := sha256.Sum256([]byte(s.ID))
	return p.state.It().ended.find(&id) == nil
}

// cookies puts together the text that the cookies of a request hold; "" is none.
// The first tells how many there are.
func (p *oidc) cookies(r *http.Request) string {
	if r.Header["Cookie"] == nil {
		return ""
	}
	first := r.CookiesNamed(p.cookie)
	if len(first) != 1 || len(first[0].Value) < 2 {
		return ""
	}
	parts := int(first[0].Value[0] - '0')
	if parts < 1 || parts > maxParts {
		return ""
	}
	text := first[0].Value[1:]
	for i := 1; i < parts; i++ {
		more := r.CookiesNamed(p.part(i))
		if len(more) != 1 {
			return ""
		}
		text += more[0].Value
	}
	return text
}

// part is the name of a cookie.
func (p *oidc) part(i int) string {
	if i == 0 {
		return p.cookie
	}
	return p.cookie + "-" + strconv.Itoa(i)
}

// owns reports whether a cookie is one of the policy's.
func (p *oidc) owns(name string) bool {
	return strings.HasPrefix(name, p.cookie) && (len(name) == len(p.cookie) || name[len(p.cookie)] == '-')
}

func (p *oidc) seal(s *session) string {
	plain, err := json.Marshal(s)
	if err != nil {
		return "" // of what it is made of that is not so
	}
	return p.sealer.seal(p.purpose+"session", plain)
}

// set are the fields Set-Cookie that make a browser keep a session. ok is false
// for one that is too large.
func (p *oidc) set(text string, s *session, now time.Time) (fields []string, ok bool) {
	parts := (len(text) + maxPart - 1) / maxPart
	if parts < 1 || parts > maxParts {
		return nil, false
	}
	left := int(time.Unix(s.Born, 0).Add(p.lifetime).Sub(now).Seconds())
	text = strconv.Itoa(parts) + text
	for i := range parts {
		end := min(len(text), maxPart+1)
		fields = append(fields, setCookie(p.part(i), text[:end], left))
		text = text[end:]
	}
	return fields, true
}

// setCookie is a field of a cookie that only this origin gets, that no script
// reads, and that other sites do not cause to be sent but by links. An age of 0
// takes it away.
func setCookie(name, value string, age int) string {
	return name + "=" + value + "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=" + strconv.Itoa(age)
}

// unset are the fields that take all cookies of a session away.
func (p *oidc) unset() (fields []string) {
	for i := range maxParts {
		fields = append(fields, setCookie(p.part(i), "", 0))
	}
	return fields
}

// who has logged in. The claims are read as this policy has it: another with the
// same keys may have begun the session, and call people by what they choose.
func (p *oidc) who(s *session) *engine.Consumer {
	claims, err := readObject(string(s.Claims))
	if err != nil {
		return nil
	}
	name := textOf(p.consumer.in(claims))
	if name == "" {
		return nil
	}
	return &engine.Consumer{Name: name, By: "oidc", Plan: textOf(p.plan.in(claims)), Claims: claims}
}

// withCookies has an answer carry what a browser is to keep. What carries it is
// for one person, whatever it says of itself.
type withCookies struct {
	policy *oidc
	fields []string
	key    [sha256.Size]byte // of the session
}

// EditHeader is what gateway.HeaderEditor asks for.
func (c *withCookies) EditHeader(_ *gateway.Request, _ int, h http.Header) {
	// The session may have been renewed while the request was under way. What has
	// the old refresh token in it would then put the new one out of the browser.
	if next := c.policy.state.It().renewals.find(&c.key); next.text != "" {
		now := time.Now()
		if s := c.policy.unseal(next.text, now); s != nil {
			if fields, ok := c.policy.set(next.text, s, now); ok {
				c.fields = fields
			}
		}
	}
	h["Set-Cookie"] = append(slices.Clone(h["Set-Cookie"]), c.fields...)
	h["Cache-Control"] = []string{"no-store"}
}

// EditHeader is what gateway.HeaderEditor asks for: an answer that was asked for
// with a cookie is for one person, which caches cannot know as they do with
// Authorization.
func (p *oidc) EditHeader(_ *gateway.Request, _ int, h http.Header) {
	said := strings.Join(h["Cache-Control"], ", ")
	for _, word := range []string{"private", "no-store", "public", "s-maxage"} {
		if strings.Contains(strings.ToLower(said), word) {
			return
		}
	}
	if said != "" {
		said += ", "
	}
	h["Cache-Control"] = []string{said + "private"}
}

// renewals are what became of refresh tokens: the session that has taken the place
// of the one with the token, sealed. Browsers send the old cookies for a while, in
// requests that were under way. Those of the last minutes are kept, and as many as
// fit. It is safe for concurrent use.
type renewals struct {
	mu           sync.Mutex
	young, older map[[sha256.Size]byte]renewal
	since        time.Time
}

type renewal struct {
	text  string    // of the next session
	ended bool      // there is none
	pause time.Time // until then the provider is not asked again; zero: it has answered
}

const (
	renewalsFor  = 5 * time.Minute
	mostRenewals = 10000
)

func (n *renewals) find(key *[sha256.Size]byte) renewal {
	n.mu.Lock()
	defer n.mu.Unlock()
	if one, ok := n.young[*key]; ok {
		return one
	}
	return n.older[*key]
}

func (n *renewals) add(key *[sha256.Size]byte, one renewal, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.young == nil || len(n.young) >= mostRenewals || now.Sub(n.since) >= renewalsFor {
		n.older, n.young, n.since = n.young, map[[sha256.Size]byte]renewal{}, now
	}
	n.young[*key] = one
}
