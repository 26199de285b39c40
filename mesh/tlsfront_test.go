package mesh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs a server that speaks HTTP/1.1 and, to those who know, HTTP/2.
func serve(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	return srv
}

// overHTTP2 reports whether the first endpoint is spoken to in HTTP/2.
func overHTTP2(s *Service) bool {
	a, ok := s.set.Load().endpoints[0].transport.(*autoTransport)
	return s.cfg.Protocol == protocolH2C || ok && a.speaks.Load() == speaksHTTP2
}

// overTLS makes cfg speak TLS to servers that do not: something stands before
// them that takes it off, and that chooses one of protos.
func overTLS(t testing.TB, cfg Config, protos ...string) Config {
	ca := newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{name: "127.0.0.1"}).pair}, NextProtos: protos}
	for i, e := range cfg.Endpoints {
		cfg.Endpoints[i] = strings.Replace(e, "http:", "https:", 1)
	}
	cfg.TLS.Config = &tls.Config{RootCAs: ca.pool}
	var fronts sync.WaitGroup
	t.Cleanup(fronts.Wait)
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		backend, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		near, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		far, err := l.Accept()
		if err != nil {
			return nil, err
		}
		secure := tls.Server(far, server)
		fronts.Go(func() {
			io.Copy(backend, secure)
			backend.Close()
			far.Close()
		})
		fronts.Go(func() {
			io.Copy(secure, backend)
			secure.Close()
			backend.Close()
		})
		return near, nil
	}
	return cfg
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	pem  []byte
}

// leaf is what a certificate says.
type leaf struct {
	name   string // of the host
	spiffe string
	ends   time.Time
	serial int64
}

type issued struct {
	pair      tls.Certificate
	cert, key []byte // PEM
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool(), pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t testing.TB, l leaf) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if l.ends.IsZero() {
		l.ends = time.Now().Add(time.Hour)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(l.serial + 2), NotBefore: time.Now().Add(-time.Hour), NotAfter: l.ends, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(l.name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if l.name != "" {
		template.DNSNames = []string{l.name}
	}
	if l.spiffe != "" {
		u, err := url.Parse(l.spiffe)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	made := issued{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	if made.pair, err = tls.X509KeyPair(made.cert, made.key); err != nil {
		t.Fatal(err)
	}
	return made
}
