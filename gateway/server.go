package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-run/weir/gateway/acme"
)

// ListenerConfig is how a listener treats connections, and what clients may hold
// on to. In every field of time and size 0 is the default and a negative value is
// no bound.
type ListenerConfig struct {
	// Name sets listeners on port 0 apart, where the address does not.
	Name string
	// TLS is nil for connections without it.
	TLS *TLS
	// H2C takes HTTP/2 without TLS, too, from clients that know beforehand (RFC
	// 9113, section 3.3).
	H2C bool
	// ReadHeaderTimeout is for the header of one request, and for what comes
	// before the first one, such as a handshake. Default 5s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is between two requests. Default 75s.
	IdleTimeout time.Duration
	// ReadTimeout is for the whole of one request. Default none: a gateway's
	// handler demands a least rate instead, see [Options].
	ReadTimeout time.Duration
	// WriteTimeout is for the whole of one answer. Default none, likewise.
	WriteTimeout time.Duration
	// MaxHeaderBytes is for the request line and header. Default 64 KB. Over
	// HTTP/2 the server allows 4 KB on top.
	MaxHeaderBytes int
	// MaxFields is how many fields the header of a request may have. Default 100.
	MaxFields int
	// MaxStreams is how many requests may be under way on a connection of
	// HTTP/2 or 3. Default 100.
	MaxStreams int
	// MaxConnections is how many connections there may be, and MaxPerAddress how
	// many from one address, or one /64 of IPv6. More are closed at once. Default
	// none.
	MaxConnections, MaxPerAddress int
	// ProxyProtocol has the connections of trusted proxies begin with a header of
	// the PROXY protocol, version 1 or 2, that says where they come from.
	ProxyProtocol bool
	// Proxies are those that are trusted to say so.
	Proxies Proxies
	// Challenges are caches of package acme for which a listener without TLS answers
	// authorities.
	Challenges []string
}

func (c ListenerConfig) withDefaults() ListenerConfig {
	c.ReadHeaderTimeout = cmp.Or(c.ReadHeaderTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 75*time.Second)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 64<<10)
	c.MaxFields = cmp.Or(c.MaxFields, 100)
	c.MaxStreams = cmp.Or(c.MaxStreams, 100)
	return c
}

// Server is the set of a process's listeners. They outlive configurations: a
// new generation finds the ones that it shares with the old one, and gives
// them another handler. It is safe for concurrent use.
type Server struct {
	// Open makes a listener. It is net.Listen unless it is set before use.
	Open func(network, addr string) (net.Listener, error)

	log       *slog.Logger
	metrics   *Metrics
	mu        sync.Mutex
	listeners map[listenerKey]*Listener
	ports     ports // of UDP
}

type listenerKey struct{ addr, name string }

// NewServer makes an empty set.
func NewServer(log *slog.Logger, m *Metrics) *Server {
	return &Server{Open: net.Listen, log: log, metrics: m, listeners: map[listenerKey]*Listener{}}
}

// Listen opens addr, or returns the listener that is open there already, as it is:
// [Listener.Prepare] gives it another configuration. A new one queues connections
// until it has a handler and is started. Its errors say what to do: the address
// is taken, or is not allowed, or a file cannot be used.
func (s *Server) Listen(addr string, c ListenerConfig) (*Listener, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	key := listenerKey{addr: net.JoinHostPort(host, port)}
	if port == "0" {
		key.name = c.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[key]; l != nil {
		return l, nil
	}
	ln, err := s.Open("tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	l := newListener(ln, s.log, s.metrics)
	l.ports = &s.ports
	use, err := l.Prepare(c)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	use()
	l.forget = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.listeners[key] == l { // the address may have been opened again
			delete(s.listeners, key)
		}
	}
	s.listeners[key] = l
	return l, nil
}

// CheckAddress reports what is wrong with an address to listen on.
func CheckAddress(addr string) error {
	_, _, err := splitAddr(addr)
	return err
}

// Address gives an address to listen on in the one spelling that all those
// that mean the same have in common.
func Address(addr string) (string, error) {
	host, port, err := splitAddr(addr)
	return net.JoinHostPort(host, port), err
}

// splitAddr makes addresses comparable: ":http" and "0.0.0.0:80" are one.
func splitAddr(addr string) (host, port string, err error) {
	host, name, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", fmt.Errorf("%q is not an address to listen on: write host:port or :port", addr)
	}
	number, err := net.LookupPort("tcp", name)
	if err != nil {
		return "", "", fmt.Errorf("%q has no port to listen on: write a number from 0 to 65535", addr)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	} else if ip == nil && host != "" && strings.Trim(host, "0123456789.") == "" {
		return "", "", fmt.Errorf("%q is not an IP address: write one such as 127.0.0.1:8080, or :port", host)
	}
	return host, fmt.Sprint(number), nil
}

