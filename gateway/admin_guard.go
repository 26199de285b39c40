package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// Codes of the problems of admin endpoints.
const (
	CodeAdminCredentials = "admin-credentials-required"
	CodeAdminHost        = "admin-host-unknown"
	CodeAdminOrigin      = "admin-origin-foreign"
	CodeAdminReadOnly    = "admin-read-only"
)

// AdminAccess is who may use the admin endpoints, and for what.
//
// Whoever is on the machine may read, without credentials, for as long as the
// address is one of the machine alone. Elsewhere a token or a certificate is
// needed for all but what probes and scrapers ask for: /healthz, /readyz and
// /metrics. If there is a token it is needed on the machine, too.
//
// A browser on the machine is no way in for the pages that it shows: a page that
// rebinds its own name to the machine is refused by that name, where no
// credentials stand in its way, and what changes something is refused if it comes
// from another origin.
type AdminAccess struct {
	// Token is a file with what callers have to show, "Authorization: Bearer
	// TOKEN". It is read for each request, so that it can be replaced. "" is none.
	Token string
	// Certificates says that the listener asks for those of clients, which it has
	// found to be sound.
	Certificates bool
	// Local says that the address can only be reached from this machine.
	Local bool
	// Write lets callers change something.
	Write bool
	// Host is the name that the listener is configured with.
	Host string
}

// shortestToken is in bytes: shorter ones can be guessed.
const shortestToken = 16

// CheckToken reads the file of the token, and says what is wrong with it.
func (a *AdminAccess) CheckToken() (token string, err error) {
	text, err := os.ReadFile(a.Token)
	if err != nil {
		return "", err
	}
	if token = strings.TrimSpace(string(text)); len(token) < shortestToken {
		return "", fmt.Errorf("%s holds a token of %d characters: use at least %d", a.Token, len(token), shortestToken)
	}
	return token, nil
}

// IsLocal reports whether an address that is listened on can only be reached from
// this machine.
func IsLocal(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // what is not TCP is a socket of this machine
}

var openToAll = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// guard lets in whom the access allows.
func (a *AdminAccess) guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch err := origins.Check(r); {
		case a.Local && a.Token == "" && !a.hostIsOurs(r.Host):
			WriteProblem(w, r, Problem{Status: http.StatusMisdirectedRequest, Code: CodeAdminHost,
				Detail: "This name does not stand for this machine: use its address, or localhost."})
		case err != nil:
			WriteProblem(w, r, Problem{Status: http.StatusForbidden, Code: CodeAdminOrigin, Detail: "A page of another origin cannot change anything here."})
		case !openToAll[r.URL.Path] && !a.knows(r):
			w.Header()["Www-Authenticate"] = []string{`Bearer realm="weir admin"`}
			WriteProblem(w, r, Problem{Status: http.StatusUnauthorized, Code: CodeAdminCredentials, Detail: a.wanted()})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (a *AdminAccess) wanted() string {
	if a.Token == "" && !a.Certificates {
		return "Other machines can reach this address, and it has no credentials to know anyone by: start with --admin-token, or with --admin-client-ca."
	}
	return "Show the admin token, or a certificate."
}

// hostIsOurs tells the names of this machine from those that others can point at
// it. An address is no name.
func (a *AdminAccess) hostIsOurs(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil || host != "" && host == strings.ToLower(a.Host)
}

func (a *AdminAccess) knows(r *http.Request) bool {
	if a.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if a.Token == "" {
		return a.Local && !a.Certificates
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token, err := a.CheckToken()
	if err != nil || !strings.EqualFold(scheme, "bearer") {
		return false
	}
	// Of their hashes, which have one length, so that the time tells nothing.
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(shown)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// change lets a handler run only where callers may change something.
func (a *AdminAccess) change(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.Write {
			WriteProblem(w, r, Problem{Status: http.StatusForbidden, Code: CodeAdminReadOnly, Detail: "Nothing can be changed here: start with --admin-write to allow it."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
		next.ServeHTTP(w, r)
	})
}

const maxAdminBody = 64 << 10 // bytes
