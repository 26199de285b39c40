package policies

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// over is a request as a server of the origin gets it.
func over(t testing.TB, origin, text string) signed {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	scheme, host, _ := strings.Cut(origin, "://")
	if host == "" {
		host = r.Host
	}
	return signed{r: r, scheme: scheme, host: host}
}

// value is what a component of a request has in the signature base.
func value(t testing.TB, m signed, component string) (string, error) {
	t.Helper()
	id, err := readItem(component)
	if err != nil {
		t.Fatal(component, err)
	}
	b, err := m.appendComponent(nil, id)
	return string(b), err
}

func TestComponentsOfSignatures(t *testing.T) {
	const fields = `GET /path HTTP/1.1
Host: www.example.com
Date: Tue, 20 Apr 2021 02:07:56 GMT
X-OWS-Header:   Leading and trailing whitespace.   
Cache-Control: max-age=60
Cache-Control:    must-revalidate
X-Empty-Header:
Example-Dict:  a=1,    b=2;x=1;y=2,   c=(a   b   c), d
Example-Header: value, with, lots
Example-Header: of, commas
Priority:  u=1,   i
Content-Digest: sha-256=:AAAA:,   sha-512=:BBBB:`
	for _, c := range []struct{ name, request, component, want string }{
		{"RFC 9421 2.1: a field", fields, `"date"`, "Tue, 20 Apr 2021 02:07:56 GMT"},
		{"RFC 9421 2.1: the name of a field is in lower case", fields, `"Date"`, "!"},
		{"RFC 9421 2.1: the space around a value is none of it", fields, `"x-ows-header"`, "Leading and trailing whitespace."},
		{"RFC 9421 2.1: lines of one name are joined", fields, `"cache-control"`, "max-age=60, must-revalidate"},
		{"RFC 9421 2.1: an empty field is there", fields, `"x-empty-header"`, ""},
		{"RFC 9421 2.1: a field that is not there is an error", fields, `"x-none"`, "!"},
		{"RFC 9421 2.1: the host is a field", fields, `"host"`, "www.example.com"},
		{"RFC 9421 2.1: what is in it stays as it came", fields, `"example-dict"`, `a=1,    b=2;x=1;y=2,   c=(a   b   c), d`},
		{"RFC 9421 2.1.1: a structured field is written anew", fields, `"priority";sf`, "u=1, i"},
		{"RFC 9421 2.1.1: one that is not known to be structured is an error", fields, `"example-dict";sf`, "!"},
		{"RFC 9421 2.1.2: a member that is an integer", fields, `"example-dict";key="a"`, "1"},
		{"RFC 9421 2.1.2: a member that is true", fields, `"example-dict";key="d"`, "?1"},
		{"RFC 9421 2.1.2: a member with parameters", fields, `"example-dict";key="b"`, "2;x=1;y=2"},
		{"RFC 9421 2.1.2: a member that is a list", fields, `"example-dict";key="c"`, "(a b c)"},
		{"RFC 9421 2.1.2: a member that is not there is an error", fields, `"example-dict";key="e"`, "!"},
		{"RFC 9421 2.1.2: a field that is no dictionary is an error", fields, `"date";key="a"`, "!"},
		{"RFC 9421 2.1.3: lines as bytes", fields, `"example-header";bs`, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"},
		{"RFC 9421 2.1.3: bytes are not structured", fields, `"example-header";bs;sf`, "!"},
		{"RFC 9421 2.1.3: bytes have no members", fields, `"example-dict";bs;key="a"`, "!"},
		{"RFC 9421 2.1.4: trailers are not here yet", fields, `"date";tr`, "!"},
		{"RFC 9421 2.4: a request is of no other request", fields, `"date";req`, "!"},
		{"RFC 9421 2.5: a parameter that is not known is an error", fields, `"date";x`, "!"},
		{"RFC 9421 2.2.1: the method is in the case that it has", "POST /path?param=value HTTP/1.1\nHost: www.example.com", `"@method"`, "POST"},
		{"RFC 9421 2.2.2: the target URI", "POST /path?param=value HTTP/1.1\nHost: www.example.com", `"@target-uri"`, "https://www.example.com/path?param=value"},
		{"RFC 9421 2.2.3: the authority is in lower case", "POST /path HTTP/1.1\nHost: WWW.Example.com", `"@authority"`, "www.example.com"},
		{"RFC 9421 2.2.3: the port of the scheme is left out", "POST /path HTTP/1.1\nHost: www.example.com:443", `"@authority"`, "www.example.com"},
		{"RFC 9421 2.2.3: another port is not", "POST /path HTTP/1.1\nHost: www.example.com:80", `"@authority"`, "www.example.com:80"},
		{"RFC 9421 2.2.4: the scheme", "POST /path HTTP/1.1\nHost: www.example.com", `"@scheme"`, "https"},
		{"RFC 9421 2.2.5: the target in origin form", "POST /path?param=value HTTP/1.1\nHost: www.example.com", `"@request-target"`, "/path?param=value"},
		{"RFC 9421 2.2.5: the target in absolute form", "GET https://www.example.com/path?param=value HTTP/1.1\nHost: www.example.com", `"@request-target"`, "https://www.example.com/path?param=value"},
		{"RFC 9421 2.2.5: the target in asterisk form", "OPTIONS * HTTP/1.1\nHost: www.example.com", `"@request-target"`, "*"},
		{"RFC 9421 2.2.6: the path", "GET /path?param=value HTTP/1.1\nHost: www.example.com", `"@path"`, "/path"},
		{"RFC 9421 2.2.6: the path of a target in absolute form", "GET https://www.example.com/a%2Fb?c HTTP/1.1\nHost: www.example.com", `"@path"`, "/a%2Fb"},
		{"RFC 9421 2.2.6: a path that is empty is /", "GET https://www.example.com?c HTTP/1.1\nHost: www.example.com", `"@path"`, "/"},
		{"RFC 9421 2.2.6: what is escaped stays so", "GET /a%2fb/%41 HTTP/1.1\nHost: www.example.com", `"@path"`, "/a%2fb/%41"},
		{"RFC 9421 2.2.7: the query", "POST /path?param=value&foo=bar&baz=bat%2Dman HTTP/1.1\nHost: a", `"@query"`, "?param=value&foo=bar&baz=bat%2Dman"},
		{"RFC 9421 2.2.7: a query without values", "POST /path?queryString HTTP/1.1\nHost: a", `"@query"`, "?queryString"},
		{"RFC 9421 2.2.7: there is no query", "POST /path HTTP/1.1\nHost: a", `"@query"`, "?"},
		{"RFC 9421 2.2.7: an empty query", "POST /path? HTTP/1.1\nHost: a", `"@query"`, "?"},
		{"RFC 9421 2.2.8: a parameter", "GET /path?param=value&foo=bar&baz=batman&qux= HTTP/1.1\nHost: a", `"@query-param";name="baz"`, "batman"},
		{"RFC 9421 2.2.8: a parameter that is empty", "GET /path?param=value&foo=bar&baz=batman&qux= HTTP/1.1\nHost: a", `"@query-param";name="qux"`, ""},
		{"RFC 9421 2.2.8: what is escaped in several ways is escaped in one", "GET /parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something HTTP/1.1\nHost: a", `"@query-param";name="var"`, "this%20is%20a%20big%0Amultiline%20value"},
		{"RFC 9421 2.2.8: a plus is a space", "GET /parameters?bar=with+plus+whitespace HTTP/1.1\nHost: a", `"@query-param";name="bar"`, "with%20plus%20whitespace"},
		{"RFC 9421 2.2.8: a name that is escaped", "GET /parameters?fa%C3%A7ade%22%3A%20=something HTTP/1.1\nHost: a", `"@query-param";name="fa%C3%A7ade%22%3A%20"`, "something"},
		{"RFC 9421 2.2.8: a parameter that is there twice is an error", "GET /?a=1&a=2 HTTP/1.1\nHost: a", `"@query-param";name="a"`, "!"},
		{"RFC 9421 2.2.8: a parameter that is there twice in other letters is an error", "GET /?a=1&%61=2 HTTP/1.1\nHost: a", `"@query-param";name="a"`, "!"},
		{"RFC 9421 2.2.8: a parameter that is not there is an error", "GET /?a=1 HTTP/1.1\nHost: a", `"@query-param";name="b"`, "!"},
		{"RFC 9421 2.2.8: a parameter has a name", "GET /?a=1 HTTP/1.1\nHost: a", `"@query-param"`, "!"},
		{"RFC 9421 2.2.9: a request has no status", fields, `"@status"`, "!"},
		{"RFC 9421 2.2: what is derived and not known is an error", fields, `"@none"`, "!"},
		{"RFC 9421 2.3: the parameters are no component", fields, `"@signature-params"`, "!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := value(t, over(t, "https", c.request), c.component)
			if (err != nil) != (c.want == "!") || err == nil && got != c.want {
				t.Errorf("%s is %q, %v", c.component, got, err)
			}
		})
	}
}

