package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

func TestWhoMayUseAdminEndpoints(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame-open-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	local, remote := AdminAccess{Local: true, Write: true}, AdminAccess{}
	guarded := AdminAccess{Local: true, Token: token, Write: true}
	certificates := AdminAccess{Certificates: true, Local: true}
	shown := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
	for _, c := range []struct {
		name         string
		access       AdminAccess
		method, path string
		host, bearer string
		header       []string
		tls          *tls.ConnectionState
		want         string
	}{
		{"this machine reads", local, "GET", "/routes", "127.0.0.1:9900", "", nil, nil, "200"},
		{"by any address", local, "GET", "/routes", "[::1]:9900", "", nil, nil, "200"},
		{"by its name", local, "GET", "/routes", "LOCALHOST:9900", "", nil, nil, "200"},
		{"by another's name", local, "GET", "/routes", "evil.example:9900", "", nil, nil, "421 " + CodeAdminHost},
		{"by a name that begins alike", local, "GET", "/metrics", "127.0.0.1.evil.example", "", nil, nil, "421 " + CodeAdminHost},
		{"by no name", local, "GET", "/routes", "", "", nil, nil, "421 " + CodeAdminHost},
		{"this machine writes", local, "POST", "/reload", "localhost", "", nil, nil, "200"},
		{"a page writes", local, "POST", "/reload", "localhost:9900", "", []string{"Sec-Fetch-Site", "cross-site"}, nil, "403 " + CodeAdminOrigin},
		{"an old browser's page writes", local, "POST", "/reload", "localhost:9900", "", []string{"Origin", "https://evil.example"}, nil, "403 " + CodeAdminOrigin},
		{"a page with the token writes", guarded, "POST", "/reload", "localhost", "sesame-open-sesame", []string{"Origin", "null"}, nil, "403 " + CodeAdminOrigin},
		{"others read", remote, "GET", "/routes", "10.0.0.1:9900", "", nil, nil, "401 " + CodeAdminCredentials},
		{"others with some token", remote, "GET", "/routes", "10.0.0.1:9900", "x", nil, nil, "401 " + CodeAdminCredentials},
		{"others probe", remote, "GET", "/healthz", "weir.example", "", nil, nil, "200"},
		{"others scrape", remote, "GET", "/metrics", "weir.example", "", nil, nil, "200"},
		{"by a path that looks open", remote, "GET", "/healthz/../routes", "weir.example", "", nil, nil, "401 " + CodeAdminCredentials},
		{"without the token", guarded, "GET", "/routes", "localhost", "", nil, nil, "401 " + CodeAdminCredentials},
		{"with another", guarded, "GET", "/routes", "localhost", "sesame-open-sesamf", nil, nil, "401 " + CodeAdminCredentials},
		{"with the token", guarded, "GET", "/routes", "weir.example", "sesame-open-sesame", nil, nil, "200"},
		{"without a certificate", certificates, "GET", "/routes", "localhost", "", nil, &tls.ConnectionState{}, "401 " + CodeAdminCredentials},
		{"with one", certificates, "GET", "/routes", "localhost", "", nil, shown, "200"},
		{"who may only read", AdminAccess{Local: true}, "POST", "/reload", "localhost", "", nil, nil, "403 " + CodeAdminReadOnly},
		{"without its file", AdminAccess{Token: token + "2"}, "GET", "/routes", "localhost", "", nil, nil, "401 " + CodeAdminCredentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAdmin(func() error { return nil }, prometheus.NewRegistry())
			a.Handle("GET /routes", text(""))
			a.HandleChange("POST /reload", text(""))
			a.Access = c.access
			r := httptest.NewRequest(c.method, "http://x"+c.path, nil)
			r.Host, r.TLS = c.host, c.tls
			if c.bearer != "" {
				r.Header.Set("Authorization", "bearer "+c.bearer)
			}
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			status, code, _ := strings.Cut(c.want, " ")
			if fmt.Sprint(w.Code) != status || !strings.Contains(w.Body.String(), code) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestATokenIsNotShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&AdminAccess{Token: path}).CheckToken(); err == nil || !strings.Contains(err.Error(), "at least 16") {
		t.Error(err)
	}
}

func TestWhichAddressesAreOfThisMachine(t *testing.T) {
	for ip, want := range map[string]bool{"127.0.0.1": true, "::1": true, "127.9.9.9": true, "0.0.0.0": false, "::": false, "10.0.0.1": false} {
		if got := IsLocal(&net.TCPAddr{IP: net.ParseIP(ip)}); got != want {
			t.Errorf("%s: %t", ip, got)
		}
	}
}

func TestFaultsAreGroupedByTheirCause(t *testing.T) {
	faults := new(Faults)
	fail := func(step string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q := FromContext(r.Context())
			q.Err = &engine.Error{Step: step, Kind: engine.KindConnect, Message: "no route to " + q.ID}
			WriteProblem(w, r, Problem{Status: 502, Code: CodeUpstreamUnreachable})
		}
	}
	routes := []Route{{Method: "GET", Path: "/a", Name: "a", Handler: fail("x")}, {Method: "GET", Path: "/b", Name: "b", Handler: fail("y")}, {Method: "GET", Path: "/c", Name: "c", Handler: text("c")}}
	h := newTestHandler(t, Options{Faults: faults}, routes...)
	for _, path := range []string{"/a", "/a", "/b", "/c", "/none"} {
		do(h, "GET", path)
		time.Sleep(time.Millisecond) // so that one is the last
	}
	all := faults.All()
	if len(all) != 2 || all[0].Step != "y" || all[1].Count != 2 || all[1].Flow != "a" || all[1].Kind != "connect" || !strings.Contains(all[1].Error, all[1].RequestID) {
		t.Errorf("%+v", all)
	}
	for i := range 3 * mostFaults {
		q := &Request{Code: fmt.Sprint("code-", i), Err: errors.New(strings.Repeat("x", 1<<20))}
		faults.add("test", q, httptest.NewRequest("GET", "/", nil), time.Now().Add(time.Duration(i)))
	}
	if all := faults.All(); len(all) != mostFaults || len(all[0].Error) > maxFaultText+8 {
		t.Errorf("%d groups", len(all))
	}
}

