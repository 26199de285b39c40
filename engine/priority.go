package engine

import "slices"

// Priority says which calls go first when a service has too many. A flow has that
// of its trigger, and what it sets off inherits it. The zero value is that of most.
type Priority int8

// PriorityLow is that of what nobody waits for.
const PriorityLow Priority = -1

// The priorities as they are written, the lowest first. Normal is 0.
var priorities = []string{"low", "normal", "high", "critical"}

// Priorities are the priorities as they are written, the lowest first. They are
// not to be changed.
func Priorities() []string { return priorities }

// PriorityOf is the priority that is written so; what is not one is normal.
func PriorityOf(text string) Priority {
	if i := slices.Index(priorities, text); i >= 0 {
		return PriorityLow + Priority(i)
	}
	return 0
}

// String returns the priority as it is written.
func (p Priority) String() string { return priorities[p-PriorityLow] }
