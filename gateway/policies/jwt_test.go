package policies_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// guarded is a program whose routes tell what they know of the caller.
func guarded(policy string, more ...string) string {
	return strings.Join(append([]string{`flow: who
trigger: { http: GET /who, policies: [{ ` + policy + ` }] }
steps: [{ return: { name: $(consumer.name), by: $(consumer.by), plan: $(consumer.plan), claims: $(claims) } }]
---
gateways: { public: { listen: "public:80" } }
`}, more...), "---\n")
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func TestJWTTakesTokensOfEachAlgorithm(t *testing.T) {
	all := mints()
	public := publicKeys(all["RS256"], all["ES256"], all["ES384"], all["ES512"], all["EdDSA"])
	asymmetric := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, keys: `+public+` }`), nil)
	symmetric := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, secrets: ["`+secretText+`"] }`), nil)
	for alg, m := range all {
		t.Run(alg, func(t *testing.T) {
			w, other := asymmetric, symmetric
			if strings.HasPrefix(alg, "HS") {
				w, other = symmetric, asymmetric
			}
			token := m.token(claimsOf())
			for range 2 { // the second time it is known
				if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != 200 || !strings.Contains(got.body, `"name":"ada"`) || !strings.Contains(got.body, `"by":"jwt"`) {
					t.Errorf("%d: %s", got.status, got.body)
				}
			}
			if got := ask(t, other, "GET", "/who", bearer(token)...); got.status != 401 {
				t.Errorf("with other keys: %d: %s", got.status, got.body)
			}
			cut := token[:len(token)-6] + "AAAAAA"
			if got := ask(t, w, "GET", "/who", bearer(cut)...); got.status != 401 {
				t.Errorf("with another signature: %d: %s", got.status, got.body)
			}
		})
	}
}