func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use: stop the process that listens there, or choose another address: %w", addr, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not allowed to listen on %s: choose a port above 1023, or grant CAP_NET_BIND_SERVICE: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: write :port to listen on all of them: %w", addr, err)
	default:
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
}

// Shutdown ends all listeners at once, each as [Listener.Shutdown] does.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	all := make([]*Listener, 0, len(s.listeners))
	for _, l := range s.listeners {
		all = append(all, l)
	}
	s.mu.Unlock()
	faults := make([]error, len(all))
	var wg sync.WaitGroup
	for i, l := range all {
		wg.Go(func() { faults[i] = l.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(faults...)
}

// Listener serves one address with whatever handler and configuration it has at
// the moment.
type Listener struct {
	listener net.Listener
	log      *slog.Logger
	metrics  *Metrics
	census   census
	handler  atomic.Pointer[http.Handler]
	base     context.Context // of all requests
	cut      context.CancelCauseFunc
	forget   func()
	start    sync.Once
	ports    *ports

	mu      sync.Mutex // of what follows
	front   *front
	before  []*front // those that may have connections
	serving bool     // fronts are started when they take their place
	stopped bool
	issuer  *acme.Issuer // of front; nil: it needs none
	udp     udpPort      // nil: no front has needed one

	challenges atomic.Pointer[[]string] // of the configuration; nil: none
	announces  atomic.Bool              // HTTP/3, to clients of the other versions
}

func newListener(ln net.Listener, log *slog.Logger, m *Metrics) *Listener {
	base, cut := context.WithCancelCause(context.Background())
	return &Listener{listener: ln, log: log, metrics: m, base: base, cut: cut, forget: func() {}}
}

// Addr is the address listened on, with the port the system chose for port 0.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Swap makes h the handler of all requests that arrive from now on. Those that
// have begun keep theirs.
func (l *Listener) Swap(h http.Handler) { l.handler.Store(&h) }

// Prepare reads the files of a configuration, and gives what puts it in the
// place of the one before: connections that are made from then on have it, and
// those that there are keep theirs. A configuration that is in place stays.
func (l *Listener) Prepare(c ListenerConfig) (use func(), err error) {
	c = c.withDefaults()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.front != nil && reflect.DeepEqual(l.front.config, c) {
		return func() {}, nil
	}
	f, err := newFront(l, c)
	if err != nil {
		return nil, err
	}
	return func() { l.use(f) }, nil
}

func (l *Listener) use(f *front) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.front != nil {
		l.before = append(l.before, l.front)
	}
	l.lead(f)
	l.before = slices.DeleteFunc(l.before, func(f *front) bool {
		unused := f.open.Load() == 0
		if unused {
			f.stop()
		}
		return unused
	})
	l.announces.Store(f.http3 != nil)
	l.challenges.Store(nil)
	if len(f.config.Challenges) > 0 {
		l.challenges.Store(&f.config.Challenges)
	}
	var issuer *acme.Issuer
	if f.identity != nil {
		issuer = f.identity.issuer
	}
	if l.issuer != nil && l.issuer != issuer {
		l.issuer.Stop()
	}
	l.issuer = issuer
	if l.front = f; l.stopped {
		f.stop()
	} else if l.serving {
		l.startFront()
	}
}

// lead has what comes by UDP go to f, before the front that had it so far is looked
// at. l.mu is held.
func (l *Listener) lead(f *front) {
	if l.udp != nil && !l.stopped {
		l.udp.lead(f.http3)
	}
}

// startFront serves what the front takes. l.mu is held.
func (l *Listener) startFront() {
	go l.front.serve(l.log)
	if l.issuer != nil {
		l.issuer.Start()
	}
}

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		defer countReset(r)
	}
	if r.ProtoMajor < 3 && l.announces.Load() {
		w.Header()["Alt-Svc"] = alternative(r.Host)
	}
	if caches := l.challenges.Load(); caches != nil && acme.Answer(*caches, w, r) {
		return
	}
	if h := l.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	WriteProblem(w, r, Problem{Status: http.StatusServiceUnavailable, Code: CodeUnavailable})
}

