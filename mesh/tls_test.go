package mesh

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mutual is a server that knows its clients by their certificates, and says what
// number theirs has.
func mutual(t *testing.T, ca *authority, own issued, http2 bool) *httptest.Server {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].SerialNumber.String())
	}))
	srv.EnableHTTP2 = http2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{own.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// volume is a directory as Kubernetes mounts it: files are links into a directory
// that is a link, which is replaced.
func volume(t *testing.T) (dir string, fill func(version string, files map[string][]byte)) {
	dir = t.TempDir()
	return dir, func(version string, files map[string][]byte) {
		t.Helper()
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		check(os.Mkdir(filepath.Join(dir, version), 0o700))
		for name, content := range files {
			check(os.WriteFile(filepath.Join(dir, version, name), content, 0o600))
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				check(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
			}
		}
		check(os.Symlink(version, filepath.Join(dir, "..tmp")))
		check(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
}

func mount(made issued, ca *authority) map[string][]byte {
	return map[string][]byte{"tls.crt": made.cert, "tls.key": made.key, "ca.crt": ca.pem}
}

func filesIn(dir string) TLS {
	return TLS{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
}

// lookNow makes the next handshake look at the files.
func lookNow(s *Service) {
	s.cfg.trust.lookout.Forget()
}

// All calls of a time in which the certificate, its key and the authorities are
// replaced succeed; new connections have the new certificate, and old ones are
// not given up.
func TestFilesAreReplacedUnderLoad(t *testing.T) {
	for name, http2 := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			srv := mutual(t, ca, ca.issue(t, leaf{name: "127.0.0.1"}), http2)
			dir, fill := volume(t)
			fill("1", mount(ca.issue(t, leaf{serial: 1}), ca))
			s := open(t, Config{Endpoints: []string{srv.URL}, TLS: filesIn(dir)})
			kept := open(t, Config{Endpoints: []string{srv.URL}, TLS: filesIn(dir)})
			ask := func(s *Service, close bool) string {
				req := newRequest(t, "GET", "/", nil)
				req.Close = close // the connection, so that there are handshakes
				resp, err := s.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return ""
				}
				return text(t, resp, err)
			}
			if got := ask(kept, false); got != "3" {
				t.Fatal(got)
			}
			var (
				callers sync.WaitGroup
				done    atomic.Bool
			)
			for range 4 {
				callers.Go(func() {
					for !done.Load() {
						ask(s, true)
					}
				})
			}
			for version := range int64(3) {
				serial := version + 10
				fill(string('b'+rune(version)), mount(ca.issue(t, leaf{serial: serial}), ca))
				lookNow(s)
				want := []string{"12", "13", "14"}[version]
				if !eventually(func() bool { return ask(s, true) == want }) {
					t.Errorf("certificate %s is not used", want)
				}
			}
			done.Store(true)
			callers.Wait()
			lookNow(kept)
			if got, e := ask(kept, false), kept.Stats().Endpoints[0]; got != "3" || e.Dialed != 1 || e.Closed != 0 {
				t.Errorf("the connection that there was: certificate %s, %+v", got, e)
			}
			if st := s.Stats(); len(st.Failures) > 0 || st.TLS.Failures > 0 || st.TLS.NotAfter.IsZero() {
				t.Errorf("%+v, %+v", st, st.TLS)
			}
		})
	}
}

