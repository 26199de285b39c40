package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func newTestServer(t *testing.T) *Server {
	t.Helper()
	s := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, prometheus.NewRegistry()))
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func mustListen(t *testing.T, s *Server, addr string, c ListenerConfig) *Listener {
	t.Helper()
	l, err := s.Listen(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// get does not keep connections.
func get(t *testing.T, l *Listener, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + l.Addr().String() + path)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(body)
}

func TestAListenerOutlivesGenerations(t *testing.T) {
	s := newTestServer(t)
	first := mustListen(t, s, "127.0.0.1:0", ListenerConfig{Name: "a"})
	if again := mustListen(t, s, "127.0.0.1:0", ListenerConfig{Name: "a"}); again != first {
		t.Error("the same gateway got another listener")
	}
	if other := mustListen(t, s, "127.0.0.1:0", ListenerConfig{Name: "b"}); other == first {
		t.Error("another gateway on port 0 got the same listener")
	}
}

func TestOneAddressHasOneSpelling(t *testing.T) {
	for _, pair := range [][2]string{{":80", "0.0.0.0:80"}, {":80", "[::]:http"}, {"127.0.0.1:080", "127.0.0.1:80"}} {
		hostA, portA, errA := splitAddr(pair[0])
		hostB, portB, errB := splitAddr(pair[1])
		if hostA != hostB || portA != portB || errA != nil || errB != nil {
			t.Errorf("%v: %q:%q and %q:%q", pair, hostA, portA, hostB, portB)
		}
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	s := newTestServer(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		name, addr string
		config     ListenerConfig
		want       []string
	}{
		{"taken", taken.Addr().String(), ListenerConfig{}, []string{taken.Addr().String(), "is in use", "choose another address"}},
		{"no port", "127.0.0.1", ListenerConfig{}, []string{`"127.0.0.1"`, "write host:port or :port"}},
		{"bad port", "127.0.0.1:99999", ListenerConfig{}, []string{`"127.0.0.1:99999"`, "0 to 65535"}},
		{"not ours", "192.0.2.1:0", ListenerConfig{}, []string{"192.0.2.1:0", "not an address of this machine"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Listen(tt.addr, tt.config)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestSwapLeavesRequestsThatHaveBegun(t *testing.T) {
	l := mustListen(t, newTestServer(t), "127.0.0.1:0", ListenerConfig{})
	l.Start()
	if status, _ := get(t, l, "/"); status != http.StatusServiceUnavailable {
		t.Errorf("without a handler: %d", status)
	}
	begun, end := make(chan struct{}), make(chan struct{})
	l.Swap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "old")
	}))
	answered := make(chan string)
	go func() {
		_, body := get(t, l, "/")
		answered <- body
	}()
	<-begun
	l.Swap(text("new"))
	if _, body := get(t, l, "/"); body != "new" {
		t.Errorf("after the swap: %q", body)
	}
	close(end)
	if body := <-answered; body != "old" {
		t.Errorf("begun before the swap: %q", body)
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	s := newTestServer(t)
	l := mustListen(t, s, "127.0.0.1:0", ListenerConfig{})
	l.Start()
	begun, end := make(chan struct{}), make(chan struct{})
	l.Swap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-end
		if err := r.Context().Err(); err != nil {
			t.Errorf("cancelled: %v", err)
		}
		_, _ = io.WriteString(w, "whole")
	}))
	answered := make(chan string)
	go func() {
		_, body := get(t, l, "/")
		answered <- body
	}()
	<-begun
	ended := make(chan error)
	go func() { ended <- s.Shutdown(context.Background()) }()
	close(end)
	if body := <-answered; body != "whole" {
		t.Errorf("got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		conn.Close()
		t.Error("still accepts connections")
	}
}

func TestShutdownIsBounded(t *testing.T) {
	s := newTestServer(t)
	l := mustListen(t, s, "127.0.0.1:0", ListenerConfig{})
	l.Start()
	begun, ended := make(chan struct{}), make(chan error, 1)
	l.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("got %v", err)
	}
	if cause := <-ended; !errors.Is(cause, errCut) {
		t.Errorf("the request ended by %v", cause)
	}
}

func TestAListenerThatNeverStartedFreesItsPort(t *testing.T) {
	s := newTestServer(t)
	l := mustListen(t, s, "127.0.0.1:0", ListenerConfig{})
	if err := l.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if l == mustListen(t, s, "127.0.0.1:0", ListenerConfig{}) {
		t.Error("the set still has the closed listener")
	}
}
