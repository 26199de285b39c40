package policies

import (
	"time"

	"github.com/weir-run/weir/engine"
)

// verified is a token that was found good. It is immutable.
type verified struct {
	consumer *engine.Consumer
	until    time.Time // when it expires, leeway included, or has to be asked for again
	last     time.Time // when it expires at last, if nobody can be asked; zero: at until
	issuer   int       // its number
	key      *key
	marks    marks // what it could be revoked by
	size     int
}

func (v *verified) bytes() int { return v.size }

// tokenCache holds what was verified, by the hash of its text.
type tokenCache = halves[*verified]

func newTokenCache(entries, bytes int) *tokenCache { return newHalves[*verified](entries, bytes) }
