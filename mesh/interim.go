package mesh

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"

	"github.com/weir-run/weir/mesh/h1"
)

// interims tells of replies that come before the final one, as package h1 does:
// net/http would do so at any time, on goroutines of its own, and without a bound.
// A nil one does nothing.
type interims struct {
	tell func(status int, header http.Header)

	mu    sync.Mutex
	count int
	over  bool
}

func hear(tell func(status int, header http.Header)) *interims {
	if tell == nil {
		return nil
	}
	return &interims{tell: tell}
}

// within gives the context for a request whose interim replies are told of.
func (i *interims) within(ctx context.Context) context.Context {
	if i == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: i.got})
}

func (i *interims) got(status int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch i.count++; {
	case i.over:
	case i.count > h1.MaxInterim:
		return h1.ErrTooManyInterim
	case status != http.StatusContinue:
		i.tell(status, http.Header(header))
	}
	return nil
}

// end is called when the round trip has ended: nothing is told after that.
func (i *interims) end() {
	if i == nil {
		return
	}
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}
