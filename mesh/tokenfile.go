package mesh

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TokenFile is a token that something else keeps fresh in a file, as Kubernetes
// does with those of service accounts. It is safe for concurrent use.
type TokenFile struct {
	path   string
	header atomic.Pointer[[]string]
	status atomic.Pointer[TokenStats]

	looking sync.Mutex   // held by the one who looks; nobody waits for it
	looked  atomic.Int64 // in Unix nanoseconds
}

// TokenStats are what became of a [TokenFile].
type TokenStats struct {
	Failures    int64     // looks that found no token
	LastFailure time.Time // of the last one; zero if there was none
	Failure     error     // why the token in use is not the file's; nil if it is
}

const (
	// tokenInterval bounds how often the file is looked at. Kubernetes replaces
	// a token when a fifth of its time is left, minutes before its end.
	tokenInterval = 10 * time.Second
	maxToken      = 64 << 10 // bytes
)

// OpenTokenFile reads the token at path. The error does not quote it.
func OpenTokenFile(path string) (*TokenFile, error) {
	t := &TokenFile{path: path}
	t.status.Store(&TokenStats{})
	t.looked.Store(time.Now().UnixNano())
	if err := t.load(); err != nil {
		return nil, err
	}
	return t, nil
}

// Authorization is the value of the header of that name, as http.Header holds
// it: "Bearer " and the token. It looks at the file if that was not done in the
// last 10s; a file that cannot be used leaves the token what it was. The caller
// does not change it.
func (t *TokenFile) Authorization() []string {
	now := time.Now()
	if now.UnixNano()-t.looked.Load() >= int64(tokenInterval) && t.looking.TryLock() {
		t.looked.Store(now.UnixNano())
		status := *t.status.Load()
		if status.Failure = t.load(); status.Failure != nil {
			status.Failures++
			status.LastFailure = now
		}
		t.status.Store(&status)
		t.looking.Unlock()
	}
	return *t.header.Load()
}

// Stats returns what became of the file.
func (t *TokenFile) Stats() TokenStats { return *t.status.Load() }

func (t *TokenFile) load() error {
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
	if err := tokenFault(token); err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	if header := "Bearer " + token; t.header.Load() == nil || (*t.header.Load())[0] != header {
		t.header.Store(&[]string{header})
	}
	return nil
}

// tokenFault says why a text cannot be sent as a token: RFC 6750 section 2.1.
func tokenFault(token string) error {
	const others = "-._~+/="
	if token == "" {
		return errors.New("the file is empty")
	}
	for _, c := range token {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(others, c) {
			return errors.New("the file holds something else than a token")
		}
	}
	return nil
}
