package discovery

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// backoff is the pause after looks that failed one after the other: it doubles
// from a quarter of a second to half a minute, and half of it is random so that
// many who lost the same server do not come back together.
type backoff struct{ failures int }

const (
	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
)

func (b *backoff) next() time.Duration {
	d := min(firstPause<<min(b.failures, 10), maxPause)
	b.failures++
	return d/2 + rand.N(d/2)
}

func (b *backoff) reset() { b.failures = 0 }

// sleep reports whether the pause has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
