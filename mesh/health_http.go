package mesh

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// HTTPCheck asks for a path with GET. Redirections are not followed.
type HTTPCheck struct {
	// Path is asked for at the host of the endpoint, with a query if wanted. The
	// path of the endpoint is not put before it.
	Path string
	// Host is the Host header. Empty is that of calls.
	Host string
	// Headers are sent with it, beside a User-Agent.
	Headers map[string]string
	// Status lists the statuses of an endpoint that is well: codes from "200" to
	// "599", and classes such as "2xx". Empty is 2xx.
	Status []string
}

var defaultHealthStatus = []string{"2xx"}

// userAgent tells checks from calls in the logs of a server.
const userAgent = "weir-health-check"

func (c HTTPCheck) validate(f *faults) {
	const path = "write path: /health"
	u, err := url.ParseRequestURI(c.Path)
	switch {
	case c.Path == "":
		f.add("health.http", "there is no path to ask for", path)
		return
	case err != nil || !strings.HasPrefix(c.Path, "/") || strings.Contains(c.Path, "#"):
		f.add("health.http.path", fmt.Sprintf("%q is not a path", c.Path), path)
		return
	}
	for i, s := range c.Status {
		if _, _, ok := parseStatus(s, 200); !ok {
			f.add(fmt.Sprintf("health.http.status[%d]", i), fmt.Sprintf("%q is not a status to expect", s), "write 2xx, 3xx, 4xx, 5xx, or a status code from 200 to 599")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !h1.ValidName(name) {
			f.add("health.http.headers."+name, fmt.Sprintf("%q is not the name of a header", name), "write a name such as X-Probe")
			return
		}
	}
	if err := h1.Validate(&http.Request{URL: u, Host: c.Host}); err != nil {
		f.add("health.http.host", err.Error(), "write a name such as shop.example")
	} else if err := h1.Validate(&http.Request{URL: u, Header: c.header()}); err != nil {
		f.add("health.http.headers", err.Error(), "write it in one line")
	}
}

func (c HTTPCheck) header() http.Header {
	header := http.Header{"User-Agent": {userAgent}}
	for name, value := range c.Headers {
		header.Set(name, value)
	}
	return header
}

// expects reports whether a status is one of an endpoint that is well.
func (c HTTPCheck) expects(status int) bool {
	return slices.ContainsFunc(c.Status, func(s string) bool {
		from, to, _ := parseStatus(s, 200)
		return from <= status && status <= to
	})
}

// over is the check over a transport. It expects a valid one with its defaults.
func (c HTTPCheck) over(t transport, timeout time.Duration) func(ctx context.Context) error {
	u, _ := url.ParseRequestURI(c.Path)
	return func(ctx context.Context) error {
		req := (&http.Request{Method: http.MethodGet, URL: u, Host: c.Host, Header: c.header()}).WithContext(ctx)
		resp, err := t.roundTrip(req, checkOptions(timeout))
		if err != nil {
			return failedCheck(err)
		}
		defer resp.Body.Close()
		if !c.expects(resp.StatusCode) {
			return fmt.Errorf("the status is %d, and not %s", resp.StatusCode, strings.Join(c.Status, ", "))
		}
		// To its end, so that the connection can be used again, or to where a new
		// one is cheaper.
		if _, err := io.CopyN(io.Discard, resp.Body, maxDiscard); err != nil && err != io.EOF {
			return failedCheck(err)
		}
		return nil
	}
}

// failedCheck says in a word what went wrong before it says it in the words of a
// transport.
func failedCheck(err error) error { return fmt.Errorf("%v: %w", classify(err), err) }

// connects is the check for a connection: one is made, and closed.
func connects(base *url.URL, cfg Config) func(ctx context.Context) error {
	dial := cfg.dialInTime()
	switch {
	case base.Scheme == "https":
		protos := []string{protoHTTP2, protoHTTP1}
		switch cfg.Protocol {
		case protocolHTTP1:
			protos = protos[1:]
		case protocolHTTP2:
			protos = protos[:1]
		}
		dial = cfg.dialTLS(base, func(conn net.Conn) net.Conn { return conn }, protos...)
	case dial == nil:
		dial = (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, cfg.Health.Timeout)
		defer cancel()
		conn, err := dial(ctx, "tcp", hostPort(base))
		if err != nil {
			return fmt.Errorf("%v: %w", Connect, err)
		}
		return conn.Close()
	}
}
