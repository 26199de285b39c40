package policies_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// tlsSite is a gateway with TLS that asks its clients for certificates.
type tlsSite struct {
	w         *flowtest.World
	authority *flowtest.Authority
	ca        string // the file of the authority
}

// serveTLS serves a program with one policy, at a gateway with TLS. How it asks
// for certificates is said by client.
func serveTLS(t *testing.T, client, policy string) *tlsSite {
	t.Helper()
	// The two ends of a connection in memory can both be saying goodbye, which TLS
	// gives them 5s for.
	t.Cleanup(func() { time.Sleep(10 * time.Second) })
	s := &tlsSite{authority: flowtest.NewAuthority(t)}
	dir := t.TempDir()
	s.ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(s.ca, s.authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := s.authority.Issue("shop.example").Write(t, dir, "shop")
	text := strings.Replace(guarded(policy), `listen: "public:80"`, fmt.Sprintf(
		`listen: "public:80", tls: { certificates: [{ cert: %q, key: %q }], client: %s, client_ca: %q }`, cert, key, client, s.ca), 1)
	s.w = flowtest.Serve(t, text, nil)
	return s
}

// ask sends a request over a connection on which a certificate is shown, if one is
// given.
func (s *tlsSite) ask(t *testing.T, own *flowtest.Certificate, header ...string) flowtest.Answer {
	t.Helper()
	client := s.w.NewClient()
	cfg := &tls.Config{RootCAs: s.authority.Pool, ServerName: "shop.example"}
	if own != nil {
		cfg.Certificates = []tls.Certificate{own.Pair}
	}
	client.Transport.(*http.Transport).TLSClientConfig = cfg
	defer client.CloseIdleConnections()
	r, err := http.NewRequest("GET", "https://public:80/who", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return flowtest.Read(client.Do(r))
}

func is(t *testing.T, got flowtest.Answer, status int, body string) {
	t.Helper()
	if got.Err != nil || got.Status != status || !strings.Contains(got.Body, body) {
		t.Errorf("%d %s %v, want %d %s", got.Status, got.Body, got.Err, status, body)
	}
}

func fingerprint(c flowtest.Certificate) string {
	return fmt.Sprintf("%x", sha256.Sum256(c.Pair.Certificate[0]))
}

func TestMTLSNamesTheConsumerByTheCertificate(t *testing.T) {
	const spiffe = "spiffe://bank.example/ns/lending/sa/scoring"
	for _, c := range []struct {
		name, policy string
		names        []string
		status       int
		body         string
	}{
		{"by the common name", "{}", []string{"till-7"}, 200, `"name":"till-7","by":"mtls"`},
		{"by a DNS name, in lower case", "{ consumer: dns }", []string{"Till.Partner.Example"}, 200, `"name":"till.partner.example"`},
		{"by the first DNS name that fits", `{ consumer: dns, allow: ["*.partner.example"] }`, []string{"a.example", "b.x.partner.example", "c.partner.example"}, 200, `"name":"c.partner.example"`},
		{"by a URI", `{ consumer: uri, allow: ["spiffe://bank.example/**"] }`, []string{"scoring", spiffe}, 200, `"name":"` + spiffe + `"`},
		{"by a URI whose pattern has a part", `{ consumer: uri, allow: ["spiffe://bank.example/ns/*/sa/scoring"] }`, []string{"scoring", spiffe}, 200, spiffe},
		{"a part has no slash", `{ consumer: uri, allow: ["spiffe://bank.example/*"] }`, []string{"scoring", spiffe}, 403, `"forbidden"`},
		{"another trust domain that begins alike", `{ consumer: uri, allow: ["spiffe://bank.example/**"] }`, []string{"scoring", "spiffe://bank.example.evil/ns/x"}, 403, `"forbidden"`},
		{"another trust domain in the path", `{ consumer: uri, allow: ["spiffe://bank.example/**"] }`, []string{"scoring", "spiffe://evil/spiffe://bank.example/x"}, 403, `"forbidden"`},
		{"X509-SVID 2: two URIs", `{ consumer: uri }`, []string{"scoring", spiffe, "spiffe://bank.example/other"}, 403, `"forbidden"`},
		{"a dot in a pattern is a dot", `{ consumer: dns, allow: [till.partner.example] }`, []string{"tillxpartner.example"}, 403, `"forbidden"`},
		{"no such name", "{ consumer: uri }", []string{"till-7"}, 403, `"forbidden"`},
		{"a name with a line break", "{}", []string{"till\n7", "x.example"}, 403, `"forbidden"`},
		{"a condition", `{ when: '"till-7" in claims.dns && claims.issuer == "CN=authority"' }`, []string{"till-7"}, 200, `"till-7"`},
		{"a condition that is not met", `{ when: 'claims.serial == "0"' }`, []string{"till-7"}, 403, `"forbidden"`},
		{"the authority, by its name", `{ issuers: ["CN=authority"] }`, []string{"till-7"}, 200, `"till-7"`},
		{"another authority", `{ issuers: ["CN=other"] }`, []string{"till-7"}, 403, `"forbidden"`},
		{"another authority, by its hash", `{ issuers: ["` + strings.Repeat("00:", 31) + `00"] }`, []string{"till-7"}, 403, `"forbidden"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serveTLS(t, "require", "mtls: "+c.policy)
				own := s.authority.Issue(c.names...)
				is(t, s.ask(t, &own), c.status, c.body)
			})
		})
	}
}

func TestMTLSTellsWhatTheCertificateSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, "request", "mtls: { consumer: fingerprint }")
		own := s.authority.Issue("till-7", "10.1.2.3", "https://till.example/7")
		for range 2 { // the second time it is known
			got := s.ask(t, &own)
			is(t, got, 200, `"name":"`+fingerprint(own)+`"`)
			is(t, got, 200, fmt.Sprintf(`"not_after":%d`, own.Pair.Leaf.NotAfter.Unix()))
			is(t, got, 200, `"ips":["10.1.2.3"]`)
			is(t, got, 200, `"emails":[]`)
		}
	})
}

func TestMTLSWantsACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, "request", "mtls: {}")
		got := s.ask(t, nil)
		is(t, got, 401, `"unauthenticated"`)
		if c := got.Header.Get("Www-Authenticate"); c != `Certificate realm="api"` {
			t.Error(c)
		}
		forged := flowtest.NewAuthority(t).Issue("till-7")
		if got := s.ask(t, &forged); got.Err == nil {
			t.Error("a certificate of another authority:", got.Status, got.Body)
		}
		own := s.authority.Issue("till-7")
		is(t, s.ask(t, nil, "Client-Cert", clientCert(own)), 401, `"unauthenticated"`)
	})
}

func TestMTLSSeesThatACertificateExpiresOnItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, "require", "mtls: {}")
		own := s.authority.IssueUntil(time.Now().Add(time.Minute), "till-7")
		client := s.w.NewClient()
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: s.authority.Pool, ServerName: "shop.example", Certificates: []tls.Certificate{own.Pair}}
		for _, want := range []int{200, 401} {
			if got := flowtest.Read(client.Get("https://public:80/who")); got.Status != want {
				t.Error(got.Status, got.Body, got.Err)
			}
			time.Sleep(62 * time.Second)
		}
	})
}

func TestMTLSLetsInWhoIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, write := file(t, "# partners\n")
		s := serveTLS(t, "require", "mtls: { file: "+path+" }")
		one, two := s.authority.Issue("till-7"), s.authority.Issue("Till of Ada")
		for _, c := range []struct {
			list     string
			one, two int
			body     string
		}{
			{"", 403, 403, `"forbidden"`},
			{"till-7 shop-7 plan=gold", 200, 403, `"name":"shop-7","by":"mtls","plan":"gold"`},
			{"till-7", 200, 403, `"shop-7"`}, // what cannot be read changes nothing
			{"till-7 shop-8\n\"Till of Ada\" ada", 200, 200, `"shop-8"`},
			{"till-7 shop-8 expires=1999-01-01T00:00:00Z", 403, 403, `"forbidden"`},
		} {
			write(c.list)
			time.Sleep(5 * time.Second)
			is(t, s.ask(t, &one), c.one, c.body)
			is(t, s.ask(t, &two), c.two, "")
		}
	})
	t.Run("by the hash", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			path, write := file(t, "# partners\n")
			s := serveTLS(t, "require", "mtls: { consumer: fingerprint, file: "+path+" }")
			own := s.authority.Issue("till-7")
			write(strings.ToUpper(fingerprint(own)) + " till-7")
			time.Sleep(5 * time.Second)
			is(t, s.ask(t, &own), 200, `"name":"till-7"`)
		})
	})
	t.Run("in a file that is not there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serveTLS(t, "require", "mtls: { file: /nowhere/at/all }")
			own := s.authority.Issue("till-7")
			is(t, s.ask(t, &own), 503, `"unavailable"`)
		})
	})
}

// clientCert is a certificate as proxies pass it on.
func clientCert(c flowtest.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Pair.Certificate[0]) + ":"
}

func TestMTLSBelievesTrustedProxies(t *testing.T) {
	authority := flowtest.NewAuthority(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	policy := "mtls: { forwarded: { client_ca: " + ca + " } }"
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["Client-Cert"], r.Header["Client-Cert-Chain"], r.Header["Client_cert"])
	})
	program := func(proxies string) string {
		return strings.Replace(guarded(policy, "flow: pass\ntrigger: { http: GET /on, policies: [{ "+policy+" }] }\nsteps: [{ forward: backend }]\n"), `listen: "public:80"`, `listen: "public:80", trusted_proxies: [`+proxies+`]`, 1)
	}
	w := flowtest.Serve(t, program("127.0.0.0/8"), flowtest.Backends{"backend": backend})
	own, second, expired := authority.Issue("till-7"), authority.Issue("till-8"), authority.IssueUntil(time.Now().Add(-time.Hour), "till-7")
	forged := flowtest.NewAuthority(t).Issue("till-7")
	for _, c := range []struct {
		name   string
		header []string
		status int
		body   string
	}{
		{"RFC 9440 2.2: a certificate", []string{"Client-Cert", clientCert(own)}, 200, `"name":"till-7","by":"mtls"`},
		{"RFC 9440 2.2: it is known", []string{"Client-Cert", clientCert(own)}, 200, `"name":"till-7","by":"mtls"`},
		{"RFC 9440 2.3: with its chain", []string{"Client-Cert", clientCert(own), "Client-Cert-Chain", clientCert(own) + ", " + clientCert(forged)}, 200, `"till-7"`},
		{"RFC 9440 2.2: no certificate", nil, 401, `"unauthenticated"`},
		{"RFC 9440 2.2: twice", []string{"Client-Cert", clientCert(own), "Client-Cert", clientCert(own)}, 400, `"bad-request"`},
		{"RFC 9440 2.2: in a list", []string{"Client-Cert", clientCert(own) + ", " + clientCert(own)}, 401, `"unauthenticated"`},
		{"RFC 9440 2.2: without colons", []string{"Client-Cert", strings.Trim(clientCert(own), ":")}, 401, `"unauthenticated"`},
		{"RFC 9440 2.2: in PEM, escaped", []string{"Client-Cert", "-----BEGIN%20CERTIFICATE-----%0A"}, 401, `"unauthenticated"`},
		{"RFC 9440 2.2: no certificate in it", []string{"Client-Cert", ":AAAA:"}, 401, `"unauthenticated"`},
		{"RFC 9440 2.2: empty", []string{"Client-Cert", "::"}, 401, `"unauthenticated"`},
		{"RFC 9440 2.3: a chain without end", []string{"Client-Cert", clientCert(second), "Client-Cert-Chain", strings.Repeat(clientCert(own)+", ", 8) + clientCert(own)}, 401, `"unauthenticated"`},
		{"RFC 9440 4: it has expired", []string{"Client-Cert", clientCert(expired)}, 401, `"unauthenticated"`},
		{"RFC 9440 4: of another authority", []string{"Client-Cert", clientCert(forged)}, 401, `"unauthenticated"`},
		{"RFC 9440 4: of another authority, which is in the chain", []string{"Client-Cert", clientCert(forged), "Client-Cert-Chain", clientCert(forged)}, 401, `"unauthenticated"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, "GET", "/who", c.header...)
			if got.status != c.status || !strings.Contains(got.body, c.body) {
				t.Errorf("%d, not %d: %s", got.status, c.status, got.body)
			}
		})
	}
	t.Run("RFC 9440 4: it does not go on", func(t *testing.T) {
		if got := ask(t, w, "GET", "/on", "Client-Cert", clientCert(own), "Client_Cert", clientCert(own), "Client-Cert-Chain", clientCert(own)); got.body != "[] [] []" {
			t.Error(got.status, got.body)
		}
	})
	t.Run("RFC 9440 4: of anyone else it is nothing", func(t *testing.T) {
		w := flowtest.Serve(t, program("10.0.0.0/8"), flowtest.Backends{"backend": backend})
		if got := ask(t, w, "GET", "/who", "Client-Cert", clientCert(own)); got.status != 401 {
			t.Error(got.status, got.body)
		}
	})
}

