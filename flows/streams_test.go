package flows_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/net/websocket"
)

// streaming is a program that forwards to a service that streams, and answers
// with v on another route.
func streaming(v int) string {
	return fmt.Sprintf(`
flow: streams
trigger: { http: "ANY /streams/{rest:.*}", deadline: 24h, max_body: 1GB }
steps: [{ forward: streams }]
---
flow: other
trigger: { http: GET /other }
steps: [{ id: v, call: GET other /%[1]d }, { return: $(v) }]
---
services:
  streams: { endpoints: ["http://streams"] }
  other: { endpoints: ["http://other"], timeout: %[1]ds }
---
gateways: { public: { listen: "public:80", h2c: true } }
`, v+1)
}

// streams echoes frames of WebSockets, and sends events when it is told to.
type streams struct {
	mu   sync.Mutex
	tick chan struct{} // closed for the next event
}

func (s *streams) next() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tick == nil {
		s.tick = make(chan struct{})
	}
	return s.tick
}

// send has every stream of events send one.
func (s *streams) send() {
	close(s.next())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick = nil
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/streams/socket" {
		websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		tick := s.next()
		fmt.Fprint(w, "data: ready\n\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick:
			fmt.Fprint(w, "data: event\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// socket opens a WebSocket.
func socket(t *testing.T, w *flowtest.World) *websocket.Conn {
	t.Helper()
	raw, err := w.Dial(t.Context(), "tcp", "public:80")
	if err != nil {
		t.Fatal(err)
	}
	config, err := websocket.NewConfig("ws://public/streams/socket", "http://public/")
	if err != nil {
		t.Fatal(err)
	}
	c, err := websocket.NewClient(config, raw)
	if err != nil {
		raw.Close()
		t.Fatal(err)
	}
	return c
}

// echo sends a message over a WebSocket and wants it back.
func echo(c *websocket.Conn, message string) error {
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
		return fmt.Errorf("got %q, %w", got, err)
	}
	return nil
}

// speaking is a client that speaks HTTP/2 or HTTP/1.1 and nothing else.
func speaking(w *flowtest.World, http2 bool) *http.Client {
	client := w.NewClient()
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	client.Transport.(*http.Transport).Protocols = p
	return client
}

// events opens a stream of events.
func events(t *testing.T, w *flowtest.World, client *http.Client) (*bufio.Reader, io.Closer) {
	t.Helper()
	resp, err := client.Do(w.Request("GET", "/streams/events", ""))
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(resp.Body), resp.Body
}

// event reads the next event.
func event(in *bufio.Reader, want string) error {
	line, err := in.ReadString('\n')
	if err == nil {
		_, err = in.ReadString('\n')
	}
	if err != nil || line != "data: "+want+"\n" {
		return fmt.Errorf("got %q, %w", line, err)
	}
	return nil
}

// WebSockets and streams of events, by HTTP/1.1 and HTTP/2, go on over real
// sockets while programs come and go that differ in other routes, and nothing of
// those programs stays.
func TestStreamsOutliveReloads(t *testing.T) {
	const each, reloads = 55, 50
	backend := &streams{}
	w := flowtest.ServeOnSockets(t, streaming(0), flowtest.Backends{"streams": backend, "other": flowtest.JSON(200, "1")})
	var sockets []*websocket.Conn
	var feeds []*bufio.Reader
	clients := []*http.Client{speaking(w, false), speaking(w, true)}
	for i := range each {
		sockets = append(sockets, socket(t, w))
		defer sockets[i].Close()
		in, body := events(t, w, clients[i%2])
		defer body.Close()
		feeds = append(feeds, in)
	}
	var goroutines int
	for i := range reloads + 1 {
		if i > 0 {
			if err := w.Apply(streaming(i)); err != nil {
				t.Fatal(err)
			}
		}
		w.Get("/other").Is(t, 200, "1")
		for n, c := range sockets {
			if err := echo(c, fmt.Sprintf("message %d of %d", i, n)); err != nil {
				t.Fatalf("WebSocket %d after %d reloads: %v", n, i, err)
			}
		}
		for n, in := range feeds {
			if err := event(in, "ready"); err != nil {
				t.Fatalf("stream %d after %d reloads: %v", n, i, err)
			}
		}
		backend.send()
		for n, in := range feeds {
			if err := event(in, "event"); err != nil {
				t.Fatalf("stream %d after %d reloads: %v", n, i, err)
			}
		}
		if i == 1 { // the first program is kept by its streams, and one by the next
			goroutines = runtime.NumGoroutine()
		}
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines after %d reloads, %d after one", runtime.NumGoroutine(), reloads, goroutines)
		}
	}
	if n := w.Dialed("streams:80"); n != 2*each {
		t.Errorf("%d connections to the service for %d streams", n, 2*each)
	}
}

// What streams has until the end of the drain time, and no longer.
func TestShutdownEndsStreamsInTime(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, w *flowtest.World) (ended func() error){
		"a WebSocket": func(t *testing.T, w *flowtest.World) func() error {
			c := socket(t, w)
			t.Cleanup(func() { c.Close() })
			if err := echo(c, "message"); err != nil {
				t.Error(err)
			}
			return func() error { _, err := c.Read(make([]byte, 1)); return err }
		},
		"events by HTTP/1.1": func(t *testing.T, w *flowtest.World) func() error { return feed(t, w, false) },
		"events by HTTP/2":   func(t *testing.T, w *flowtest.World) func() error { return feed(t, w, true) },
		"an upload": func(t *testing.T, w *flowtest.World) func() error {
			body, upload := io.Pipe()
			t.Cleanup(func() { upload.Close() })
			r := w.Request("POST", "/streams/upload", "")
			r.Body = body
			done := make(chan error, 1)
			go func() { done <- flowtest.Read(w.Client.Do(r)).Err }()
			_, _ = io.WriteString(upload, "part")
			return func() error {
				_, _ = io.WriteString(upload, "more") // which finds that nobody is there
				return <-done
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const drain = 7 * time.Second
				backend := &streams{}
				w := flowtest.Serve(t, streaming(0), flowtest.Backends{"streams": backend, "other": flowtest.JSON(200, "1")})
				ended := open(t, w)
				synctest.Wait()
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), drain)
				defer cancel()
				_ = w.Host.Shutdown(ctx) // it says that something was cut off, if it was
				if err := ended(); err == nil {
					t.Error("it goes on")
				}
				if took := time.Since(begin); took > drain+time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func feed(t *testing.T, w *flowtest.World, http2 bool) (ended func() error) {
	in, body := events(t, w, speaking(w, http2))
	t.Cleanup(func() { body.Close() })
	if err := event(in, "ready"); err != nil {
		t.Error(err)
	}
	return func() error { _, err := in.ReadByte(); return err }
}

// A long poll is answered when there is something to say, by a program that has
// been replaced meanwhile.
func TestLongPollsOutliveReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poll := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(9 * time.Minute)
			fmt.Fprint(w, "news")
		})
		text := func(v int) string {
			return strings.Replace(streaming(v), `endpoints: ["http://streams"]`, `endpoints: ["http://streams"], timeout: 10m`, 1)
		}
		w := flowtest.Serve(t, text(0), flowtest.Backends{"streams": poll, "other": flowtest.JSON(200, "1")})
		done := make(chan flowtest.Answer, 2)
		for _, http2 := range []bool{false, true} {
			go func() { done <- flowtest.Read(speaking(w, http2).Do(w.Request("GET", "/streams/poll", ""))) }()
		}
		for i := range 8 {
			time.Sleep(time.Minute)
			if err := w.Apply(text(i + 1)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			(<-done).Is(t, 200, "news")
		}
	})
}

