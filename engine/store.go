package engine

import (
	"context"
	"time"
)

// A Store keeps texts by key, each for a time, and settles who makes what is not
// there. Steps that remember what they did have one, of this process or shared
// with others. It is safe for concurrent use, and bounded: what has no room is
// not kept, or no longer.
type Store interface {
	// Get gives what is kept for a key.
	Get(ctx context.Context, key string) (text string, kept bool, err error)
	// Claim is Get, and if nothing is kept the key is the caller's, who owes Put
	// or Release. Others who claim it meanwhile wait for that, as long as their
	// ctx goes on. A claim ends after hold in any case: its owner may be gone.
	Claim(ctx context.Context, key string, hold time.Duration) (text string, kept bool, err error)
	// Put keeps a text for as long as ttl, and ends a claim.
	Put(ctx context.Context, key, text string, ttl time.Duration) error
	// Release ends a claim of which nothing came.
	Release(ctx context.Context, key string) error
}