func TestTokensThatAreBoundToACertificate(t *testing.T) {
	m := mints()["ES256"]
	hash := func(c flowtest.Certificate) object {
		sum := sha256.Sum256(c.Pair.Certificate[0])
		return object{"cnf": object{"x5t#S256": encode64(sum[:])}}
	}
	for _, c := range []struct {
		name   string
		shown  bool // that the client shows a certificate
		claims func(own, other flowtest.Certificate) object
		status int
	}{
		{"RFC 8705 3: of the certificate that is shown", true, func(own, _ flowtest.Certificate) object { return hash(own) }, 200},
		{"RFC 8705 3: of another certificate", true, func(_, other flowtest.Certificate) object { return hash(other) }, 401},
		{"RFC 8705 3: no certificate is shown", false, func(own, _ flowtest.Certificate) object { return hash(own) }, 401},
		{"RFC 8705 3.1: of no certificate", true, func(_, _ flowtest.Certificate) object { return nil }, 401},
		{"RFC 8705 3.1: cnf that is no object", true, func(_, _ flowtest.Certificate) object { return object{"cnf": "x"} }, 401},
		{"RFC 8705 3.1: an empty hash", true, func(_, _ flowtest.Certificate) object { return object{"cnf": object{"x5t#S256": ""}} }, 401},
		{"RFC 8705 3.1: a hash of another length", true, func(_, _ flowtest.Certificate) object { return object{"cnf": object{"x5t#S256": "AAAA"}} }, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serveTLS(t, "request", `jwt: { issuer: "https://id.example", audience: shop, certificate_bound: true, keys: `+publicKeys(m)+` }`)
				own, other := s.authority.Issue("till-7"), s.authority.Issue("till-8")
				token := m.token(claimsOf(c.claims(own, other)))
				show := &own
				if !c.shown {
					show = nil
				}
				for range 2 { // the second time it is known
					got := s.ask(t, show, bearer(token)...)
					is(t, got, c.status, "")
					if c.status == 401 && !strings.Contains(got.Header.Get("Www-Authenticate"), `error="invalid_token"`) {
						t.Error(got.Header)
					}
				}
			})
		})
	}
}
