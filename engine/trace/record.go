package trace

import "time"

// Record is something that is told once, such as that a request has ended. It
// can belong to a trace.
type Record struct {
	At      time.Time
	Event   string // what it is: one of few names
	Failed  bool
	Body    string // the whole in words; "" where the attributes say all
	Context Context
	Attrs   []Attr
}

// Recorder gets records. It is safe for concurrent use.
type Recorder interface {
	// Record takes a record, which is used again when it returns, or reports that
	// it has no room.
	Record(r *Record) bool
}
