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
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"strings"
	"sync"
	"time"
)

// object is JSON of a test.
type object = map[string]any

// mint signs tokens, as an issuer does.
type mint struct {
	alg, kid string
	key      any // a private key, or the secret of an HMAC
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jsonOf(v any) []byte {
	if text, ok := v.(string); ok {
		return []byte(text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// token is one with these claims, which may be JSON text. What stands in header
// takes the place of alg and kid; null takes them away.
func (m mint) token(claims any, header ...object) string {
	head := object{"alg": m.alg, "typ": "JWT"}
	if m.kid != "" {
		head["kid"] = m.kid
	}
	for _, more := range header {
		maps.Copy(head, more)
		maps.DeleteFunc(head, func(_ string, v any) bool { return v == nil })
	}
	return m.sign(jsonOf(head), jsonOf(claims))
}

func (m mint) sign(header, claims []byte) string {
	signed := encode64(header) + "." + encode64(claims)
	return signed + "." + encode64(m.signature(signed))
}

func (m mint) signature(signed string) []byte {
	h, begin := crypto.SHA256, sha256.New
	switch m.alg[len(m.alg)-3:] {
	case "384":
		h, begin = crypto.SHA384, sha512.New384
	case "512":
		h, begin = crypto.SHA512, sha512.New
	}
	return m.signWith(signed, h, begin)
}

func (m mint) signWith(signed string, h crypto.Hash, begin func() hash.Hash) []byte {
	d := begin()
	d.Write([]byte(signed))
	sum := d.Sum(nil)
	var out []byte
	var err error
	switch k := m.key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(m.alg, "PS") {
			out, err = rsa.SignPSS(rand.Reader, k, h, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			out, err = rsa.SignPKCS1v15(nil, k, h, sum)
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, sum); err == nil {
			size := (k.Params().BitSize + 7) / 8
			out = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	case ed25519.PrivateKey:
		out = ed25519.Sign(k, []byte(signed))
	case []byte:
		mac := hmac.New(begin, k)
		mac.Write([]byte(signed))
		out = mac.Sum(nil)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// jwk is the public key, as a JWK Set has it.
func (m mint) jwk(more ...object) object {
	out := object{}
	switch k := m.key.(type) {
	case *rsa.PrivateKey:
		out = object{"kty": "RSA", "n": encode64(k.N.Bytes()), "e": encode64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PrivateKey:
		point, err := k.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		out = object{"kty": "EC", "crv": k.Params().Name, "x": encode64(point[1 : 1+half]), "y": encode64(point[1+half:])}
	case ed25519.PrivateKey:
		out = object{"kty": "OKP", "crv": "Ed25519", "x": encode64(k.Public().(ed25519.PublicKey))}
	}
	if m.kid != "" {
		out["kid"] = m.kid
	}
	for _, o := range more {
		maps.Copy(out, o)
	}
	return out
}

// jwks is a JWK Set.
func jwks(keys ...object) string { return string(jsonOf(object{"keys": keys})) }

// issuerName is who issues the tokens of tests.
const issuerName = "https://id.example"

// claimsOf are those of a token that holds, with others in their place.
func claimsOf(more ...object) object {
	now := time.Now().Unix()
	out := object{"iss": issuerName, "aud": "shop", "sub": "ada", "iat": now, "exp": now + 300}
	for _, o := range more {
		maps.Copy(out, o)
		maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	}
	return out
}

// The keys of tests are made once: those of RSA take a while.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	rsaTwo = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	ecKeys = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
		keys := map[string]*ecdsa.PrivateKey{}
		for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			k, err := ecdsa.GenerateKey(c, rand.Reader)
			if err != nil {
				panic(err)
			}
			keys[c.Params().Name] = k
		}
		return keys
	})
	edKey = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// secretText is of 64 bytes, which is enough for each HMAC.
const secretText = "no more than an example: 0123456789abcdef0123456789abcdef--------"

func mints() map[string]mint {
	all := map[string]mint{}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		all[alg] = mint{alg, "rsa", rsaKey()}
	}
	for alg, curve := range map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"} {
		all[alg] = mint{alg, curve, ecKeys()[curve]}
	}
	all["EdDSA"], all["Ed25519"] = mint{"EdDSA", "ed", edKey()}, mint{"Ed25519", "ed", edKey()}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		all[alg] = mint{alg, "", []byte(secretText)}
	}
	return all
}

// publicKeys are the keys of an issuer, in YAML.
func publicKeys(ms ...mint) string {
	var keys []string
	for _, m := range ms {
		keys = append(keys, string(jsonOf(m.jwk())))
	}
	return fmt.Sprintf("[%s]", strings.Join(keys, ", "))
}
