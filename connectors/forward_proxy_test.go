package connectors_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// raw sends text to the gateway and reads answers to it until it is closed, or
// until there are as many as there are methods.
func raw(t *testing.T, w *flowtest.World, text string, methods ...string) (all []*http.Response) {
	t.Helper()
	conn, err := w.Dial(t.Context(), "tcp", "public:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, method := range methods {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		all = append(all, resp)
	}
	return all
}

func TestForwardSendsRequestsAsAGatewayMust(t *testing.T) {
	const host = "\r\nHost: public\r\n"
	for _, c := range []struct {
		name, request string
		field         string // that the service must get as lines
		lines         []string
	}{
		{"RFC 9110 5.1: fields that nobody knows are passed on", "GET / HTTP/1.1" + host + "x-any: 1\r\n\r\n", "X-Any", []string{"1"}},
		{"RFC 9110 5.3: lines of one field keep their order", "GET / HTTP/1.1" + host + "X-Any: b\r\nX-Other: x\r\nX-Any: a\r\nX-Any: b, c\r\n\r\n", "X-Any", []string{"b", "a", "b, c"}},
		{"RFC 9110 7.6.1: what Connection lists is for the gateway alone", "GET / HTTP/1.1" + host + "Connection: close, x-Any\r\nConnection: x-more\r\nX-Any: 1\r\nX-More: 1\r\n\r\n", "X-Any", nil},
		{"RFC 9110 7.6.1: also what another line lists", "GET / HTTP/1.1" + host + "Connection: close, x-Any\r\nConnection: x-more\r\nX-Any: 1\r\nX-More: 1\r\n\r\n", "X-More", nil},
		{"RFC 9110 7.6.1: Connection itself is not passed on", "GET / HTTP/1.1" + host + "Connection: close\r\n\r\n", "Connection", nil},
		{"RFC 9110 7.6.1: nor is Keep-Alive, listed or not", "GET / HTTP/1.1" + host + "Keep-Alive: timeout=5\r\n\r\n", "Keep-Alive", nil},
		{"RFC 9110 7.6.1: nor is Proxy-Connection", "GET / HTTP/1.1" + host + "Proxy-Connection: keep-alive\r\n\r\n", "Proxy-Connection", nil},
		{"RFC 9110 7.6.1: nor is TE", "GET / HTTP/1.1" + host + "TE: trailers\r\n\r\n", "Te", nil},
		{"RFC 9110 7.6.1: nor is an Upgrade that is not listed", "GET / HTTP/1.1" + host + "Upgrade: websocket\r\n\r\n", "Upgrade", nil},
		{"RFC 9110 7.6.2: Max-Forwards of OPTIONS is one less", "OPTIONS / HTTP/1.1" + host + "Max-Forwards: 5\r\n\r\n", "Max-Forwards", []string{"4"}},
		{"RFC 9110 7.6.2: Max-Forwards of other methods is passed on", "GET / HTTP/1.1" + host + "Max-Forwards: 0\r\n\r\n", "Max-Forwards", []string{"0"}},
		{"RFC 9110 7.6.2: one that is no number is not", "OPTIONS / HTTP/1.1" + host + "Max-Forwards: -1\r\n\r\n", "Max-Forwards", nil},
		{"RFC 9110 7.6.3: the gateway is added to Via", "GET / HTTP/1.1" + host + "Via: 1.0 fred\r\nVia: 1.1 p.example (Apache)\r\n\r\n", "Via", []string{"1.0 fred, 1.1 p.example (Apache), 1.1 weir"}},
		{"RFC 9110 7.6.3: Via tells the version in which the request came", "GET / HTTP/1.0" + host + "\r\n", "Via", []string{"1.0 weir"}},
		{"RFC 9110 7.8: an Upgrade of HTTP/1.0 is ignored", "GET / HTTP/1.0" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "Upgrade", nil},
		{"RFC 9110 11.6.2: Authorization is passed on as it is", "GET / HTTP/1.1" + host + "Authorization: Custom a=1,  b=\"2\"\r\n\r\n", "Authorization", []string{`Custom a=1,  b="2"`}},
		{"RFC 9110 13.2.1: conditions are for the origin", "GET / HTTP/1.1" + host + "If-Match: \"a\"\r\nIf-None-Match: *\r\nIf-Unmodified-Since: x\r\n\r\n", "If-None-Match", []string{"*"}},
		{"RFC 9110 14.2: so are ranges", "GET / HTTP/1.1" + host + "Range: bytes=0-1\r\nIf-Range: \"a\"\r\n\r\n", "Range", []string{"bytes=0-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *http.Request
			backend := func(_ http.ResponseWriter, r *http.Request) { got = r }
			forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
				method, _, _ := strings.Cut(c.request, " ")
				if resp := raw(t, w, c.request, method)[0]; resp.StatusCode != 200 || got == nil {
					t.Fatal(resp.Status)
				}
				if !slices.Equal(got.Header[c.field], c.lines) {
					t.Errorf("%s: %q, not %q", c.field, got.Header[c.field], c.lines)
				}
			})
		})
	}
	for _, c := range []struct{ name, request, want string }{
		{"RFC 9110 6.2: what is passed on has the gateway's version", "GET / HTTP/1.0" + host + "\r\n", "GET / HTTP/1.1 b"},
		{"RFC 9110 7.2: Host is that of the service", "GET / HTTP/1.1" + host + "\r\n", "GET / HTTP/1.1 b"},
		{"RFC 9110 7.7: path and query are passed on as they are", "GET /a%2Fb/%C3%a4;x=1?b=%20&a=+&&c HTTP/1.1" + host + "\r\n", "GET /a%2Fb/%C3%a4;x=1?b=%20&a=+&&c HTTP/1.1 b"},
		{"RFC 9110 9.1: a method that nobody knows is passed on with its case", "Frob / HTTP/1.1" + host + "\r\n", "Frob / HTTP/1.1 b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			backend := func(_ http.ResponseWriter, r *http.Request) {
				got = fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Proto, " ", r.Host)
			}
			forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
				if resp := raw(t, w, c.request, "GET")[0]; resp.StatusCode != 200 || got != c.want {
					t.Errorf("%s: %q, not %q", resp.Status, got, c.want)
				}
			})
		})
	}
}

