package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Inject makes calls go wrong on purpose, to see what comes of it. It stands
// before everything that a service has against failures: what is injected is
// what a caller sees when all of that was in vain.
type Inject struct {
	// Share of the calls, from 0 to 1, that get what follows. 0 is 1: all.
	Share float64
	// Delay is how much longer a call takes.
	Delay time.Duration
	// Abort is the status, from 400 to 599, that a call is answered with. Nothing
	// is sent. 0: the call is made.
	Abort int
}

func (i Inject) enabled() bool { return i.Delay > 0 || i.Abort > 0 }

func (i Inject) validate(f *faults) {
	f.nonNegative("inject.delay", i.Delay)
	switch {
	case !(i.Share >= 0 && i.Share <= 1): // also catches NaN
		f.add("inject.share", "a share of the calls lies between 0% and 100%", "")
	case i.Share > 0 && !i.enabled():
		f.add("inject", "nothing is injected", "write delay: 200ms, or abort: 503")
	}
	if i.Abort != 0 && (i.Abort < 400 || i.Abort > 599) {
		f.add("inject.abort", fmt.Sprintf("%d is not the status of a failure", i.Abort), "write a status from 400 to 599")
	}
}

// drawn decides by chance whether a call gets it.
func (i Inject) drawn(random func() uint64) bool {
	return i.enabled() && drawn(i.Share, random)
}

// inject delays a call, and gives the reply in place of the endpoint's if there
// is to be one.
func (r *run) inject() (*http.Response, Class, error) {
	s := r.service
	s.injected.Add(1)
	ctx := r.req.Context()
	if !r.until.IsZero() {
		bounded, cancel := context.WithDeadlineCause(ctx, r.until, errOverdue)
		defer cancel()
		ctx = bounded
	}
	if err := sleep(ctx, s.cfg.Inject.Delay); err != nil {
		closeBody(r.req)
		if context.Cause(ctx) == errOverdue || isOverdue(r.req.Context()) {
			return nil, Timeout, err
		}
		return nil, contextClass(err), err
	}
	if s.cfg.Inject.Abort == 0 {
		return nil, OK, nil
	}
	closeBody(r.req)
	class := OK
	if s.cfg.Inject.Abort >= 500 {
		class = Status
	}
	return &http.Response{
		Status:     fmt.Sprint(s.cfg.Inject.Abort, " ", http.StatusText(s.cfg.Inject.Abort)),
		StatusCode: s.cfg.Inject.Abort, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r.req,
	}, class, nil
}

var errOverdue = errors.New("the deadline of the service has passed")
