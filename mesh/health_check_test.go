package mesh

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// checked is the first endpoint of a service that is opened by cfg, with the
// checks that begin by themselves out of the way.
func checked(t *testing.T, cfg Config) *health {
	cfg.Health.Interval, cfg.Health.Timeout = time.Hour, 10*time.Second
	return open(t, cfg).set.Load().endpoints[0].health
}

// wantCheck makes one check, of which want says how it fails; empty is not.
func wantCheck(t *testing.T, h *health, want string) {
	t.Helper()
	err := h.ask(t.Context())
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// overAll runs a test over each transport that speaks one of the versions of
// HTTP. secured is whether it does over TLS.
func overAll(t *testing.T, http1, http2 bool, test func(t *testing.T, with func(Config) Config, secured bool)) {
	for _, c := range []struct {
		name           string
		http2, secured bool
		with           func(Config) Config
	}{
		{"h1", false, false, func(c Config) Config { return c }},
		{"h1 over TLS", false, true, func(c Config) Config { return overTLS(t, c, protoHTTP1) }},
		{"h2", true, true, func(c Config) Config { return overTLS(t, c, protoHTTP2, protoHTTP1) }},
		{"h2c", true, false, func(c Config) Config { c.Protocol = protocolH2C; return c }},
	} {
		if c.http2 && http2 || !c.http2 && http1 {
			t.Run(c.name, func(t *testing.T) { test(t, c.with, c.secured) })
		}
	}
}

func TestCheckOverHTTP(t *testing.T) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/asked":
			if r.Method != "GET" || r.Host != "shop" || r.Header.Get("X-Probe") != "1" || r.URL.RawQuery != "deep=1" || r.Header.Get("User-Agent") != userAgent {
				w.WriteHeader(400)
			}
		case "/moved":
			http.Redirect(w, r, "/asked", http.StatusFound)
		case "/ill":
			w.WriteHeader(503)
		case "/long":
			for range 100 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/broken":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	overAll(t, true, true, func(t *testing.T, with func(Config) Config, _ bool) {
		for _, c := range []struct {
			check HTTPCheck
			base  string
			want  string
		}{
			{HTTPCheck{Path: "/asked?deep=1", Host: "shop", Headers: map[string]string{"x-probe": "1"}}, "", ""},
			{HTTPCheck{Path: "/asked?deep=1", Host: "shop", Headers: map[string]string{"x-probe": "1"}}, "/v2", ""},
			{HTTPCheck{Path: "/moved"}, "", "the status is 302, and not 2xx"},
			{HTTPCheck{Path: "/moved", Status: []string{"200", "3xx"}}, "", ""},
			{HTTPCheck{Path: "/ill"}, "", "the status is 503, and not 2xx"},
			{HTTPCheck{Path: "/ill", Status: []string{"503"}}, "", ""},
			{HTTPCheck{Path: "/long"}, "", ""},
			{HTTPCheck{Path: "/broken"}, "", "reset: "},
		} {
			h := checked(t, with(Config{Endpoints: []string{srv.URL + c.base}, Health: Health{Check: checkHTTP, HTTP: c.check}}))
			wantCheck(t, h, c.want)
			wantCheck(t, h, c.want) // over the same connection, or another
		}
	})
}

func TestCheckOfAServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + l.Addr().String()
	l.Close()
	for _, check := range []Health{{Check: checkHTTP, HTTP: HTTPCheck{Path: "/"}}, {Check: checkTCP}, {Check: checkGRPC}} {
		wantCheck(t, checked(t, Config{Endpoints: []string{gone}, Protocol: protocolH2C, Health: check}), "connect: ")
	}
}

func TestCheckForAConnection(t *testing.T) {
	srv := serve(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	overAll(t, true, true, func(t *testing.T, with func(Config) Config, secured bool) {
		cfg := with(Config{Endpoints: []string{srv.URL + "/v2"}, Health: Health{Check: checkTCP}})
		wantCheck(t, checked(t, cfg), "")
		if secured {
			cfg.TLS.Config = &tls.Config{RootCAs: newAuthority(t).pool}
			wantCheck(t, checked(t, cfg), "connect: tls: ")
		}
	})
}

// The certificate of a server is held against the SPIFFE id for checks as it is
// for calls.
func TestChecksWantTheIdentityThatCallsWant(t *testing.T) {
	ca := newAuthority(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{spiffe: "spiffe://shop/orders"}).pair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for id, want := range map[string]string{"spiffe://shop/orders": "", "spiffe://shop/stock": "the server is spiffe://shop/orders"} {
		for _, check := range []Health{{Check: checkHTTP, HTTP: HTTPCheck{Path: "/"}}, {Check: checkTCP}} {
			cfg := Config{Endpoints: []string{srv.URL}, TLS: TLS{Config: &tls.Config{RootCAs: ca.pool}, SPIFFE: id}, Health: check}
			wantCheck(t, checked(t, cfg), want)
		}
	}
}

// framed is a gRPC message.
func framed(message ...byte) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + string(message)
}

