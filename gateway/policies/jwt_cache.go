package policies

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/weir-run/weir/engine"
)

// verified is a token that was found good, by the hash of its text: whoever reads
// memory finds no token, and how long a lookup takes tells nothing of those that
// are there. It is immutable.
type verified struct {
	consumer *engine.Consumer
	until    time.Time // when it expires, leeway included
	issuer   int       // its number
	key      *key
	marks    marks // what it could be revoked by
	size     int
}

// tokenCache holds what was verified, in two halves: the younger is filled, and
// takes the place of the older one when it is full. What is asked for goes to the
// younger half. So at least half of what fits is there, and nothing is searched
// for what to leave out.
type tokenCache struct {
	entries, bytes int // of both halves

	mu           sync.RWMutex
	young, older map[[sha256.Size]byte]*verified
	size, before int // bytes of the halves
}

func newTokenCache(entries, bytes int) *tokenCache {
	return &tokenCache{entries: entries, bytes: bytes, young: map[[sha256.Size]byte]*verified{}}
}

func (c *tokenCache) find(sum *[sha256.Size]byte) *verified {
	c.mu.RLock()
	v := c.young[*sum]
	old := (*verified)(nil)
	if v == nil {
		old = c.older[*sum]
	}
	c.mu.RUnlock()
	if old != nil {
		c.add(sum, old)
		return old
	}
	return v
}

func (c *tokenCache) add(sum *[sha256.Size]byte, v *verified) {
	if c.entries < 2 || v.size > c.bytes/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.young[*sum]; was != nil {
		c.size -= was.size
		delete(c.young, *sum)
	}
	if was := c.older[*sum]; was != nil {
		c.before -= was.size
		delete(c.older, *sum)
	}
	if len(c.young) >= c.entries/2 || c.size+v.size > c.bytes/2 {
		c.older, c.before = c.young, c.size
		c.young, c.size = map[[sha256.Size]byte]*verified{}, 0
	}
	c.young[*sum] = v
	c.size += v.size
}

func (c *tokenCache) drop(sum *[sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.young[*sum]; was != nil {
		c.size -= was.size
		delete(c.young, *sum)
	}
	if was := c.older[*sum]; was != nil {
		c.before -= was.size
		delete(c.older, *sum)
	}
}

func (c *tokenCache) held() (entries, bytes int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.older), c.size + c.before
}
