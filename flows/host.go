package flows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/usage"
	"github.com/weir-run/weir/mesh"
)

// Host serves programs, one at a time. It is safe for concurrent use.
type Host struct {
	log     *slog.Logger
	metrics *gateway.Metrics
	server  *gateway.Server
	drain   time.Duration
	dial    connectors.Dial
	redact  *dsl.Redactor
	stdout  io.Writer
	faults  *gateway.Faults
	recent  *gateway.Recent
	limited gateway.Limited
	usage   *usage.Usage
	tracer  *trace.Tracer
	records trace.Recorder
	current atomic.Pointer[generation]
	keepers keepers

	applying sync.Mutex      // held by Apply: programs come one after the other
	halted   context.Context // of what Apply waits for; ends with Shutdown
	halt     context.CancelFunc

	mu        sync.Mutex                   // of what follows; not held while something is waited for
	listeners map[string]*gateway.Listener // by listenerKey
	clients   map[string]*client           // by connectors.Service.Key
	closing   bool
	access    map[gateway.LogFileConfig]*accessSink
	leaving   map[*gateway.Listener]bool
	left      sync.WaitGroup // is zero when none is leaving
}

// client is a service's client and how many generations use it.
type client struct {
	*mesh.Service
	uses int
}

// HostOptions are what a Host needs.
type HostOptions struct {
	Log     *slog.Logger
	Metrics *gateway.Metrics
	// Drain is how long requests in progress may take when their listener goes.
	Drain time.Duration
	// Redactor takes secrets out of problem documents. It may be nil.
	Redactor *dsl.Redactor
	// Tracer decides which requests are recorded as spans. It may be nil.
	Tracer *trace.Tracer
	// Stdout gets the records of access logs that name no file; nobody, if it is
	// nil.
	Stdout io.Writer
	// Records gets the records of access logs that are for a collector. Nil: there
	// is none, and a program that wants one is not opened.
	Records trace.Recorder
	// Faults counts requests that fail, and Recent keeps requests. Both may be nil.
	Faults *gateway.Faults
	Recent *gateway.Recent
	Usage  *usage.Usage // counts who uses what; nil: nobody
	// Listen and Dial are the host's ways to the network: net.Listen and
	// net.Dialer, if they are nil.
	Listen func(network, addr string) (net.Listener, error)
	Dial   connectors.Dial
}

// NewHost makes a Host that serves nothing yet.
func NewHost(o HostOptions) *Host {
	h := &Host{
		log: o.Log, metrics: o.Metrics, drain: o.Drain, dial: o.Dial, redact: o.Redactor, faults: o.Faults, recent: o.Recent, usage: o.Usage, tracer: o.Tracer, records: o.Records, server: gateway.NewServer(o.Log, o.Metrics),
		listeners: map[string]*gateway.Listener{}, clients: map[string]*client{}, leaving: map[*gateway.Listener]bool{}, access: map[gateway.LogFileConfig]*accessSink{}, stdout: io.Discard,
	}
	if o.Stdout != nil {
		h.stdout = keptOpen{o.Stdout}
	}
	h.halted, h.halt = context.WithCancel(context.Background())
	if o.Listen != nil {
		h.server.Open = o.Listen
	}
	return h
}

// generation is one program at work. refs counts the requests in it; retired
// is added when another has taken its place, so that the count shows both.
type generation struct {
	program  *Program
	handlers map[string]http.Handler // by listenerKey
	refs     atomic.Int64
	once     sync.Once
	finish   func()        // runs once, when it has retired and the last request has ended
	finished chan struct{} // closed when all of it is closed
}

const retired = -1 << 62

// acquire gives the current generation, which stays open until release.
func (h *Host) acquire() *generation {
	for {
		g := h.current.Load()
		if g == nil || g.refs.Add(1) > 0 {
			return g
		}
		// It retired between the two steps. The last request may have ended
		// meanwhile and have seen our count.
		g.release()
	}
}

func (g *generation) release() { g.count(-1) }

func (g *generation) retire() { g.count(retired) }

func (g *generation) count(n int64) {
	if g.refs.Add(n) == retired {
		g.once.Do(g.finish)
	}
}

