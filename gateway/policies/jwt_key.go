package policies

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
)

// algorithm is one of those that tokens may be signed with (RFC 7518 section 3.1,
// RFC 8037, RFC 9864).
type algorithm struct {
	name   string
	family family
	hash   crypto.Hash
	begin  func() hash.Hash
	curve  elliptic.Curve // of ecdsaFamily
}

type family uint8

const (
	hmacFamily family = iota
	rsaFamily
	pssFamily
	ecdsaFamily
	edFamily
)

var algorithms = []algorithm{
	{"RS256", rsaFamily, crypto.SHA256, sha256.New, nil}, {"RS384", rsaFamily, crypto.SHA384, sha512.New384, nil}, {"RS512", rsaFamily, crypto.SHA512, sha512.New, nil},
	{"PS256", pssFamily, crypto.SHA256, sha256.New, nil}, {"PS384", pssFamily, crypto.SHA384, sha512.New384, nil}, {"PS512", pssFamily, crypto.SHA512, sha512.New, nil},
	{"ES256", ecdsaFamily, crypto.SHA256, sha256.New, elliptic.P256()}, {"ES384", ecdsaFamily, crypto.SHA384, sha512.New384, elliptic.P384()}, {"ES512", ecdsaFamily, crypto.SHA512, sha512.New, elliptic.P521()},
	{"EdDSA", edFamily, 0, nil, nil}, {"Ed25519", edFamily, 0, nil, nil},
	{"HS256", hmacFamily, crypto.SHA256, sha256.New, nil}, {"HS384", hmacFamily, crypto.SHA384, sha512.New384, nil}, {"HS512", hmacFamily, crypto.SHA512, sha512.New, nil},
}

func algorithmOf(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

// A key verifies signatures. What it is tells which algorithms it is for: a
// public key is never the secret of an HMAC (RFC 8725 section 3.1).
type key struct {
	id     string
	alg    string // the only one that it is for; "" is all that fit it
	public crypto.PublicKey
	secret []byte // of HMAC, in place of public
	print  [sha256.Size]byte

	gone atomic.Bool // it is no longer among those of its issuer
}

const (
	minRSA = 2048 // bits: RFC 7518 section 3.3
	maxRSA = 8192 // bits: larger ones are slow to verify with
)

// newKey refuses keys that are too weak, or of no kind that tokens are signed
// with.
func newKey(id, alg string, public crypto.PublicKey) (*key, error) {
	k := &key{id: id, alg: alg, public: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("a key of RSA has %d bits to %d, not %d", minRSA, maxRSA, bits)
		}
		if p.E < 3 || p.E%2 == 0 {
			return nil, fmt.Errorf("%d is no exponent of RSA", p.E)
		}
	case *ecdsa.PublicKey:
		if _, err := p.ECDH(); err != nil {
			return nil, errors.New("the point is not on the curve")
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("a key of Ed25519 has 32 bytes")
		}
	default:
		return nil, errors.New("this is a key of RSA, EC P-256, P-384 or P-521, or Ed25519")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	if alg != "" {
		if a := algorithmOf(alg); a == nil || !k.fits(a) {
			return nil, fmt.Errorf("the key is not one for %s", alg)
		}
	}
	k.print = sha256.Sum256(fmt.Appendf(der, "%q %q", id, alg))
	return k, nil
}

// newSecret is a key of HMAC, for the algorithm of a hash that is not longer.
func newSecret(secret []byte) *key { return &key{secret: secret} }

// fits reports whether the algorithm is one for the key.
func (k *key) fits(a *algorithm) bool {
	if k.alg != "" && k.alg != a.name && !(a.family == edFamily && algorithmOf(k.alg).family == edFamily) {
		return false
	}
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return a.family == rsaFamily || a.family == pssFamily
	case *ecdsa.PublicKey:
		return a.family == ecdsaFamily && p.Curve == a.curve
	case ed25519.PublicKey:
		return a.family == edFamily
	}
	return a.family == hmacFamily && len(k.secret) >= a.hash.Size() // RFC 7518 section 3.2
}