// TestJWTRefuses holds the policy against what RFC 8725 advises, and what RFC 7519
// and RFC 7515 ask for.
func TestJWTRefuses(t *testing.T) {
	rs, es := mints()["RS256"], mints()["ES256"]
	other := mint{"RS256", "rsa", rsaTwo()}
	policy := `jwt: { issuer: "https://id.example", audience: [shop, till], keys: ` + publicKeys(rs, es) + ` }`
	w := flowtest.Serve(t, guarded(policy), nil)
	holds := rs.token(claimsOf())
	parts := strings.Split(holds, ".")
	hmacWith := func(secret []byte) string { return mint{"HS256", "rsa", secret}.token(claimsOf()) }
	now := claimsOf()["iat"].(int64)
	nested := strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)
	for _, c := range []struct {
		name, token string
		want        int
	}{
		{"a token that holds", holds, 200},
		{"RFC 8725 3.1: an algorithm that is not allowed", mint{"HS256", "rsa", []byte(secretText)}.token(claimsOf()), 401},
		{"RFC 8725 3.1: the public key as the secret of an HMAC, as JWK", hmacWith(jsonOf(rs.jwk())), 401},
		{"RFC 8725 3.1: the public key as the secret of an HMAC, as its bytes", hmacWith(rsaKey().N.Bytes()), 401},
		{"RFC 8725 3.1: an algorithm that is not one for the key", mint{"ES256", "rsa", ecKeys()["P-256"]}.token(claimsOf()), 401},
		{"RFC 8725 3.1: an algorithm in other letters", rs.token(claimsOf(), object{"alg": "rs256"}), 401},
		{"RFC 8725 3.1: no algorithm", rs.token(claimsOf(), object{"alg": nil}), 401},
		{"RFC 8725 3.1: an algorithm that is no text", rs.token(claimsOf(), object{"alg": []any{"RS256"}}), 401},
		{"RFC 8725 3.2: none", encode64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", 401},
		{"RFC 8725 3.2: none, with a signature", encode64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], 401},
		{"RFC 8725 3.2: nOnE", encode64([]byte(`{"alg":"nOnE"}`)) + "." + parts[1] + ".", 401},
		{"RFC 8725 3.3: no signature", parts[0] + "." + parts[1] + ".", 401},
		{"RFC 8725 3.3: without the last part", parts[0] + "." + parts[1], 401},
		{"RFC 8725 3.3: a token within a token", rs.token(claimsOf(), object{"cty": "JWT"}), 401},
		{"RFC 8725 3.3: five parts, which is an encrypted token", holds + ".a.b", 401},
		{"RFC 8725 3.3: an encrypted token", rs.token(claimsOf(), object{"enc": "A256GCM"}), 401},
		{"RFC 8725 3.4: a point of ECDSA that is zero", zeroECDSA(es), 401},
		{"RFC 8725 3.4: a signature of ECDSA that is too long", es.token(claimsOf()) + "AAAA", 401},
		{"RFC 8725 3.6: compressed claims", rs.token(claimsOf(), object{"zip": "DEF"}), 401},
		{"RFC 8725 3.7: claims that are not UTF-8", rs.token("{\"iss\":\"https://id.example\",\"sub\":\"\xff\xfe\"}"), 401},
		{"RFC 8725 3.7: claims in UTF-16", rs.token("\xff\xfe{\x00}\x00"), 401},
		{"RFC 8725 3.8: another issuer", rs.token(claimsOf(object{"iss": "https://evil.example"})), 401},
		{"RFC 8725 3.8: the issuer with a slash", rs.token(claimsOf(object{"iss": issuerName + "/"})), 401},
		{"RFC 8725 3.8: no issuer", rs.token(claimsOf(object{"iss": nil})), 401},
		{"RFC 8725 3.8: keys of someone else", other.token(claimsOf()), 401},
		{"RFC 8725 3.8: no subject", rs.token(claimsOf(object{"sub": nil})), 401},
		{"RFC 8725 3.9: another audience", rs.token(claimsOf(object{"aud": "admin"})), 401},
		{"RFC 8725 3.9: no audience", rs.token(claimsOf(object{"aud": nil})), 401},
		{"RFC 8725 3.9: several audiences, none of them ours", rs.token(claimsOf(object{"aud": []any{"admin", "Shop"}})), 401},
		{"RFC 8725 3.9: several audiences, one of them ours", rs.token(claimsOf(object{"aud": []any{"admin", "till"}})), 200},
		{"RFC 8725 3.10: kid that leads to a file", rs.token(claimsOf(), object{"kid": "../../etc/passwd"}), 401},
		{"RFC 8725 3.10: kid that is code", rs.token(claimsOf(), object{"kid": "x' UNION SELECT 'k"}), 401},
		{"RFC 8725 3.10: kid that is no text", rs.token(claimsOf(), object{"kid": 7}), 401},
		{"RFC 8725 3.10: a long kid", rs.token(claimsOf(), object{"kid": strings.Repeat("k", 300)}), 401},
		{"RFC 8725 3.10: no kid", rs.token(claimsOf(), object{"kid": nil}), 200},
		{"RFC 8725 3.10: jwk in the header", other.token(claimsOf(), object{"jwk": other.jwk()}), 401},
		{"RFC 8725 3.10: jku in the header", other.token(claimsOf(), object{"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}), 401},
		{"RFC 8725 3.10: jwk in the header of a token that holds", rs.token(claimsOf(), object{"jwk": other.jwk()}), 200},
		{"RFC 8725 3.11: another type", rs.token(claimsOf(), object{"typ": "logout+jwt"}), 401},
		{"RFC 8725 3.11: an access token (RFC 9068)", rs.token(claimsOf(), object{"typ": "application/at+jwt"}), 200},
		{"RFC 8725 3.11: no type", rs.token(claimsOf(), object{"typ": nil}), 200},
		{"RFC 7515 4.1.11: crit", rs.token(claimsOf(), object{"crit": []any{"exp"}, "exp": now + 300}), 401},
		{"RFC 7515 4.1.11: an empty crit", rs.token(claimsOf(), object{"crit": []any{}}), 401},
		{"RFC 7797 6: claims that are not encoded", rs.token(claimsOf(), object{"b64": false}), 401},
		{"RFC 7515 2: padding", parts[0] + "=." + parts[1] + "." + parts[2], 401},
		{"RFC 7515 2: the other alphabet of Base64", strings.NewReplacer("-", "+", "_", "/").Replace(holds) + "+", 401},
		{"RFC 7515 4: a name in the header twice", rs.sign([]byte(`{"alg":"RS256","alg":"RS256","kid":"rsa"}`), jsonOf(claimsOf())), 401},
		{"RFC 7519 4: a claim twice", rs.token(fmt.Sprintf(`{"iss":%q,"aud":"shop","sub":"ada","sub":"eve","exp":%d}`, issuerName, now+300)), 401},
		{"RFC 7519 7.2: the header is no object", rs.sign([]byte(`["RS256"]`), jsonOf(claimsOf())), 401},
		{"RFC 7519 7.2: the claims are no object", rs.token(`"ada"`), 401},
		{"RFC 7519 7.2: the claims are no JSON", rs.token(`{iss: 1}`), 401},
		{"RFC 7519 7.2: the claims nest deeply", rs.token(nested), 401},
		{"RFC 7519 7.2: more than one object", rs.token(`{"iss":"https://id.example"}{}`), 401},
		{"RFC 7519 4.1.3: an audience that is a number", rs.token(claimsOf(object{"aud": 7})), 401},
		{"RFC 7519 4.1.4: it has expired", rs.token(claimsOf(object{"exp": now - 31})), 401},
		{"RFC 7519 4.1.4: it has expired within the leeway", rs.token(claimsOf(object{"exp": now - 20})), 200},
		{"RFC 7519 4.1.4: no time when it expires", rs.token(claimsOf(object{"exp": nil})), 401},
		{"RFC 7519 4.1.4: a time in words", rs.token(claimsOf(object{"exp": "2100-01-01T00:00:00Z"})), 401},
		{"RFC 7519 4.1.4: a time that is negative", rs.token(claimsOf(object{"exp": -1})), 401},
		{"RFC 7519 4.1.4: a time with a fraction", rs.token(claimsOf(object{"exp": float64(now) + 100.5})), 200},
		{"RFC 7519 4.1.4: a time that no calendar has", rs.token(fmt.Sprintf(`{"iss":%q,"aud":"shop","sub":"ada","exp":1e400}`, issuerName)), 200},
		{"RFC 7519 4.1.5: not yet", rs.token(claimsOf(object{"nbf": now + 60})), 401},
		{"RFC 7519 4.1.5: not yet, within the leeway", rs.token(claimsOf(object{"nbf": now + 20})), 200},
		{"RFC 7519 4.1.6: issued in the future", rs.token(claimsOf(object{"iat": now + 3600})), 401},
		{"RFC 7519 4.1.2: a subject that is no text", rs.token(claimsOf(object{"sub": 7})), 401},
		{"larger than any", rs.token(claimsOf(object{"blob": strings.Repeat("x", 20<<10)})), 401},
		{"a large header", rs.token(claimsOf(), object{"blob": strings.Repeat("x", 3<<10)}), 401},
		{"nothing", "", 401},
		{"dots", "..", 401},
		{"other text", "ada:secret", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, "GET", "/who", bearer(c.token)...)
			if got.status != c.want {
				t.Fatalf("%d, not %d: %s", got.status, c.want, got.body)
			}
			if c.want == 200 {
				return
			}
			if got.problem.Code != "unauthenticated" || got.header.Get("Proxy-Status") != `weir; error=http_request_denied; details="jwt"` {
				t.Errorf("%s %v", got.body, got.header)
			}
			for _, inside := range []string{"RS256", "kid", "signature", "audience", issuerName} {
				if strings.Contains(got.body+got.header.Get("Www-Authenticate"), inside) {
					t.Errorf("the caller is told of %s: %s %s", inside, got.body, got.header)
				}
			}
		})
	}
}

