package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// grain is what the server's watch of a connection holds to.
const grain = 5 * time.Millisecond

const postA = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"

// connectSlow is connect with a handler that takes a time and answers with the
// number of the request.
func connectSlow(t *testing.T, takes time.Duration) *client {
	n := 0
	return connect(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		select {
		case <-time.After(takes):
			fmt.Fprintf(w, "answer %d", n)
		case <-r.Context().Done():
		}
	})
}

func TestWhatArrivesWhileAHandlerIsAtWorkIsTheNextRequest(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Millisecond, grain, 2 * grain, 3 * grain, time.Minute} {
		for _, pause := range []time.Duration{0, time.Millisecond, grain, 4 * grain} {
			synctest.Test(t, func(t *testing.T) {
				c := connectSlow(t, takes)
				go func() {
					for range 3 {
						_ = c.send("%s", postA[:7])
						time.Sleep(pause)
						_ = c.send("%s", postA[7:])
					}
					_ = c.send("%s%s", postA, postA)
				}()
				for i := range 5 {
					c.expect(200, fmt.Sprintf("answer %d", i+1))
				}
			})
		}
	}
}

func TestAClientThatLeavesIsNoticedSoon(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, grain, 3 * grain} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Time, 1)
			c := connect(t, func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				ended <- time.Now()
			})
			_ = c.send("%s", postA)
			time.Sleep(after)
			c.Close()
			if took := (<-ended).Sub(c.begin); took > max(after, 2*grain) {
				t.Errorf("left after %v, noticed after %v", after, took)
			}
		})
	}
}

func TestARequestThatFillsTheBufferButForOneByteIsRead(t *testing.T) {
	for size := 4090; size < 4100; size++ { // the server's buffer has 4096
		synctest.Test(t, func(t *testing.T) {
			c := connect(t, echoLength)
			head := strings.TrimSuffix(postA, "\r\n") + "Long: "
			head += strings.Repeat("x", size-len(head))
			go func() {
				_ = c.send("%s", head)
				_ = c.send("\r\n\r\n")
			}()
			c.expect(200, "0 bytes")
		})
	}
}

func TestAHijackedConnectionIsReadByNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type taken struct {
			net.Conn
			read io.ByteReader
		}
		took := make(chan taken, 1)
		c := connect(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			took <- taken{conn, buffered}
		})
		_ = c.send("%s", postA)
		_ = c.send("a") // while the handler is at work
		conn := <-took
		defer conn.Close()
		go func() { _ = c.send("bc") }()
		for _, want := range "abc" {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if got, err := conn.read.ReadByte(); got != byte(want) || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		begin := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("a read of one byte ended by %v after %v", err, time.Since(begin))
		}
	})
}

func TestRequestsOfAConnectionEndWithTheGateway(t *testing.T) {
	begun := make(chan struct{})
	cause := make(chan error, 1)
	r := route("GET", "/a")
	r.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	})
	l := listen(t, newTestHandler(t, Options{}, r))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	ended, end := context.WithCancel(t.Context())
	end()
	if err := l.Shutdown(ended); err == nil {
		t.Error("nothing was cut off")
	}
	if err := <-cause; !errors.Is(err, errCut) {
		t.Errorf("ended by %v", err)
	}
}

// A listener that takes HTTP/2 without TLS reads as far as its preface goes.
func TestWhatBeginsLikeHTTP2IsServedAsWhatItIs(t *testing.T) {
	s := newTestServer(t)
	l := mustListen(t, s, "127.0.0.1:0", ListenerConfig{H2C: true})
	l.Swap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+r.Method) }))
	l.Start()
	const rest = " / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for _, pieces := range [][]string{{"GET" + rest}, {"P", "OST" + rest}, {"PR", "OPFIND" + rest}, {"PRI" + rest}, {"PRI ", rest[1:]}} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range pieces {
			_, _ = io.WriteString(c, piece)
			time.Sleep(2 * grain)
		}
		answer, err := io.ReadAll(c)
		method, _, _ := strings.Cut(strings.Join(pieces, ""), " ")
		if !strings.HasSuffix(string(answer), "HTTP/1.1 "+method) || err != nil {
			t.Errorf("%q: %q, %v", pieces, answer, err)
		}
		c.Close()
	}
	if got := sendRaw(t, l.Addr().String(), "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"); !strings.Contains(string(got), `"code":"bad-request"`) {
		t.Errorf("got %s", got)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "HTTP/2.0 GET" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAHeaderThatIsTooSlowIsRefusedAsAProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		go func() { _ = c.send("%s", postA[:20]) }()
		c.expect(408, `"code":"header-too-slow"`)
		c.expectClosed(5 * time.Second)
	})
}