func TestCheckOverGRPC(t *testing.T) {
	// What the server says to those who ask about a service of that name.
	replies := map[string]func(w http.ResponseWriter){
		"":       func(w http.ResponseWriter) { ends(w, framed(8, 1), "0", "") },
		"orders": func(w http.ResponseWriter) { ends(w, framed(8, 1), "0", "") },
		"ill":    func(w http.ResponseWriter) { ends(w, framed(8, 2), "0", "") },
		"new":    func(w http.ResponseWriter) { ends(w, framed(), "0", "") },
		"odd":    func(w http.ResponseWriter) { ends(w, framed(8, 9), "0", "") },
		"strange": func(w http.ResponseWriter) {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "who?")
		},
		"late":      func(w http.ResponseWriter) { ends(w, framed(8, 1), "14", "going") },
		"endless":   func(w http.ResponseWriter) { ends(w, strings.Repeat("x", 64<<10), "0", "") },
		"nothing":   func(w http.ResponseWriter) { ends(w, "", "0", "") },
		"page":      func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html"); io.WriteString(w, "<html>") },
		"missing":   func(w http.ResponseWriter) { w.WriteHeader(404) },
		"unended":   func(w http.ResponseWriter) { io.WriteString(w, framed(8, 1)) },
		"nostatus":  func(w http.ResponseWriter) { ends(w, framed(8, 1), "ninety", "") },
		"packed":    func(w http.ResponseWriter) { ends(w, "\x01"+framed(8, 1)[1:], "0", "") },
		"two":       func(w http.ResponseWriter) { ends(w, framed(8, 1)+framed(8, 1), "0", "") },
		"with more": func(w http.ResponseWriter) { ends(w, framed(8, 2, 0x12, 2, 'h', 'i', 8, 1), "0", "") },
	}
	wants := map[string]string{
		"": "", "orders": "", "with more": "",
		"ill": "the service is NOT_SERVING", "new": "the service is UNKNOWN", "odd": "the service is 9",
		"strange": `the gRPC status is NOT_FOUND: "who?"`, "late": `the gRPC status is UNAVAILABLE: "going"`,
		"endless": "larger than 4096 bytes", "nothing": "not one message", "packed": "not one message", "two": "not one message",
		"page": `the answer is "text/html"`, "missing": "the status is 404", "unended": "the gRPC status is missing", "nostatus": `the gRPC status is "ninety"`,
	}
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		timeout := r.Header.Get("Grpc-Timeout")
		if err != nil || r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.ProtoMajor != 2 ||
			r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || !strings.HasSuffix(timeout, "m") || len(body) < 5 {
			http.Error(w, fmt.Sprint(r.Method, r.URL, r.Proto, r.Header), 400)
			return
		}
		name := ""
		if len(body) > 5 {
			name = string(body[7:])
			if want := framed(append([]byte{10, byte(len(name))}, name...)...); string(body) != want {
				http.Error(w, fmt.Sprintf("%q is not %q", body, want), 400)
				return
			}
		}
		w.Header().Set("Content-Type", "application/grpc+proto")
		replies[name](w)
	}))
	t.Cleanup(srv.Close)
	overAll(t, false, true, func(t *testing.T, with func(Config) Config, _ bool) {
		for service, want := range wants {
			t.Run(service, func(t *testing.T) {
				cfg := with(Config{Endpoints: []string{srv.URL + "/v2"}, Health: Health{Check: checkGRPC, GRPC: GRPCCheck{Service: service}}})
				wantCheck(t, checked(t, cfg), want)
			})
		}
	})
	overAll(t, true, false, func(t *testing.T, with func(Config) Config, secured bool) {
		if secured {
			wantCheck(t, checked(t, with(Config{Endpoints: []string{srv.URL}, Health: Health{Check: checkGRPC}})), "HTTP/1.1")
		}
	})
}

// ends is a reply with a status of gRPC behind it.
func ends(w http.ResponseWriter, body, status, message string) {
	io.WriteString(w, body)
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	if message != "" {
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
	}
}

// The transport that only checks go over ends with them.
func TestTheConnectionsOfChecksAreClosed(t *testing.T) {
	gone := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(gone)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	cfg := Config{Endpoints: []string{srv.URL + "/v2"}, Health: Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/"}, Interval: time.Hour}}
	s := open(t, cfg)
	for s.Stats().Endpoints[0].Health.Checks == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	<-gone
	if e := s.Stats().Endpoints[0]; e.Dialed != 0 || e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
}

func FuzzReadServing(f *testing.F) {
	for _, s := range []string{"", framed(), framed(8, 1), framed(8, 2, 0x12, 1, 'x'), framed(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		framed(8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), framed(9, 1, 2, 3, 4, 5, 6, 7, 8), framed(13, 1, 2, 3, 4), framed(11, 12), framed(0, 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		status, err := readServing(frame)
		if err != nil && status != 0 {
			t.Errorf("%d and %v", status, err)
		}
		if err == nil && len(frame) < 5 {
			t.Error("there is no frame")
		}
		servingName(status)
		// What is put behind a message counts, and what is behind that breaks it.
		if err == nil && len(frame) < maxCheckReply {
			whole := framed(append(frame[5:len(frame):len(frame)], 8, serving)...)
			if status, err := readServing([]byte(whole)); status != serving || err != nil {
				t.Errorf("%d and %v", status, err)
			}
			if _, err := readServing([]byte(whole + "x")); err == nil {
				t.Error("a byte too many")
			}
		}
	})
}

func TestAChecksRequestHasNoCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		s := open(t, Config{Endpoints: []string{"http://a"}, Credentials: known{}, Health: asked, Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.URL.Path+" "+req.Header.Get("Authorization"))
			return reply(200), nil
		})})
		synctest.Wait()
		calls(t, s, 1)
		if want := []string{"/health ", "/ " + knownToken[0]}; !slices.Equal(seen, want) {
			t.Errorf("sent %q, want %q", seen, want)
		}
		s.Close()
	})
}