// zeroECDSA is the token that verifiers took which do not look whether r and s
// are zero (CVE-2022-21449).
func zeroECDSA(m mint) string {
	token := m.token(claimsOf())
	return token[:strings.LastIndexByte(token, '.')+1] + encode64(make([]byte, 64))
}

func TestJWTAnswersAsRFC6750(t *testing.T) {
	m := mints()["ES256"]
	w := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, keys: `+publicKeys(m)+`, scopes: [read, write], roles: { claim: realm.roles, any: [clerk] }, when: 'claims.level > 2', realm: orders }`), nil)
	may := object{"scope": "a read write", "realm": object{"roles": []any{"clerk"}}, "level": 3}
	now := claimsOf()["iat"].(int64)
	for _, c := range []struct {
		name      string
		header    []string
		status    int
		code      string
		challenge string
	}{
		{"RFC 6750 3: no credentials", nil, 401, "unauthenticated", `Bearer realm="orders"`},
		{"RFC 6750 3: credentials of another kind", []string{"Authorization", "Basic YTpi"}, 401, "unauthenticated", `Bearer realm="orders"`},
		{"RFC 6750 2.1: the name of the scheme in other letters", []string{"Authorization", "bEARER " + m.token(claimsOf(may))}, 200, "", ""},
		{"RFC 6750 3.1: invalid_request", append(bearer(m.token(claimsOf(may))), bearer("x")...), 400, "bad-request", `Bearer realm="orders", error="invalid_request"`},
		{"RFC 6750 3.1: invalid_token", bearer("x"), 401, "unauthenticated", `Bearer realm="orders", error="invalid_token", error_description="The token does not hold"`},
		{"RFC 6750 3.1: invalid_token, which once held", bearer(m.token(claimsOf(may, object{"exp": now - 100}))), 401, "unauthenticated", `Bearer realm="orders", error="invalid_token", error_description="The token has expired"`},
		{"RFC 6750 3.1: insufficient_scope", bearer(m.token(claimsOf(may, object{"scope": "read"}))), 403, "forbidden", `Bearer realm="orders", error="insufficient_scope", scope="read write"`},
		{"a scope that is part of another", bearer(m.token(claimsOf(may, object{"scope": "reader writer"}))), 403, "forbidden", `Bearer realm="orders", error="insufficient_scope", scope="read write"`},
		{"scopes in a list", bearer(m.token(claimsOf(may, object{"scope": nil, "scp": []any{"read", "write"}}))), 200, "", ""},
		{"no role", bearer(m.token(claimsOf(may, object{"realm": object{}}))), 403, "forbidden", `Bearer realm="orders", error="insufficient_scope"`},
		{"a condition that is not met", bearer(m.token(claimsOf(may, object{"level": 2}))), 403, "forbidden", `Bearer realm="orders", error="insufficient_scope"`},
		{"a condition that cannot be evaluated", bearer(m.token(claimsOf(may, object{"level": "high"}))), 403, "forbidden", `Bearer realm="orders", error="insufficient_scope"`},
		{"all of it", bearer(m.token(claimsOf(may))), 200, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, "GET", "/who", c.header...)
			if got.status != c.status || got.problem.Code != c.code || got.header.Get("Www-Authenticate") != c.challenge {
				t.Errorf("%d %s %q: %s", got.status, got.problem.Code, got.header["Www-Authenticate"], got.body)
			}
		})
	}
}

func TestClaimsAreExact(t *testing.T) {
	m := mints()["EdDSA"]
	w := flowtest.Serve(t, guarded(`jwt: { issuer: any, audience: any, keys: `+publicKeys(m)+`, consumer: account, plan: "https://shop.example/plan", require: [] }`), nil)
	got := ask(t, w, "GET", "/who", bearer(m.token(`{"account":12345678901234567890,"https://shop.example/plan":"gold","price":1.10,"Sub":"b","sub":"a","n":9007199254740993}`))...)
	const want = `{"name":"12345678901234567890","by":"jwt","plan":"gold","claims":{"Sub":"b","account":12345678901234567890,"https://shop.example/plan":"gold","n":9007199254740993,"price":1.10,"sub":"a"}}`
	if got.body != want {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

func TestTokensOfEachIssuerAreOfItsOwnKeys(t *testing.T) {
	a, b := mint{"RS256", "k", rsaKey()}, mint{"RS256", "k", rsaTwo()}
	w := flowtest.Serve(t, guarded(`jwt: { issuers: [
  { issuer: "https://a.example", audience: shop, keys: `+publicKeys(a)+` },
  { issuer: "https://b.example", audience: shop, keys: `+publicKeys(b)+`, consumer: client.id }] }`), nil)
	of := func(iss string) object { return claimsOf(object{"iss": iss, "client": object{"id": "till"}}) }
	for _, c := range []struct {
		name, token, want string
	}{
		{"of the first", a.token(of("https://a.example")), `"name":"https://a.example ada"`},
		{"of the second", b.token(of("https://b.example")), `"name":"https://b.example till"`},
		{"RFC 8725 3.8: of the first, by keys of the second", b.token(of("https://a.example")), `"status":401`},
		{"RFC 8725 3.8: of the second, by keys of the first", a.token(of("https://b.example")), `"status":401`},
		{"of nobody", a.token(of("https://c.example")), `"status":401`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(t, w, "GET", "/who", bearer(c.token)...); !strings.Contains(got.body, c.want) {
				t.Errorf("%d: %s", got.status, got.body)
			}
		})
	}
}

func TestTokensCanBeElsewhere(t *testing.T) {
	m := mints()["HS256"]
	token := m.token(claimsOf())
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s", r.URL.RawQuery, r.Header.Get("Cookie"), r.Header.Get("X-Token"), r.Header.Get("Authorization"))
	})
	for _, c := range []struct {
		name, from, path string
		header           []string
		want             string
	}{
		{"a header", "from: { header: x-token }", "/", []string{"X-Token", token}, "|||"},
		{"a cookie", "from: { cookie: session }", "/", []string{"Cookie", "a=1; session=" + token + "; b=2"}, "|a=1; b=2||"},
		{"a parameter", "from: { query: access_token }", "/?a=1&access_token=" + token, nil, "a=1|||"},
		{"behind Bearer", "realm: x", "/?a=1", bearer(token), "a=1|||"},
		{"RFC 6750 2: two cookies", "from: { cookie: session }", "/", []string{"Cookie", "session=a; session=" + token}, `"status":400`},
		{"RFC 6750 2: two parameters", "from: { query: t }", "/?t=a&t=" + token, nil, `"status":400`},
		{"in another place than is said", "from: { cookie: session }", "/", bearer(token), `"status":401`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, `flow: pass