func TestTheLastRequestsAreKeptWithTheirSteps(t *testing.T) {
	recent := NewRecent(2)
	tracer := &trace.Tracer{Sampler: trace.Sampler{Ratio: 1}, Sink: recent}
	var late *trace.Span
	h := newTestHandler(t, Options{Tracer: tracer, Recent: recent}, Route{Method: "GET", Path: "/a/{id}", Name: "a", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := FromContext(r.Context())
		for range 3 * maxRecentSteps {
			s := q.Trace.Start(r.Context(), time.Now())
			s.Name = "call stock"
			s.Set("code.file.path", "f.yaml")
			s.SetInt("code.line.number", 7)
			s.Fail("connect", strings.Repeat("no ", 1000))
			s.End(time.Now())
		}
		late = q.Trace.Start(r.Context(), time.Now())
	})})
	for _, id := range []string{"1", "2", "3"} {
		do(h, "GET", "/a/"+id+"?token=x")
		late.End(time.Now())
	}
	all := recent.All()
	if len(all) != 2 || !strings.Contains(string(all[0].Request), `"path":"/a/3","query":"token=[redacted]"`) || !strings.Contains(string(all[1].Request), `"path":"/a/2"`) {
		t.Fatalf("%+v", all)
	}
	steps := all[0].Steps
	if len(steps) != maxRecentSteps || steps[0].Name != "call stock" || steps[0].At != "f.yaml:7" || len(steps[0].Error) > maxRecentText+8 {
		t.Errorf("%d steps, %+v", len(steps), steps[0])
	}
}

func TestBodiesAreKeptIfSomebodyWantsThem(t *testing.T) {
	for _, c := range []struct {
		name, sent, answered string
		most                 int
		body, answer         *RecentBody
	}{
		{name: "nobody does", sent: "in", answered: "out"},
		{name: "whole", sent: "in", answered: "out", most: 10, body: &RecentBody{Text: "in"}, answer: &RecentBody{Text: "out"}},
		{name: "longer ones are cut", sent: "abcdef", answered: "uvwxyz", most: 4, body: &RecentBody{Text: "abcd", Cut: true}, answer: &RecentBody{Text: "uvwx", Cut: true}},
		{name: "not within a character", sent: "abc\u20ac", answered: "\u20ac\u20ac", most: 5, body: &RecentBody{Text: "abc", Cut: true}, answer: &RecentBody{Text: "\u20ac", Cut: true}},
		{name: "what is no text", sent: "\xff\x00", answered: "\x1f\x8b\x08", most: 10},
		{name: "none", most: 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			recent := NewRecent(1)
			recent.Bodies = c.most
			h := newTestHandler(t, Options{Recent: recent}, Route{Method: "POST", Path: "/a", Name: "a", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, c.answered)
			})})
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/a", strings.NewReader(c.sent)))
			one := recent.All()[0]
			if !reflect.DeepEqual(one.Body, c.body) || !reflect.DeepEqual(one.Answer, c.answer) {
				t.Errorf("kept %+v and %+v, want %+v and %+v", one.Body, one.Answer, c.body, c.answer)
			}
		})
	}
}