func TestFilesThatCannotBeUsedChangeNothing(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(t, leaf{serial: 1})
	srv := mutual(t, ca, ca.issue(t, leaf{name: "127.0.0.1"}), false)
	for name, files := range map[string]map[string][]byte{
		"the key of another":    {"tls.crt": good.cert, "tls.key": ca.issue(t, leaf{}).key, "ca.crt": ca.pem},
		"half a file":           {"tls.crt": good.cert[:100], "tls.key": good.key, "ca.crt": ca.pem},
		"no authority":          {"tls.crt": good.cert, "tls.key": good.key, "ca.crt": {}},
		"an empty key":          {"tls.crt": good.cert, "tls.key": {}, "ca.crt": ca.pem},
		"expired":               mount(ca.issue(t, leaf{ends: time.Now().Add(-time.Minute)}), ca),
		"far too large":         {"tls.crt": make([]byte, maxPEM+1), "tls.key": good.key, "ca.crt": ca.pem},
		"a file that is no PEM": {"tls.crt": []byte("hello"), "tls.key": good.key, "ca.crt": ca.pem},
	} {
		dir, fill := volume(t)
		fill("1", mount(good, ca))
		s := open(t, Config{Endpoints: []string{srv.URL}, TLS: filesIn(dir)})
		fill("2", files)
		for range 2 {
			lookNow(s)
			req := newRequest(t, "GET", "/", nil)
			req.Close = true
			resp, err := s.RoundTrip(req)
			if got := text(t, resp, err); got != "3" {
				t.Errorf("%s: certificate %s", name, got)
			}
		}
		if st := s.Stats().TLS; st.Failures != 2 || st.Failure == nil || strings.Contains(st.Failure.Error(), "PRIVATE") {
			t.Errorf("%s: %+v", name, st)
		}
		fill("3", mount(good, ca))
		lookNow(s)
		s.cfg.trust.current()
		if st := s.Stats().TLS; st.Failures != 2 || st.Failure != nil || st.LastFailure.IsZero() {
			t.Errorf("%s, and back: %+v", name, st)
		}
	}
}

func TestFilesAreNeededToOpen(t *testing.T) {
	dir := t.TempDir()
	_, err := Open("users", Config{Endpoints: []string{"https://127.0.0.1"}, TLS: TLS{CA: filepath.Join(dir, "ca.crt")}})
	if err == nil || !strings.Contains(err.Error(), "ca.crt") || !strings.HasPrefix(err.Error(), "service users: tls: ") {
		t.Error(err)
	}
}

// A server that does not take our certificate has not seen the request: another
// may get it, whatever its method.
func TestACertificateThatIsNotTakenIsAFailureToConnect(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	own := ca.issue(t, leaf{name: "127.0.0.1"})
	takes := mutual(t, other, own, false)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		name, refuses := tls.VersionName(version), mutual(t, ca, own, false)
		s := open(t, Config{
			Endpoints: []string{refuses.URL, takes.URL}, Retry: Retry{Attempts: 2},
			TLS: TLS{Config: &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{other.issue(t, leaf{}).pair}, MaxVersion: version}},
		})
		for range 4 {
			resp, err := s.RoundTrip(newRequest(t, "POST", "/", strings.NewReader("x")))
			if text(t, resp, err) != "2" {
				t.Error(name)
			}
		}
		if n := s.Stats().Endpoints[0].Failures[Connect]; n == 0 {
			t.Errorf("%s: %+v", name, s.Stats())
		}
	}
}

