package policies_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// pen signs requests as RFC 9421 says, by itself: it has nothing in common with
// what verifies them.
type pen struct {
	id, algorithm string
	sign          func(base []byte) []byte
	line          string // of a file of keys, without consumer
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func pens(t *testing.T) map[string]*pen {
	t.Helper()
	public := func(algorithm string, key crypto.PublicKey, sign func(base []byte) []byte) *pen {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		id := "key-" + algorithm
		return &pen{id, algorithm, sign, id + " " + algorithm + " " + base64Of(der)}
	}
	secret := []byte("0123456789abcdef0123456789abcdef")
	ed, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaPrivate := rsaKey()
	ecdsaSign := func(key *ecdsa.PrivateKey, sum []byte) []byte {
		r, s, err := ecdsa.Sign(rand.Reader, key, sum)
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	all := map[string]*pen{}
	for _, p := range []*pen{
		{"key-hmac-sha256", "hmac-sha256", func(base []byte) []byte {
			h := hmac.New(sha256.New, secret)
			h.Write(base)
			return h.Sum(nil)
		}, "key-hmac-sha256 hmac-sha256 " + base64Of(secret)},
		public("ed25519", ed, func(base []byte) []byte { return ed25519.Sign(edPrivate, base) }),
		public("ecdsa-p256-sha256", p256.Public(), func(base []byte) []byte { s := sha256.Sum256(base); return ecdsaSign(p256, s[:]) }),
		public("ecdsa-p384-sha384", p384.Public(), func(base []byte) []byte { s := sha512.Sum384(base); return ecdsaSign(p384, s[:]) }),
		public("rsa-pss-sha512", rsaPrivate.Public(), func(base []byte) []byte {
			s := sha512.Sum512(base)
			b, err := rsa.SignPSS(rand.Reader, rsaPrivate, crypto.SHA512, s[:], &rsa.PSSOptions{SaltLength: 64})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}),
		public("rsa-v1_5-sha256", rsaPrivate.Public(), func(base []byte) []byte {
			s := sha256.Sum256(base)
			b, err := rsa.SignPKCS1v15(nil, rsaPrivate, crypto.SHA256, s[:])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}),
	} {
		all[p.algorithm] = p
	}
	return all
}

// signing is a request to be signed.
type signing struct {
	method, path, body string
	covers             []string          // names of components
	params             string            // in place of created and keyid
	more               string            // parameters beside them
	header             []string          // of the request
	as                 map[string]string // values of components in place of their own
	label              string
}

func (s signing) request(p *pen) *http.Request {
	if s.method == "" {
		s.method = "POST"
	}
	if s.path == "" {
		s.path = "/who?a=1"
	}
	if s.label == "" {
		s.label = "sig1"
	}
	r, _ := http.NewRequest(s.method, "http://public:80"+s.path, nil)
	for i := 0; i < len(s.header); i += 2 {
		r.Header.Add(s.header[i], s.header[i+1])
	}
	path, query, _ := strings.Cut(s.path, "?")
	values := map[string]string{"@method": s.method, "@authority": "public", "@path": path, "@query": "?" + query, "@target-uri": "http://public" + s.path, "@request-target": s.path, "@scheme": "http"}
	if s.covers == nil {
		s.covers = []string{"@method", "@authority", "@path", "@query"}
		if s.body != "" {
			s.covers = append(s.covers, "content-digest")
		}
	}
	if s.body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s.body)), int64(len(s.body))
		sum := sha256.Sum256([]byte(s.body))
		if r.Header.Get("Content-Digest") == "" {
			r.Header.Set("Content-Digest", "sha-256=:"+base64Of(sum[:])+":")
		}
	}
	if s.params == "" {
		s.params = fmt.Sprintf(`;created=%d;keyid="%s"`, time.Now().Unix(), p.id)
	}
	var base strings.Builder
	for _, name := range s.covers {
		value, derived := values[name]
		if !derived {
			value = strings.Join(r.Header.Values(name), ", ")
		}
		if own, ok := s.as[name]; ok {
			value = own
		}
		fmt.Fprintf(&base, "\"%s\": %s\n", name, value)
	}
	input := `("` + strings.Join(s.covers, `" "`) + `")` + s.params + s.more
	if len(s.covers) == 0 {
		input = "()" + s.params + s.more
	}
	fmt.Fprintf(&base, `"@signature-params": %s`, input)
	r.Header.Add("Signature-Input", s.label+"="+input)
	r.Header.Add("Signature", s.label+"=:"+base64Of(p.sign([]byte(base.String())))+":")
	return r
}

