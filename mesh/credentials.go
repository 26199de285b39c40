package mesh

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// Credentials are what a service knows its caller by: the value of the field
// Authorization, which may be another one from time to time. They are safe for
// concurrent use. [TokenFile] and [AccessToken] are some.
type Credentials interface {
	// Authorization is the value, as http.Header holds it, which nobody changes.
	// If there is none yet it is waited for until ctx ends.
	Authorization(ctx context.Context) ([]string, error)
	// Renew gives another value than one that a server has answered with 401
	// (RFC 9110 section 15.5.2), or an error if there is none to be had.
	Renew(ctx context.Context, refused []string) ([]string, error)
	// Stats are what became of them.
	Stats() CredentialsStats
}

// CredentialsStats are the state of [Credentials]. It holds nothing that is
// secret.
type CredentialsStats struct {
	Kind        string    // "token_file" or "oauth2"
	Refreshed   time.Time // when the value in use was had; zero if there is none
	Expires     time.Time // when it ends; zero if that is not known
	Refreshes   int64     // values that were had
	Refused     int64     // 401s that were a reason to look for another value
	Failures    int64     // looks that gave none
	LastFailure time.Time // of the last one; zero if there was none
	Failure     error     // why the last look gave none; nil if it did
}

const authorization = "Authorization"

// authorize gives the request of the call the service's credentials, unless it
// says itself what it is known by.
func (r *run) authorize() (Class, error) {
	c := r.service.cfg.Credentials
	if c == nil || len(r.req.Header[authorization]) > 0 {
		return OK, nil
	}
	ctx, cancel := r.bounded()
	defer cancel()
	value, err := c.Authorization(ctx)
	r.now = time.Now() // it may have been waited for
	switch {
	case err == nil:
		r.present(value)
		return OK, nil
	case r.req.Context().Err() != nil:
		return contextClass(r.req.Context().Err()), fmt.Errorf("waiting for credentials: %w", err)
	}
	return NoCredentials, err
}

// bounded is the context of the call with what else bounds it.
func (r *run) bounded() (context.Context, context.CancelFunc) {
	if r.until.IsZero() {
		return r.req.Context(), func() {}
	}
	return context.WithDeadlineCause(r.req.Context(), r.until, os.ErrDeadlineExceeded)
}

// present makes value what the call is known by. The request of the caller is not
// changed.
func (r *run) present(value []string) {
	req := *r.req
	if req.Header = maps.Clone(req.Header); req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header[authorization] = value
	r.req, r.presented = &req, value
}

// renew reports whether an attempt failed for its credentials alone and the call
// now has others. That happens once in a call: what is refused twice is refused
// for another reason. The endpoint has not acted on the request, so that any
// method can be repeated; and the reply stays the call's if there is nothing to
// put in its place.
func (r *run) renew(out *outcome) bool {
	if r.presented == nil || r.renewed || out.status() != http.StatusUnauthorized {
		return false
	}
	if h1.HasBody(r.req) && r.req.GetBody == nil && r.held.lost() {
		return false
	}
	r.renewed = true
	ctx, cancel := r.bounded()
	defer cancel()
	value, err := r.service.cfg.Credentials.Renew(ctx, r.presented)
	if err != nil {
		return false
	}
	r.present(value)
	return true
}

// credentialsStats is nil without credentials.
func (c Config) credentialsStats() *CredentialsStats {
	if c.Credentials == nil {
		return nil
	}
	st := c.Credentials.Stats()
	return &st
}

// watchCredentials has the service tell when its credentials cannot be refreshed,
// and when they are again, if they know.
func (c Config) watchCredentials() {
	watched, ok := c.Credentials.(interface{ watch(tell func(Change)) })
	if ok && c.changes != nil {
		watched.watch(c.changes.tell)
	}
}

// credentialsWatch tells of credentials that cannot be refreshed.
type credentialsWatch struct {
	tell    atomic.Pointer[func(Change)]
	failing atomic.Bool
}

func (w *credentialsWatch) watch(tell func(Change)) { w.tell.Store(&tell) }

// refreshed takes what came of a look for other credentials.
func (w *credentialsWatch) refreshed(failure error) {
	tell := w.tell.Load()
	if w.failing.Swap(failure != nil) == (failure != nil) || tell == nil {
		return
	}
	if failure != nil {
		(*tell)(Change{What: CredentialsFailed, Because: failure.Error()})
		return
	}
	(*tell)(Change{What: CredentialsBack})
}