func TestServerIsHeldAgainstItsSPIFFEID(t *testing.T) {
	ca := newAuthority(t)
	const id = "spiffe://shop.example/ns/prod/sa/users"
	serveAs := func(l leaf, from *authority) string {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{from.issue(t, l).pair}}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.URL
	}
	users := serveAs(leaf{spiffe: id}, ca)
	for _, c := range []struct {
		want, url string
		ok        bool
	}{
		{id, users, true},
		{"spiffe://shop.example", users, true},
		{"spiffe://shop.example/*", users, true},
		{"spiffe://shop.example/ns/prod/*", users, true},
		{"spiffe://shop.example/ns/pro/*", users, false},
		{"spiffe://shop.example/ns/prod", users, false},
		{"spiffe://shop.exampl", users, false},
		{id + "/*", users, false},
		{id, serveAs(leaf{name: "127.0.0.1"}, ca), false},
		{id, serveAs(leaf{spiffe: id}, newAuthority(t)), false},
	} {
		s := open(t, Config{Endpoints: []string{c.url}, TLS: TLS{Config: &tls.Config{RootCAs: ca.pool}, SPIFFE: c.want}})
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		if c.ok {
			text(t, resp, err)
		} else if classOf(t, err) != Connect {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

func TestPatternsOfSPIFFEIDs(t *testing.T) {
	for _, bad := range []string{
		"", "shop.example", "https://shop.example", "spiffe://", "spiffe:///a", "spiffe://Shop", "spiffe://shop/", "spiffe://shop/a/",
		"spiffe://shop//a", "spiffe://shop/./a", "spiffe://shop/../a", "spiffe://shop/a b", "spiffe://shop/*/a", "spiffe://shop/%61", "spiffe://shop:443/a",
		"spiffe://shop/a?b", "spiffe://shop/" + strings.Repeat("a", 2048),
	} {
		if id, err := parseSPIFFE(bad); err == nil {
			t.Errorf("%q: %+v", bad, id)
		}
	}
}

// A server may begin to speak HTTP/2, or cease to: it is asked again when its
// connections are old.
func TestWhatAServerSpeaksIsAskedAgain(t *testing.T) {
	var protocol atomic.Pointer[tls.Config]
	ca := newAuthority(t)
	pair := ca.issue(t, leaf{name: "127.0.0.1"}).pair
	speak := func(protos ...string) {
		protocol.Store(&tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protos})
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return protocol.Load(), nil }, Certificates: []tls.Certificate{pair}}
	speak("http/1.1")
	srv.StartTLS()
	defer srv.Close()
	s := open(t, Config{Endpoints: []string{srv.URL}, TLS: TLS{Config: &tls.Config{RootCAs: ca.pool}}, Timeout: time.Minute})
	ask := func() string {
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		return text(t, resp, err)
	}
	for _, want := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/1.1"} {
		speak(map[string]string{"HTTP/1.1": "http/1.1", "HTTP/2.0": "h2"}[want])
		s.set.Load().endpoints[0].transport.(*autoTransport).until.Store(0)
		for range 3 {
			if got := ask(); got != want {
				t.Errorf("%s, not %s", got, want)
			}
		}
	}
	s.Close()
	if !eventually(func() bool { e := s.Stats().Endpoints[0]; return e.Dialed == e.Closed }) {
		t.Errorf("%+v", s.Stats().Endpoints[0])
	}
}

// The connections of an era end with it, but streams on them go on to their end.
func TestAStreamOutlivesTheAgeOfItsConnection(t *testing.T) {
	more := make(chan struct{})
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RemoteAddr)
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
			<-more
			io.WriteString(w, " end")
		}
	}))
	defer srv.Close()
	s := open(t, Config{Endpoints: []string{srv.URL}, Protocol: protocolH2C})
	ask := func(path string) *http.Response {
		resp, err := s.RoundTrip(newRequest(t, "GET", path, nil))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := text(t, ask("/"), nil)
	stream := ask("/stream")
	s.set.Load().endpoints[0].transport.(*stdTransport).now.Load().until = time.Time{}
	if second := text(t, ask("/"), nil); second == first {
		t.Error("the old connection is still used")
	}
	close(more)
	if got := text(t, stream, nil); got != first+" end" {
		t.Errorf("%q", got)
	}
	if !eventually(func() bool { return s.Stats().Endpoints[0].Closed == 1 }) {
		t.Errorf("%+v", s.Stats().Endpoints[0])
	}
}

func TestStrictProtocols(t *testing.T) {
	srv, roots := tlsServer(t, false)
	s := open(t, Config{Endpoints: []string{srv.URL}, TLS: TLS{Config: roots}, Protocol: protocolHTTP2})
	if _, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); classOf(t, err) != Connect {
		t.Error(err)
	}
	srv, roots = tlsServer(t, true)
	s = open(t, Config{Endpoints: []string{srv.URL}, TLS: TLS{Config: roots}, Protocol: protocolHTTP1})
	resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
	if got := text(t, resp, err); got != "HTTP/1.1 /" {
		t.Error(got)
	}
	if resp.TLS == nil {
		t.Error("nothing is told of TLS")
	}
}

// Calls that begin together ask together, and end with as many connections as
// they need at most.
func TestFirstCallsTogether(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		srv, roots := tlsServer(t, http2)
		s := open(t, Config{Endpoints: []string{srv.URL}, TLS: TLS{Config: roots}})
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx))
				if err != nil {
					t.Error(err)
					return
				}
				text(t, resp, err)
			})
		}
		callers.Wait()
		if e := s.Stats().Endpoints[0]; e.Dialed > 40 {
			t.Errorf("%+v", e)
		}
		s.Close()
		if !eventually(func() bool { e := s.Stats().Endpoints[0]; return e.Dialed == e.Closed }) {
			t.Errorf("%+v", s.Stats().Endpoints[0])
		}
	}
}
