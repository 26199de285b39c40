package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// issuer is a token endpoint. Its tokens are t1, t2, and so on, and last a
// thousand seconds.
type issuer struct {
	fetches atomic.Int64
	takes   time.Duration
	down    atomic.Bool
	answer  func(*http.Request) *http.Response // in place of a token, if set
	mu      sync.Mutex
	last    *http.Request
	form    url.Values
}

func (i *issuer) RoundTrip(req *http.Request) (*http.Response, error) {
	n := i.fetches.Add(1)
	body, _ := io.ReadAll(req.Body)
	i.mu.Lock()
	i.last = req
	i.form, _ = url.ParseQuery(string(body))
	i.mu.Unlock()
	select {
	case <-time.After(i.takes):
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	switch {
	case i.down.Load():
		return answered(503, "text/html", "<p>"), nil
	case i.answer != nil:
		return i.answer(req), nil
	}
	return answered(200, "application/json;charset=UTF-8", fmt.Sprintf(`{"access_token":"t%d","token_type":"bearer","expires_in":1000}`, n)), nil
}

func answered(status int, media, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

// guarded is a backend that takes one token, or any if that is empty.
type guarded struct {
	taken string
	calls atomic.Int64
	mu    sync.Mutex
	seen  []string // the tokens, each with the body
}

func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	g.calls.Add(1)
	body := ""
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, strings.TrimSpace(token+" "+body))
	if g.taken != "" && token != g.taken {
		return answered(401, "text/plain", "who are you?"), nil
	}
	return answered(200, "text/plain", "fine"), nil
}

var shop = ClientCredentials{Path: "/token", ID: "shop", Secret: "hush/hush"}

// secured is a service whose tokens i gives.
func secured(t testing.TB, i *issuer, g *guarded, cfg Config) (*Service, *AccessToken) {
	t.Helper()
	token, err := OpenAccessToken(open(t, Config{Endpoints: []string{"http://idp"}, Transport: i}), shop)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Endpoints, cfg.Transport, cfg.Credentials = []string{"http://a", "http://b"}, g, token
	return open(t, cfg), token
}

func get(t testing.TB, s *Service) error {
	t.Helper()
	resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func (g *guarded) sees(t testing.TB, want ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if got, want := strings.Join(g.seen, ","), strings.Join(want, ","); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	g.seen = nil
}

func TestATokenIsFetchedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{takes: 2 * time.Second}, &guarded{}
		s, token := secured(t, i, g, Config{})
		start := time.Now()
		get(t, s)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the first call took %v", took)
		}
		g.sees(t, "t1")
		time.Sleep(time.Until(start.Add(699 * time.Second)))
		get(t, s)
		if i.fetches.Load() != 1 {
			t.Error("there is no hurry yet")
		}
		time.Sleep(time.Until(start.Add(801 * time.Second)))
		before := time.Now()
		for range 10 {
			get(t, s)
		}
		if time.Since(before) != 0 {
			t.Error("calls do not wait for a token while there is one")
		}
		g.sees(t, "t1", "t1", "t1", "t1", "t1", "t1", "t1", "t1", "t1", "t1", "t1")
		time.Sleep(3 * time.Second)
		get(t, s)
		g.sees(t, "t2")
		if st := s.Stats().Credentials; i.fetches.Load() != 2 || st.Refreshes != 2 || st.Failures != 0 || st.Expires.Before(token.token.Load().since.Add(980*time.Second)) {
			t.Errorf("%d fetches, %+v", i.fetches.Load(), st)
		}
		time.Sleep(time.Hour) // nobody calls: nothing is fetched
		if i.fetches.Load() != 2 {
			t.Error(i.fetches.Load())
		}
	})
}

func TestCallersShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{takes: time.Second}, &guarded{}
		s, _ := secured(t, i, g, Config{})
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(first))
			if classOf(t, err) != Canceled {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 1000 {
			all.Go(func() {
				if err := get(t, s); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second / 2)
		leave() // who began the fetch
		all.Wait()
		if n := i.fetches.Load(); n != 1 || g.calls.Load() != 1000 {
			t.Errorf("%d fetches, %d calls", n, g.calls.Load())
		}
	})
}

func TestAnOutageOfTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{}, &guarded{}
		s, _ := secured(t, i, g, Config{Breaker: Breaker{Failures: 1}, ServiceBreaker: Breaker{Failures: 1}})
		start := time.Now()
		get(t, s)
		i.down.Store(true)
		for time.Since(start) < 985*time.Second { // the old one is good
			time.Sleep(time.Second)
			if err := get(t, s); err != nil {
				t.Fatal(time.Since(start), err)
			}
		}
		synctest.Wait()
		tries := i.fetches.Load() - 1
		if tries < 18 || tries > 80 { // in 185s to 285s: the pauses come to 5s to 10s
			t.Errorf("%d tries", tries)
		}
		time.Sleep(10 * time.Second)
		err := get(t, s)
		if classOf(t, err) != NoCredentials || !strings.Contains(err.Error(), "the service test gives no token: status 503") {
			t.Error(err)
		}
		before := i.fetches.Load()
		for range 1000 {
			if err := get(t, s); classOf(t, err) != NoCredentials {
				t.Error(err)
			}
		}
		if n := i.fetches.Load() - before; n > 1 {
			t.Errorf("%d tries at once", n)
		}
		st := s.Stats()
		if st.Failures[NoCredentials] != 1001 || st.Breaker.State != "closed" || st.Endpoints[0].Attempts+st.Endpoints[1].Attempts != g.calls.Load() {
			t.Errorf("%+v", st)
		}
		if c := st.Credentials; c.Failures < 18 || c.Failure == nil || c.LastFailure.IsZero() {
			t.Errorf("%+v", c)
		}
		i.down.Store(false)
		time.Sleep(maxPause)
		if err := get(t, s); err != nil || s.Stats().Credentials.Failure != nil {
			t.Error(err)
		}
	})
}

// A caller waits no longer than its deadline says, and the fetch goes on for the next.
func TestATokenIsNotWaitedForBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 20 * time.Second}
		s, _ := secured(t, i, &guarded{}, Config{Deadline: 2 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx)); classOf(t, err) != Deadline || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
		if err := get(t, s); classOf(t, err) != NoCredentials || time.Since(start) != 3*time.Second {
			t.Error(err, time.Since(start))
		}
		time.Sleep(17 * time.Second)
		if err := get(t, s); err != nil || i.fetches.Load() != 1 {
			t.Error(err, i.fetches.Load())
		}
	})
}

func TestAnEndpointThatNeverAnswersForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := secured(t, &issuer{takes: time.Hour}, &guarded{}, Config{})
		start := time.Now()
		if err := get(t, s); classOf(t, err) != NoCredentials || time.Since(start) != fetchTime {
			t.Error(err, time.Since(start))
		}
	})
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	once := func(body string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body)); r.ContentLength = -1 }
	}
	for name, tt := range map[string]struct {
		method string
		with   func(*http.Request)
		cfg    Config
		taken  string
		want   string
		status int
	}{
		"a GET":                     {"GET", nil, Config{}, "t2", "t1,t2", 200},
		"a POST":                    {"POST", func(r *http.Request) {}, Config{}, "t2", "t1,t2", 200},
		"a body that is streamed":   {"POST", once("data"), Config{}, "t2", "t1 data,t2 data", 200},
		"a body that is too long":   {"POST", once("0123456789"), Config{Retry: Retry{Replay: 5}}, "t2", "t1 0123456789", 401},
		"a token of no use":         {"GET", nil, Config{}, "none", "t1,t2", 401},
		"with retries, of 401, too": {"GET", nil, Config{Retry: Retry{Attempts: 3, On: []string{"401"}, Backoff: 1, MaxBackoff: 1}}, "none", "t1,t2,t2,t2", 401},
		"of the request itself":     {"GET", func(r *http.Request) { r.Header.Set("Authorization", "Bearer mine") }, Config{}, "t2", "mine", 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, g := &issuer{}, &guarded{}
				s, token := secured(t, i, g, tt.cfg)
				if err := get(t, s); err != nil {
					t.Fatal(err)
				}
				g.sees(t, "t1")
				time.Sleep(renewInterval)
				g.taken = tt.taken
				req := newRequest(t, tt.method, "/", nil)
				if tt.with != nil {
					tt.with(req)
				}
				call := &Call{Record: true}
				resp, err := s.Do(req, call)
				if err != nil || resp.StatusCode != tt.status {
					t.Fatal(resp, err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Error(err)
				}
				resp.Body.Close()
				g.sees(t, strings.Split(tt.want, ",")...)
				if strings.HasPrefix(tt.want, "t1,") && (call.Records[0].Next != Renewed || token.Stats().Refused != 1) {
					t.Errorf("%v, %+v", call.Records[0].Next, token.Stats())
				}
				if st := s.Stats(); st.Denied != 0 || st.Endpoints[0].InFlight+st.Endpoints[1].InFlight != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// A backend that takes no token at all is not a reason to fetch one for each call.
func TestTokensAreNotFetchedForEach401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{}, &guarded{taken: "none"}
		s, _ := secured(t, i, g, Config{})
		start := time.Now()
		for time.Since(start) < time.Minute {
			get(t, s)
			time.Sleep(100 * time.Millisecond)
		}
		if n := i.fetches.Load(); n > 7 {
			t.Errorf("%d fetches", n)
		}
	})
}

