package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/gateway/acme"
	"github.com/weir-run/weir/lookout"
)

// TLS is how a listener shows who it is, and what it asks of clients.
//
// Files are read when the listener opens, and again when a connection is made,
// if that was more than a second ago: connections that there are stay as they
// are. There is nothing to watch, and replacing a file, or the link to its
// directory as Kubernetes does, is seen all the same. Files that cannot be used,
// or do not fit each other (yet), change nothing; the log tells of them.
type TLS struct {
	// Certificates are shown by the name that a client asks for (SNI): one that
	// is for exactly that name, then one for a wildcard that takes it, then the
	// first of all.
	Certificates []CertificateFiles
	// MinVersion is "1.2" or "1.3". Empty is 1.2.
	MinVersion string
	// Client says whether clients are asked for a certificate: "" is no,
	// "request" takes those without, "require" does not. One that is given must
	// be sound, and vouched for by ClientCA.
	Client string
	// ClientCA is a file of the authorities that vouch for clients, in PEM.
	ClientCA string
	// HTTP1 keeps clients from choosing HTTP/2.
	HTTP1 bool
	// HTTP3 takes connections over QUIC (RFC 9114), at the port of the listener in
	// UDP, as well, and tells clients of the others (RFC 7838). It needs a build
	// with the tag http3.
	HTTP3 bool
	// ACME has certificates issued, in place of Certificates. It may be nil.
	ACME *acme.Config
}

// CertificateFiles are those of a certificate, with the ones that lead to its
// authority, and of its private key, in PEM.
type CertificateFiles struct{ Cert, Key string }

const (
	lookInterval = time.Second
	maxPEM       = 1 << 20 // bytes of a file
	expiresSoon  = 14 * 24 * time.Hour
)

// identity is what the files of a TLS say at the moment.
type identity struct {
	tls     TLS
	issuer  *acme.Issuer // nil: there are files
	log     *slog.Logger
	config  atomic.Pointer[tls.Config] // read only
	failure atomic.Pointer[string]     // why the files are not in use as they are

	lookout lookout.Lookout
	read    [][]byte // what config is made of; of the one who looks
	warned  string   // what was last told of expiry; likewise
}

// newIdentity reads the files. An issuer that is there already is used if it is
// for the same certificates.
func newIdentity(t TLS, issuer *acme.Issuer, log *slog.Logger) (*identity, error) {
	id := &identity{tls: t, log: log}
	if t.ACME != nil {
		if id.issuer = issuer; issuer == nil || !reflect.DeepEqual(issuer.Config(), *t.ACME) {
			var err error
			if id.issuer, err = acme.New(*t.ACME, log); err != nil {
				return nil, fmt.Errorf("tls: %w", err)
			}
		}
	}
	if err := id.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	id.lookout.Looked()
	return id, nil
}

// current is the configuration of a connection that is made now.
func (id *identity) current() *tls.Config {
	id.lookout.Visit(lookInterval, func(time.Time) { id.look() })
	return id.config.Load()
}

func (id *identity) look() {
	err := id.load()
	if err == nil {
		id.failure.Store(nil)
		return
	}
	text := err.Error()
	if before := id.failure.Swap(&text); before == nil || *before != text {
		id.log.Warn("files of tls cannot be used; those from before stay in use", "error", text)
	}
}

// names are the files in the order of identity.read.
func (t *TLS) names() (names []string) {
	if t.ClientCA != "" {
		names = append(names, t.ClientCA)
	}
	for _, c := range t.Certificates {
		names = append(names, c.Cert, c.Key)
	}
	return names
}

// load takes what the files say, all of it or nothing. What they say is compared,
// not when they were written: links and volumes keep old times.
func (id *identity) load() error {
	var read [][]byte
	for _, name := range id.tls.names() {
		b, err := readPEM(name)
		if err != nil {
			return err
		}
		read = append(read, b)
	}
	if id.config.Load() != nil && slices.EqualFunc(read, id.read, bytes.Equal) {
		return nil
	}
	next := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if id.tls.MinVersion == "1.3" {
		next.MinVersion = tls.VersionTLS13
	}
	if id.tls.HTTP1 {
		next.NextProtos = next.NextProtos[1:]
	}
	files := read
	if id.tls.ClientCA != "" {
		next.ClientCAs = x509.NewCertPool()
		if !next.ClientCAs.AppendCertsFromPEM(files[0]) {
			return fmt.Errorf("%s has no certificate in PEM", id.tls.ClientCA)
		}
		files = files[1:]
	}
	switch id.tls.Client {
	case "request":
		next.ClientAuth = tls.VerifyClientCertIfGiven
	case "require":
		next.ClientAuth = tls.RequireAndVerifyClientCert
	}
	var expiry []string
	for i, c := range id.tls.Certificates {
		pair, err := tls.X509KeyPair(files[2*i], files[2*i+1])
		if err != nil {
			return fmt.Errorf("%s with %s: %s", c.Cert, c.Key, strings.TrimPrefix(err.Error(), "tls: "))
		}
		if left := time.Until(pair.Leaf.NotAfter); left <= 0 {
			if id.expiresBefore(i, pair.Leaf.NotAfter) {
				return fmt.Errorf("%s has expired at %v, before the one that it replaces", c.Cert, pair.Leaf.NotAfter)
			}
			expiry = append(expiry, fmt.Sprintf("%s has expired at %v", c.Cert, pair.Leaf.NotAfter))
		} else if left < expiresSoon {
			expiry = append(expiry, fmt.Sprintf("%s expires at %v", c.Cert, pair.Leaf.NotAfter))
		}
		next.Certificates = append(next.Certificates, pair)
	}
	next.GetCertificate = byName(next.Certificates)
	if id.issuer != nil {
		next.GetCertificate, next.GetConfigForClient = id.issuer.Certificate, id.issuer.Challenge
	}
	if warning := strings.Join(expiry, "; "); warning != id.warned {
		id.warned = warning
		if warning != "" {
			id.log.Warn("a certificate has to be replaced", "why", warning)
		}
	}
	id.read = read
	id.config.Store(next)
	return nil
}

// expiresBefore reports whether notAfter is before that of the certificate that
// is in use in the place of i.
func (id *identity) expiresBefore(i int, notAfter time.Time) bool {
	used := id.config.Load()
	return used != nil && notAfter.Before(used.Certificates[i].Leaf.NotAfter)
}

func readPEM(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxPEM {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxPEM)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// byName chooses certificates by the name that a client asks for. Of several for
// one name it is the first whose algorithms the client knows.
func byName(all []tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	names := map[string][]*tls.Certificate{}
	for i := range all {
		for _, name := range all[i].Leaf.DNSNames {
			name = strings.ToLower(name)
			names[name] = append(names[name], &all[i])
		}
	}
	var rest []*tls.Certificate
	for i := range all {
		rest = append(rest, &all[i])
	}
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
		fits := names[asked]
		if fits == nil {
			if _, parent, ok := strings.Cut(asked, "."); ok {
				fits = names["*."+parent]
			}
		}
		if fits == nil {
			fits = rest
		}
		for _, c := range fits {
			if understands(hello, c) {
				return c, nil
			}
		}
		return fits[0], nil // the handshake says what is missing
	}
}

// understands reports whether a client knows the algorithms of a certificate,
// whatever its names.
func understands(hello *tls.ClientHelloInfo, c *tls.Certificate) bool {
	anonymous := *hello
	anonymous.ServerName = ""
	return anonymous.SupportsCertificate(c) == nil
}