// entry is the handler of one listener for all generations.
type entry struct {
	host *Host
	key  string
}

func (e *entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := e.host.acquire()
	if g == nil {
		gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusServiceUnavailable, Code: gateway.CodeUnavailable})
		return
	}
	defer g.release()
	handler, ok := g.handlers[e.key]
	if !ok { // the listener is on its way out, or in
		w.Header().Set("Connection", "close")
		gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusServiceUnavailable, Code: gateway.CodeUnavailable})
		return
	}
	handler.ServeHTTP(w, r)
}

// listenerKey keeps gateways on ports that the system chooses apart.
func listenerKey(g *Gateway) string {
	addr, err := gateway.Address(g.Listen)
	if err != nil {
		return g.Listen // Check has refused it
	}
	if _, port, _ := net.SplitHostPort(addr); port == "0" {
		return g.Name.Value + " " + addr
	}
	return addr
}

// Apply makes p the program that is served: everything new is opened first,
// then one pointer is swapped, then what is gone drains and closes. If
// something cannot be opened nothing has changed, and the error says what.
func (h *Host) Apply(p *Program) error {
	h.applying.Lock()
	defer h.applying.Unlock()
	n, err := h.open(p)
	if err != nil {
		return err
	}
	h.awaitServices(p)
	return h.serve(p, n)
}

// opening is what was opened for a program that is not served yet.
type opening struct {
	listeners map[string]*gateway.Listener // by listenerKey
	changed   []func()                     // give listeners that stay what the program says of them
	services  []string                     // keys of clients
	logs      []gateway.LogFileConfig      // that access logs go to
}

var errShuttingDown = errors.New("shutting down")

func (h *Host) open(p *Program) (n opening, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return n, errShuttingDown
	}
	if n.listeners, n.changed, err = h.listen(p); err != nil {
		return n, err
	}
	if n.logs, err = h.openAccess(p); err == nil {
		n.services, err = h.openServices(p)
	}
	if err != nil {
		n.drop()
		h.dropAccess(n.logs)
	}
	return n, err
}

// drop closes the listeners, which have served nothing.
func (n opening) drop() {
	for _, l := range n.listeners {
		_ = l.Shutdown(context.Background())
	}
}

// serve makes p, for which n was opened, the program that is served.
func (h *Host) serve(p *Program, n opening) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		n.drop()
		h.dropServices(n.services)
		h.dropAccess(n.logs)
		return errShuttingDown
	}
	g := &generation{program: p, handlers: map[string]http.Handler{}, finished: make(chan struct{})}
	held := h.keepers.open(p)
	g.finish = func() {
		go func() { // the last request need not wait for it, nor Apply for itself
			defer close(g.finished)
			h.keepers.close(held) // what still works in them calls services
			h.closeServices(n.services, n.logs)
		}()
	}
	for _, gw := range p.Gateways {
		o := gw.options(h.log, h.metrics, h.redact)
		o.Tracer, o.Revision, o.Access = h.tracer, p.Revision(), h.accessOf(gw)
		o.Faults, o.Recent, o.Usage, o.Limited = h.faults, h.recent, h.usage, &h.limited
		g.handlers[listenerKey(gw)] = gateway.NewHandler(gw.router, o)
	}
	old := h.current.Swap(g)
	for _, use := range n.changed {
		use()
	}
	for key, l := range n.listeners {
		h.listeners[key] = l
		l.Swap(&entry{h, key})
		l.Start()
	}
	if old != nil {
		old.retire()
	}
	for key, l := range h.listeners {
		if _, stays := g.handlers[key]; !stays {
			delete(h.listeners, key)
			h.leave(l)
		}
	}
	return nil
}

