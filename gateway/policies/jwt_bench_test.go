package policies_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// handlerOf is what the gateway of a program does with requests.
func handlerOf(tb testing.TB, text string) http.Handler {
	tb.Helper()
	p := flowtest.Check(tb, text)
	stage, err := p.Stage(slog.New(slog.DiscardHandler), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stage.Close)
	return stage.Handler(p.Gateways[0], nil)
}

func policyOf(m mint, more string) string {
	keys := "keys: " + publicKeys(m)
	if _, secret := m.key.([]byte); secret {
		keys = `secrets: ["` + secretText + `"]`
	}
	return `flow: ok
trigger: { http: GET /, policies: [{ jwt: { issuer: "https://id.example", audience: shop, ` + keys + more + ` } }] }
steps: [{ return: { ok: true } }]
---
gateways: { public: { listen: "public:80" } }
`
}

const unguarded = `flow: ok
trigger: { http: GET / }
steps: [{ return: { ok: true } }]
---
gateways: { public: { listen: "public:80" } }
`

// discard is a connection whose other side is not looked at.
type discard struct{ header http.Header }

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) Write(p []byte) (int, error) { return len(p), nil }
func (w *discard) WriteHeader(int)             {}

func serveOne(h http.Handler, r *http.Request) {
	h.ServeHTTP(&discard{http.Header{}}, r)
}

func authorized(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// BenchmarkJWT compares a request whose token is known, one whose token has to be
// verified, one without policy, and the duty of the second written by hand.
func BenchmarkJWT(b *testing.B) {
	run := func(name string, h http.Handler, token string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := authorized(token)
			for b.Loop() {
				serveOne(h, r)
			}
		})
	}
	run("none", handlerOf(b, unguarded), "")
	for _, alg := range []string{"HS256", "RS256", "ES256"} {
		m := mints()[alg]
		token := m.token(claimsOf(object{"scope": "orders.read orders.write"}))
		run(alg+"/known", handlerOf(b, policyOf(m, "")), token)
		run(alg+"/verified", handlerOf(b, policyOf(m, ", cache: { entries: 0 }")), token)
		run(alg+"/by hand", byHand(m), token)
	}
}

// byHand is a handler that verifies tokens as a service would that is written for
// it, with nothing but the standard library.
func byHand(m mint) http.Handler {
	verify := func(signed, signature []byte) bool {
		sum := sha256.Sum256(signed)
		switch k := m.key.(type) {
		case *rsa.PrivateKey:
			return rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sum[:], signature) == nil
		case *ecdsa.PrivateKey:
			return len(signature) == 64 && ecdsa.Verify(&k.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		case []byte:
			mac := hmac.New(sha256.New, k)
			mac.Write(signed)
			return hmac.Equal(mac.Sum(nil), signature)
		}
		return false
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		parts := strings.Split(text, ".")
		if !ok || len(parts) != 3 {
			w.WriteHeader(401)
			return
		}
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
		var head struct{ Alg, Kid string }
		var claims struct {
			Iss, Aud, Sub, Scope string
			Exp, Iat             int64
		}
		if json.Unmarshal(header, &head) != nil || head.Alg != m.alg || json.Unmarshal(payload, &claims) != nil || !verify([]byte(parts[0]+"."+parts[1]), signature) {
			w.WriteHeader(401)
			return
		}
		now := time.Now().Unix()
		if claims.Iss != issuerName || claims.Aud != "shop" || now >= claims.Exp || claims.Iat > now+30 || !slices.Contains(strings.Fields(claims.Scope), "orders.read") {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"ok":true}`))
	})
}

func TestAKnownTokenCostsFewAllocations(t *testing.T) {
	m := mints()["RS256"]
	count := func(text, token string) float64 {
		h, r := handlerOf(t, text), authorized(token)
		serveOne(h, r)
		return testing.AllocsPerRun(200, func() { serveOne(h, r) })
	}
	none := count(unguarded, "")
	if with := count(policyOf(m, ""), m.token(claimsOf())); with > none {
		t.Errorf("%v allocations with a token that is known, %v without the policy", with, none)
	}
}
