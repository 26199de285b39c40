package flowtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ACME is an authority that speaks ACME (RFC 8555): it checks signatures and
// nonces, and proves domains by TLS-ALPN-01 and HTTP-01 over sockets.
type ACME struct {
	*Authority
	URL string // of the directory
	// TLS and HTTP are where domains are looked for in place of ports 443 and 80.
	TLS, HTTP string
	// Ways are the challenges that are offered.
	Ways []string
	// Lifetime is that of certificates.
	Lifetime time.Duration

	mu     sync.Mutex
	nonces map[string]bool
	keys   map[string]*ecdsa.PublicKey // of accounts, by their URL
	orders []*acmeOrder
	issued int
	proved []string // the ways, in turn
	failed []error
}

type acmeOrder struct {
	domain, status, way string
	chain               []byte
}

// NewACME starts an authority, whose own server is known by its certificate.
func NewACME(t testing.TB) *ACME {
	t.Helper()
	a := &ACME{Authority: NewAuthority(t), Ways: []string{"http-01", "tls-alpn-01"}, Lifetime: time.Hour, nonces: map[string]bool{}, keys: map[string]*ecdsa.PublicKey{}}
	s := httptest.NewUnstartedServer(a)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1").Pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	a.URL = s.URL + "/directory"
	return a
}

// Look has domains looked for at these addresses from now on.
func (a *ACME) Look(tls, http string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.TLS, a.HTTP = tls, http
}

// Issued is how many certificates there are, by which ways the domains were
// proved, and what kept others from being so.
func (a *ACME) Issued() (n int, ways []string, faults []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issued, slices.Clone(a.proved), slices.Clone(a.failed)
}

// signed is a JWS in its flattened form (RFC 7515, section 7.2.2).
type signed struct{ Protected, Payload, Signature string }

type protected struct {
	Alg, Nonce, URL, Kid string
	JWK                  *struct{ Crv, X, Y string }
}

func (a *ACME) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	base := strings.TrimSuffix(a.URL, "/directory")
	nonce := fmt.Sprintf("nonce-%d", len(a.nonces))
	a.nonces[nonce] = true
	w.Header().Set("Replay-Nonce", nonce)
	if r.Method != http.MethodPost {
		a.say(w, http.StatusOK, map[string]any{
			"newNonce": base + "/nonce", "newAccount": base + "/account", "newOrder": base + "/order", "meta": map[string]any{"termsOfService": base + "/terms"},
		})
		return
	}
	header, payload, key, err := a.verify(r, base)
	if err != nil {
		a.failed = append(a.failed, err)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:malformed","detail":%q}`, err)
		return
	}
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var n int
	_, _ = fmt.Sscan(id, &n)
	switch kind {
	case "account":
		var account struct{ TermsOfServiceAgreed bool }
		if err := json.Unmarshal(payload, &account); err != nil || !account.TermsOfServiceAgreed {
			http.Error(w, "agree to the terms", http.StatusForbidden)
			return
		}
		status, url := http.StatusCreated, fmt.Sprintf("%s/account/%d", base, len(a.keys))
		for known, k := range a.keys {
			if k.Equal(key) {
				status, url = http.StatusOK, known
			}
		}
		a.keys[url] = key
		w.Header().Set("Location", url)
		a.say(w, status, map[string]any{"status": "valid"})
	case "order":
		if id == "" {
			var order struct{ Identifiers []struct{ Value string } }
			if err := json.Unmarshal(payload, &order); err != nil || len(order.Identifiers) != 1 {
				http.Error(w, "one domain", http.StatusBadRequest)
				return
			}
			n = len(a.orders)
			a.orders = append(a.orders, &acmeOrder{domain: order.Identifiers[0].Value, status: "pending"})
			w.Header().Set("Location", fmt.Sprintf("%s/order/%d", base, n))
			a.tell(w, http.StatusCreated, base, n)
			return
		}
		w.Header().Set("Location", base+r.URL.Path)
		a.tell(w, http.StatusOK, base, n)
	case "authz":
		a.say(w, http.StatusOK, a.authorization(base, n))
	case "challenge":
		way := strings.TrimPrefix(id, fmt.Sprint(n)+"/")
		a.prove(n, way, a.keys[header.Kid])
		a.say(w, http.StatusOK, map[string]any{"type": way, "url": base + r.URL.Path, "status": "processing", "token": acmeToken(n)})
	case "finalize":
		var request struct{ CSR string }
		if err := json.Unmarshal(payload, &request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := a.finalize(n, request.CSR); err != nil {
			a.failed = append(a.failed, err)
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set("Location", fmt.Sprintf("%s/order/%d", base, n))
		a.tell(w, http.StatusOK, base, n)
	case "certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(a.orders[n].chain)
	default:
		http.NotFound(w, r)
	}
}

func (a *ACME) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asks may leave
}

func (a *ACME) tell(w http.ResponseWriter, status int, base string, n int) {
	o := a.orders[n]
	said := map[string]any{
		"status": o.status, "identifiers": []map[string]string{{"type": "dns", "value": o.domain}},
		"authorizations": []string{fmt.Sprintf("%s/authz/%d", base, n)}, "finalize": fmt.Sprintf("%s/finalize/%d", base, n),
	}
	if o.status == "valid" {
		said["certificate"] = fmt.Sprintf("%s/certificate/%d", base, n)
	}
	a.say(w, status, said)
}

