package mesh

// Priority says which calls go first when [Limit] lets some wait. The zero value
// is that of most calls.
type Priority int8

const (
	// PriorityLow: nobody waits for the call, or can do without it.
	PriorityLow Priority = iota - 1
	// PriorityNormal is that of a call which says nothing.
	PriorityNormal
	// PriorityHigh: somebody waits for the call and notices if it fails.
	PriorityHigh
	// PriorityCritical: what must not fail, such as payments and logins.
	PriorityCritical

	priorities = int(PriorityCritical-PriorityLow) + 1
)

var priorityNames = [priorities]string{"low", "normal", "high", "critical"}

// String returns the priority as it is written in configuration and metrics.
func (p Priority) String() string { return priorityNames[p.rank()] }

// rank is 0 for the lowest. What lies outside of the constants is the next of them.
func (p Priority) rank() int {
	return int(min(max(p, PriorityLow), PriorityCritical) - PriorityLow)
}
