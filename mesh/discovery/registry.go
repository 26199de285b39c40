package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// registry is the HTTP API of something that knows where services run.
type registry struct {
	client *http.Client
	base   string
	token  func() (string, error)        // for each request; empty is none
	header func(h http.Header, t string) // says the token
}

// maxAnswer bounds one document of a registry, and one event of a watch.
const maxAnswer = 32 << 20

// newRegistry makes the client of an API, with the authorities of a PEM file
// or, if there is none, the system's. No redirect is followed: the token is for
// one place.
func newRegistry(o Options, base, authorities string) (*registry, error) {
	t := &http.Transport{
		DialContext: o.Dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		// A watch is silent for long: only pings tell that the other side lives.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	if authorities != "" {
		pem, err := os.ReadFile(authorities)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", authorities)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &registry{base: base, client: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (r *registry) close() { r.client.CloseIdleConnections() }

// statusError is an answer other than 200.
type statusError struct {
	status int
	said   string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("status %d", e.status)
	if e.said != "" {
		text += ": " + e.said
	}
	return text
}

// get asks for a path. The answer is good, and its body is the caller's to
// close.
func (r *registry) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "weir")
	if r.token != nil {
		token, err := r.token()
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.header(req.Header, token)
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.base, plain(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, fmt.Errorf("%s: %w", r.base, &statusError{resp.StatusCode, complaint(resp.Body)})
}

// complaint is what an error's body says in words, as far as that is short.
func complaint(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, 64<<10))
	var status struct{ Message string }
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		text = []byte(status.Message)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	const most = 300
	if len(line) > most {
		line = line[:most] + "…"
	}
	return strings.ToValidUTF8(line, "?")
}

// decode reads a whole document.
func decode(body io.Reader, into any) error {
	limited := &io.LimitedReader{R: body, N: maxAnswer}
	err := json.NewDecoder(limited).Decode(into)
	if limited.N <= 0 {
		return fmt.Errorf("the answer is larger than %d MB", maxAnswer>>20)
	}
	return err
}

// tokenFile reads a file at each use, so that a token is followed when it is
// renewed. A file that is not there is no token.
func tokenFile(path string) func() (string, error) {
	return func() (string, error) {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return "", nil
		}
		return strings.TrimSpace(string(text)), err
	}
}
