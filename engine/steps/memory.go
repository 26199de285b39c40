package steps

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// memory is the engine.Store of one process. It has bounds; what is over them is
// forgotten: what is out of date first, then what is next in order.
type memory struct {
	most    bounds
	touched bool // what is read goes to the end of the order

	mu      sync.Mutex
	byKey   map[string]*list.Element // of *entry
	order   list.List                // the next to be forgotten first
	claims  map[string]*claim
	bytes   int64
	evicted int64
}

// bounds are the keys of a memory's size.
type bounds struct {
	Entries int      `yaml:"entries" doc:"How many entries are kept at most." default:"100000" min:"1" max:"10000000"`
	Memory  dsl.Size `yaml:"memory" doc:"How much memory the entries may take, in about. What is larger than that is not kept at all." default:"64MB" min:"1KB"`
}

type entry struct {
	key, text string
	until     time.Time
}

// overheadOfEntry is about what an entry takes beside its texts, in bytes.
const overheadOfEntry = 256

func (e *entry) size() int64 { return int64(overheadOfEntry + len(e.key) + len(e.text)) }

// claim is a key that someone makes something for.
type claim struct {
	until time.Time
	ended chan struct{}
}

func newMemory(most bounds, touched bool) *memory {
	return &memory{most: most, touched: touched, byKey: map[string]*list.Element{}, claims: map[string]*claim{}}
}

// Get is what engine.Store asks for.
func (m *memory) Get(_ context.Context, key string) (text string, kept bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, kept = m.get(key)
	return text, kept, nil
}

// Claim is what engine.Store asks for.
func (m *memory) Claim(ctx context.Context, key string, hold time.Duration) (text string, kept bool, err error) {
	for {
		m.mu.Lock()
		if text, kept = m.get(key); kept {
			m.mu.Unlock()
			return text, true, nil
		}
		other := m.claims[key]
		if other == nil || !time.Now().Before(other.until) {
			m.end(key)
			m.claims[key] = &claim{until: time.Now().Add(hold), ended: make(chan struct{})}
			m.mu.Unlock()
			return "", false, nil
		}
		m.mu.Unlock()
		late := time.NewTimer(time.Until(other.until))
		select {
		case <-other.ended:
		case <-late.C:
		case <-ctx.Done():
			late.Stop()
			return "", false, engine.Interrupted(ctx)
		}
		late.Stop()
	}
}

// Put is what engine.Store asks for.
func (m *memory) Put(_ context.Context, key, text string, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(key)
	m.put(&entry{key, text, time.Now().Add(ttl)})
	return nil
}

// Release is what engine.Store asks for.
func (m *memory) Release(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(key)
	return nil
}

// end ends a claim. m.mu is held.
func (m *memory) end(key string) {
	if c := m.claims[key]; c != nil {
		delete(m.claims, key)
		close(c.ended)
	}
}

// get finds what is kept. m.mu is held.
func (m *memory) get(key string) (string, bool) {
	at := m.byKey[key]
	if at == nil {
		return "", false
	}
	e := at.Value.(*entry)
	if !time.Now().Before(e.until) {
		m.forget(at)
		return "", false
	}
	if m.touched {
		m.order.MoveToBack(at)
	}
	return e.text, true
}

// put keeps an entry. m.mu is held.
func (m *memory) put(e *entry) {
	if old := m.byKey[e.key]; old != nil {
		m.forget(old)
	}
	if e.size() > int64(m.most.Memory) {
		m.evicted++
		return
	}
	m.byKey[e.key] = m.order.PushBack(e)
	m.bytes += e.size()
	now := time.Now()
	for next := m.order.Front(); next != nil; next = m.order.Front() {
		expired := !now.Before(next.Value.(*entry).until)
		over := m.bytes > int64(m.most.Memory) || len(m.byKey) > m.most.Entries
		if !expired && !over {
			return
		}
		if !expired {
			m.evicted++
		}
		m.forget(next)
	}
}

func (m *memory) forget(at *list.Element) {
	e := m.order.Remove(at).(*entry)
	delete(m.byKey, e.key)
	m.bytes -= e.size()
}

// Observe shows the numbers of the store.
func (m *memory) Observe(show func(name string, total bool, value int64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	show("evicted", true, m.evicted)
	show("entries", false, int64(len(m.byKey)))
	show("bytes", false, m.bytes)
}
