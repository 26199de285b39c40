package mesh

// Transports that stand for the endpoints of a service.

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// fake is a transport that plays the endpoints. It is told which attempt it is.
type fake struct {
	play  func(n int, req *http.Request) (*http.Response, error)
	n     atomic.Int32
	hosts []string // called, in order; for tests that make one call at a time
}

func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	n := int(f.n.Add(1))
	f.hosts = append(f.hosts, req.URL.Host)
	resp, err := f.play(n, req)
	if req.Body != nil {
		req.Body.Close()
	}
	return resp, err
}

func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: 4, Body: io.NopCloser(strings.NewReader("body"))}
}

// always gives the same outcome.
func always(resp func() *http.Response, err error) *fake {
	return &fake{play: func(int, *http.Request) (*http.Response, error) {
		if err != nil {
			return nil, err
		}
		return resp(), nil
	}}
}

func status(code int, header ...string) func() *http.Response {
	return func() *http.Response { return reply(code, header...) }
}

var (
	errRefused = &h1.Error{Op: h1.OpDial, Err: syscall.ECONNREFUSED}
	errReset   = &h1.Error{Op: h1.OpRead, Err: io.ErrUnexpectedEOF}
	errTimeout = &h1.Error{Op: h1.OpRead, Err: os.ErrDeadlineExceeded}
	errGarbled = &h1.Error{Op: h1.OpParse, Err: errors.New("garbled")}
)

// sick answers 500 for the hosts named, and 200 for the others.
type sick map[string]bool

func (hosts sick) RoundTrip(req *http.Request) (*http.Response, error) {
	if hosts[req.URL.Host] {
		return reply(500), nil
	}
	return reply(200), nil
}

// slowly is a transport that answers after a while and counts who is there.
type slowly struct {
	takes     time.Duration
	now, most atomic.Int64
}

func (s *slowly) RoundTrip(req *http.Request) (*http.Response, error) {
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.now.Add(-1)
	if err := sleep(req.Context(), s.takes); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok"))}, nil
}