// What is refused in an outage stays in use: it may be good for other requests.
func TestARefusedTokenOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{}, &guarded{}
		s, _ := secured(t, i, g, Config{})
		get(t, s)
		time.Sleep(renewInterval)
		i.down.Store(true)
		g.taken = "another"
		if resp, err := s.RoundTrip(newRequest(t, "GET", "/forbidden", nil)); err != nil || resp.StatusCode != 401 {
			t.Error(resp, err)
		}
		g.taken = ""
		if err := get(t, s); err != nil {
			t.Error(err)
		}
		g.sees(t, "t1", "t1", "t1")
	})
}

func TestWhatATokenEndpointIsAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		c          ClientCredentials
		form, auth string
	}{
		"basic": {ClientCredentials{Path: "/token", ID: "a shop", Secret: "p:ä+%"},
			"grant_type=client_credentials", "Basic YStzaG9wOnAlM0ElQzMlQTQlMkIlMjU="}, // a+shop:p%3A%C3%A4%2B%25
		"post": {ClientCredentials{Path: "/token", ID: "shop", Secret: "a&b", Method: "client_secret_post", Scopes: []string{"read", "write"}, Audience: "ledger", Resources: []string{"https://a", "urn:b"}},
			"audience=ledger&client_id=shop&client_secret=a%26b&grant_type=client_credentials&resource=https%3A%2F%2Fa&resource=urn%3Ab&scope=read+write", ""},
	} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{}
			token, err := OpenAccessToken(open(t, Config{Endpoints: []string{"http://idp/base"}, Transport: i}), tt.c)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := token.Authorization(t.Context()); err != nil || got[0] != "Bearer t1" {
				t.Error(got, err)
			}
			if i.last.Method != "POST" || i.last.URL.Path != "/base/token" || i.form.Encode() != tt.form || i.last.Header.Get("Authorization") != tt.auth ||
				i.last.Header.Get("Accept") != "application/json" || i.last.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("%v %v %q %q", i.last.URL, i.last.Header, i.form.Encode(), i.last.Header.Get("Authorization"))
			}
		})
	}
}

