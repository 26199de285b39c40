// Package suite runs the tests that stand beside flows in flow files.
//
// A test is checked as flows are: what it names must be there, and a fault has
// a place and a remedy. To run, the flow it is about is compiled again, alone
// and with a Probe inside, and opened on a flows.Stage: requests go straight to
// the gateway's handler, services are played by mocks, nothing listens and
// nothing is dialled. It runs in a bubble of testing/synctest, where time stands
// still while anything works and jumps when all wait, so that a test takes no
// longer than its work, whatever it waits for; and nothing is shared between two
// tests, not even a breaker. So they run at the same time, and in any order.
//
// The same machine breaks one call after the other on purpose: see Faults.
package suite
