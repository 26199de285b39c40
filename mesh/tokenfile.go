package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/lookout"
)

// TokenFile is a token that something else keeps fresh in a file, as Kubernetes
// does with those of service accounts.
type TokenFile struct {
	credentialsWatch

	path    string
	lookout lookout.Lookout
	header  atomic.Pointer[[]string]
	status  atomic.Pointer[CredentialsStats]
	refused atomic.Int64
}

const (
	// tokenInterval bounds how often the file is looked at. Kubernetes replaces
	// a token when a fifth of its time is left, minutes before its end.
	tokenInterval = 10 * time.Second
	// refusedInterval is the same when a server does not take the token.
	refusedInterval = time.Second
	maxToken        = 64 << 10 // bytes
)

// OpenTokenFile reads the token at path. The error does not quote it.
func OpenTokenFile(path string) (*TokenFile, error) {
	t := &TokenFile{path: path}
	t.status.Store(&CredentialsStats{Kind: "token_file"})
	t.lookout.Looked()
	if err := t.load(time.Now()); err != nil {
		return nil, err
	}
	return t, nil
}

// Authorization is "Bearer " and the token. It looks at the file if that was not
// done in the last 10s; a file that cannot be used leaves the token what it was.
func (t *TokenFile) Authorization(context.Context) ([]string, error) {
	t.lookout.Visit(tokenInterval, t.look)
	return *t.header.Load(), nil
}

// Renew looks at the file if that was not done in the last second.
func (t *TokenFile) Renew(_ context.Context, refused []string) ([]string, error) {
	t.refused.Add(1)
	t.lookout.Visit(refusedInterval, t.look)
	if now := *t.header.Load(); now[0] != refused[0] {
		return now, nil
	}
	return nil, errSameToken
}

var errSameToken = errors.New("there is no other token")

func (t *TokenFile) look(now time.Time) {
	err := t.load(now)
	if err != nil {
		status := *t.status.Load()
		status.Failures++
		status.Failure, status.LastFailure = err, now
		t.status.Store(&status)
	}
	t.refreshed(err)
}

// Stats is what [Credentials] asks for. When the token expires is not known.
func (t *TokenFile) Stats() CredentialsStats {
	st := *t.status.Load()
	st.Refused = t.refused.Load()
	return st
}

func (t *TokenFile) load(now time.Time) error {
	info, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	if info.Size() > maxToken {
		return fmt.Errorf("%s is larger than %d bytes", t.path, maxToken)
	}
	b, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return fmt.Errorf("%s is empty", t.path)
	}
	if !validToken(token) {
		return fmt.Errorf("%s holds something else than a token", t.path)
	}
	status := *t.status.Load()
	status.Failure = nil
	if header := "Bearer " + token; t.header.Load() == nil || (*t.header.Load())[0] != header {
		t.header.Store(&[]string{header})
		status.Refreshes++
		status.Refreshed = now
	}
	t.status.Store(&status)
	return nil
}

// validToken reports whether a text can be sent as a token: RFC 6750 section 2.1.
func validToken(token string) bool {
	const others = "-._~+/="
	for _, c := range token {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(others, c) {
			return false
		}
	}
	return token != ""
}
