package connectors_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// proxy is a program that forwards everything to the service b.
const proxy = `
flow: proxy
trigger: { http: "ANY /{rest:.*}", deadline: 1m, max_body: 1MiB }
steps: [{ forward: b }]
---
services: { b: { endpoints: ["http://b"], timeout: 5s } }`

// forwarding runs fn in virtual time on a program that forwards to backend.
func forwarding(t *testing.T, backend http.HandlerFunc, fn func(t *testing.T, w *flowtest.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fn(t, flowtest.Serve(t, proxy, flowtest.Backends{"b": backend}))
	})
}

func TestForwardPassesTheRequestOn(t *testing.T) {
	var got *http.Request
	var body string
	backend := func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		got, body = r, string(b)
		if err != nil {
			t.Error(err)
		}
	}
	forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
		r := w.Request("PATCH", "/a%2Fb/c?x=1&y=%20&x=2", `{"n":1}`)
		r.Header = http.Header{
			"Content-Type":        {"application/json"},
			"Cookie":              {"a=1", "b=2"},
			"Authorization":       {"Bearer t"},
			"Connection":          {"x-mine, keep-alive"},
			"X-Mine":              {"for you alone"},
			"Keep-Alive":          {"timeout=5"},
			"Te":                  {"trailers"},
			"Proxy-Authorization": {"Basic inside"},
			"Proxy-Connection":    {"keep-alive"},
			"X-Request-Id":        {"spoof\x7f"},
			"X-Forwarded-For":     {"10.0.0.1"},
			"X-Forwarded-Host":    {"spoof"},
			"X-Forwarded-Proto":   {"https"},
			"X-Forwarded-Port":    {"1"},
			"X-Real-Ip":           {"10.0.0.1"},
			"Forwarded":           {"for=10.0.0.1"},
			"Via":                 {"1.0 other"},
			"X-Empty":             {""},
		}
		r.Header.Del("X-Request-Id")
		a := w.Send(r)
		a.Is(t, 200, "")
		if got.Method != "PATCH" || got.RequestURI != "/a%2Fb/c?x=1&y=%20&x=2" || body != `{"n":1}` {
			t.Errorf("the backend got %s %s %s", got.Method, got.RequestURI, body)
		}
		want := http.Header{
			"Content-Type":      {"application/json"},
			"Content-Length":    {"7"},
			"Cookie":            {"a=1", "b=2"},
			"Authorization":     {"Bearer t"},
			"X-Request-Id":      {a.Header.Get("X-Request-Id")},
			"X-Forwarded-For":   {"127.0.0.1"},
			"X-Forwarded-Host":  {"public"},
			"X-Forwarded-Proto": {"http"},
			"Via":               {"1.0 other, 1.1 weir"},
			"X-Empty":           {""},
			"User-Agent":        {"Go-http-client/1.1"},
			"Accept-Encoding":   nil,
		}
		got.Header.Del("Accept-Encoding")
		delete(want, "Accept-Encoding")
		for name := range got.Header {
			if !slices.Equal(got.Header[name], want[name]) {
				t.Errorf("the backend got %s: %q, want %q", name, got.Header[name], want[name])
			}
			delete(want, name)
		}
		for name, values := range want {
			t.Errorf("the backend did not get %s: %q", name, values)
		}
	})
}

func TestForwardPassesInterimAnswersOn(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) {
		for _, style := range []string{"</a.css>", "</b.css>"} {
			w.Header().Set("Link", style)
			w.Header().Set("X-Request-Id", "the backend's")
			w.Header().Set("Connection", "X-Mine")
			w.Header().Set("X-Mine", "for you alone")
			w.WriteHeader(http.StatusEarlyHints)
		}
		clear(w.Header())
		w.WriteHeader(http.StatusProcessing)
		fmt.Fprint(w, "page")
	}
	forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
		for range 2 {
			var got []string
			r := w.Request("GET", "/", "")
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					got = append(got, fmt.Sprint(code, h))
					return nil
				}}))
			a := w.Send(r)
			a.Is(t, 200, "page")
			want := []string{"103 map[Link:[</a.css>]]", "103 map[Link:[</b.css>]]", "102 map[]"}
			if !slices.Equal(got, want) {
				t.Errorf("told\n%q, want\n%q", got, want)
			}
			if id := a.Header.Get("X-Request-Id"); len(a.Header["Link"]) > 0 || id == "" || id == "the backend's" {
				t.Errorf("%v", a.Header)
			}
		}
		conn, err := w.Dial(t.Context(), "tcp", "public:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		if all, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(all), "HTTP/1.0 200 OK\r\n") {
			t.Errorf("%q, %v", all, err)
		}
	})
}

func TestForwardPassesTheAnswerBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		method  string
		backend http.HandlerFunc
		status  int
		body    string
		header  http.Header // that must be there; nil values must not
	}{
		{"a page", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.Header().Set("Connection", "X-Mine")
			w.Header().Set("X-Mine", "for you alone")
			w.Header().Set("Keep-Alive", "timeout=5")
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.Header().Set("X-Request-Id", "spoof")
			w.WriteHeader(203)
			fmt.Fprint(w, "hello")
		}, 203, "hello", http.Header{"Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"5"}, "X-Mine": nil, "Keep-Alive": nil, "Proxy-Authenticate": nil}},
		{"a failure is the backend's to tell", "GET", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such page", 404)
		}, 404, "no such page\n", http.Header{"X-Content-Type-Options": {"nosniff"}}},
		{"so is an error", "POST", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", 503) }, 503, "broken\n", nil},
		{"a redirect is not followed", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/there")
			w.WriteHeader(302)
		}, 302, "", http.Header{"Location": {"/there"}}},
		{"HEAD has the length and no body", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "12345")
		}, 200, "", http.Header{"Content-Length": {"12345"}}},
		{"no content", "DELETE", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, "", http.Header{"Content-Length": nil}},
		{"not modified", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(304)
		}, 304, "", http.Header{"Etag": {`"1"`}}},
		{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, 200, "", http.Header{"Content-Length": {"0"}}},
		{"an informational answer before the one that counts", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			fmt.Fprint(w, "page")
		}, 200, "page", http.Header{"Link": nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forwarding(t, tt.backend, func(t *testing.T, w *flowtest.World) {
				w.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				for range 2 { // the second time over connections that were used
					a := w.Send(w.Request(tt.method, "/x", ""))
					a.Is(t, tt.status, tt.body)
					for name, values := range tt.header {
						if !slices.Equal(a.Header[name], values) {
							t.Errorf("%s: %q, want %q", name, a.Header[name], values)
						}
					}
					if id := a.Header["X-Request-Id"]; len(id) != 1 || id[0] == "spoof" {
						t.Errorf("X-Request-Id: %q, want the gateway's", id)
					}
				}
				if n := w.Dialed("b:80"); n != 1 {
					t.Errorf("%d connections to the backend for two requests, want 1", n)
				}
			})
		})
	}
}

func TestForwardPassesTrailersBothWays(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Check"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "not announced")
	}
	forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
		r := w.Request("POST", "/", "text")
		r.ContentLength = -1
		r.Trailer = http.Header{"X-Check": {"42"}}
		a := w.Send(r)
		a.Is(t, 200, "text")
		if a.Trailer.Get("X-Sum") != "42" || a.Trailer.Get("X-Late") != "not announced" {
			t.Errorf("trailers %v", a.Trailer)
		}
	})
}

// Each piece of a body goes on before the next one exists: neither body is
// held, and no expression made anyone read it.
func TestForwardStreams(t *testing.T) {
	t.Run("the request", func(t *testing.T) {
		var pieces chan string // made in the bubble, whose time it takes part in
		backend := func(_ http.ResponseWriter, r *http.Request) {
			pieces <- "begin"
			buf := make([]byte, 64)
			for {
				n, err := r.Body.Read(buf)
				if n > 0 {
					pieces <- string(buf[:n])
				}
				if err != nil {
					pieces <- err.Error()
					return
				}
			}
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			pieces = make(chan string)
			body, upload := io.Pipe()
			r := w.Request("POST", "/", "")
			r.Body = body
			done := make(chan flowtest.Answer)
			go func() { done <- w.Send(r) }()
			if got := <-pieces; got != "begin" {
				t.Fatalf("got %q before anything was sent", got)
			}
			for i := range 3 {
				time.Sleep(time.Second)
				sent := fmt.Sprintf("piece %d", i)
				fmt.Fprint(upload, sent)
				if got := <-pieces; got != sent {
					t.Errorf("got %q, want %q", got, sent)
				}
			}
			upload.Close()
			if got := <-pieces; got != "EOF" {
				t.Errorf("the body ended with %q", got)
			}
			(<-done).Is(t, 200, "")
		})
	})
	t.Run("the answer", func(t *testing.T) {
		var events chan string // made in the bubble, whose time it takes part in
		backend := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			for event := range events {
				fmt.Fprintf(w, "data: %s\n\n", event)
				w.(http.Flusher).Flush()
			}
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			events = make(chan string)
			resp, err := w.Client.Do(w.Request("GET", "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			for i := range 3 {
				time.Sleep(10 * time.Second) // longer than an attempt may take until its header
				sent := fmt.Sprintf("event %d", i)
				events <- sent
				line, err := in.ReadString('\n')
				if line != "data: "+sent+"\n" || err != nil {
					t.Errorf("got %q, %v", line, err)
				}
				_, _ = in.ReadString('\n')
			}
			close(events)
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
		})
	})
}

