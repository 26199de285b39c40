package gateway

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// serve starts a gateway over the routes on a port of its own.
func serve(t *testing.T, routes ...Route) (addr string) {
	t.Helper()
	return listen(t, newTestHandler(t, Options{}, routes...)).Addr().String()
}

func listen(t *testing.T, h http.Handler) *Listener {
	t.Helper()
	l, err := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, prometheus.NewRegistry())).Listen("127.0.0.1:0", ListenerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l.Swap(h)
	l.Start()
	t.Cleanup(func() {
		if err := l.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return l
}

// sendRaw is send for all that the server says.
func sendRaw(t *testing.T, addr, raw string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, raw) // it may have been closed meanwhile
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return answer
}

// send writes raw bytes, says that no more will come, and reads answers until
// the server closes the connection.
func send(t *testing.T, addr, raw string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(conn); ; {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			return statuses
		}
		statuses = append(statuses, answer.StatusCode)
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// Each request is followed by a sound one on the same connection. It must not
// be answered where the first leaves doubt about where it ends.
func TestDoubtfulRequestsCloseTheConnection(t *testing.T) {
	addr := serve(t, route("", "/{rest:.*}"))
	const next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name, raw string
		status    int
	}{
		{"absolute form", "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"absolute form for another host", "GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"GET *", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501},
		{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n", 501},
		{"TRACE", "TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", 501},
		{"no host", "GET /a HTTP/1.1\r\n\r\n", 400},
		{"empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"two hosts", "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		{"host with user", "GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n", 400},
		{"host with path", "GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
		{"host with space", "GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", 400},
		{"host with comma", "GET /a HTTP/1.1\r\nHost: x,y\r\n\r\n", 400},
		{"host without name", "GET /a HTTP/1.1\r\nHost: :80\r\n\r\n", 400},
		{"host with port 0", "GET /a HTTP/1.1\r\nHost: x:0\r\n\r\n", 400},
		{"host with a great port", "GET /a HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400},
		{"host with an open bracket", "GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		{"two lengths", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400},
		{"signed length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400},
		{"unknown coding", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"two codings", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
		{"space before colon", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400},
		{"bad percent-encoding", "GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"cut percent-encoding", "GET /a%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"NUL in the target", "GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"header too large", "GET /a HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := send(t, addr, tt.raw+next); len(got) != 1 || got[0] != tt.status {
				t.Errorf("got %v, want %d alone", got, tt.status)
			}
		})
	}
}

func TestSoundRequestsKeepTheConnection(t *testing.T) {
	addr := serve(t, route("", "/{rest:.*}"))
	const next = "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, raw := range map[string]string{
		"host":          "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"host and port": "GET /a HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n",
		"IPv4":          "GET /a HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
		"IPv6":          "GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
		"underscore":    "GET /a HTTP/1.1\r\nHost: my_service\r\n\r\n",
		"HTTP/1.0":      "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"chunked":       "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"bad path":      "POST /a/../b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			if got := send(t, addr, raw+next); len(got) != 2 || got[1] != 200 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNothingIsRedirected(t *testing.T) {
	addr := serve(t, route("POST", "/a"), route("POST", "/a/b/"))
	for _, path := range []string{"//a", "/a/", "/a/b", "/x/../a", "/./a", "/a/%2e", "/a//b/"} {
		got := send(t, addr, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
		if len(got) != 1 || got[0] != 400 && got[0] != 404 {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestHeadHasTheHeaderOfGetAndNoBody(t *testing.T) {
	addr := serve(t, route("GET", "/a"))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, path := range []string{"/a", "/none"} {
		if _, err := io.WriteString(conn, "HEAD "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(conn)
	for _, status := range []int{200, 404} { // a body of the first would garble the second
		answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodHead})
		if err != nil || answer.StatusCode != status || answer.ContentLength <= 0 {
			t.Errorf("got %v, %v", answer, err)
		}
	}
}
