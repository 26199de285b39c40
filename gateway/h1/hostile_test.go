package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestASlowHeaderIsRefused(t *testing.T) {
	tests := map[string]struct {
		before, begin string
		status        int // 0: closed without a word
	}{
		"nothing":            {"", "", 0},
		"a part":             {"", "GET / HT", 408},
		"a part, later":      {getA, "GET / HT", 408},
		"nothing, later":     {getA, "", 0},
		"a part of a second": {"", getA + "GET / HT", 408},
	}
	for name, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
			c := pipe(t, s)
			r := bufio.NewReader(c)
			go func() { _, _ = io.WriteString(c, tt.before+tt.begin[:min(len(tt.begin), 30)]) }()
			if tt.before != "" {
				if _, err := http.ReadResponse(r, nil); err != nil {
					t.Fatal(name, err)
				}
			}
			begun := time.Now()
			all := answers(t, r)
			got := 0
			if len(all) > 0 {
				got = all[len(all)-1].StatusCode
			}
			if tt.status == 408 && got != 408 || tt.status == 0 && len(all) != 0 {
				t.Errorf("%s: %v", name, all)
			}
			want := 5 * time.Second
			if name == "nothing, later" {
				want = time.Minute
			}
			if took := time.Since(begun); took != want {
				t.Errorf("%s: closed after %v", name, took)
			}
		})
	}
}

func TestDrippedBytesAreLookedAtOnce(t *testing.T) {
	const size = 60 << 10
	c := &recorded{inPieces: inPieces{rest: "GET /" + strings.Repeat("a", size) + " HTTP/1.1\r\nHost: x\r\n\r\n", piece: 1}}
	served := false
	(&Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })}).Serve(c)
	if !served || c.read < size {
		t.Error("not served")
	}
}

func TestManyPipelinedRequests(t *testing.T) {
	const n = 10_000
	seen := 0
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, seen)
		seen++
	})}
	c := dial(t, listen(t, s))
	go func() {
		_, _ = io.WriteString(c, strings.Repeat(getA, n))
		_ = c.CloseWrite()
	}()
	r := bufio.NewReader(c)
	for i := range n {
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		if text, _ := io.ReadAll(a.Body); string(text) != fmt.Sprint(i) {
			t.Fatalf("%d: %q", i, text)
		}
	}
}

func TestAHalfClosedClientIsAnswered(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(4 * grain)
		echo(w, r)
	})}
	c := dial(t, listen(t, s))
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ntext")
	_ = c.CloseWrite()
	if all := answers(t, c); len(all) != 1 || bodyOf(all[0]) != "text" {
		t.Error(all)
	}
}

func TestAClientThatDoesNotReadHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		s := &Server{WriteTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
			ended <- err
			<-r.Context().Done()
		})}
		c := pipe(t, s)
		begun := time.Now()
		_, _ = io.WriteString(c, getA)
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestAClientThatLeavesEndsTheContext(t *testing.T) {
	for name, leave := range map[string]struct{ request, more string }{
		"without a body":         {getA, ""},
		"with its body":          {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ntext", ""},
		"behind a next request":  {getA, getA},
		"behind what is no HTTP": {getA, "\x00"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				<-r.Context().Done()
			})}
			c := pipe(t, s)
			_, _ = io.WriteString(c, leave.request)
			time.Sleep(time.Hour)
			if leave.more != "" {
				_, _ = io.WriteString(c, leave.more)
			}
			time.Sleep(time.Hour)
			begun := time.Now()
			_ = c.Close()
			synctest.Wait()
			if time.Since(begun) != 0 {
				t.Errorf("%s: noticed after %v", name, time.Since(begun))
			}
		})
	}
}

func TestAStrayReaderIsEndedWithItsRequest(t *testing.T) {
	for name, raw := range map[string]string{
		"length": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"chunks": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				go func() {
					_, err := io.ReadAll(r.Body)
					ended <- err
				}()
				time.Sleep(time.Second)
			})}
			c := pipe(t, s)
			_, _ = io.WriteString(c, raw)
			begun := time.Now()
			if all := answers(t, c); len(all) != 1 || time.Since(begun) != time.Second {
				t.Errorf("%s: %v after %v", name, all, time.Since(begun))
			}
			if err := <-ended; err == nil {
				t.Errorf("%s: the reader got to an end", name)
			}
		})
	}
}