// An answer does not wait for the rest of a body that nobody wants.
func TestForwardAnswersEarly(t *testing.T) {
	for _, length := range []int64{-1, 1 << 19} {
		t.Run(fmt.Sprintf("length %d", length), func(t *testing.T) {
			backend := func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(403)
				fmt.Fprint(w, "not you")
			}
			forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
				body, upload := io.Pipe()
				defer upload.Close()
				r := w.Request("POST", "/", "")
				r.Body, r.ContentLength = body, length
				resp, err := w.Client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text := make([]byte, len("not you"))
				if _, err := io.ReadFull(resp.Body, text); err != nil || resp.StatusCode != 403 {
					t.Errorf("got %d %q, %v", resp.StatusCode, text, err)
				}
				time.Sleep(time.Second) // the backend lets its connection linger
			})
		})
	}
}

// Both bodies can be under way at the same time.
func TestForwardStreamsBothWays(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.EnableFullDuplex(), c.Flush()); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 64)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	}
	forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
		body, upload := io.Pipe()
		r := w.Request("POST", "/", "")
		r.Body = body
		resp, err := w.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for i := range 3 {
			sent := fmt.Sprintf("piece %d", i)
			fmt.Fprint(upload, sent)
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != sent {
				t.Errorf("got %q, %v", got, err)
			}
		}
		upload.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the answer ended with %v", err)
		}
	})
}

func TestForwardAsksForABodyThatIsExpected(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			t.Errorf("Expect is between the caller and the gateway")
		}
		_, _ = io.Copy(w, r.Body)
	}
	forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
		r := w.Request("POST", "/", "body")
		r.Header.Set("Expect", "100-continue")
		w.Client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
		begin := time.Now()
		w.Send(r).Is(t, 200, "body")
		if took := time.Since(begin); took != 0 {
			t.Errorf("the client waited %v for leave to send", took)
		}
	})
}

func TestForwardEndsTooLargeBodies(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			t.Error("the backend took a part of the body for the whole")
		}
	}
	for name, length := range map[string]int64{"of known length": 1<<20 + 1, "of unknown length": -1} {
		t.Run(name, func(t *testing.T) {
			forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
				r := w.Request("POST", "/", strings.Repeat("x", 1<<20+1))
				r.ContentLength = length
				w.Send(r).IsProblem(t, 413, "body-too-large")
			})
		})
	}
	t.Run("one at the limit passes", func(t *testing.T) {
		count := func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		}
		forwarding(t, count, func(t *testing.T, w *flowtest.World) {
			r := w.Request("POST", "/", strings.Repeat("x", 1<<20))
			r.ContentLength = -1
			w.Send(r).Is(t, 200, "1048576 <nil>")
		})
	})
}

func TestForwardFailsBeforeTheAnswerBegins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend http.Handler
		status  int
		code    string
	}{
		{"refused", nil, 502, "upstream-unreachable"},
		{"closed", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), 502, "upstream-unreachable"},
		{"silent", &flowtest.Stall{}, 504, "upstream-timeout"},
		{"an upgrade that nobody asked for", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: inside\r\n\r\n")
			conn.Close()
		}), 502, "upstream-malformed"},
		{"two lengths", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
			conn.Close()
		}), 502, "upstream-malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST"} {
				synctest.Test(t, func(t *testing.T) {
					w := flowtest.Serve(t, proxy, flowtest.Backends{"b": tt.backend})
					body := ""
					if method == "POST" {
						body = "{}"
					}
					w.Send(w.Request(method, "/", body)).IsProblem(t, tt.status, tt.code)
				})
			}
		})
	}
}

