package policies

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// A trouble is what an operator must hear of and no caller's request shows: a
// file that cannot be read, keys that cannot be fetched. It is told when it
// begins and when it is over, however many requests come in between. It is safe
// for concurrent use.
type trouble struct {
	log    *slog.Logger // nil: nobody hears
	begins string
	ends   string
	quiet  time.Duration // how long all must be well for it to be over

	there atomic.Bool
	last  atomic.Int64 // when it was there last, in Unix nanoseconds
}

// note says how it went at now.
func (t *trouble) note(now time.Time, err error, attrs ...slog.Attr) {
	switch {
	case err != nil:
		t.last.Store(now.UnixNano())
		if !t.there.Swap(true) {
			t.tell(slog.LevelWarn, t.begins, append(attrs, slog.String("error", err.Error())))
		}
	case t.there.Load() && now.UnixNano()-t.last.Load() >= int64(t.quiet) && t.there.Swap(false):
		t.tell(slog.LevelInfo, t.ends, nil)
	}
}

// again makes the next note that it is there one that is told.
func (t *trouble) again() { t.there.Store(false) }

func (t *trouble) tell(level slog.Level, message string, attrs []slog.Attr) {
	if t.log != nil {
		t.log.LogAttrs(context.Background(), level, message, attrs...)
	}
}