// signedSite is guarded by hmac, for keys that pens have.
func signedSite(t *testing.T, more string, all map[string]*pen) (w *flowtest.World, write func(string)) {
	t.Helper()
	var lines strings.Builder
	for _, p := range all {
		fmt.Fprintf(&lines, "%s till plan=gold\n", p.line)
	}
	path, write := file(t, lines.String())
	return flowtest.Serve(t, strings.Replace(guarded(`hmac: { file: "`+path+`"`+more+` }`), "GET /who", "ANY /who", 1), nil), write
}

func TestSignaturesOfEveryAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := pens(t)
		w, _ := signedSite(t, "", all)
		for name, p := range all {
			w.Send(signing{body: `{"a":1}`}.request(p)).Is(t, 200, `{"name":"till","by":"hmac","plan":"gold","claims":{}}`)
			w.Send(signing{method: "GET", path: "/who"}.request(p)).Is(t, 200, `{"name":"till","by":"hmac","plan":"gold","claims":{}}`)
			w.Send(signing{more: `;alg="` + p.algorithm + `"`}.request(p)).Is(t, 200, `{"name":"till","by":"hmac","plan":"gold","claims":{}}`)
			for other, q := range all {
				if other == name {
					continue
				}
				forged := &pen{p.id, q.algorithm, q.sign, ""}
				w.Send(signing{}.request(forged)).IsProblem(t, 401, "unauthenticated")
				w.Send(signing{more: `;alg="` + other + `"`}.request(p)).IsProblem(t, 401, "unauthenticated")
			}
		}
	})
}

