package policies

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// proof is what came of looking up an address. It is immutable.
type proof struct {
	holds bool
	until time.Time
}

func (*proof) bytes() int { return 128 }

// botState is what outlives requests.
type botState struct {
	names    Resolver
	remember time.Duration
	timeout  time.Duration
	known    *halves[*proof]
	heard    trouble

	mu      sync.Mutex
	running map[[sha256.Size]byte]*lookup
	closed  context.Context
	close   context.CancelFunc
	work    sync.WaitGroup

	refused, verified, forged, failed, lookups atomic.Int64
}

// lookup is one that is under way. Its result may be read when it is done.
type lookup struct {
	done chan struct{}
	ok   bool
	err  error
}

const (
	// mostLookups bounds how many addresses are looked up at once: anyone can say
	// that it is a crawler, from as many addresses as it has.
	mostLookups = 64
	// mostNames bounds the names of an address that are looked at.
	mostNames = 8
)

var errManyLookups = errors.New("too many addresses are being looked up")

func newBotState(log *slog.Logger, names Resolver, entries int, remember, timeout time.Duration) *botState {
	s := &botState{names: names, remember: remember, timeout: timeout, known: newHalves[*proof](entries, 128*entries), running: map[[sha256.Size]byte]*lookup{},
		heard: trouble{log: log, begins: "crawlers cannot prove what they are: names cannot be looked up", ends: "names can be looked up again", quiet: 10 * time.Second}}
	s.closed, s.close = context.WithCancel(context.Background())
	return s
}

// proved reports whether an address is one of a crawler's. The error says that it
// cannot be known.
func (s *botState) proved(ctx context.Context, k *crawler, from netip.Addr) (bool, error) {
	b := from.As16()
	sum := sha256.Sum256(append(append(b[:], 0), k.word...))
	if p := s.known.find(&sum); p != nil && time.Now().Before(p.until) {
		return p.holds, nil
	}
	l := s.begin(sum, k, from)
	if l == nil {
		return false, errManyLookups
	}
	select {
	case <-l.done:
		return l.ok, l.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// begin looks an address up, once for all who ask. It is nil if there are too many
// others.
func (s *botState) begin(sum [sha256.Size]byte, k *crawler, from netip.Addr) *lookup {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.running[sum]; l != nil {
		return l
	}
	if len(s.running) >= mostLookups || s.closed.Err() != nil {
		return nil
	}
	l := &lookup{done: make(chan struct{})}
	s.running[sum] = l
	s.work.Go(func() {
		ctx, end := context.WithTimeout(s.closed, s.timeout)
		defer end()
		s.lookups.Add(1)
		l.ok, l.err = s.look(ctx, k, from)
		s.settle(&sum, l)
		close(l.done)
	})
	return l
}

func (s *botState) settle(sum *[sha256.Size]byte, l *lookup) {
	now := time.Now()
	s.mu.Lock()
	delete(s.running, *sum)
	s.mu.Unlock()
	if s.closed.Err() != nil {
		return
	}
	if s.heard.note(now, l.err); l.err != nil {
		s.failed.Add(1)
		return
	}
	until := now.Add(s.remember)
	if !l.ok {
		until = now.Add(s.remember / 10)
	}
	s.known.add(sum, &proof{l.ok, until})
}

// look finds the names of an address, and for those in a domain of the crawler
// whether they have that address: whoever has an address gives it any name.
func (s *botState) look(ctx context.Context, k *crawler, from netip.Addr) (bool, error) {
	names, err := s.names.LookupAddr(ctx, from.String())
	if err != nil {
		return false, unlessNone(err)
	}
	var failed error
	for _, name := range names[:min(len(names), mostNames)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !slices.ContainsFunc(k.domains, func(domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) }) {
			continue
		}
		addrs, err := s.names.LookupNetIP(ctx, "ip", name+".")
		if err != nil {
			failed = errors.Join(failed, unlessNone(err))
			continue
		}
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().WithZone("") == from }) {
			return true, nil
		}
	}
	return false, failed
}

// unlessNone is the error, unless it says that there is no such name.
func unlessNone(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return nil
	}
	return err
}

// Observe is what engine.Observed asks for.
func (s *botState) Observe(show func(name string, total bool, value int64)) {
	show("agents_refused", true, s.refused.Load())
	show("crawlers_verified", true, s.verified.Load())
	show("crawlers_forged", true, s.forged.Load())
	show("lookups", true, s.lookups.Load())
	show("lookups_failed", true, s.failed.Load())
	entries, _ := s.known.held()
	show("addresses", false, int64(entries))
}

// Close is what engine.Keeper asks for.
func (s *botState) Close() {
	s.close()
	s.work.Wait()
}