func TestForwardGivesAnswersAsAGatewayMust(t *testing.T) {
	const ask = " / HTTP/1.1\r\nHost: public\r\n\r\n"
	set := func(pairs ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header()[pairs[i]] = append(w.Header()[pairs[i]], pairs[i+1])
			}
			fmt.Fprint(w, "page")
		}
	}
	for _, c := range []struct {
		name    string
		method  string
		backend http.HandlerFunc
		field   string
		lines   []string
	}{
		{"RFC 9110 5.1: fields of an answer that nobody knows are passed on", "GET", set("X-Any", "1"), "X-Any", []string{"1"}},
		{"RFC 9110 5.3: lines of a field of an answer keep their order", "GET", set("X-Any", "b", "X-Any", "a"), "X-Any", []string{"b", "a"}},
		{"RFC 9110 7.6.1: what Connection of an answer lists is for the gateway alone", "GET", set("Connection", "X-Any", "X-Any", "1"), "X-Any", nil},
		{"RFC 9110 7.6.1: nor is Keep-Alive of an answer passed on", "GET", set("Keep-Alive", "timeout=5"), "Keep-Alive", nil},
		{"RFC 9110 7.6.1: nor is Proxy-Authenticate, which is about this hop", "GET", set("Proxy-Authenticate", "Basic"), "Proxy-Authenticate", nil},
		{"RFC 9110 6.6.1: Date is passed on", "GET", set("Date", "Sat, 01 Jan 2000 00:00:07 GMT"), "Date", []string{"Sat, 01 Jan 2000 00:00:07 GMT"}},
		{"RFC 9110 6.6.1: an answer that has no Date is given one", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }, "Date", []string{"Sat, 01 Jan 2000 00:00:00 GMT"}},
		{"RFC 9110 8.6: the length of what a HEAD does not give is passed on", "HEAD", set("Content-Length", "4"), "Content-Length", []string{"4"}},
		{"RFC 9110 8.8.3: validators are passed on as they are", "GET", set("Etag", `W/"a"`), "Etag", []string{`W/"a"`}},
		{"RFC 9110 11.6.1: WWW-Authenticate is passed on as it is", "GET", set("Www-Authenticate", `Basic realm="a", Custom x`), "Www-Authenticate", []string{`Basic realm="a", Custom x`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			forwarding(t, c.backend, func(t *testing.T, w *flowtest.World) {
				resp := raw(t, w, c.method+ask, c.method)[0]
				if !slices.Equal(resp.Header[c.field], c.lines) {
					t.Errorf("%s: %q, not %q", c.field, resp.Header[c.field], c.lines)
				}
			})
		})
	}
	t.Run("RFC 9110 9.3.2: nothing comes behind the header of a HEAD", func(t *testing.T) {
		forwarding(t, set("Content-Length", "4"), func(t *testing.T, w *flowtest.World) {
			if got := raw(t, w, "HEAD"+ask+"GET"+ask, "HEAD", "GET"); got[0].StatusCode != 200 || got[1].StatusCode != 200 {
				t.Error(got[0].Status, got[1].Status)
			}
		})
	})
	t.Run("RFC 9110 15.2: an interim answer does not reach who knows none", func(t *testing.T) {
		early := func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "page")
		}
		forwarding(t, early, func(t *testing.T, w *flowtest.World) {
			if got := raw(t, w, "GET / HTTP/1.0\r\nHost: public\r\n\r\n", "GET")[0]; got.StatusCode != 200 {
				t.Error(got.Status)
			}
			if got := raw(t, w, "GET"+ask, "GET", "GET"); got[0].StatusCode != 103 || got[1].StatusCode != 200 {
				t.Error(got[0].Status, got[1].Status)
			}
		})
	})
}