func TestSignaturesThatDoNotHold(t *testing.T) {
	p := pens(t)["hmac-sha256"]
	const now = 946684800 // when a bubble begins
	serve := func(t *testing.T, ask func(w *flowtest.World)) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := signedSite(t, `, require: [expires], tag: orders`, map[string]*pen{"": p})
			ask(w)
			if strings.Contains(w.Log(), "0123456789abcdef") {
				t.Error("a secret is in the log")
			}
		})
	}
	fine := fmt.Sprintf(`;created=%d;expires=%d;keyid="%s";tag="orders"`, now, now+60, p.id)
	at := func(created, expires int64) string {
		return fmt.Sprintf(`;created=%d;expires=%d;keyid="%s";tag="orders"`, now+created, now+expires, p.id)
	}
	covers := func(names ...string) []string { return names }
	edit := func(s signing, change func(r *http.Request)) *http.Request {
		r := s.request(p)
		change(r)
		return r
	}
	set := func(name, value string) func(r *http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"as it should be", signing{params: fine}.request(p), 200},
		{"more is covered", signing{params: fine, header: []string{"X-A", "1"}, covers: covers("@method", "@authority", "@path", "@query", "x-a")}.request(p), 200},
		{"the target URI covers its parts", signing{params: fine, covers: covers("@method", "@target-uri")}.request(p), 200},
		{"the request target covers its parts", signing{params: fine, covers: covers("@method", "@authority", "@request-target")}.request(p), 200},
		{"RFC 9421 3.2: the method is not covered", signing{params: fine, covers: covers("@authority", "@path", "@query")}.request(p), 401},
		{"RFC 9421 3.2: the host is not covered", signing{params: fine, covers: covers("@method", "@request-target")}.request(p), 401},
		{"RFC 9421 7.2.1: nothing is covered", signing{params: fine, covers: []string{}}.request(p), 401},
		{"RFC 9421 3.2: another method", edit(signing{params: fine}, func(r *http.Request) { r.Method = "PUT" }), 401},
		{"RFC 9421 3.2: another query", edit(signing{params: fine}, func(r *http.Request) { r.URL.RawQuery = "a=2" }), 401},
		{"RFC 9421 3.2: another host", edit(signing{params: fine}, func(r *http.Request) { r.Host = "other" }), 401},
		{"RFC 9421 3.2: a field that was covered has changed", edit(signing{params: fine, header: []string{"X-A", "1"}, covers: covers("@method", "@target-uri", "x-a")}, set("X-A", "2")), 401},
		{"RFC 9421 3.2: a field that was covered has another line", edit(signing{params: fine, header: []string{"X-A", "1"}, covers: covers("@method", "@target-uri", "x-a")}, func(r *http.Request) { r.Header.Add("X-A", "2") }), 401},
		{"RFC 9421 3.2: a field that was covered is gone", edit(signing{params: fine, header: []string{"X-A", "1"}, covers: covers("@method", "@target-uri", "x-a")}, func(r *http.Request) { r.Header.Del("X-A") }), 401},
		{"RFC 9421 3.2: parameters that were not signed", edit(signing{params: fine}, func(r *http.Request) { r.Header.Set("Signature-Input", r.Header.Get("Signature-Input")+";x") }), 401},
		{"RFC 9421 3.2: a key that is not known", signing{params: strings.Replace(fine, p.id, "other", 1)}.request(p), 401},
		{"RFC 9421 3.2: no key", signing{params: strings.Replace(fine, `;keyid="`+p.id+`"`, "", 1)}.request(p), 401},
		{"RFC 9421 2.3: created is no number", signing{params: strings.Replace(fine, fmt.Sprint("=", now, ";e"), `="x";e`, 1)}.request(p), 401},
		{"RFC 9421 2.3: created is missing", signing{params: strings.Replace(fine, fmt.Sprint(";created=", now), "", 1)}.request(p), 401},
		{"RFC 9421 2.3: a parameter twice", signing{params: fine, more: `;tag="orders"`}.request(p), 401},
		{"RFC 9421 2.3: it does not expire", signing{params: fmt.Sprintf(`;created=%d;keyid="%s";tag="orders"`, now, p.id)}.request(p), 401},
		{"RFC 9421 2.3: it has expired", signing{params: at(-100, -31)}.request(p), 401},
		{"it has just expired, which clocks may not agree on", signing{params: at(-100, -29)}.request(p), 200},
		{"it is from the future", signing{params: at(31, 60)}.request(p), 401},
		{"it is from the near future", signing{params: at(29, 60)}.request(p), 200},
		{"it is too old", signing{params: at(-331, 60)}.request(p), 401},
		{"it is from before all time", signing{params: at(-999999999999999+now, 60)}.request(p), 401},
		{"it is for something else", signing{params: strings.Replace(fine, "orders", "other", 1)}.request(p), 401},
		{"it is for nothing", signing{params: strings.Replace(fine, `;tag="orders"`, "", 1)}.request(p), 401},
		{"RFC 9421 4.2: there is no signature to the input", edit(signing{params: fine}, func(r *http.Request) { r.Header.Del("Signature") }), 401},
		{"RFC 9421 4.1: there is no input to the signature", edit(signing{params: fine}, func(r *http.Request) { r.Header.Del("Signature-Input") }), 401},
		{"RFC 9421 4.2: of other labels", edit(signing{params: fine}, set("Signature", "sig2=:AAAA:")), 401},
		{"RFC 9421 4.2: a label twice", edit(signing{params: fine}, func(r *http.Request) { r.Header.Add("Signature", r.Header.Get("Signature")) }), 401},
		{"RFC 9421 4.2: a signature that is no bytes", edit(signing{params: fine}, set("Signature", `sig1="AAAA"`)), 401},
		{"RFC 9421 4.2: another signature", edit(signing{params: fine}, set("Signature", "sig1=:"+base64Of(make([]byte, 32))+":")), 401},
		{"RFC 9421 4.2: an empty one", edit(signing{params: fine}, set("Signature", "sig1=::")), 401},
		{"RFC 9421 4.1: what is no structured field", edit(signing{params: fine}, set("Signature-Input", "sig1=(")), 401},
		{"RFC 9421 4.1: what is no list", edit(signing{params: fine}, set("Signature-Input", "sig1=1")), 401},
		{"too much", edit(signing{params: fine}, set("Signature-Input", "sig1=("+strings.Repeat(`"a" `, 8000)+`"b")`)), 401},
		{"too many", edit(signing{params: fine}, set("Signature-Input", strings.Repeat("a=(), ", 20)+"b=()")), 401},
		{"too much is covered", signing{params: fine, covers: strings.Split(strings.TrimSuffix(strings.Repeat("x-a,", 70), ","), ",")}.request(p), 401},
		{"what is signed is not there", signing{method: "GET"}.request(p), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(t, func(w *flowtest.World) {
				got := w.Send(c.r)
				if got.Status != c.want {
					t.Errorf("%d %s", got.Status, got.Body)
				}
				if c.want == 401 && got.Header.Get("Www-Authenticate") != `Signature realm="api"` {
					t.Error(got.Header)
				}
			})
		})
	}
	t.Run("RFC 9421 4.3: of several signatures one that counts is enough", func(t *testing.T) {
		r := signing{params: fine}.request(p)
		r.Header.Set("Signature-Input", `proxy=("@method");created=1;keyid="other", `+r.Header.Get("Signature-Input"))
		r.Header.Set("Signature", `proxy=:AAAA:, `+r.Header.Get("Signature"))
		serve(t, func(w *flowtest.World) {
			w.Send(r).Is(t, 200, `{"name":"till","by":"hmac","plan":"gold","claims":{}}`)
		})
	})
	t.Run("none", func(t *testing.T) {
		r, _ := http.NewRequest("GET", "http://public:80/who", nil)
		serve(t, func(w *flowtest.World) { w.Send(r).IsProblem(t, 401, "unauthenticated") })
	})
}

