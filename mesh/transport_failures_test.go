package mesh

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// protocols are the ways to an endpoint that differ in how they fail.
var protocols = map[string]func(t *testing.T, cfg Config) Config{
	"h1":          func(_ *testing.T, cfg Config) Config { return cfg },
	"h1 over TLS": func(t *testing.T, cfg Config) Config { return overTLS(t, cfg, protoHTTP1) },
	"h2":          func(t *testing.T, cfg Config) Config { return overTLS(t, cfg, protoHTTP2) },
	"h2c":         func(_ *testing.T, cfg Config) Config { cfg.Protocol = protocolH2C; return cfg },
}

// A reply that breaks off is a reset, and is tried again where the body is a part
// of the attempt. No connection stays behind.
func TestAReplyThatBreaksOff(t *testing.T) {
	for name, over := range protocols {
		t.Run(name, func(t *testing.T) {
			srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Write(make([]byte, 10<<10))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))
			defer srv.Close()
			s := open(t, over(t, Config{Endpoints: []string{srv.URL}, Retry: Retry{Attempts: 3}}))
			call := Call{Buffer: true}
			_, err := s.Do(newRequest(t, "GET", "/", nil), &call)
			if classOf(t, err) != Reset || call.Attempts != 3 {
				t.Errorf("%d attempts: %v", call.Attempts, err)
			}
			resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadAll(resp.Body); classOf(t, err) != Reset {
				t.Error(err)
			}
			resp.Body.Close()
			s.Close()
			if !eventually(func() bool { e := s.Stats().Endpoints[0]; return e.InFlight == 0 && e.Dialed == e.Closed }) {
				t.Errorf("%+v", s.Stats().Endpoints[0])
			}
		})
	}
}

// An endpoint to which packets vanish is left when the time for a connection is
// over, and nothing that waits for it stays behind.
func TestABlackHole(t *testing.T) {
	for name, cfg := range map[string]Config{
		"h1":          {Endpoints: []string{"http://10.0.0.1"}},
		"h1 over TLS": {Endpoints: []string{"https://10.0.0.1"}, Protocol: protocolHTTP1},
		"auto":        {Endpoints: []string{"https://10.0.0.1"}},
		"h2":          {Endpoints: []string{"https://10.0.0.1"}, Protocol: protocolHTTP2},
		"h2c":         {Endpoints: []string{"http://10.0.0.1"}, Protocol: protocolH2C},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg.TLS.Config = &tls.Config{}
				cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				s := open(t, cfg)
				start := time.Now()
				_, err := s.RoundTrip(newRequest(t, "POST", "/", nil))
				if took := time.Since(start); classOf(t, err) != Connect || took != defaultConnectTimeout {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}
