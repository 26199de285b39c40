package policies

import (
	"crypto/sha256"
	"sync"
)

// remembered is what halves hold: something that was found out. It is immutable.
type remembered interface {
	comparable
	bytes() int // that it takes, roughly
}

// halves remember what was found out, by the hash of what it was found out for, in
// two halves: the younger is filled, and takes the place of the older one when it
// is full. What is asked for goes to the younger half. So at least half of what
// fits is there, and nothing is searched for what to leave out. It is safe for
// concurrent use.
//
// Whoever reads memory finds no token, and how long a lookup takes tells nothing
// of those that are there.
type halves[V remembered] struct {
	entries, most int // of both halves; most in bytes

	mu           sync.RWMutex
	young, older map[[sha256.Size]byte]V
	size, before int // bytes of the halves
}

func newHalves[V remembered](entries, bytes int) *halves[V] {
	return &halves[V]{entries: entries, most: bytes, young: map[[sha256.Size]byte]V{}}
}

// find gives what is remembered, or nil.
func (c *halves[V]) find(sum *[sha256.Size]byte) V {
	var none V
	c.mu.RLock()
	v, old := c.young[*sum], none
	if v == none {
		old = c.older[*sum]
	}
	c.mu.RUnlock()
	if old != none {
		c.add(sum, old)
		return old
	}
	return v
}

func (c *halves[V]) add(sum *[sha256.Size]byte, v V) {
	size := v.bytes()
	if c.entries < 2 || size > c.most/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(sum)
	if len(c.young) >= c.entries/2 || c.size+size > c.most/2 {
		c.older, c.before = c.young, c.size
		c.young, c.size = map[[sha256.Size]byte]V{}, 0
	}
	c.young[*sum] = v
	c.size += size
}

func (c *halves[V]) drop(sum *[sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(sum)
}

func (c *halves[V]) remove(sum *[sha256.Size]byte) {
	if was, ok := c.young[*sum]; ok {
		c.size -= was.bytes()
		delete(c.young, *sum)
	}
	if was, ok := c.older[*sum]; ok {
		c.before -= was.bytes()
		delete(c.older, *sum)
	}
}

func (c *halves[V]) held() (entries, bytes int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.older), c.size + c.before
}