trigger: { http: GET /, policies: [{ jwt: { issuer: "https://id.example", audience: shop, secrets: ["`+secretText+`"], hide: true, `+c.from+` } }] }
steps: [{ forward: backend }]
`, flowtest.Backends{"backend": backend})
			if got := ask(t, w, "GET", c.path, c.header...); !strings.Contains(got.body, c.want) {
				t.Errorf("%d: %s", got.status, got.body)
			}
		})
	}
}

func TestBackendsAreToldOfTheCaller(t *testing.T) {
	m := mints()["HS256"]
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if folded := strings.ReplaceAll(strings.ToLower(name), "_", "-"); folded == "x-user" || folded == "x-tenant" {
				fmt.Fprintf(w, "%s=%s;", name, values)
			}
		}
	})
	w := flowtest.Serve(t, `flow: pass
trigger: { http: GET /, policies: [{ jwt: { issuer: "https://id.example", audience: shop, secrets: ["`+secretText+`"], optional: true, headers: { x-user: "$(claims.sub)", X-Tenant: "$(claims.tenant)" } } }] }
steps: [{ forward: backend }]
`, flowtest.Backends{"backend": backend})
	spoofed := []string{"X-User", "root", "X_User", "root", "x-tenant", "evil"}
	for _, c := range []struct {
		name   string
		header []string
		want   string
	}{
		{"of who is known", append(bearer(m.token(claimsOf())), spoofed...), "X-User=[ada];"},
		{"of nobody", spoofed, ""},
		{"with a line break", bearer(m.token(claimsOf(object{"tenant": "a\r\nX-User: root"}))), `"status":403`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(t, w, "GET", "/", c.header...); got.body != c.want && (c.want == "" || !strings.Contains(got.body, c.want)) {
				t.Errorf("%d: %q", got.status, got.body)
			}
		})
	}
}

func TestKeysInAFile(t *testing.T) {
	a, b := mint{"RS256", "", rsaKey()}, mint{"ES256", "two", ecKeys()["P-256"]}
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(jwks(a.jwk(), object{"kty": "oct", "k": "c2VjcmV0"}, object{"kty": "RSA", "use": "enc"}))
	w := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, file: `+path+` }`), nil)
	if got := ask(t, w, "GET", "/who", bearer(a.token(claimsOf()))...); got.status != 200 {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := ask(t, w, "GET", "/who", bearer(b.token(claimsOf()))...); got.status != 401 {
		t.Errorf("%d: %s", got.status, got.body)
	}
}
