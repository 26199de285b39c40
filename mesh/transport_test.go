package mesh

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func tlsServer(t *testing.T, http2 bool) (*httptest.Server, *tls.Config) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.URL.Path)
	}))
	srv.EnableHTTP2 = http2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv, &tls.Config{RootCAs: roots}
}

func TestHTTPS(t *testing.T) {
	for proto, http2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		srv, roots := tlsServer(t, http2)
		s := open(t, Config{Endpoints: []string{srv.URL + "/base"}, TLS: TLS{Config: roots}, Timeout: time.Minute})
		for range 3 {
			resp, err := s.RoundTrip(newRequest(t, "GET", "/x", nil))
			if got := text(t, resp, err); got != proto+" /base/x" {
				t.Error(got)
			}
		}
		if n := s.Stats().Endpoints[0].Dialed; n != 1 {
			t.Errorf("%s: %d connections", proto, n)
		}
	}
}

// A connection that cannot be trusted is one that was not made: any method may
// go elsewhere.
func TestAFailedHandshakeIsAFailureToConnect(t *testing.T) {
	untrusted, _ := tlsServer(t, true)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := rawServer(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	for name, base := range map[string]string{
		"an unknown authority":            untrusted.URL,
		"a server that does not speak it": strings.Replace(plain, "http:", "https:", 1),
	} {
		s := open(t, Config{Endpoints: []string{base, plain}, Retry: Retry{Attempts: 2}, Timeout: time.Minute})
		var call Call
		resp, err := s.Do(newRequest(t, "POST", "/", strings.NewReader("x")), &call)
		if got := text(t, resp, err); got != "ok" || call.Attempts != 2 || call.Endpoint != plain {
			t.Errorf("%s: %q, %+v", name, got, call)
		}
		if n := s.Stats().Endpoints[0].Failures[Connect]; n != 1 {
			t.Errorf("%s: %+v", name, s.Stats())
		}
	}
}

// A handshake that never ends is under the same limit as a connection that is
// never made.
func TestConnectTimeoutCoversTheHandshake(t *testing.T) {
	silent := rawServer(t, func(_ net.Conn, in *bufio.Reader) { io.Copy(io.Discard, in) })
	s := open(t, Config{Endpoints: []string{strings.Replace(silent, "http:", "https:", 1)}, ConnectTimeout: soon})
	if _, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); classOf(t, err) != Connect {
		t.Error(err)
	}
	if e := s.Stats().Endpoints[0]; e.Dialed != 1 || e.Closed != 1 {
		t.Errorf("%+v", e)
	}
}
