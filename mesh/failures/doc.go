// Package failures holds package mesh against backends that fail on real
// sockets: each file is one failure, over each of the transports. All of it is
// tests. What they wait for are conditions, so that none depends on how fast the
// machine is; where only time tells, as with an endpoint to which packets vanish,
// no test says how much of it passes.
//
// After each failure the goroutines are those from before, and no connection is
// open at either end.
package failures
