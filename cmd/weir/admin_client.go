package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-run/weir/gateway"
)

// adminClient is how commands ask a running process, by its admin address. Its
// first two flags are those of weir run: in the container of a process, the
// variables that it was started with lead to it.
type adminClient struct {
	address, token    string
	cacert, cert, key string

	base   string // the URL of the address
	bearer string
	http   http.Client
}

func (a *adminClient) add(f *pflag.FlagSet) {
	f.StringVar(&a.address, "admin", gateway.DefaultAdminAddr, "the admin `address` of the process, or its URL: https://HOST:PORT")
	f.StringVar(&a.token, "admin-token", "", "a `file` with the admin token of the process")
	f.StringVar(&a.cacert, "cacert", "", "a `file` with the authorities, in PEM, that vouch for the process; those of the system, if there is none")
	f.StringVar(&a.cert, "cert", "", "a `file` with a certificate in PEM that is shown in place of a token")
	f.StringVar(&a.key, "key", "", "a `file` with the private key of that certificate")
}

// open reads the files that the flags name.
func (a *adminClient) open() error {
	if (a.cert == "") != (a.key == "") {
		return usagef("--cert and --key go together")
	}
	if err := a.locate(); err != nil {
		return err
	}
	if a.token != "" {
		text, err := os.ReadFile(a.token)
		if err != nil {
			return fmt.Errorf("--admin-token: %w", err)
		}
		a.bearer = "Bearer " + strings.TrimSpace(string(text))
	}
	config, err := a.tls()
	if err != nil {
		return err
	}
	// Nothing is followed: a token is for one address.
	a.http = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

// locate makes a URL of the address: with TLS, if the flags are about it.
func (a *adminClient) locate() error {
	text := a.address
	if !strings.Contains(text, "://") {
		scheme := "http://"
		if a.cacert != "" || a.cert != "" {
			scheme = "https://"
		}
		if host, port, err := net.SplitHostPort(text); err == nil {
			if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() { // where a process listens, which is here
				text = net.JoinHostPort("localhost", port)
			}
		}
		text = scheme + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Port() == "" && !strings.Contains(a.address, "://") || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return usagef("--admin: %q is not an address such as %s, or a URL such as https://host:9900", a.address, gateway.DefaultAdminAddr)
	}
	if u.Scheme == "http" && (a.cacert != "" || a.cert != "") {
		return usagef("--admin: %s is without TLS, and --cacert and --cert are about it: write https://", a.address)
	}
	a.base = u.Scheme + "://" + u.Host
	return nil
}

func (a *adminClient) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.cacert != "" {
		text, err := os.ReadFile(a.cacert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--cacert: %s holds no certificate", a.cacert)
		}
	}
	if a.cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// maxAdmin is how much of an answer is read, in bytes: ten thousand endpoints are
// 10 MB.
const maxAdmin = 64 << 20

// get has read read what the process answers to a path.
func (a *adminClient) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	if a.bearer != "" {
		req.Header.Set("Authorization", a.bearer)
	}
	resp, err := a.http.Do(req)
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s cannot be relied on: %w (--cacert FILE says whose can)", a.base, unknown.Err)
	case err != nil:
		return fmt.Errorf("no process answers: %w (its log says which address its admin endpoints have)", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%s asks who you are: --admin-token FILE, or --cert and --key", a.base)
	default:
		return fmt.Errorf("%s answered with status %d: it is not the admin address of a weir run", a.base, resp.StatusCode)
	}
	if err := read(io.LimitReader(resp.Body, maxAdmin)); err != nil {
		return fmt.Errorf("what %s answered to %s: %w", a.base, path, err)
	}
	return nil
}
