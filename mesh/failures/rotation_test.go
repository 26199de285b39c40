package failures

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// Backends get certificates of another authority while calls are made. Clients
// are told of it before, in the file that they have, and told to forget the old
// one after: no call fails.
func TestAnAuthorityIsReplaced(t *testing.T) {
	secure := []way{ways[1], ways[2]}
	over(t, secure, func(t *trial) {
		first, second := certificate("first"), certificate("second")
		var current atomic.Pointer[tls.Certificate]
		current.Store(&first)
		serve := func() *backend {
			return t.start(&backend{handler: http.HandlerFunc(fine), tls: &tls.Config{
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
			}})
		}
		ca := filepath.Join(t.TempDir(), "ca.crt")
		t.trust(ca, first)
		s := t.open(mesh.Config{Timeout: time.Minute, TLS: mesh.TLS{CA: ca}}, serve())
		l := t.load(s)
		// Files are looked at when connections are made, so some are.
		connect := func() {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Close = true
			if _, err := s.Do(req, &mesh.Call{Buffer: true}); err != nil {
				t.Error(err)
			}
		}
		told := func(all ...tls.Certificate) {
			before := s.Stats().TLS.Loaded
			t.trust(ca, all...)
			t.eventually("the file is read", func() bool {
				connect()
				return t.Failed() || s.Stats().TLS.Loaded.After(before)
			})
		}
		t.more(l)
		told(first, second)
		current.Store(&second)
		for range 10 {
			connect()
		}
		told(second)
		for range 10 {
			connect()
		}
		l.end()
		if st := s.Stats(); st.TLS.Failures != 0 || len(st.Failures) != 0 {
			t.Errorf("%+v, %+v", st, st.TLS)
		}
		current.Store(&first) // which is not trusted any more
		fresh := t.open(mesh.Config{Timeout: time.Minute, TLS: mesh.TLS{CA: ca}}, serve())
		if _, err := t.get(fresh, new(mesh.Call)); t.class(err) != mesh.Connect {
			t.Error(err)
		}
	})
}

// trust writes a file of authorities, as tools do: another takes its place.
func (t *trial) trust(file string, all ...tls.Certificate) {
	t.Helper()
	var text []byte
	for _, c := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
