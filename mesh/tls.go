package mesh

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/lookout"
)

// TLS is how endpoints with https are spoken to. The zero value of a field is
// its default.
//
// Files are read by Open, and again when a connection is made, if that was more
// than a second ago: connections that there are stay as they are, and those made
// later use what the files say then. There is nothing to watch, and replacing a
// file, or the link to its directory as Kubernetes does, is seen all the same.
// Files that cannot be used, or do not fit each other (yet), change nothing; see
// [TLSStats].
type TLS struct {
	// Config is what the other fields are put into. It is cloned.
	Config *tls.Config
	// CA is a file of the authorities' certificates, in PEM. Empty is those of
	// the system.
	CA string
	// Cert and Key are files of a certificate, with those that lead to its
	// authority, and its private key, in PEM: what servers that ask know this
	// client by.
	Cert, Key string
	// ServerName is the name that servers are asked for (SNI), and that their
	// certificates are to be for. Empty is the host of the endpoint.
	ServerName string
	// SPIFFE is the id that the certificate of a server is to have, in place of
	// its name: spiffe://DOMAIN/PATH is one id, spiffe://DOMAIN/PATH/* are those
	// below a path, spiffe://DOMAIN are all of a trust domain.
	SPIFFE string
	// MinVersion is "1.2" or "1.3". Empty is 1.2.
	MinVersion string
}

var tlsVersions = map[string]uint16{"": 0, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (t TLS) validate(f *faults) {
	switch {
	case t.Cert != "" && t.Key == "":
		f.add("tls.cert", "a certificate needs its private key", "write key: FILE beside cert")
	case t.Key != "" && t.Cert == "":
		f.add("tls.key", "a private key needs its certificate", "write cert: FILE beside key")
	}
	if strings.ContainsAny(t.ServerName, ":/ ") && net.ParseIP(t.ServerName) == nil {
		f.add("tls.server_name", fmt.Sprintf("%q is not the name of a server", t.ServerName), "write a name such as users.example, without scheme and port")
	}
	if t.SPIFFE != "" {
		_, err := parseSPIFFE(t.SPIFFE)
		switch {
		case err != nil:
			f.add("tls.spiffe", err.Error(), "write spiffe://trust.domain/path, spiffe://trust.domain/path/*, or spiffe://trust.domain")
		case t.CA == "" && (t.Config == nil || t.Config.RootCAs == nil):
			f.add("tls.spiffe", "the authorities of the system do not vouch for SPIFFE ids", "write ca: FILE with those of the trust domain")
		}
	}
	if _, ok := tlsVersions[t.MinVersion]; !ok {
		f.add("tls.min_version", fmt.Sprintf("there is no TLS %s to be had", t.MinVersion), `write "1.2" or "1.3"`)
	}
}

// lookInterval bounds how often files are looked at.
const lookInterval = time.Second

// maxPEM bounds a file, in bytes.
const maxPEM = 1 << 20

// trust makes TLS connections by what the files say at the moment.
type trust struct {
	cfg    TLS
	config atomic.Pointer[tls.Config] // read only
	status atomic.Pointer[TLSStats]

	lookout lookout.Lookout
	read    [3][]byte // what config is made of: CA, Cert, Key; of the one who looks
}

// newTrust expects a valid configuration.
func newTrust(cfg TLS) (*trust, error) {
	t := &trust{cfg: cfg}
	t.status.Store(&TLSStats{})
	if err := t.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	t.lookout.Looked()
	return t, nil
}

// current is the configuration of a connection that is made now.
func (t *trust) current() *tls.Config {
	if t.hasFiles() {
		t.lookout.Visit(lookInterval, t.look)
	}
	return t.config.Load()
}

func (t *trust) look(now time.Time) {
	if err := t.load(); err != nil {
		failed := *t.status.Load()
		failed.Failures++
		failed.Failure, failed.LastFailure = err, now
		t.status.Store(&failed)
	}
}

func (t *trust) hasFiles() bool { return t.cfg.CA != "" || t.cfg.Cert != "" }

// load takes what the files say, all of it or nothing. What they say is compared,
// not when they were written: links and volumes keep old times.
func (t *trust) load() error {
	var read [3][]byte
	for i, name := range []string{t.cfg.CA, t.cfg.Cert, t.cfg.Key} {
		if name == "" {
			continue
		}
		b, err := readPEM(name)
		if err != nil {
			return err
		}
		read[i] = b
	}
	before := t.status.Load()
	if t.config.Load() != nil && slices.EqualFunc(read[:], t.read[:], bytes.Equal) {
		if before.Failure != nil { // as before the attempt to replace them
			same := *before
			same.Failure = nil
			t.status.Store(&same)
		}
		return nil
	}
	next := t.cfg.Config.Clone()
	if next == nil {
		next = &tls.Config{}
	}
	if v := tlsVersions[t.cfg.MinVersion]; v != 0 {
		next.MinVersion = v
	}
	after := TLSStats{Loaded: time.Now(), Failures: before.Failures, LastFailure: before.LastFailure}
	if t.cfg.CA != "" {
		next.RootCAs = x509.NewCertPool()
		if !next.RootCAs.AppendCertsFromPEM(read[0]) {
			return fmt.Errorf("%s has no certificate in PEM", t.cfg.CA)
		}
	}
	if t.cfg.Cert != "" {
		pair, err := tls.X509KeyPair(read[1], read[2])
		if err != nil {
			return fmt.Errorf("%s with %s: %s", t.cfg.Cert, t.cfg.Key, strings.TrimPrefix(err.Error(), "tls: "))
		}
		if now := time.Now(); t.config.Load() != nil && now.After(pair.Leaf.NotAfter) && now.Before(before.NotAfter) {
			return fmt.Errorf("%s has expired at %v, before the one that it replaces", t.cfg.Cert, pair.Leaf.NotAfter)
		}
		next.Certificates = []tls.Certificate{pair}
		after.NotAfter = pair.Leaf.NotAfter
	}
	if t.cfg.SPIFFE != "" {
		checkSPIFFE(next, t.cfg)
	}
	t.read = read
	t.config.Store(next)
	t.status.Store(&after)
	return nil
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

// shake makes a TLS connection of raw, which it closes if that fails. protos are
// offered in this order.
func (t *trust) shake(ctx context.Context, raw net.Conn, serverName string, protos ...string) (*tls.Conn, error) {
	cfg := t.current().Clone()
	if t.cfg.ServerName != "" {
		cfg.ServerName = t.cfg.ServerName
	} else if cfg.ServerName == "" {
		cfg.ServerName = serverName
	}
	cfg.NextProtos = protos
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return conn, nil
}

// TLSStats are what became of the files of a [TLS].
type TLSStats struct {
	Loaded      time.Time // when what is in use was read
	NotAfter    time.Time // when the client's certificate expires; zero without one
	LastFailure time.Time // of the last look that found what cannot be used; zero if none did
	Failures    int64     // such looks
	Failure     error     // why the files are not in use as they are; nil if they are
}

// stats is nil without files.
func (t *trust) stats() *TLSStats {
	if t == nil || !t.hasFiles() {
		return nil
	}
	return t.status.Load()
}

// turnedAway reports whether err is a server's refusal of our certificate. With
// TLS 1.3 that comes when the handshake has ended for the client; the server has
// not looked at a request.
func turnedAway(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	switch strings.TrimPrefix(op.Err.Error(), "tls: ") {
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate",
		"unknown certificate authority", "certificate required", "access denied":
		return true
	}
	return false
}