// Nothing can be said to a caller whose answer is under way: the answer must
// not look whole.
func TestForwardBreaksOffWhatBreaksOff(t *testing.T) {
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	counted := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		chunked(w, nil)
	}
	for name, backend := range map[string]http.HandlerFunc{"chunked": chunked, "of known length": counted} {
		for _, steps := range []string{"{ forward: b }", "{ forward: b, catch: [{ return: caught }] }",
			"{ forward: b, retry: { on: [reset] } }", "{ try: [{ forward: b }], catch: [{ return: caught }], finally: [{ log: end }] }"} {
			t.Run(name+" "+steps, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					script := flowtest.InTurn(backend)
					w := flowtest.Serve(t, "flow: proxy\ntrigger: { http: GET / }\nsteps: ["+steps+"]", flowtest.Backends{"b": script})
					a := w.Get("/")
					if a.Err == nil {
						t.Errorf("got %d %q as if that were all", a.Status, a.Body)
					}
					if name == "chunked" && (a.Status != 200 || a.Body != "part" || !errors.Is(a.Err, io.ErrUnexpectedEOF)) {
						t.Errorf("got %d %q, %v, want a part of the body and an error", a.Status, a.Body, a.Err)
					}
					if script.Calls.Load() != 1 {
						t.Errorf("%d calls, want 1", script.Calls.Load())
					}
					if !strings.Contains(w.Log(), `"code":"reset"`) {
						t.Errorf("the log does not tell of it: %s", w.Log())
					}
				})
			})
		}
	}
	t.Run("at the deadline", func(t *testing.T) {
		endless := func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "part")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		forwarding(t, endless, func(t *testing.T, w *flowtest.World) {
			begin := time.Now()
			a := w.Get("/")
			if a.Body != "part" || a.Err == nil || time.Since(begin) != time.Minute {
				t.Errorf("got %q, %v after %v", a.Body, a.Err, time.Since(begin))
			}
			synctest.Wait()
			if !strings.Contains(w.Log(), `"code":"deadline"`) {
				t.Errorf("the log does not tell of it: %s", w.Log())
			}
		})
	})
}

// A failure before the answer begins is one like any other.
func TestForwardCanBeHandled(t *testing.T) {
	for _, tt := range []struct{ name, steps, body string }{
		{"catch", "[{ forward: b, catch: [{ return: $(error.kind) }] }]", "connect"},
		{"fallback goes on", "[{ forward: b, fallback: 1 }, { return: after }]", "after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, "flow: proxy\ntrigger: { http: GET / }\nsteps: "+tt.steps, flowtest.Backends{"b": nil})
				w.Get("/").Is(t, 200, tt.body)
			})
		})
	}
}

// What a service has begun to take cannot be given to another: a rest of a body
// must not pass for the whole.
func TestForwardSendsABodyOnceMore(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d", len(body))
	})
	breaks := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 10))
		panic(http.ErrAbortHandler)
	})
	text := `"` + strings.Repeat("x", 100<<10) + `"`
	for _, tt := range []struct {
		name, steps string
		a           http.Handler // nil refuses
		status      int
		body        string // the start
	}{
		{"if nobody has begun to read it", "[{ forward: a, catch: [{ forward: b }] }]", nil, 200, "102402"},
		{"if the flow holds it", "[{ log: $(body) }, { forward: a, catch: [{ forward: b }] }]", breaks, 200, "102402"},
		{"as a retry", "[{ log: $(body) }, { forward: a, retry: { on: [reset] } }]", flowtest.InTurn(breaks, echo), 200, "102402"},
		{"but not if a part is gone", "[{ forward: a, catch: [{ forward: b }] }]", breaks, 502, `{"title"`},
		{"nor as a retry", "[{ forward: a, retry: { on: [reset] } }]", flowtest.InTurn(breaks, echo), 502, `{"title"`},
	} {
		for _, length := range []int64{int64(len(text)), -1} {
			t.Run(fmt.Sprintf("%s, length %d", tt.name, length), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if script, ok := tt.a.(*flowtest.Script); ok {
						script.Calls.Store(0)
					}
					w := flowtest.Serve(t, "flow: proxy\ntrigger: { http: POST / }\nsteps: "+tt.steps, flowtest.Backends{"a": tt.a, "b": echo})
					r := w.Request("POST", "/", text)
					r.ContentLength = length
					a := w.Send(r)
					if a.Status != tt.status || !strings.HasPrefix(a.Body, tt.body) {
						t.Errorf("got %d %q, %v; the log: %s", a.Status, a.Body, a.Err, w.Log())
					}
				})
			})
		}
	}
}

func TestForwardAsksForAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, "flow: proxy\ntrigger: { http: GET / }\nsteps: [{ forward: b, headers: { host: other.example } }]",
			flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })})
		w.Get("/").Is(t, 200, "other.example")
	})
}

