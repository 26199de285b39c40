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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ListenerConfig bounds what a client may hold on to. In every field 0 is the
// default and a negative value is no bound.
type ListenerConfig struct {
	// Name sets listeners on port 0 apart, where the address does not.
	Name string
	// ReadHeaderTimeout is for the header of one request. Default 5s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is between two requests. Default 75s.
	IdleTimeout time.Duration
	// ReadTimeout is for the whole of one request. Default none: a gateway's
	// handler demands a least rate instead, see [Options].
	ReadTimeout time.Duration
	// WriteTimeout is for the whole of one answer. Default none, likewise.
	WriteTimeout time.Duration
	// MaxHeaderBytes is for the request line and header. Default 64 KB. The
	// server allows 4 KB on top.
	MaxHeaderBytes int
}

func (c ListenerConfig) withDefaults() ListenerConfig {
	c.ReadHeaderTimeout = cmp.Or(c.ReadHeaderTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 75*time.Second)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 64<<10)
	return c
}

// Server is the set of a process's listeners. They outlive configurations: a
// new generation finds the ones that it shares with the old one, and gives
// them another handler. It is safe for concurrent use.
type Server struct {
	// Open makes a listener. It is net.Listen unless it is set before use.
	Open func(network, addr string) (net.Listener, error)

	log       *slog.Logger
	mu        sync.Mutex
	listeners map[listenerKey]*Listener
}

type listenerKey struct{ addr, name string }

// NewServer makes an empty set.
func NewServer(log *slog.Logger) *Server {
	return &Server{Open: net.Listen, log: log, listeners: map[listenerKey]*Listener{}}
}

// Listen opens addr, or returns the listener that is open there already. A new
// one queues connections until it has a handler and is started. Its errors say
// what to do: the address is taken, is not allowed, or is open with another
// configuration, which only a restart can change.
func (s *Server) Listen(addr string, c ListenerConfig) (*Listener, error) {
	c = c.withDefaults()
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
		if known := l.config; known != c {
			known.Name = c.Name
			if known != c {
				return nil, fmt.Errorf("the listener on %s is open with other settings: restart to change them", addr)
			}
		}
		return l, nil
	}
	ln, err := s.Open("tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	l := newListener(ln, c, s.log)
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

// Listener serves one address with whatever handler it holds at the moment.
type Listener struct {
	listener net.Listener
	config   ListenerConfig
	log      *slog.Logger
	server   *http.Server
	handler  atomic.Pointer[http.Handler]
	cut      context.CancelCauseFunc // ends all requests
	forget   func()
	start    sync.Once
}

func newListener(ln net.Listener, c ListenerConfig, log *slog.Logger) *Listener {
	base, cut := context.WithCancelCause(context.Background())
	l := &Listener{listener: ln, config: c, log: log, cut: cut}
	l.server = &http.Server{
		Handler:                      http.HandlerFunc(l.serve),
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused like every other *
		ReadHeaderTimeout:            c.ReadHeaderTimeout,
		ReadTimeout:                  c.ReadTimeout,
		WriteTimeout:                 c.WriteTimeout,
		IdleTimeout:                  c.IdleTimeout,
		MaxHeaderBytes:               c.MaxHeaderBytes,
		BaseContext:                  func(net.Listener) context.Context { return base },
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' faults
	}
	return l
}

// Addr is the address listened on, with the port the system chose for port 0.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Swap makes h the handler of all requests that arrive from now on. Those that
// have begun keep theirs.
func (l *Listener) Swap(h http.Handler) { l.handler.Store(&h) }

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	if h := l.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	WriteProblem(w, r, Problem{Status: http.StatusServiceUnavailable, Code: CodeUnavailable})
}

// Start begins to accept connections, in the background. Further calls do
// nothing.
func (l *Listener) Start() {
	l.start.Do(func() {
		go func() {
			if err := l.server.Serve(l.listener); !errors.Is(err, http.ErrServerClosed) {
				l.log.Error("listener failed", "address", l.Addr().String(), "error", err)
			}
		}()
	})
}

// errCut is the cause of contexts that a shutdown ended.
var errCut = errors.New("the gateway is shutting down")

// Stop stops accepting, so that the address can be opened again at once. What
// is in progress goes on until Shutdown, which still has to follow.
func (l *Listener) Stop() {
	l.forget()
	l.start.Do(func() {})
	ended, end := context.WithCancel(context.Background())
	end()
	_ = l.server.Shutdown(ended) // which does not wait
	_ = l.listener.Close()       // nor has it, if the server had not begun
}

// Shutdown stops accepting, lets the requests in progress end, and closes idle
// connections. When ctx is done first it cancels what is left, closes its
// connections, and returns an error that says so.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.forget()
	l.start.Do(func() { _ = l.listener.Close() }) // nobody else does when it was never started
	err := l.server.Shutdown(ctx)
	l.cut(errCut)
	if err == nil {
		return nil
	}
	_ = l.server.Close() // what a connection says on being closed is nobody's concern
	return fmt.Errorf("requests on %s were cut off: %w", l.Addr(), err)
}
