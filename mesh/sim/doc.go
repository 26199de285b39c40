// Package sim holds the policies of package mesh against experiments whose
// outcome is known: a real mesh.Service calls backends that exist only in
// virtual time, so that a minute of a thousand requests a second takes a moment,
// and the same seed gives the same figures. All of it is tests; make sim prints
// their tables, which docs/guide/resilience.md has, too: a test fails when it has
// other figures, and go test ./mesh/sim -update writes those that there are.
//
// The backends have latencies and no queues: what is simulated is what a client
// sees of servers that are slow or failing, not how servers come to be so.
package sim