// listen opens the listeners that p needs and the host has not, and prepares
// those that it has for what p says of them.
func (h *Host) listen(p *Program) (opened map[string]*gateway.Listener, changed []func(), err error) {
	opened = map[string]*gateway.Listener{}
	for _, gw := range p.Gateways {
		key, cfg := listenerKey(gw), gw.Connections
		cfg.Name = gw.Name.Value
		if l := h.listeners[key]; l != nil {
			var use func()
			if use, err = l.Prepare(cfg); err == nil {
				changed = append(changed, use)
				continue
			}
		} else if l, err = h.server.Listen(gw.Listen, cfg); err == nil {
			opened[key] = l
			continue
		} else if h.holds(gw.Listen) {
			err = fmt.Errorf("%w; a gateway of the program that is served holds the port: change the port, or restart", err)
		}
		opening{listeners: opened}.drop()
		return nil, nil, fmt.Errorf("gateway %s: %w", gw.Name.Value, err)
	}
	return opened, changed, nil
}

// holds reports whether one of the host's own listeners has the port of addr.
func (h *Host) holds(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	for _, l := range h.listeners {
		if _, held, _ := net.SplitHostPort(l.Addr().String()); held == port {
			return true
		}
	}
	return false
}

// leave ends a listener without holding up what goes on. Its address is free
// when leave returns.
func (h *Host) leave(l *gateway.Listener) {
	l.Stop()
	h.leaving[l] = true
	h.left.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.drain)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			h.log.Warn("a listener did not drain in time", "address", l.Addr().String(), "error", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.leaving, l)
	})
}

// openServices opens the services of p, taking over the clients of equal ones.
func (h *Host) openServices(p *Program) (keys []string, err error) {
	for _, s := range connectors.IssuersFirst(p.Services) {
		key := s.Key()
		c := h.clients[key]
		if c == nil {
			if err := s.Open(nil, h.dial, h.log); err != nil {
				h.dropServices(keys)
				return nil, err
			}
			c = &client{Service: s.Client()}
			h.clients[key] = c
		} else if err := s.Open(c.Service, h.dial, h.log); err != nil {
			h.dropServices(keys)
			return nil, err
		}
		c.uses++
		keys = append(keys, key)
	}
	return keys, nil
}

// patience is how long a program waits for services that are looked for. A
// reload then meets no service that is not found yet; one that cannot be found
// does not keep the others from being served.
const patience = 3 * time.Second

func (h *Host) awaitServices(p *Program) {
	ctx, cancel := context.WithTimeout(h.halted, patience)
	defer cancel()
	for _, s := range p.Services {
		if err := s.Client().Ready(ctx); err != nil && h.halted.Err() == nil {
			h.log.Warn("a service is served before it is found", "service", s.Name.Value, "error", err)
		}
	}
}

func (h *Host) closeServices(keys []string, logs []gateway.LogFileConfig) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropServices(keys)
	h.dropAccess(logs)
}

func (h *Host) dropServices(keys []string) {
	for _, key := range keys {
		c := h.clients[key]
		if c.uses--; c.uses == 0 {
			delete(h.clients, key)
			c.Close()
		}
	}
}

// Program is what is served, or nil.
func (h *Host) Program() *Program {
	if g := h.current.Load(); g != nil {
		return g.program
	}
	return nil
}

// Addr is the address that a gateway listens on, or nil if there is none.
func (h *Host) Addr(name string) net.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.current.Load()
	if g == nil {
		return nil
	}
	for _, gw := range g.program.Gateways {
		if gw.Name.Value == name {
			if l := h.listeners[listenerKey(gw)]; l != nil { // it is, until Shutdown
				return l.Addr()
			}
		}
	}
	return nil
}

// Shutdown stops accepting, waits for the requests in progress until ctx ends,
// and closes everything.
func (h *Host) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	listeners := slices.AppendSeq(slices.Collect(maps.Keys(h.leaving)), maps.Values(h.listeners))
	h.listeners = map[string]*gateway.Listener{}
	h.mu.Unlock()
	h.halt()
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { errs <- l.Shutdown(ctx) }()
	}
	var err error
	for range listeners {
		err = errors.Join(err, <-errs)
	}
	h.left.Wait()
	h.applying.Lock() // a program that has not gone live yet has closed what it opened
	defer h.applying.Unlock()
	if old := h.current.Swap(nil); old != nil {
		old.retire()
		select {
		case <-old.finished:
		case <-ctx.Done():
		}
	}
	return err
}