func TestClientCredentialsThatMakeNoSense(t *testing.T) {
	s := open(t, Config{Endpoints: []string{"http://idp"}})
	_, err := OpenAccessToken(s, ClientCredentials{Path: "https://idp/token", Method: "digest", Scopes: []string{"read write"}, Resources: []string{"a#b"}})
	for _, want := range []string{"path: ", "client_id: ", "client_secret: ", "method: ", "scopes[0]: ", "resources[0]: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told of: %v", want, err)
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	const json = "application/json"
	for name, tt := range map[string]struct {
		status      int
		media, body string
		want        string
	}{
		"an error with words":      {400, json, `{"error":"invalid_scope","error_description":"no such\r\nscope"}`, "status 400, invalid_scope: no such  scope"},
		"an error with the secret": {401, json, `{"error":"invalid_client","error_description":"hush/hush is wrong"}`, "status 401, invalid_client"},
		"the secret as it is sent": {401, json, `{"error":"invalid_client","error_description":"hush%2Fhush is wrong"}`, "status 401, invalid_client"},
		"an error page":            {500, "text/html", "<h1>hush/hush</h1>", "status 500"},
		"a redirect":               {302, "text/html", "", "status 302: a redirect is not followed"},
		"a page":                   {200, "text/html", "<h1>Sign in</h1>", `not application/json, but "text/html"`},
		"no type":                  {200, "", `{"access_token":"t"}`, `not application/json, but ""`},
		"a huge answer":            {200, json, `{"access_token":"` + strings.Repeat("t", 1<<20) + `"}`, "larger than"},
		"a huge token":             {200, json, `{"access_token":"` + strings.Repeat("t", maxToken+1) + `"}`, "cannot be sent"},
		"no JSON":                  {200, json, `access_token=verysecret`, "not the JSON of a token"},
		"no token":                 {200, json, `{"expires_in":3600}`, "no access_token"},
		"no object":                {200, json, `null`, "no access_token"},
		"a token with a line end":  {200, json, `{"access_token":"verysecret\r\nX-Admin: 1"}`, "cannot be sent"},
		"a token of another type":  {200, json, `{"access_token":"verysecret","token_type":"DPoP"}`, `of the type "DPoP"`},
		"a number for a token":     {200, json, `{"access_token":12345678}`, "not the JSON of a token"},
		"half an answer":           {200, json, `{"access_token":"verysec`, "not the JSON of a token"},
	} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{answer: func(*http.Request) *http.Response { return answered(tt.status, tt.media, tt.body) }}
			s, token := secured(t, i, &guarded{}, Config{})
			err := get(t, s)
			if classOf(t, err) != NoCredentials || !strings.Contains(err.Error(), tt.want) {
				t.Error(err)
			}
			for _, text := range []string{fmt.Sprint(err), fmt.Sprint(token.Stats().Failure)} {
				if len(text) > 600 || strings.Contains(text, "hush") || strings.Contains(text, "verysec") || strings.ContainsAny(text, "\r\n") {
					t.Error(text)
				}
			}
		})
	}
}

func TestHowLongATokenLasts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`3600`: time.Hour, `"3600"`: time.Hour, `1.5e3`: 1500 * time.Second, `0.001`: time.Second, `1e999`: maxLifetime, `31536000`: maxLifetime,
		``: 0, `null`: 0, `0`: 0, `-5`: 0, `"soon"`: 0, `"NaN"`: 0, `{}`: 0, `true`: 0,
	} {
		if got := lifetime([]byte(text)); got != want {
			t.Errorf("%s: %v, not %v", text, got, want)
		}
	}
}

// A token that does not say how long it lasts is replaced now and then, and used
// until that succeeds.
func TestATokenThatDoesNotSayHowLongItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, g := &issuer{}, &guarded{}
		i.answer = func(*http.Request) *http.Response {
			return answered(200, "application/json", fmt.Sprintf(`{"access_token":"t%d"}`, i.fetches.Load()))
		}
		s, _ := secured(t, i, g, Config{})
		get(t, s)
		time.Sleep(unknownLifetime)
		get(t, s)
		synctest.Wait()
		get(t, s)
		i.down.Store(true)
		time.Sleep(24 * time.Hour)
		get(t, s)
		g.sees(t, "t1", "t1", "t2", "t2")
		if !s.Stats().Credentials.Expires.IsZero() {
			t.Error("that is not known")
		}
	})
}

func TestErrorsOfTheServiceThatGivesTokens(t *testing.T) {
	idp := open(t, Config{Endpoints: []string{"http://idp"}, Transport: always(nil, errRefused)})
	token, err := OpenAccessToken(idp, shop)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &guarded{}, Credentials: token})
	err = get(t, s)
	var inner *Error
	if classOf(t, err) != NoCredentials || !errors.As(errors.Unwrap(err), &inner) || inner.Class != Connect {
		t.Error(err)
	}
}