func TestTheBaseOfASignature(t *testing.T) {
	m := over(t, "https", "POST /foo?param=Value&Pet=dog HTTP/1.1\nHost: example.com\nDate: Tue, 20 Apr 2021 02:07:55 GMT\nContent-Type: application/json")
	for _, c := range []struct{ name, input, want string }{
		{"RFC 9421 2.5: a line for each component, and one for the parameters", `("@method"   "content-type");created=1618884473;  keyid="k"`,
			"\"@method\": POST\n\"content-type\": application/json\n\"@signature-params\": (\"@method\" \"content-type\");created=1618884473;keyid=\"k\""},
		{"RFC 9421 2.5: there may be no component", `();created=1`, `"@signature-params": ();created=1`},
		{"RFC 9421 2.5: a component is there once", `("date" "@path" "date")`, "!"},
		{"RFC 9421 2.5: a component in other words is another one", `("date" "date";bs)`, "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"date\";bs: :VHVlLCAyMCBBcHIgMjAyMSAwMjowNzo1NSBHTVQ=:\n\"@signature-params\": (\"date\" \"date\";bs)"},
		{"RFC 9421 2.5: what is no component is an error", `("@method" token)`, "!"},
		{"RFC 9421 2.5: one that is not there is an error", `("@method" "x-none")`, "!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			input, err := readDictionary("sig="+c.input, 1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.base(nil, &input[0])
			if (err != nil) != (c.want == "!") || err == nil && string(got) != c.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// The keys of RFC 9421, B.1.
var testKeys = map[string]string{
	"test-key-rsa-pss":   "rsa-pss-sha512 " + spki(`{"kty":"RSA","e":"AQAB","n":"r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w"}`),
	"test-key-ecc-p256":  "ecdsa-p256-sha256 " + spki(`{"kty":"EC","crv":"P-256","x":"qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA","y":"Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0"}`),
	"test-key-ed25519":   "ed25519 " + spki(`{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`),
	"test-shared-secret": "hmac-sha256 uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
}

// spki is a public key, which is written as a JWK, as files of keys have it.
func spki(jwk string) string {
	v, err := readObject(jwk)
	if err != nil {
		panic(err)
	}
	k, err := readJWK(v)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestTheSignaturesOfTheRFC(t *testing.T) {
	var file strings.Builder
	for id, key := range testKeys {
		fmt.Fprintf(&file, "%s %s tester\n", id, key)
	}
	known, err := readSigners([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	const request = `POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18`
	const demo = `GET /demo?name1=Value1&Name2=value2 HTTP/1.1
Host: example.org
Date: Fri, 15 Jul 2022 14:24:55 GMT
Accept: application/json
Accept: */*`
	for _, c := range []struct{ name, request, input, signature string }{
		{"RFC 9421: B.2.1, nothing is covered", request, `sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
			`sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:`},
		{"RFC 9421: B.2.2, some components", request, `sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
			`sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:`},
		{"RFC 9421: B.2.3, all components", request, `sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			`sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:`},
		{"RFC 9421: B.2.5, a shared secret", request, `sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			`sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:`},
		{"RFC 9421: B.2.6, Ed25519", request, `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			`sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`},
		{"RFC 9421: B.4, a message before it is changed on its way", demo, `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`},
		{"RFC 9421: B.4, fields are added and a parameter", strings.Replace(demo, "value2", "value2&param=added", 1) + "\nAccept-Language: en-US,en;q=0.5", `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`},
		{"RFC 9421: B.4, lines are joined", strings.Replace(demo, "json\nAccept: ", "json, ", 1), `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`},
		{"RFC 9421: B.4, lines change their order, which is another message", strings.Replace(strings.Replace(demo, "application/json", "x", 1), "*/*", "application/json", 1), `!transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`},
		{"RFC 9421: B.4, the method and the host change, which is another message", strings.Replace(strings.Replace(demo, "GET", "POST", 1), "example.org", "example.com", 1), `!transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, other := strings.CutPrefix(c.input, "!")
			inputs, made, err := readSignatures([]string{text}, []string{c.signature})
			if err != nil {
				t.Fatal(err)
			}
			m := over(t, "https", c.request)
			said, err := (&signatures{}).claim(&inputs[0])
			if err != nil {
				t.Fatal(err)
			}
			base, err := m.base(nil, &inputs[0])
			if err != nil {
				t.Fatal(err)
			}
			by := known[said.keyID]
			if by.key.verifies(by.alg, base, []byte(made[0])) == other {
				t.Errorf("it holds: %v, of\n%s", !other, base)
			}
		})
	}
	t.Run("RFC 9421: B.2.4, ECDSA, of an answer", func(t *testing.T) {
		const base = `"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`
		signature, _ := base64.StdEncoding.DecodeString("wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")
		by := known["test-key-ecc-p256"]
		if !by.key.verifies(by.alg, []byte(base), signature) {
			t.Error("it does not hold")
		}
	})
	t.Run("RFC 9530: the digests of the request and the answer", func(t *testing.T) {
		for _, c := range []struct {
			digest, body string
			ok           bool
		}{
			{"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:", `{"hello": "world"}`, true},
			{"sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:", `{"message": "good dog"}`, true},
			{"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "world"}`, true},
			{"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "World"}`, false},
			{"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:AAAA:", `{"hello": "world"}`, false},
			{"md5=:AAAA:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "world"}`, true},
			{"md5=:AAAA:", `{"hello": "world"}`, false},
			{"sha-256=:AAAA:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "world"}`, false},
			{`sha-256="X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="`, `{"hello": "world"}`, false},
			{"", "", false},
		} {
			if err := checkDigest([]string{c.digest}, []byte(c.body)); (err == nil) != c.ok {
				t.Errorf("%s of %s: %v", c.digest, c.body, err)
			}
		}
	})
}

func TestStructuredFields(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"RFC 9651 3.2: a dictionary", `a=1 ,  b;x="y",c=(1  2.50;q),	d=?0`, `a=1, b;x="y", c=(1 2.5;q), d=?0`},
		{"RFC 9651 3.3.1: integers", "a=-999999999999999, b=007", "a=-999999999999999, b=7"},
		{"RFC 9651 3.3.1: an integer of 16 digits", "a=1000000000000000", "!"},
		{"RFC 9651 3.3.2: decimals", "a=1.5, b=-0.250, c=123456789012.0", "a=1.5, b=-0.25, c=123456789012.0"},
		{"RFC 9651 3.3.2: a decimal of four digits behind its point", "a=1.2345", "!"},
		{"RFC 9651 3.3.2: a decimal that ends with its point", "a=1.", "!"},
		{"RFC 9651 3.3.3: strings", `a="\"\\ "`, `a="\"\\ "`},
		{"RFC 9651 3.3.3: a string that does not end", `a="b`, "!"},
		{"RFC 9651 3.3.3: a string with what is not ASCII", `a="é"`, "!"},
		{"RFC 9651 3.3.3: what may not be escaped", `a="\n"`, "!"},
		{"RFC 9651 3.3.4: tokens", "a=*b/c:d, e=X", "a=*b/c:d, e=X"},
		{"RFC 9651 3.3.5: bytes, with padding or without", "a=:aGk=:, b=:aGk:", "a=:aGk=:, b=:aGk=:"},
		{"RFC 9651 3.3.5: bytes that are none", "a=:a$:", "!"},
		{"RFC 9651 3.3.6: booleans", "a=?1;b=?0;c, d=?0", "a;b=?0;c, d=?0"},
		{"RFC 9651 3.3.6: another boolean", "a=?2", "!"},
		{"RFC 9651 3.3.7: dates", "a=@1659578233", "a=@1659578233"},
		{"RFC 9651 3.3.7: a date with a fraction", "a=@1.5", "!"},
		{"RFC 9651 3.3.8: display strings", `a=%"This is %c3%bc"`, `a=%"This is %c3%bc"`},
		{"RFC 9651 3.3.8: a display string that is no UTF-8", `a=%"%ff"`, "!"},
		{"RFC 9651 4.2: a comma at the end", "a=1,", "!"},
		{"RFC 9651 4.2: something behind the end", "a=1 b", "!"},
		{"RFC 9651 4.2: names are in lower case", "A=1", "!"},
		{"a name twice, of which others take the first", "a=1, b=2, a=3", "!"},
		{"a parameter twice", "a=1;b;b", "!"},
		{"a list that does not end", "a=(1 2", "!"},
		{"a list within a list", "a=((1))", "!"},
		{"items without a space between them", `a=("b""c")`, "!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := readDictionary(c.text, 10)
			if got := string(appendMembers(nil, all)); (err != nil) != (c.want == "!") || err == nil && got != c.want {
				t.Errorf("%s is %s, %v", c.text, got, err)
			}
		})
	}
}

func TestFilesOfSigners(t *testing.T) {
	const secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
	for name, c := range map[string]struct{ line, fault string }{
		"a secret":                     {"k hmac-sha256 " + secret + " till plan=gold expires=2030-01-01T00:00:00Z", ""},
		"a public key":                 {"k " + testKeys["test-key-ed25519"] + " till", ""},
		"RSA for the older algorithm":  {"k rsa-v1_5-sha256 " + strings.Fields(testKeys["test-key-rsa-pss"])[1] + " till", ""},
		"no consumer":                  {"k hmac-sha256 " + secret, "line 1 is not the id of a key"},
		"no algorithm":                 {"k none " + secret + " till", "its second word is no algorithm"},
		"a short secret":               {"k hmac-sha256 c2hvcnQ= till", "the key is not one for hmac-sha256"},
		"a public key as a secret":     {"k hmac-sha256 " + strings.Fields(testKeys["test-key-ed25519"])[1][:20] + " till", "the key is not one for hmac-sha256"},
		"a key of another kind":        {"k ecdsa-p256-sha256 " + strings.Fields(testKeys["test-key-ed25519"])[1] + " till", "the key is not one for ecdsa-p256-sha256"},
		"a key that is none":           {"k ed25519 AAAA till", "this is no public key"},
		"a key that is not in base64":  {"k ed25519 !!! till", "the key is not in base64"},
		"a word that means nothing":    {"k hmac-sha256 " + secret + " till colour=red", "behind the consumer"},
		"a time that is none":          {"k hmac-sha256 " + secret + " till expires=soon", "behind the consumer"},
		"a secret in the wrong place":  {"k " + secret + " hmac-sha256 till", "its second word"},
		"a secret behind the consumer": {"k hmac-sha256 " + secret + " till " + secret, "behind the consumer"},
		"an id twice":                  {"k hmac-sha256 " + secret + " till\nk hmac-sha256 " + secret + " eve", "line 2 is of a key that stands there already"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readSigners([]byte(c.line))
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Error(err)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "c2hvcnQ=")) {
				t.Error("a secret is in the message")
			}
		})
	}
}

// FuzzStructuredFields holds that what is read is written in one way, which is
// read as the same.
func FuzzStructuredFields(f *testing.F) {
	for _, seed := range []string{`a=1, b;x="y", c=(1 2.5;q);r, d=?0`, `sig1=("@method" "@query-param";name="a");created=1;keyid="k"`, `a=:aGk=:, b=@1, c=%"%c3%bc", d=*t/x`, "a=-0", "a=-0.0", "a=1,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string, int) ([]sfMember, error){readDictionary, readList} {
			all, err := read(text, 32)
			if err != nil {
				continue
			}
			once := string(appendMembers(nil, all))
			again, err := read(once, 32)
			if err != nil {
				t.Fatalf("%q is written as %q, which cannot be read: %v", text, once, err)
			}
			if twice := string(appendMembers(nil, again)); twice != once {
				t.Errorf("%q is written as %q, and then as %q", text, once, twice)
			}
		}
	})
}

// FuzzSignatureBase holds that no component has a line of its own: who signs one
// signs nothing that looks like another.
func FuzzSignatureBase(f *testing.F) {
	f.Add(`("@method" "x-a");created=1;keyid="k"`, "value", "/path?a=1")
	f.Add(`("x-a";bs "@query-param";name="a" "x-a";key="b")`, "b=1", "/?a=%0A")
	f.Fuzz(func(t *testing.T, input, field, target string) {
		members, err := readDictionary("sig="+input, 1)
		if err != nil || !members[0].inner {
			return
		}
		r, err := http.NewRequest("GET", "http://a/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI, r.Header["X-A"] = target, []string{field}
		m := signed{r, "http", "a"}
		base, err := m.base(nil, &members[0])
		if err != nil {
			return
		}
		if lines := strings.Split(string(base), "\n"); len(lines) != len(members[0].list)+1 || !strings.HasPrefix(lines[len(lines)-1], `"@signature-params": (`) {
			t.Errorf("%q", base)
		}
	})
}

// FuzzSigners holds that no file of keys ends the process, and that what is taken
// is whole.
func FuzzSigners(f *testing.F) {
	for id, key := range testKeys {
		f.Add([]byte(id + " " + key + " till plan=gold\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		known, err := readSigners(text)
		if err != nil {
			return
		}
		for id, s := range known {
			if id == "" || s.consumer.Name == "" || s.alg == nil || !s.key.fits(s.alg) {
				t.Errorf("%q: %+v", id, s)
			}
		}
	})
}

func TestParametersOfAnItemAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range maxParams {
		fmt.Fprintf(&b, ";a%d", i)
	}
	if _, err := readItem("1" + b.String()); err != nil {
		t.Error(err)
	}
	if _, err := readItem("1" + b.String() + ";b"); err == nil {
		t.Error("more are read")
	}
}

func TestASignatureCoversADigestThatCounts(t *testing.T) {
	for covered, want := range map[string]bool{
		`"content-digest"`: true, `"content-digest";sf`: true, `"content-digest";key="sha-256"`: true, `"content-digest";key="sha-512"`: true,
		`"content-digest";key="md5"`: false, `"digest"`: false,
	} {
		id, err := readItem(covered)
		if got := coversDigest(&sfMember{list: []sfItem{id}}); err != nil || got != want {
			t.Errorf("%s: %v %v", covered, got, err)
		}
	}
}