func (a *ACME) authorization(base string, n int) map[string]any {
	o := a.orders[n]
	status := map[string]string{"pending": "pending", "invalid": "invalid"}[o.status]
	if status == "" {
		status = "valid"
	}
	var challenges []map[string]string
	for _, way := range a.Ways {
		c := map[string]string{"type": way, "url": fmt.Sprintf("%s/challenge/%d/%s", base, n, way), "status": "pending", "token": acmeToken(n)}
		if way == o.way {
			c["status"] = status
		}
		challenges = append(challenges, c)
	}
	return map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": o.domain}, "challenges": challenges}
}

func acmeToken(n int) string { return fmt.Sprintf("token_%d-of-this-order", n) }

// verify checks what RFC 8555, section 6, asks of a request.
func (a *ACME) verify(r *http.Request, base string) (h protected, payload []byte, key *ecdsa.PublicKey, err error) {
	var s signed
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		return h, nil, nil, err
	}
	head, err1 := unpad(s.Protected)
	payload, err2 := unpad(s.Payload)
	sig, err3 := unpad(s.Signature)
	if err := errors.Join(err1, err2, err3, json.Unmarshal(head, &h)); err != nil {
		return h, nil, nil, err
	}
	if !a.nonces[h.Nonce] {
		return h, nil, nil, errors.New("the nonce is not known")
	}
	a.nonces[h.Nonce] = false
	if h.URL != base+r.URL.Path || h.Alg != "ES256" || len(sig) != 64 {
		return h, nil, nil, fmt.Errorf("%s signed with %s for %s", r.URL.Path, h.Alg, h.URL)
	}
	if key = a.keys[h.Kid]; h.JWK != nil {
		x, err1 := unpad(h.JWK.X)
		y, err2 := unpad(h.JWK.Y)
		if err := errors.Join(err1, err2); err != nil {
			return h, nil, nil, err
		}
		if key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y)); err != nil {
			return h, nil, nil, err
		}
	}
	sum := sha256.Sum256([]byte(s.Protected + "." + s.Payload))
	if key == nil || !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return h, nil, nil, errors.New("the signature is not that of the account")
	}
	return h, payload, key, nil
}

func unpad(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }

// prove looks for what the account has put where the domain leads.
func (a *ACME) prove(n int, way string, key *ecdsa.PublicKey) {
	o := a.orders[n]
	point, _ := key.Bytes() // of a key that was parsed
	thumb := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`,
		base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])))
	want := acmeToken(n) + "." + base64.RawURLEncoding.EncodeToString(thumb[:])
	look := a.lookHTTP
	if way == "tls-alpn-01" {
		look = a.lookTLS
	}
	o.way, o.status = way, "ready"
	if err := look(o.domain, acmeToken(n), want); err != nil {
		o.status = "invalid"
		a.failed = append(a.failed, fmt.Errorf("%s of %s: %w", way, o.domain, err))
		return
	}
	a.proved = append(a.proved, way)
}

func (a *ACME) lookHTTP(domain, token, want string) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+a.HTTP+"/.well-known/acme-challenge/"+token, nil)
	if err != nil {
		return err
	}
	r.Host, r.Close = domain, true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(got) != want {
		return fmt.Errorf("got %s %.100s, %w", resp.Status, got, err)
	}
	return nil
}

// idPeACMEIdentifier is of RFC 8737, section 3.
var idPeACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

func (a *ACME) lookTLS(domain, _, want string) error {
	// The certificate signs itself: what it says is what counts.
	c, err := tls.Dial("tcp", a.TLS, &tls.Config{ServerName: domain, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	state, sum := c.ConnectionState(), sha256.Sum256([]byte(want))
	leaf := state.PeerCertificates[0]
	if state.NegotiatedProtocol != "acme-tls/1" || !slices.Equal(leaf.DNSNames, []string{domain}) {
		return fmt.Errorf("%s for %v", state.NegotiatedProtocol, leaf.DNSNames)
	}
	for _, e := range leaf.Extensions {
		var got []byte
		if e.Id.Equal(idPeACMEIdentifier) && e.Critical {
			if _, err := asn1.Unmarshal(e.Value, &got); err == nil && slices.Equal(got, sum[:]) {
				return nil
			}
		}
	}
	return errors.New("the certificate does not prove it")
}

func (a *ACME) finalize(n int, text string) error {
	o := a.orders[n]
	der, err := unpad(text)
	if err != nil {
		return err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	if err := request.CheckSignature(); err != nil {
		return err
	}
	if o.status != "ready" || !slices.Equal(request.DNSNames, []string{o.domain}) {
		return fmt.Errorf("the order is %s and for %s, not %v", o.status, o.domain, request.DNSNames)
	}
	a.serial++
	a.issued++
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: o.domain}, DNSNames: []string{o.domain},
		NotBefore: time.Now(), NotAfter: time.Now().Add(a.Lifetime), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, request.PublicKey, a.key)
	if err != nil {
		return err
	}
	o.status, o.chain = "valid", slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), a.PEM)
	return nil
}