func TestSignaturesOfBodies(t *testing.T) {
	all := pens(t)
	p := all["ed25519"]
	w, _ := signedSite(t, `, body: 1KB`, all)
	for _, c := range []struct {
		name string
		s    signing
		body string
		want int
	}{
		{"the body that was signed", signing{body: "hello"}, "hello", 200},
		{"RFC 9530 2: another body", signing{body: "hello"}, "Hello", 401},
		{"RFC 9530 2: less of it", signing{body: "hello"}, "hell", 401},
		{"RFC 9530 2: no body", signing{body: "hello"}, "", 401},
		{"RFC 9530 2: a digest that is too weak", signing{body: "hello", header: []string{"Content-Digest", "md5=:XUFAKrxLKna5cZ2REBfFkg==:"}}, "hello", 401},
		{"RFC 9421 7.2.8: a body that was not signed", signing{}, "hello", 401},
		{"RFC 9421 7.2.8: a digest that was not signed", signing{body: "hello", covers: []string{"@method", "@target-uri"}}, "hello", 401},
		{"a body that is too long", signing{body: strings.Repeat("x", 1001)}, strings.Repeat("x", 1001), 413},
		{"a body of that length", signing{body: strings.Repeat("x", 1000)}, strings.Repeat("x", 1000), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				if chunked && c.body == "" {
					continue
				}
				r := c.s.request(p)
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
				if chunked {
					r.ContentLength = -1
				}
				if c.body == "" {
					r.Body = http.NoBody
				}
				if got := w.Send(r); got.Status != c.want {
					t.Errorf("chunked: %v: %d %s", chunked, got.Status, got.Body)
				}
			}
		})
	}
}

