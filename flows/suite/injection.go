package suite

import (
	"context"
	"net/http"
	"time"
)

// injection is one broken call, or several.
type injection struct {
	at   place
	kind string
	also *injection
}

// of is the fault that a call at a place gets, or nil.
func (b *injection) of(at place) *injection {
	for ; b != nil; b = b.also {
		if b.at == at {
			return b
		}
	}
	return nil
}

// replaces reports whether a call at a place gets the fault instead of its
// answer.
func (b *injection) replaces(at place) bool {
	f := b.of(at)
	return f != nil && f.kind != "slow"
}

// delay lets a slow call take as long as it may without failing.
func (b *injection) delay(ctx context.Context, at place, timeout time.Duration) error {
	if f := b.of(at); f == nil || f.kind != "slow" {
		return nil
	}
	return sleep(ctx, timeout-time.Millisecond)
}

// mark is in what a broken service says, and must not come out.
const mark = "inner-detail-of-a-failing-service"

func (b *injection) roundTrip(req *http.Request) (*http.Response, error) {
	json := http.Header{"Content-Type": {"application/json"}, "X-Inner": {mark}}
	switch b.kind {
	case "refused":
		return failing(req, "connect")
	case "500":
		return respond(req, http.StatusInternalServerError, json, `{"message":"`+mark+`"}`), nil
	case "503":
		return respond(req, http.StatusServiceUnavailable, json, `{"message":"`+mark+`"}`), nil
	}
	return failing(req, b.kind)
}
