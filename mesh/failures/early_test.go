package failures

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// endless is a body of which there is always more.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A backend answers, and ends the connection while the body is being sent. If it
// leaves the client the time to see it, the answer is what the caller gets; else
// it is that or a reset. The upload ends in any case.
func TestABackendThatAnswersEarly(t *testing.T) {
	const whole = 1000
	over(t, ways, func(t *trial) {
		for name, c := range map[string]struct {
			end  func(c *serverConn, answered <-chan struct{})
			sure bool
		}{
			"and listens on":         {func(c *serverConn, _ <-chan struct{}) { c.wait() }, true},
			"and says no more":       {func(c *serverConn, _ <-chan struct{}) { c.halfClose() }, !t.way.http2},
			"and closes":             {func(*serverConn, <-chan struct{}) {}, false},
			"and resets":             {func(c *serverConn, _ <-chan struct{}) { c.reset() }, false},
			"and takes nothing more": {func(_ *serverConn, answered <-chan struct{}) { <-answered }, true},
		} {
			t.Run(name, func(test *testing.T) {
				test.Parallel()
				t := &trial{T: test, way: t.way}
				answered := make(chan struct{})
				b := t.scripted(func(s *serverConn) {
					s.request()
					s.say(s.header(0))
					s.say(s.last(whole))
					c.end(s, answered)
				})
				s := t.open(mesh.Config{Timeout: time.Minute, Retry: mesh.Retry{Attempts: 3}}, b)
				call := mesh.Call{Stream: true}
				resp, err := t.post(s, endless{}, &call)
				var got []byte
				if err == nil {
					got, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				close(answered)
				if class := t.class(err); call.Attempts != 1 || class != mesh.OK && (c.sure || class != mesh.Reset) || class == mesh.OK && len(got) != whole {
					t.Errorf("%d attempts, %d bytes: %v", call.Attempts, len(got), err)
				}
			})
		}
	})
}

// An upload may take longer than an attempt if the backend takes what there is;
// one that it takes nothing of any more times out.
func TestAnUploadOfItsOwnPace(t *testing.T) {
	over(t, ways, func(t *trial) {
		t.Run("slow", func(test *testing.T) {
			test.Parallel()
			t := &trial{T: test, way: t.way}
			b := t.serve(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, n)
			})
			s := t.open(mesh.Config{Timeout: patience}, b)
			pieces := 0
			resp, err := t.post(s, readerFunc(func(p []byte) (int, error) {
				if pieces++; pieces > 3 {
					return 0, io.EOF
				}
				time.Sleep(patience / 2)
				return len(p), nil
			}), &mesh.Call{Buffer: true})
			if err != nil || resp.StatusCode != 200 {
				t.Error(resp, err)
			}
		})
		t.Run("stalled", func(test *testing.T) {
			test.Parallel()
			t := &trial{T: test, way: t.way}
			stalls := t.scripted(func(c *serverConn) { c.request(); time.Sleep(2 * patience) })
			s := t.open(mesh.Config{Timeout: patience}, stalls)
			_, err := t.post(s, endless{}, &mesh.Call{Stream: true})
			if t.class(err) != mesh.Timeout {
				t.Error(err)
			}
		})
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
