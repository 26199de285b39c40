package mesh

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Affinity keeps a caller with one endpoint, by a cookie that its first reply
// sets: it stays there however many come and go beside it, as no hash can have
// it, and no process has to remember it. The cookie holds a code for the
// endpoint, never its address.
//
// A caller moves, and gets another cookie, when its endpoint is gone, about to
// end, ejected, unhealthy or stopped by its breaker, or has just failed it so that another
// one replied. If the endpoint has no room, [Limit].PerEndpoint, another one
// does this call, and the cookie stays. What has an endpoint is not hedged:
// nobody else has what it keeps.
//
// With versions, the endpoint decides the version, unless [Version].When does.
type Affinity struct {
	// Cookie is its name. Empty is no affinity.
	Cookie string
	// Path is where browsers send it, with all below. Empty is "/".
	Path string
	// MaxAge is how long browsers keep it. 0 is until they are closed.
	MaxAge time.Duration
	// SameSite is "lax", "strict" or "none": whether browsers send it with requests
	// that come from other sites. Empty is "lax".
	SameSite string
	// Secure keeps it to connections with TLS. It is set without that, too, for a
	// request whose X-Forwarded-Proto is https.
	Secure bool
	// Key makes the codes unpredictable. Without it someone who guesses the address
	// of an endpoint can tell whether the guess is right. Processes that share
	// callers have the same.
	Key string
}

var sameSites = map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"}

func (a Affinity) withDefaults() Affinity {
	if a.Cookie != "" {
		a.Path = orDefault(a.Path, "/")
		a.SameSite = orDefault(a.SameSite, "lax")
	}
	return a
}

func (a Affinity) validate(f *faults) {
	if a == (Affinity{}) {
		return
	}
	if !isToken(a.Cookie) {
		f.add("affinity.cookie", fmt.Sprintf("%q is not the name of a cookie", a.Cookie), "write a name such as cart_server")
	}
	if a.Path != "" && (a.Path[0] != '/' || strings.ContainsFunc(a.Path, func(r rune) bool { return r < ' ' || r == ';' || r >= 0x7f })) {
		f.add("affinity.path", fmt.Sprintf("%q is not the path of a cookie", a.Path), "write / or a path such as /shop")
	}
	f.nonNegative("affinity.max_age", a.MaxAge)
	if a.MaxAge > 0 && a.MaxAge < time.Second {
		f.add("affinity.max_age", "the age of a cookie is in whole seconds", "write 1s or more")
	}
	if a.SameSite != "" && sameSites[a.SameSite] == "" {
		f.add("affinity.same_site", fmt.Sprintf("there is no same_site %q", a.SameSite), "write lax, strict or none")
	}
	switch needs := "write secure: true"; {
	case a.Secure:
	case a.SameSite == "none":
		f.add("affinity.same_site", "browsers take a cookie of same_site none only if it is secure", needs)
	case strings.HasPrefix(a.Cookie, "__Secure-") || strings.HasPrefix(a.Cookie, "__Host-"):
		f.add("affinity.cookie", "browsers take a cookie of this name only if it is secure", needs)
	}
	if strings.HasPrefix(a.Cookie, "__Host-") && orDefault(a.Path, "/") != "/" {
		f.add("affinity.path", "browsers take a cookie of this name only for the path /", "leave out path")
	}
}

// affinity is [Affinity] made ready. A nil one does nothing.
type affinity struct {
	Affinity
	attributes string // of the cookie

	kept, given, moved atomic.Int64
}

func newAffinity(a Affinity) *affinity {
	if a.Cookie == "" {
		return nil
	}
	attributes := "; Path=" + a.Path
	if a.MaxAge > 0 {
		attributes += "; Max-Age=" + strconv.FormatInt(int64(a.MaxAge/time.Second), 10)
	}
	return &affinity{Affinity: a, attributes: attributes + "; HttpOnly; SameSite=" + sameSites[a.SameSite]}
}

// code stands for an endpoint in cookies. It is the same in every process, and 96
// bits are enough for no two of a service to share one.
func (a Affinity) code(e *Endpoint) string {
	if a.Cookie == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(a.Key))
	mac.Write([]byte(e.identity()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:12])
}

// homes are the endpoints by their codes.
func (a *affinity) homes(endpoints []*Endpoint) map[string]*Endpoint {
	if a == nil {
		return nil
	}
	homes := make(map[string]*Endpoint, len(endpoints))
	for _, e := range endpoints {
		homes[e.code] = e
	}
	return homes
}

// home is the endpoint that the caller of a request is kept with, nil if it has
// none or has to move.
func (a *affinity) home(s *set, req *http.Request, at time.Duration) *Endpoint {
	if a == nil {
		return nil
	}
	if e := s.homes[cookie(req.Header, a.Cookie)]; e != nil && e.isHome(at) {
		return e
	}
	return nil
}

// isHome reports whether callers stay with the endpoint.
func (e *Endpoint) isHome(at time.Duration) bool { return !e.target.Draining && e.usable(at) }

// home is where the call goes first, if its caller is kept there.
func (t *tried) home(a *affinity, req *http.Request, at time.Duration) *Endpoint {
	if a == nil || t.marks != 0 {
		return nil
	}
	e := a.home(t.in, req, at)
	if e == nil || e.version != t.version || !e.hasRoom() {
		return nil
	}
	t.kept = true
	return e
}

// settle sets the cookie of a caller that moves, or has come. e made the reply.
func (a *affinity) settle(r *run, e *Endpoint, resp *http.Response) {
	if a == nil || e == nil || resp == nil {
		return
	}
	code := cookie(r.req.Header, a.Cookie)
	if code == e.code {
		a.kept.Add(1)
		return
	}
	home := a.home(r.tried.in, r.req, r.service.clock())
	switch {
	case code == "":
		a.given.Add(1)
	case home != nil && home.version == e.version && !r.tried.marks.has(home.index):
		return // it had no room
	default:
		a.moved.Add(1)
	}
	value := a.Cookie + "=" + e.code + a.attributes
	if proto := r.req.Header["X-Forwarded-Proto"]; a.Secure || len(proto) == 1 && proto[0] == "https" {
		value += "; Secure"
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header.Add("Set-Cookie", value)
}

// AffinityStats are what [Affinity] counts, in calls.
type AffinityStats struct {
	Kept  int64 // that went where their caller is kept
	Given int64 // whose caller came without a cookie and was given one
	Moved int64 // whose caller was given another one
}

func (a *affinity) stats() *AffinityStats {
	if a == nil {
		return nil
	}
	return &AffinityStats{Kept: a.kept.Load(), Given: a.given.Load(), Moved: a.moved.Load()}
}