func TestABodyThatIsLeftIsReadUpToABound(t *testing.T) {
	for size, want := range map[int]int{100: 2, 200 << 10: 2, 300 << 10: 1} {
		for name, framing := range map[string]string{"length": "Content-Length: %d\r\n\r\n", "chunks": "Transfer-Encoding: chunked\r\n\r\n%x\r\n"} {
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })}
			c := dial(t, listen(t, s))
			go func() {
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\n"+framing, size)
				_, _ = io.WriteString(c, strings.Repeat("x", size))
				if name == "chunks" {
					_, _ = io.WriteString(c, "\r\n0\r\n\r\n")
				}
				_, _ = io.WriteString(c, getA)
				_ = c.CloseWrite()
			}()
			if all := answers(t, c); len(all) != want || all[0].StatusCode != 403 {
				t.Errorf("%s, %d bytes: %v", name, size, all)
			}
		}
	}
}

func TestTheAnswerDoesNotWaitForTheBody(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		echo(flushing{w}, r)
	})}
	c := dial(t, listen(t, s))
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	for range 3 {
		_, _ = io.WriteString(c, "1\r\nx\r\n")
		if _, err := io.ReadFull(a.Body, p); err != nil || p[0] != 'x' {
			t.Fatal(p, err)
		}
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(a.Body); len(rest) > 0 || err != nil {
		t.Error(rest, err)
	}
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

func TestWhatWasReadGoesToThoseWhoTakeOver(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(4 * grain) // it is watched by now
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if rw.Reader.Buffered() != len("early") {
			t.Errorf("%d bytes are buffered", rw.Reader.Buffered())
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("a write: %v", err)
		}
		_, _ = io.Copy(c, rw)
	})}
	c := dial(t, listen(t, s))
	_, _ = io.WriteString(c, getA+"early")
	time.Sleep(8 * grain)
	_, _ = io.WriteString(c, "late")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "earlylate" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnExpectedBodyIsAskedForWhenItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			w.WriteHeader(http.StatusEarlyHints)
			var reading sync.WaitGroup
			reading.Go(func() { echo(w, r) }) // by another goroutine
			reading.Wait()
		})}
		c := pipe(t, s)
		r := bufio.NewReader(c)
		begun := time.Now()
		_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		for _, status := range []int{103, 100} {
			if a, err := http.ReadResponse(r, nil); err != nil || a.StatusCode != status || time.Since(begun) != time.Minute {
				t.Fatal(a, err, time.Since(begun))
			}
		}
		_, _ = io.WriteString(c, "text")
		if a, err := http.ReadResponse(r, nil); err != nil || bodyOf(a) != "text" || a.Close {
			t.Error(a, err)
		}
	})
}

func TestIdleConnectionsHaveNoBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Server{Handler: http.HandlerFunc(echo), IdleTimeout: time.Minute}
		c := newConn(s, far)
		served := make(chan struct{})
		go func() {
			defer close(served)
			c.serve()
		}()
		r := bufio.NewReader(near)
		for range 3 {
			go func() { _, _ = io.WriteString(near, getA) }()
			if a, err := http.ReadResponse(r, nil); err != nil || a.StatusCode != 200 {
				t.Fatal(a, err)
			}
			time.Sleep(2 * idleLong)
			synctest.Wait()
			if c.in != nil || c.out != nil || c.head.fields != nil {
				t.Error("there is a buffer")
			}
			go func() { _, _ = io.WriteString(near, getA) }() // it tells the two apart for the race detector, too
			if a, err := http.ReadResponse(r, nil); err != nil || a.StatusCode != 200 {
				t.Fatal(a, err)
			}
		}
		begun := time.Now()
		_, _ = r.ReadByte()
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("closed after %v", took)
		}
		<-served
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan struct{})
		s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				close(begun)
				<-end
			}
		})}
		idle, fresh, busy := pipe(t, s), pipe(t, s), pipe(t, s)
		_, _ = io.WriteString(idle, getA)
		if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		<-begun
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("idle: %v", err)
		}
		// A client that has just connected cannot know.
		_, _ = io.WriteString(fresh, getA)
		if a, err := http.ReadResponse(bufio.NewReader(fresh), nil); err != nil || !a.Close {
			t.Errorf("new: %v, %v", a, err)
		}
		quiet := pipe(t, s)
		if _, err := quiet.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("too late: %v", err)
		}
		go func() { time.Sleep(time.Hour); close(end) }()
		go func() {
			if a, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil || !a.Close {
				t.Errorf("busy: %v, %v", a, err)
			}
		}()
		if err := s.Shutdown(context.Background()); err != nil || time.Since(start) != time.Hour+time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestCloseEndsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended <- r.Context().Err()
		})}
		c := pipe(t, s)
		_, _ = io.WriteString(c, getA)
		synctest.Wait()
		_ = s.Close()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// unclosable is a connection that takes long to close, as one of TLS does whose
// client takes nothing any more.
type unclosable struct{ net.Conn }

func (c unclosable) Close() error {
	time.Sleep(5 * time.Second)
	return c.Conn.Close()
}

func TestConnectionsThatAreLongToCloseHoldNoShutdown(t *testing.T) {
	for name, end := range map[string]func(s *Server){
		"shutdown": func(s *Server) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.Shutdown(ctx)
		},
		"close": func(s *Server) { _ = s.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Handler: http.HandlerFunc(echo)}
			for range 10 {
				near, far := net.Pipe()
				go s.Serve(unclosable{far})
				_, _ = io.WriteString(near, getA)
				if _, err := http.ReadResponse(bufio.NewReader(near), nil); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			begun := time.Now()
			end(s)
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s took %v", name, took)
			}
			if err := s.Shutdown(context.Background()); err != nil || time.Since(begun) > 6*time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(begun))
			}
			time.Sleep(5 * time.Second) // until they are closed
		})
	}
}

func TestTheTimeOfAnAnswerEndsQuickWritesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		ended := make(chan error, 1)
		s := &Server{WriteTimeout: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var err error
			for range 20 {
				time.Sleep(time.Second)
				if _, err = (flushing{w}).Write([]byte("event")); err == nil {
					err = http.NewResponseController(w).Flush()
				}
				if err != nil {
					break
				}
			}
			ended <- err
		})}
		c := pipe(t, s)
		begun := time.Now()
		go func() {
			_, _ = io.WriteString(c, getA)
			_, _ = io.Copy(io.Discard, c)
		}()
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) > limit+time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// halves is a connection whose ends close one by one.
type halves struct {
	net.Conn
	said []string
}

func (c *halves) CloseWrite() error { c.said = append(c.said, "no more is written"); return nil }
func (c *halves) Close() error      { c.said = append(c.said, "closed"); return c.Conn.Close() }

func TestAnAnswerThatDidNotAnnounceAShutdownIsNotLostByIt(t *testing.T) {
	for name, more := range map[string]string{"nothing follows": "", "a request follows": getA} {
		synctest.Test(t, func(t *testing.T) {
			end := make(chan struct{})
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				<-end
			})}
			near, far := net.Pipe()
			c, served := &halves{Conn: far}, make(chan struct{})
			go func() { defer close(served); s.Serve(c) }()
			r := bufio.NewReader(near)
			_, _ = io.WriteString(near, getA+more)
			a, err := http.ReadResponse(r, nil)
			if err != nil || a.Close {
				t.Fatal(name, a, err)
			}
			ended := make(chan error)
			go func() { ended <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			close(end)
			_, _ = io.Copy(io.Discard, a.Body)
			<-served
			if err := <-ended; err != nil || len(c.said) != 2 {
				t.Errorf("%s: %v, %v", name, c.said, err)
			}
			_ = near.Close()
		})
	}
}