// maxResets is how many more requests than it lets be answered a client of HTTP/2
// may take back on one connection (CVE-2023-44487): each costs it a few bytes, and
// the gateway all that was begun. The server itself bounds how many wait.
const maxResets = 200

// resets counts the requests of a connection that were taken back, less those that
// were not.
type resets struct{ n atomic.Int32 }

// count is true once, when there are too many.
func (s *resets) count(takenBack bool) bool {
	if takenBack {
		return s.n.Add(1) == maxResets
	}
	if s.n.Load() > 0 {
		s.n.Add(-1)
	}
	return false
}

// countReset is called when a request of HTTP/2 has been answered, or taken back.
func countReset(r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if ok && c.resets.count(r.Context().Err() != nil) {
		c.front.count(c.front.rejected, "resets")
		_ = c.Close()
	}
}

// Start begins to accept connections, in the background. Further calls do
// nothing.
func (l *Listener) Start() {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.serving = true
		l.startFront()
		go l.accept()
	})
}

// accept takes connections until the listener closes. Where the process has too
// many files open it waits for some of them to close.
func (l *Listener) accept() {
	const longest = time.Second
	var pause time.Duration
	for {
		raw, err := l.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			l.take(&conn{Conn: raw})
		case l.gone(err):
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), longest)
			l.log.Error("a connection could not be accepted", "address", l.Addr().String(), "error", err)
			time.Sleep(pause)
		}
	}
}

func (l *Listener) gone(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped || errors.Is(err, net.ErrClosed)
}

func (l *Listener) take(c *conn) {
	l.mu.Lock()
	f := l.front
	f.open.Add(1) // from here on it stays
	l.mu.Unlock()
	f.take(c)
}

// errCut is the cause of contexts that a shutdown ended.
var errCut = errors.New("the gateway is shutting down")

// stop closes the listener and gives all fronts, which take no connections any
// more.
func (l *Listener) stop() []*front {
	l.forget()
	l.start.Do(func() {}) // nothing is started any more
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		if l.udp != nil {
			l.udp.lead(nil)
		}
		_ = l.listener.Close() // it serves nobody any more, whatever it says
	}
	l.stopped = true
	if l.issuer != nil {
		l.issuer.Stop()
	}
	all := append(slices.Clone(l.before), l.front)
	for _, f := range all {
		f.stop()
	}
	return all
}

// Stop stops accepting, so that the address can be opened again at once. What
// is in progress goes on until Shutdown, which still has to follow.
func (l *Listener) Stop() {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, f := range l.stop() {
		_ = f.shutdown(ended) // which does not wait
	}
}

// Shutdown stops accepting, lets the requests in progress end, and closes idle
// connections. When ctx is done first it cancels what is left, closes its
// connections, and returns an error that says so.
func (l *Listener) Shutdown(ctx context.Context) error {
	all := l.stop()
	faults := make([]error, len(all))
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() { faults[i] = f.shutdown(ctx) })
	}
	wg.Wait()
	l.cut(errCut)
	err := errors.Join(faults...)
	if err != nil {
		for _, f := range all {
			f.close()
		}
	}
	l.release(all)
	if err == nil {
		return nil
	}
	return fmt.Errorf("requests on %s were cut off: %w", l.Addr(), err)
}

// release gives the socket of UDP back, after it has ended what clients keep open
// without asking for anything.
func (l *Listener) release(all []*front) {
	for _, f := range all {
		if f.http3 != nil {
			f.http3.close()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.udp != nil {
		l.udp.release()
		l.udp = nil
	}
}

// alternative says that what is asked for at a host is to be had over HTTP/3, too
// (RFC 7838): at the port by which the client has come, which may be mapped to that
// of the listener.
func alternative(host string) []string {
	_, port := address(host)
	if port == 0 {
		return overHTTPS
	}
	return []string{`h3=":` + strconv.FormatInt(port, 10) + `"`}
}

var overHTTPS = []string{`h3=":443"`}