func TestForwardKeepsTrailersOfAConnection(t *testing.T) {
	t.Run("RFC 9110 7.6.1: a trailer that Connection lists is for the gateway alone", func(t *testing.T) {
		var got http.Header
		backend := func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			got = r.Trailer
			w.Header()["Connection"] = []string{"X-Mine"}
			w.Header()["Trailer"] = []string{"X-Mine, X-Sum"}
			fmt.Fprint(w, "page")
			w.Header()["X-Mine"], w.Header()["X-Sum"] = []string{"1"}, []string{"2"}
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			resp := raw(t, w, "POST / HTTP/1.1\r\nHost: public\r\nConnection: X-Mine\r\nTransfer-Encoding: chunked\r\nTrailer: X-Mine, X-Sum\r\n\r\n4\r\ntext\r\n0\r\nX-Mine: 1\r\nX-Sum: 2\r\n\r\n", "POST")[0]
			if got.Get("X-Sum") != "2" || got["X-Mine"] != nil {
				t.Errorf("the service got %v", got)
			}
			if resp.Trailer.Get("X-Sum") != "2" || resp.Trailer["X-Mine"] != nil {
				t.Errorf("the caller got %v", resp.Trailer)
			}
		})
	})
	t.Run("RFC 9110 6.5.1: a trailer does not become part of the header", func(t *testing.T) {
		var got http.Header
		backend := func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			got = r.Header
			w.Header()["Trailer"] = []string{"X-Sum"}
			fmt.Fprint(w, "page")
			w.Header()["X-Sum"] = []string{"2"}
		}
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			resp := raw(t, w, "POST / HTTP/1.1\r\nHost: public\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\ntext\r\n0\r\nX-Sum: 2\r\n\r\n", "POST")[0]
			if got["X-Sum"] != nil || resp.Header["X-Sum"] != nil {
				t.Errorf("%v, %v", got, resp.Header)
			}
		})
	})
}

func TestForwardEndsWhatGoesTooFar(t *testing.T) {
	asked := 0
	backend := func(http.ResponseWriter, *http.Request) { asked++ }
	t.Run("RFC 9110 7.6.2: at 0 the gateway answers OPTIONS itself", func(t *testing.T) {
		forwarding(t, backend, func(t *testing.T, w *flowtest.World) {
			if got := raw(t, w, "OPTIONS / HTTP/1.1\r\nHost: public\r\nMax-Forwards: 0\r\n\r\n", "OPTIONS")[0]; got.StatusCode != 204 || asked != 0 {
				t.Errorf("%s after %d questions", got.Status, asked)
			}
		})
	})
	t.Run("RFC 9110 7.6: a request that goes in circles ends", func(t *testing.T) {
		var w *flowtest.World
		circle := func(to http.ResponseWriter, r *http.Request) {
			asked++
			again := w.Request("GET", "/", "")
			again.Header["Via"] = r.Header["Via"]
			resp, err := w.Client.Do(again)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			defer resp.Body.Close()
			to.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(to, resp.Body)
		}
		asked = 0
		forwarding(t, circle, func(t *testing.T, world *flowtest.World) {
			w = world
			begin := time.Now()
			if got := w.Get("/"); got.Status != 508 || asked > 20 || time.Since(begin) > time.Second {
				t.Errorf("%d after %d times around, in %v", got.Status, asked, time.Since(begin))
			}
		})
	})
}