// verifies reports whether a signature is one of the key, which fits a.
func (k *key) verifies(a *algorithm, signed, signature []byte) bool {
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		if a.family == pssFamily {
			return rsa.VerifyPSS(p, a.hash, digest(a, signed), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(p, a.hash, digest(a, signed), signature) == nil
	case *ecdsa.PublicKey:
		half := (p.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*half {
			return false
		}
		return ecdsa.Verify(p, digest(a, signed), new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case ed25519.PublicKey:
		return ed25519.Verify(p, signed, signature)
	}
	h := hmac.New(a.begin, k.secret)
	_, _ = h.Write(signed)
	return hmac.Equal(h.Sum(nil), signature)
}

func digest(a *algorithm, signed []byte) []byte {
	h := a.begin()
	_, _ = h.Write(signed)
	return h.Sum(nil)
}

// readKeys reads a JWK Set (RFC 7517 section 5) or keys in PEM. Keys that are not
// for verifying signatures, and those of kinds that are not known, are left out;
// without any other the rest is no use, and an error.
func readKeys(text []byte) ([]*key, error) {
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return readPEM(text)
	}
	set, err := readObject(string(text))
	if err != nil {
		return nil, err
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New(`there is no list of keys in it`)
	}
	var keys []*key
	var why error
	for _, item := range list {
		members, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("a key in it is no object")
		}
		k, err := readJWK(members)
		if err != nil {
			why = err
			continue
		}
		keys = append(keys, k)
	}
	return bounded(keys, why)
}

const maxKeys = 100

func bounded(keys []*key, why error) ([]*key, error) {
	switch {
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("it has more than %d keys", maxKeys)
	case len(keys) == 0 && why != nil:
		return nil, why
	case len(keys) == 0:
		return nil, errors.New("it has no keys")
	}
	return keys, nil
}

// readJWK reads one public key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037
// section 2).
func readJWK(jwk map[string]any) (*key, error) {
	text := func(name string) string { s, _ := jwk[name].(string); return s }
	number := func(name string) []byte { b, _ := decode64(text(name)); return b }
	if use := text("use"); use != "" && use != "sig" {
		return nil, errors.New("the key is not for signatures")
	}
	if ops, ok := jwk["key_ops"]; ok {
		if all, _ := textsIn(ops); !slices.Contains(all, "verify") {
			return nil, errors.New("the key is not for verifying")
		}
	}
	id, alg := text("kid"), text("alg")
	switch kty, crv := text("kty"), text("crv"); {
	case kty == "RSA":
		n, e := number("n"), number("e")
		if len(n) == 0 || len(n) > maxRSA/8+1 || len(e) == 0 || len(e) > 4 {
			return nil, errors.New("the key of RSA is not whole")
		}
		return newKey(id, alg, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())})
	case kty == "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
		if curve == nil {
			return nil, fmt.Errorf("the curve %q is none that tokens are signed with", crv)
		}
		x, y := number("x"), number("y")
		size := (curve.Params().BitSize + 7) / 8
		if len(x) != size || len(y) != size {
			return nil, errors.New("the key of EC is not whole")
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, errors.New("the point is not on the curve")
		}
		return newKey(id, alg, public)
	case kty == "OKP" && crv == "Ed25519":
		return newKey(id, alg, ed25519.PublicKey(number("x")))
	case kty == "oct":
		return nil, errors.New("a secret is not one of the keys that are published: write it in secrets")
	default:
		return nil, fmt.Errorf("there are no keys %q of tokens", kty)
	}
}

// readPEM reads public keys and certificates.
func readPEM(text []byte) (keys []*key, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return bounded(keys, errors.New("there is no key in it"))
		}
		text = rest
		var public crypto.PublicKey
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = cert.PublicKey
			}
		default:
			return nil, fmt.Errorf("a %s is no public key", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("the %s cannot be read", block.Type)
		}
		k, err := newKey("", "", public)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
}

// inlineKey is a key that is written in a flow file: PEM, or a JWK as a mapping.
func inlineKey(n *dsl.Node, plain func(*dsl.Node) any) ([]*key, error) {
	if n.Kind == dsl.Scalar {
		return readPEM([]byte(n.Text))
	}
	members, ok := plain(n).(map[string]any)
	if !ok {
		return nil, errors.New("a key is a mapping, or text in PEM")
	}
	k, err := readJWK(members)
	return []*key{k}, err
}
