package engine

import (
	"context"
	"time"
)

// A Limiter counts what keys use of their limits. It is beside Store because a
// Store could not do it: between Get and Put another would use the same credit,
// and a claim on the key would let its requests wait for each other. Here a
// question and what is counted are one step, which one that processes share can
// take in one round trip.
//
// Which limits, and how they are counted, is settled when a Limiter is opened. It
// is safe for concurrent use, and bounded: what has no room for all keys forgets
// those that have used least. One that cannot tell grants: what counts must not
// take down what it guards.
type Limiter interface {
	// Take counts cost against each limit of key, or against none of them if one
	// has not that much left. It fills in what is left then, in the order of the
	// limits.
	Take(ctx context.Context, key []byte, cost int64, now time.Time, left []Balance) (granted bool)
	// Settle counts what a request that was granted has cost beyond what was taken
	// for it, or, if more is negative, gives back what it has not.
	Settle(ctx context.Context, key []byte, more int64, now time.Time, left []Balance)
}

// Balance is what a key has of one limit.
type Balance struct {
	Left int64         // how much
	Next time.Duration // until there is more than that
	Wait time.Duration // until what was asked for is there; 0: it was
}
