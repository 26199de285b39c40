package policies

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/engine"
)

// FuzzIntrospection holds that nobody is let in but by an answer that says active,
// and that who is has a name.
func FuzzIntrospection(f *testing.F) {
	for _, seed := range []string{`{"active":true,"sub":"ada"}`, `{"active":true,"sub":"ada","exp":1e400}`, `{"active":false,"sub":"ada"}`, `{"active":true,"aud":[1]}`, `{"active":true,"sub":{"a":[{}]}}`, `[]`} {
		f.Add(seed)
	}
	p := &introspection{audience: audience{anyone: true}, consumer: claimPathOf("sub"), maxAge: time.Minute, stale: time.Hour}
	f.Fuzz(func(t *testing.T, text string) {
		answer, err := readObject(text)
		if err != nil {
			return
		}
		active, now := answer["active"], time.Now()
		v, err := p.read(answer, now)
		if v == nil || err != nil {
			return
		}
		if active != true || v.consumer.Name == "" || v.size <= 0 || v.until.After(now.Add(time.Minute)) || v.last.Before(v.until) {
			t.Errorf("%s is taken as %+v", text, v)
		}
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestWhoGoesDoesNotMakeATokenHold holds that a caller cannot have its token
// believed for longer, by others as well, by not waiting for what the server says.
func TestWhoGoesDoesNotMakeATokenHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &introspectionState{active: newTokenCache(10, 1<<20), inactive: newTokenCache(10, 1<<20)}
		defer s.Close()
		p := &introspection{oauth: &oauthClient{}, at: &url.URL{Scheme: "http", Host: "id"}, client: func() http.RoundTripper { return silent{} }}
		now, sum := time.Now(), sha256.Sum256([]byte("a"))
		s.active.add(&sum, &verified{consumer: &engine.Consumer{Name: "ada"}, until: now, last: now.Add(time.Hour), size: verifiedSize})
		ctx, gone := context.WithCancel(t.Context())
		gone()
		if v, no := p.find(ctx, s, "a", now); v != nil || no == nil || s.active.find(&sum).until.After(now) {
			t.Error("a token is believed because its caller has gone")
		}
		if v, no := p.find(t.Context(), s, "a", now); v == nil || no != nil {
			t.Error("a token is not believed though the server is out")
		}
	})
}
