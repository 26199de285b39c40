package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandsReachAnAdminAddressWithTLS(t *testing.T) {
	var token, shown string
	running := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, shown = r.Header.Get("Authorization"), ""
		if len(r.TLS.PeerCertificates) > 0 {
			shown = r.TLS.PeerCertificates[0].Subject.Organization[0]
		}
		switch r.URL.Path {
		case "/services":
			_, _ = io.WriteString(w, `{"services":[{"service":"stock","requests":7}]}`)
		case "/routes":
			_, _ = io.WriteString(w, `{"config":"abc"}`)
		case "/limits":
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	running.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	running.StartTLS()
	defer running.Close()
	dir := t.TempDir()
	file := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		if kind != "" {
			content = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := running.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := file("cert.pem", "CERTIFICATE", pair.Certificate[0]), file("key.pem", "PRIVATE KEY", private)
	secret := file("token", "", []byte("open-sesame-open\n"))
	host := strings.TrimPrefix(running.URL, "https://")
	run := func(args ...string) (out string, code int) {
		var all transcript
		p := &process{args: args, stdout: &all, stderr: &all, env: func(string) (string, bool) { return "", false }, terminal: func(io.Writer) bool { return false }}
		code = p.run(t.Context())
		return all.String(), code
	}
	for _, c := range []struct {
		name         string
		args         []string
		token, shown string
		want         string
	}{
		{"a URL and a token", []string{"top", "--once", "--admin", running.URL, "--cacert", cert, "--admin-token", secret}, "Bearer open-sesame-open", "", "stock"},
		{"an address and a certificate", []string{"top", "--once", "--admin", host, "--cacert", cert, "--cert", cert, "--key", key}, "", "Acme Co", "stock"},
		{"another command", []string{"explain", "--live", "--admin", running.URL + "/", "--cacert", cert, "--admin-token", secret}, "Bearer open-sesame-open", "", "stock: 7 calls"},
		{"an authority that nobody knows", []string{"top", "--once", "--admin", running.URL}, "", "", "cannot be relied on: x509: certificate signed by unknown authority (--cacert FILE says whose can)"},
		{"TLS that is not spoken", []string{"top", "--once", "--admin", host}, "", "", "answered with status 400: it is not the admin address"},
		{"a path", []string{"top", "--once", "--admin", running.URL + "/x"}, "", "", "is not an address"},
		{"somebody in the URL", []string{"top", "--once", "--admin", "https://a:b@" + host}, "", "", "is not an address"},
		{"no key", []string{"top", "--once", "--admin", host, "--cert", cert}, "", "", "go together"},
		{"a key of another", []string{"top", "--once", "--admin", host, "--cert", cert, "--key", secret}, "", "", "--cert: tls: failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, shown = "", ""
			out, code := run(c.args...)
			if !strings.Contains(out, c.want) || (code == exitOK) != strings.HasPrefix(c.want, "stock") || token != c.token || shown != c.shown {
				t.Errorf("exit %d, %s; it was shown %q and %q", code, out, token, shown)
			}
		})
	}
}

func TestWhereAProcessListensIsWhereItIsAsked(t *testing.T) {
	for address, want := range map[string]string{
		":9900": "http://localhost:9900", "0.0.0.0:9900": "http://localhost:9900", "[::]:9900": "http://localhost:9900", "127.0.0.1:9900": "http://127.0.0.1:9900",
		"[::1]:9900": "http://[::1]:9900", "https://weir.example": "https://weir.example", "https://weir.example:9900/": "https://weir.example:9900",
		"off": "", "9900": "", "": "", "ftp://x:1": "", "http://": "", "a b:1": "",
	} {
		a := &adminClient{address: address}
		if err := a.locate(); a.base != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", address, a.base, err)
		}
	}
}
