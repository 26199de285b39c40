package failures

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// way is a transport of package mesh, by what a backend has to speak for it.
type way struct {
	name  string
	http2 bool
	tls   bool
	std   bool // over a transport of net/http's that the service is given
}

var ways = []way{
	{name: "h1"},
	{name: "h1 over TLS", tls: true},
	{name: "h2", http2: true, tls: true},
	{name: "h2c", http2: true},
	{name: "net/http", std: true},
}

// own are those that mesh brings along.
var own = ways[:4]

// over runs play for each way, all at the same time, and finds what they leave
// behind.
func over(t *testing.T, ways []way, play func(t *trial)) {
	restores(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			play(&trial{T: t, way: w})
		})
	}
}

// trial is one failure over one way.
type trial struct {
	*testing.T
	way way
}

// backend is a server on a port of its own, which can end and come back.
type backend struct {
	t       *trial
	addr    string
	handler http.Handler           // or
	script  func(conn *serverConn) // for each connection
	tls     *tls.Config            // nil is that of all backends

	listener net.Listener
	http     *http.Server // nil with a script
	running  sync.WaitGroup

	mu       sync.Mutex
	ended    bool
	accepted int
	conns    map[*countedConn]struct{}
}

// serve starts a backend that speaks HTTP.
func (t *trial) serve(h http.HandlerFunc) *backend {
	t.Helper()
	return t.start(&backend{handler: h})
}

// scripted starts a backend that does with each connection what script says.
func (t *trial) scripted(script func(conn *serverConn)) *backend {
	t.Helper()
	return t.start(&backend{script: script})
}

func (t *trial) start(b *backend) *backend {
	t.Helper()
	b.t, b.addr, b.conns = t, "127.0.0.1:0", map[*countedConn]struct{}{}
	b.run()
	t.Cleanup(b.kill)
	return b
}

// run listens, where the backend was before if it was.
func (b *backend) run() {
	b.t.Helper()
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // which has no socket filters
	l, err := config.Listen(context.Background(), "tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.addr, b.listener = l.Addr().String(), l
	b.mu.Lock()
	b.ended = false
	b.mu.Unlock()
	counting := &countingListener{l, b}
	if b.tls == nil {
		b.tls = serverTLS()
	}
	b.http = nil
	if b.script != nil {
		b.running.Go(func() { b.runScript(counting) })
		return
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!b.t.way.http2)
	protocols.SetHTTP2(b.t.way.http2 && b.t.way.tls)
	protocols.SetUnencryptedHTTP2(b.t.way.http2 && !b.t.way.tls)
	srv := &http.Server{Handler: b.handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: b.tls}
	b.http = srv
	b.running.Go(func() {
		if b.t.way.tls {
			_ = srv.ServeTLS(counting, "", "") // it ends with ErrServerClosed, as Serve does
		} else {
			_ = srv.Serve(counting)
		}
	})
}

func (b *backend) runScript(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() {
			defer conn.Close()
			if c := newServerConn(b.t.way, conn.(*countedConn)); c != nil {
				b.script(c)
			}
		})
	}
}

// kill ends the backend with all its connections, whatever they carry.
func (b *backend) kill() {
	b.listener.Close()
	b.mu.Lock()
	b.ended = true
	left := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	if b.http != nil {
		_ = b.http.Close()
	}
	b.running.Wait()
}

// drain ends the backend when the calls on it have ended.
func (b *backend) drain() {
	if err := b.http.Shutdown(context.Background()); err != nil {
		b.t.Error(err)
	}
	b.running.Wait()
}

// countingListener counts the connections that are open.
type countingListener struct {
	net.Listener
	b *backend
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &countedConn{TCPConn: conn.(*net.TCPConn), b: l.b}
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.b.ended {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.b.accepted++
	l.b.conns[c] = struct{}{}
	return c, nil
}

type countedConn struct {
	*net.TCPConn
	b *backend
}

func (c *countedConn) Close() error {
	c.b.mu.Lock()
	delete(c.b.conns, c)
	c.b.mu.Unlock()
	return c.TCPConn.Close()
}

// connections is how many there have been, and how many are open.
func (b *backend) connections() (accepted, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted, len(b.conns)
}

// config is cfg for a service that runs on the backends.
func (t *trial) config(cfg mesh.Config, backends ...*backend) mesh.Config {
	scheme := "http://"
	if t.way.tls {
		scheme = "https://"
		if cfg.TLS.CA == "" {
			cfg.TLS.Config = clientTLS()
		}
	}
	for _, b := range backends {
		cfg.Endpoints = append(cfg.Endpoints, scheme+b.addr)
	}
	switch {
	case t.way.http2 && t.way.tls:
		cfg.Protocol = "http2"
	case t.way.http2:
		cfg.Protocol = "h2c"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = time.Minute // on a busy machine the default may pass
	}
	if cfg.Balance == "" {
		cfg.Balance = "round_robin" // so that a test knows where calls go
	}
	return cfg
}

// open opens a service that is the only client of its backends. Its calls and
// connections are gone when the trial is over, before the backends end.
func (t *trial) open(cfg mesh.Config, backends ...*backend) *mesh.Service {
	t.Helper()
	cfg = t.config(cfg, backends...)
	var std *http.Transport
	if t.way.std {
		std = &http.Transport{MaxIdleConnsPerHost: 100}
		cfg.Transport = std
	}
	s, err := mesh.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if std != nil {
			std.CloseIdleConnections()
		}
		t.eventually("the service is at rest", func() bool { return atRest(s.Stats()) })
		for _, b := range backends {
			t.eventually("no connection is open at the backend", func() bool { _, open := b.connections(); return open == 0 })
		}
		if t.Failed() {
			t.Logf("%+v", s.Stats().Endpoints)
		}
	})
	return s
}

func atRest(st mesh.Stats) bool {
	for _, e := range st.Endpoints {
		if e.InFlight != 0 || e.Dialed != e.Closed {
			return false
		}
	}
	return st.InFlight == 0
}

// eventually waits for what others do. That it never happens is told after a
// time that no busy machine needs.
func (t *trial) eventually(what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("never: %s", what)
			return
		}
	}
}

// get makes a call that may be repeated, and reads its reply.
func (t *trial) get(s *mesh.Service, call *mesh.Call) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	call.Buffer = true
	_, err = s.Do(req, call)
	return string(call.Body), err
}

// post makes a call that may not be repeated once it was sent, with a body that
// can be read once.
func (t *trial) post(s *mesh.Service, body io.Reader, call *mesh.Call) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "/", io.MultiReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return s.Do(req, call)
}

// class is the class of a mesh error, OK without one.
func (t *trial) class(err error) mesh.Class {
	t.Helper()
	if err == nil {
		return mesh.OK
	}
	e, ok := err.(*mesh.Error)
	if !ok {
		t.Errorf("%T is not a *mesh.Error: %v", err, err)
		return mesh.OK
	}
	return e.Class
}

func fine(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }

// identity is the certificate of all backends.
var identity = sync.OnceValue(func() tls.Certificate { return certificate("backend") })

// certificate issues itself one for 127.0.0.1.
func certificate(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func serverTLS() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{identity()}} }

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(identity().Leaf)
	return &tls.Config{RootCAs: roots}
}