// What a client has time for is its own part: a body that it sends, and an answer
// that it takes. By HTTP/2 as well, a backend may take longer than any client.
func TestStreamsOfHTTP2WaitForBackendsAndNotForClients(t *testing.T) {
	patient := strings.Replace(streaming(0), `endpoints: ["http://streams"]`, `endpoints: ["http://streams"], timeout: 10m`, 1)
	run := func(name string, backend http.HandlerFunc, fn func(t *testing.T, w *flowtest.World, client *http.Client)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, patient, flowtest.Backends{"streams": backend, "other": flowtest.JSON(200, "1")})
				fn(t, w, speaking(w, true))
			})
		})
	}
	run("a backend that reads late", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Minute)
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}, func(t *testing.T, w *flowtest.World, client *http.Client) {
		const size = 8 << 20
		r := w.Request("POST", "/streams/upload", "")
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeroReader{}, size)), size
		flowtest.Read(client.Do(r)).Is(t, 200, fmt.Sprint(size))
	})
	run("a backend that pauses", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			fmt.Fprint(w, "piece ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * time.Minute)
		}
	}, func(t *testing.T, w *flowtest.World, client *http.Client) {
		flowtest.Read(client.Do(w.Request("GET", "/streams/pauses", ""))).Is(t, 200, "piece piece piece ")
	})
	run("a client that sends no more", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}, func(t *testing.T, w *flowtest.World, client *http.Client) {
		body, upload := io.Pipe()
		defer upload.Close()
		r := w.Request("POST", "/streams/upload", "")
		r.Body = body
		begin := time.Now()
		flowtest.Read(client.Do(r)).IsProblem(t, 408, "body-too-slow")
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	run("a client that takes no more", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeroReader{}, 64<<20))
	}, func(t *testing.T, w *flowtest.World, client *http.Client) {
		resp, err := client.Do(w.Request("GET", "/streams/download", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		time.Sleep(time.Minute)
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("it got all %d bytes", n)
		}
	})
	run("a client that never takes the end", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1000)) // which the server holds until the handler returns
	}, func(t *testing.T, w *flowtest.World, _ *http.Client) {
		c, err := w.Dial(t.Context(), "tcp", "public:80")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var block bytes.Buffer
		fields := hpack.NewEncoder(&block)
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "public"}, {Name: ":path", Value: "/streams/x"}} {
			_ = fields.WriteField(f)
		}
		frames := http2.NewFramer(c, c)
		go func() { // a window of no bytes, and a request
			_, _ = io.WriteString(c, http2.ClientPreface)
			_ = frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: block.Bytes()})
		}()
		begin := time.Now()
		for {
			f, err := frames.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if f.Header().Type == http2.FrameRSTStream {
				break
			}
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Who sends is held back by who reads: what is between them is bounded, in both
// directions, however much is still to come.
func TestForwardHoldsNoMoreThanBuffers(t *testing.T) {
	const size, most = 64 << 20, 1 << 20
	zeros := func() io.Reader { return io.LimitReader(zeroReader{}, size) }
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("an upload, HTTP/2 %t", http2), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := make(chan int64, 1)
				backend := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					time.Sleep(5 * time.Second) // as long as it may take for a piece, about
					n, _ := io.Copy(io.Discard, r.Body)
					read <- n
				})
				w := flowtest.Serve(t, streaming(0), flowtest.Backends{"streams": backend, "other": flowtest.JSON(200, "1")})
				body := &counted{Reader: zeros()}
				r := w.Request("POST", "/streams/upload", "")
				r.Body, r.ContentLength = io.NopCloser(body), size
				done := make(chan flowtest.Answer, 1)
				go func() { done <- flowtest.Read(speaking(w, http2).Do(r)) }()
				time.Sleep(4 * time.Second)
				if n := body.count(); n == 0 || n > 2*most { // a window of HTTP/2, and buffers
					t.Errorf("%d bytes are on their way to a service that reads none", n)
				}
				(<-done).Is(t, 200, "")
				if n := <-read; n != size {
					t.Errorf("%d of %d bytes arrived", n, size)
				}
			})
		})
		t.Run(fmt.Sprintf("a download, HTTP/2 %t", http2), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := &counted{Reader: zeros()}
				backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, sent) })
				w := flowtest.Serve(t, streaming(0), flowtest.Backends{"streams": backend, "other": flowtest.JSON(200, "1")})
				resp, err := speaking(w, http2).Do(w.Request("GET", "/streams/download", ""))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				time.Sleep(10 * time.Second)                 // the gateway waits for 30s
				if n := sent.count(); n == 0 || n > 6*most { // the windows of HTTP/2 are of the client's choice
					t.Errorf("%d bytes are on their way to a client that reads none", n)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
					t.Errorf("%d of %d bytes arrived: %v", n, size, err)
				}
			})
		})
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

// counted counts what is read of it.
type counted struct {
	io.Reader
	mu   sync.Mutex
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += n
	return n, err
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}