func TestForwardTellsTheBackendThatTheCallerHasGone(t *testing.T) {
	t.Run("in the request", func(t *testing.T) {
		var failed chan error // made in the bubble, whose time it takes part in
		backend := func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			failed <- err
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			failed = make(chan error, 1)
			ctx, leave := context.WithCancel(t.Context())
			body, upload := io.Pipe()
			r := w.Request("POST", "/", "").WithContext(ctx)
			r.Body = body
			done := make(chan flowtest.Answer)
			go func() { done <- w.Send(r) }()
			fmt.Fprint(upload, "part")
			synctest.Wait()
			leave()
			synctest.Wait()
			upload.Close()
			<-done
			if err := <-failed; err == nil {
				t.Error("the backend took a part of the body for the whole")
			}
			synctest.Wait()
			if strings.Contains(w.Log(), `"level":"ERROR"`) {
				t.Errorf("a caller who left is no error: %s", w.Log())
			}
		})
	})
	t.Run("in the answer", func(t *testing.T) {
		var gone chan struct{} // made in the bubble, whose time it takes part in
		backend := func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			gone = make(chan struct{})
			resp, err := w.Client.Do(w.Request("GET", "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // a call that has only begun may be told a moment later
			begin := time.Now()
			resp.Body.Close()
			<-gone
			if took := time.Since(begin); took != 0 {
				t.Errorf("the backend was told after %v", took)
			}
		})
	})
}

func TestForwardUpgrades(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			http.Error(w, "only echo", 426)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Proof: 1\r\n\r\n")
		_, _ = io.Copy(conn, rw)
	}
	upgrade := func(w *flowtest.World, protocol string) (*http.Response, error) {
		r := w.Request("GET", "/", "")
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", protocol)
		return w.Client.Do(r)
	}
	t.Run("and joins the connections", func(t *testing.T) {
		forwarding(t, echo, func(t *testing.T, w *flowtest.World) {
			resp, err := upgrade(w, "echo")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 101 || resp.Header.Get("X-Proof") != "1" || resp.Header.Get("X-Request-Id") == "" {
				t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
			}
			conn := resp.Body.(io.ReadWriteCloser)
			for i := range 3 {
				time.Sleep(5 * time.Second)
				sent := fmt.Sprintf("frame %d", i)
				fmt.Fprint(conn, sent)
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != sent {
					t.Errorf("got %q, %v", got, err)
				}
			}
			conn.Close()
			synctest.Wait()
			if st := w.Host.Program().Services[0].Client().Stats().Endpoints[0]; st.InFlight != 0 || st.Dialed != st.Closed {
				t.Errorf("the backend's connection is still open: %+v", st)
			}
		})
	})
	t.Run("but not to HTTP/2, whose requests no route would see", func(t *testing.T) {
		backend := func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%q %q %q", r.Header["Upgrade"], r.Header["Connection"], r.Header["Http2-Settings"])
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			for _, protocol := range []string{"h2c", "H2C", "websocket, h2c"} {
				r := w.Request("GET", "/", "")
				r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}, "Http2-Settings": {"AAMAAABk"}}
				w.Send(r).Is(t, 200, "[] [] []")
			}
		})
	})
	t.Run("and passes a refusal on", func(t *testing.T) {
		forwarding(t, echo, func(t *testing.T, w *flowtest.World) {
			flowtest.Read(upgrade(w, "other")).Is(t, 426, "only echo\n")
		})
	})
	t.Run("and ends with the host", func(t *testing.T) {
		forwarding(t, echo, func(t *testing.T, w *flowtest.World) {
			resp, err := upgrade(w, "echo")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Host.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is still open")
			}
			resp.Body.Close()
		})
	})
}

// A flow that looks into the body can forward it all the same.
func TestForwardSendsABodyThatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, `
flow: proxy
trigger: { http: POST / }
steps:
  - { when: body.to != "b", fail: not for b, status: 422, code: not-for-b }
  - { forward: b, path: "/$(body.to)/x", headers: { x-to: $(body.to) } }
`, flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.URL.Path, r.Header.Get("X-To"), " ")
			_, _ = io.Copy(w, r.Body)
		})})
		w.Post("/", `{"to":"b"}`).Is(t, 200, `/b/xb {"to":"b"}`)
		w.Post("/", `{"to":"c"}`).IsProblem(t, 422, "not-for-b")
		w.Post("/", `{"to":`).IsProblem(t, 400, "body-malformed")
	})
}
