package failures

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// breakages are what a backend may do in place of answering, and what a call
// makes of it.
var breakages = []struct {
	name   string
	script func(c *serverConn)
	want   mesh.Class
}{
	{"closes in place of an answer", func(c *serverConn) { c.request() }, mesh.Reset},
	{"resets in place of an answer", func(c *serverConn) { c.request(); c.reset() }, mesh.Reset},
	{"half-closes in place of an answer", func(c *serverConn) { c.request(); c.halfClose() }, mesh.Reset},
	{"closes in the header", func(c *serverConn) { c.request(); c.say(c.header(1000)[:500]) }, mesh.Reset},
	{"resets in the header", func(c *serverConn) { c.request(); c.say(c.header(1000)[:500]); c.reset() }, mesh.Reset},
	{"half-closes in the header", func(c *serverConn) { c.request(); c.say(c.header(1000)[:500]); c.halfClose() }, mesh.Reset},
	{"closes in the body", func(c *serverConn) { c.request(); c.say(c.header(0)); c.say(c.body(500)) }, mesh.Reset},
	{"resets in the body", func(c *serverConn) { c.request(); c.say(c.header(0)); c.say(c.body(500)); c.reset() }, mesh.Reset},
	{"half-closes in the body", func(c *serverConn) { c.request(); c.say(c.header(0)); c.say(c.body(500)); c.halfClose() }, mesh.Reset},
	{"answers in another protocol", func(c *serverConn) {
		c.request()
		c.say([]byte("220 mail.example ESMTP ready, what do you want?\r\n"))
		c.wait()
	}, mesh.Malformed},
	{"answers with garbage", func(c *serverConn) { c.request(); c.say([]byte(strings.Repeat("\xde\xad\xbe\xef\r\n", 100))); c.wait() }, mesh.Malformed},
	{"never answers", func(c *serverConn) { c.request(); c.wait() }, mesh.Timeout},
	{"sends its header byte by byte", func(c *serverConn) { c.request(); c.drip(c.headerByte) }, mesh.Timeout},
	{"sends its body byte by byte", func(c *serverConn) { c.request(); c.say(c.header(0)); c.drip(c.bodyByte) }, mesh.Timeout},
}

// patience is how long an attempt may take that nothing but time ends: no longer
// than a test may, and longer than a handshake takes on a busy machine.
const patience = time.Second

func TestABackendThatBreaks(t *testing.T) {
	over(t, ways, func(t *trial) {
		for _, c := range breakages {
			t.Run(c.name, func(test *testing.T) {
				test.Parallel()
				t := &trial{T: test, way: t.way}
				timeout := time.Minute
				if c.want == mesh.Timeout {
					timeout = patience
				}

				// What is not safe to repeat is not repeated.
				alone := t.open(mesh.Config{Timeout: timeout, Retry: mesh.Retry{Attempts: 3, On: []string{"connect", "reset", "timeout"}}}, t.scripted(c.script))
				call := mesh.Call{Buffer: true}
				_, err := t.post(alone, strings.NewReader("once"), &call)
				class := t.class(err)
				if c.want == mesh.Malformed && class == mesh.Reset && (t.way.std || t.way.http2) {
					class = c.want // net/http ends the connection, and may find that it cannot write any more first
				}
				unsent := int(alone.Stats().Endpoints[0].Failures[mesh.Connect]) // when the machine is too busy for handshakes
				if class != c.want || call.Attempts != 1+unsent {
					t.Errorf("%d attempts: %v", call.Attempts, err)
				}

				// What is goes to another endpoint, if the failure is one to do that for.
				s := t.open(mesh.Config{Timeout: timeout, Retry: mesh.Retry{Attempts: 6, On: []string{"connect", "reset", "timeout"}}}, t.scripted(c.script), t.serve(fine))
				for range 2 { // the broken one has its turn in one of them
					call := mesh.Call{Record: true}
					got, err := t.get(s, &call)
					if c.want == mesh.Malformed && err != nil && t.class(err) == mesh.Malformed {
						continue // by default as by this list
					}
					if got != "fine" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
				}
				if n := s.Stats().Endpoints[0].Failures[c.want]; n == 0 {
					t.Errorf("%+v", s.Stats().Endpoints[0].Failures)
				}
			})
		}
	})
}

// A backend that accepts and closes has not seen a request, or is not known not
// to have: over HTTP/2 that is told apart.
func TestABackendThatClosesAtOnce(t *testing.T) {
	over(t, ways, func(t *trial) {
		s := t.open(mesh.Config{Timeout: time.Minute, Retry: mesh.Retry{Attempts: 3}}, t.scripted(func(*serverConn) {}))
		_, err := t.get(s, new(mesh.Call))
		if class := t.class(err); class != mesh.Reset && (class != mesh.Connect || !t.way.http2) {
			t.Error(err)
		}
	})
}

// A reply that the caller reads by itself is bounded by how long it says nothing,
// and by the caller's own time if it drips.
func TestAStreamThatDrips(t *testing.T) {
	over(t, ways, func(t *trial) {
		loris := t.scripted(func(c *serverConn) { c.request(); c.say(c.header(0)); c.drip(c.bodyByte) })
		silent := t.scripted(func(c *serverConn) { c.request(); c.say(c.header(0)); c.say(c.body(500)); c.wait() })
		for _, b := range []*backend{loris, silent} {
			s := t.open(mesh.Config{Timeout: time.Minute, StreamIdleTimeout: patience}, b)
			resp, err := t.post(s, strings.NewReader("x"), &mesh.Call{Stream: true})
			if err != nil {
				t.Fatal(err)
			}
			if b == loris {
				if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
					t.Error(err)
				}
				resp.Body.Close()
				continue
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if t.class(err) != mesh.Timeout || !errors.Is(err, os.ErrDeadlineExceeded) || !slices.Contains([]int{0, 500}, len(got)) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
		}
	})
}
