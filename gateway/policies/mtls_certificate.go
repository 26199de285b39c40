package policies

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

const (
	maxName         = 1 << 10 // bytes of a name that someone can be called by
	maxForwardChain = 8       // certificates between the client's and its authority
)

// namesIn are the names of one kind in a certificate.
func namesIn(kind string, leaf *x509.Certificate) (names []string) {
	switch kind {
	case "cn":
		return []string{leaf.Subject.CommonName}
	case "dns":
		for _, name := range leaf.DNSNames {
			names = append(names, strings.ToLower(name))
		}
	case "uri":
		if len(leaf.URIs) != 1 { // X509-SVID section 2: which one it goes by would be anyone's guess
			return nil
		}
		return []string{leaf.URIs[0].String()}
	case "email":
		return leaf.EmailAddresses
	case "fingerprint":
		return []string{fmt.Sprintf("%x", sha256.Sum256(leaf.Raw))}
	}
	return names
}

// nameIn is what the client is called by; "" if it may not come in.
func (p *mtls) nameIn(leaf *x509.Certificate) string {
	for _, name := range namesIn(p.kind, leaf) {
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, engine.IsControl) {
			continue
		}
		if p.allow == nil {
			return name
		}
		for _, pattern := range p.allow {
			if pattern.MatchString(name) {
				return name
			}
		}
	}
	return ""
}

// namePattern compiles a pattern of names.
func (c *Compiler) namePattern(kind string, pattern dsl.String) *regexp.Regexp {
	text := pattern.Value
	if kind == "fingerprint" {
		sum, ok := fingerprintOf(text)
		if !ok {
			c.Report(dsl.Diagnostic{Span: pattern.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is not the SHA-256 of a certificate in hex", text), Hint: "write what openssl x509 -fingerprint -sha256 shows"})
			return nil
		}
		return regexp.MustCompile(fmt.Sprintf("^%x$", sum))
	}
	if text == "" || strings.Contains(text, "***") {
		c.Report(dsl.Diagnostic{Span: pattern.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is no pattern of names", text), Hint: "write a name, with * for a part of it and ** for anything"})
		return nil
	}
	if kind == "dns" {
		text = strings.ToLower(text)
	}
	one := map[string]string{"uri": "[^/]+", "email": "[^@]+"}[kind]
	if one == "" {
		one = "[^.]+"
	}
	text = regexp.QuoteMeta(text)
	text = strings.ReplaceAll(text, `\*\*`, "(?s:.*)")
	text = strings.ReplaceAll(text, `\*`, one)
	return regexp.MustCompile(`\A` + text + `\z`) // all else in it is quoted
}

// fingerprintOf reads the SHA-256 of a certificate as tools write it: in hex, with
// colons or without.
func fingerprintOf(text string) (sum [sha256.Size]byte, ok bool) {
	text = strings.ReplaceAll(text, ":", "")
	if len(text) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}

// certificateClaims are what a certificate says, for expressions.
func certificateClaims(leaf *x509.Certificate) map[string]any {
	ips, uris := []any{}, []any{}
	for _, ip := range leaf.IPAddresses {
		ips = append(ips, ip.String())
	}
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	return map[string]any{
		"common_name": leaf.Subject.CommonName, "subject": leaf.Subject.String(), "issuer": leaf.Issuer.String(), "serial": leaf.SerialNumber.Text(16),
		"dns": anys(leaf.DNSNames), "emails": anys(leaf.EmailAddresses), "uris": uris, "ips": ips,
		"fingerprint": fmt.Sprintf("%x", sha256.Sum256(leaf.Raw)), "not_before": int(leaf.NotBefore.Unix()), "not_after": int(leaf.NotAfter.Unix()),
	}
}

func anys(texts []string) []any {
	all := []any{}
	for _, text := range texts {
		all = append(all, text)
	}
	return all
}

var errClientCert = errors.New("Client-Cert holds no certificate as RFC 9440 has it")

// readClientCert reads what a proxy says of the certificate that its client has
// shown (RFC 9440 section 2): the certificate, and those that lead from it to an
// authority.
func readClientCert(field string, chain []string) (leaf *x509.Certificate, between *x509.CertPool, err error) {
	if leaf, err = binaryCertificate(field); err != nil {
		return nil, nil, err
	}
	between = x509.NewCertPool()
	items := 0
	for _, line := range chain {
		for item := range strings.SplitSeq(line, ",") {
			if items++; items > maxForwardChain {
				return nil, nil, errors.New("Client-Cert-Chain is too long")
			}
			c, err := binaryCertificate(item)
			if err != nil {
				return nil, nil, err
			}
			between.AddCert(c)
		}
	}
	return leaf, between, nil
}

// binaryCertificate reads a byte sequence (RFC 9651 section 3.3.5) that is a
// certificate.
func binaryCertificate(text string) (*x509.Certificate, error) {
	text = strings.Trim(text, " \t")
	if len(text) < 2 || text[0] != ':' || text[len(text)-1] != ':' || strings.ContainsAny(text, "\r\n") {
		return nil, errClientCert
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text[1 : len(text)-1])
	if err != nil {
		return nil, errClientCert
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errClientCert
	}
	return c, nil
}