func TestASignedBodyGoesOn(t *testing.T) {
	p := pens(t)["ed25519"]
	path, _ := file(t, p.line+" till")
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s|%s|%s", body, r.Header.Get("X-Partner"), r.Header.Get("Signature-Input")[:5])
	})
	w := flowtest.Serve(t, `flow: pass
trigger: { http: POST /who, policies: [{ hmac: { file: "`+path+`", headers: { X-Partner: $(consumer.name) } } }] }
steps: [{ forward: backend }]
`, flowtest.Backends{"backend": backend})
	w.Send(signing{body: "hello", header: []string{"X-Partner", "root", "Connection", "X-Partner"}}.request(p)).Is(t, 200, "hello|till|sig1=")
}

func TestANonceIsGoodOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := pens(t)
		p, q := all["ed25519"], all["hmac-sha256"]
		w, write := signedSite(t, `, require: [nonce], nonces: 50, max_age: 1m, leeway: 0s`, all)
		is := func(s signing, by *pen, want int) {
			t.Helper()
			if got := w.Send(s.request(by)); got.Status != want {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		}
		const once = `;nonce="abc"`
		is(signing{}, p, 401)
		is(signing{more: once, covers: []string{"@method"}}, p, 401) // one that is refused uses up none
		is(signing{more: once}, p, 200)
		is(signing{more: once}, p, 401)
		is(signing{more: once}, q, 200) // nonces are those of a key
		for range 5 {
			time.Sleep(12 * time.Second) // nobody can wait until it is forgotten
			is(signing{more: once}, p, 401)
		}
		write(p.line + " other\n" + q.line + " till\n")
		time.Sleep(3 * time.Second)
		is(signing{more: once}, p, 401) // what was sent once stays so
		time.Sleep(3 * time.Minute)
		is(signing{more: once}, p, 200)
		for i := range 49 {
			is(signing{more: fmt.Sprintf(`;nonce="%d"`, i)}, p, 200)
		}
		for i := range 3 {
			is(signing{more: fmt.Sprintf(`;nonce="more %d"`, i)}, p, 503)
		}
		is(signing{more: once}, p, 401)         // none was forgotten to make room
		is(signing{more: `;nonce="q"`}, q, 200) // and nobody else is held up
		full, replayed := 0, 0
		for _, line := range told(t, w, "hmac") {
			switch line {
			case "WARN signatures are refused: there are more nonces than are remembered":
				full++
			case "DEBUG a signature does not hold":
				replayed++
			}
		}
		if full != 1 || replayed == 0 {
			t.Errorf("operators hear %d times that there is no room, and %d times why a signature is refused", full, replayed)
		}
	})
}

func TestAFileOfSignersIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := pens(t)
		p := all["ed25519"]
		w, write := signedSite(t, "", all)
		is := func(want int) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if got := w.Send(signing{}.request(p)); got.Status != want {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		}
		is(200)
		write("nothing of the kind")
		is(200)
		write(p.line + " till expires=" + time.Now().Add(20*time.Second).UTC().Format(time.RFC3339))
		is(200)
		time.Sleep(20 * time.Second)
		is(401)
		write(all["hmac-sha256"].line + " till")
		is(401)
	})
}

func TestANonceIsNotForgottenWhileABodyIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := pens(t)
		by := all["ed25519"]
		w, _ := signedSite(t, `, require: [nonce], max_age: 1m, leeway: 0s`, all)
		s := signing{more: `;nonce="abc"`, body: strings.Repeat("x", 60<<12)}
		if got := w.Send(s.request(by)); got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		again := s.request(by)
		n := 0
		again.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if n == len(s.body) {
				return 0, io.EOF
			}
			time.Sleep(4 * time.Second)
			w.Send(signing{more: fmt.Sprintf(`;nonce="%d"`, n)}.request(by)) // others go on meanwhile
			sent := copy(p, s.body[n:n+1<<12])                               // as much as a client buffers
			n += sent
			return sent, nil
		}))
		if got := w.Send(again); got.Status != 401 {
			t.Errorf("what was sent once came in again: %d %s", got.Status, got.Body)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
