package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// spiffeID is what ids of servers are held against: a prefix of all, or one.
type spiffeID struct {
	domain string
	path   string // begins with a slash, or is empty
	below  bool   // ids below path, too
}

const (
	spiffeDomain = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	spiffePath   = spiffeDomain + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// parseSPIFFE reads a pattern of ids: SPIFFE-ID section 2.
func parseSPIFFE(s string) (id spiffeID, err error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	if !ok {
		return id, fmt.Errorf("%q is not a SPIFFE id", s)
	}
	domain, path, _ := strings.Cut(rest, "/")
	id.domain = domain
	if domain == "" || strings.Trim(domain, spiffeDomain) != "" || len(s) > 2048 {
		return id, fmt.Errorf("%q has no trust domain: lower-case letters, digits, dots, dashes and underscores", s)
	}
	if len(rest) == len(domain) {
		id.below = true
		return id, nil
	}
	if path, id.below = strings.CutSuffix("/"+path, "/*"); path == "" {
		return id, nil
	}
	for _, segment := range strings.Split(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, spiffePath) != "" {
			return id, fmt.Errorf("%q is no segment of a SPIFFE id", segment)
		}
	}
	id.path = path
	return id, nil
}

func (id spiffeID) matches(s string) bool {
	rest, ok := strings.CutPrefix(s, "spiffe://"+id.domain)
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	if !id.below {
		return rest == id.path
	}
	rest, ok = strings.CutPrefix(rest, id.path)
	return ok && rest != "" && rest[0] == '/'
}

// checkSPIFFE makes connections of cfg hold the server against an id in place of
// a name: X.509-SVID section 5.2. crypto/tls can leave out the name only with
// the whole check, so that is made here.
func checkSPIFFE(cfg *tls.Config, t TLS) {
	want, _ := parseSPIFFE(t.SPIFFE)
	also := cfg.VerifyConnection
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server has no certificate")
		}
		leaf := state.PeerCertificates[0]
		options := x509.VerifyOptions{Roots: cfg.RootCAs, Intermediates: x509.NewCertPool(), DNSName: t.ServerName}
		if cfg.Time != nil {
			options.CurrentTime = cfg.Time()
		}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(options); err != nil {
			return err
		}
		switch {
		case leaf.IsCA:
			return errors.New("the server's certificate is an authority's")
		case len(leaf.URIs) != 1:
			return fmt.Errorf("the server's certificate has %d SPIFFE ids, not one", len(leaf.URIs))
		case !want.matches(leaf.URIs[0].String()):
			return fmt.Errorf("the server is %s, not %s", leaf.URIs[0], t.SPIFFE)
		}
		if also != nil {
			return also(state)
		}
		return nil
	}
}
