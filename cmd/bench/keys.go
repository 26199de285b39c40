package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// algorithms are those that the jobs' tokens are signed by.
var algorithms = []string{"HS256", "RS256", "ES256"}

// issuer and audience are what the jobs' tokens say of themselves.
const (
	issuer   = "https://id.bench.example"
	audience = "bench"
)

// signer signs tokens. It has new keys in every run.
type signer struct {
	secret string
	rsa    *rsa.PrivateKey
	ecdsa  *ecdsa.PrivateKey
}

var newSigner = sync.OnceValue(func() *signer {
	s := &signer{secret: rand.Text() + rand.Text()}
	var err error
	if s.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
		s.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		panic(err) // the system has no randomness
	}
	return s
})

// token is one for a subject, which holds for a day.
func (s *signer) token(algorithm, subject string) string {
	now := time.Now().Unix()
	text := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, algorithm)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil,
			`{"iss":%q,"aud":[%q],"sub":%q,"iat":%d,"exp":%d,"scope":"orders.read orders.write","roles":["clerk"]}`,
			issuer, audience, subject, now, now+86_400))
	return text + "." + base64.RawURLEncoding.EncodeToString(s.sign(algorithm, text))
}

func (s *signer) sign(algorithm, text string) []byte {
	digest := sha256.Sum256([]byte(text))
	switch algorithm {
	case "HS256":
		mac := hmac.New(sha256.New, []byte(s.secret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case "RS256":
		signature, err := rsa.SignPKCS1v15(rand.Reader, s.rsa, crypto.SHA256, digest[:])
		if err != nil {
			panic(err) // the key is too short
		}
		return signature
	default:
		r, q, err := ecdsa.Sign(rand.Reader, s.ecdsa, digest[:])
		if err != nil {
			panic(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		q.FillBytes(signature[32:])
		return signature
	}
}

// public is a key as PEM.
func public(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // it is no kind of key that there is
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// keys is what verifies tokens, as the driver hands it to servers.
type keys struct {
	Secret string `json:"secret"`
	RSA    string `json:"rsa"`
	ECDSA  string `json:"ecdsa"`
}

func (s *signer) keys() keys {
	return keys{Secret: s.secret, RSA: public(s.rsa.Public()), ECDSA: public(s.ecdsa.Public())}
}

func (k keys) save(file string) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func readKeys(file string) (k keys, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err
}

// flow is how the key of an algorithm is written in a flow file.
func (k keys) flow(algorithm string) string {
	switch algorithm {
	case "HS256":
		return fmt.Sprintf("secrets: [%q]", k.Secret)
	case "RS256":
		return inline(k.RSA)
	default:
		return inline(k.ECDSA)
	}
}

func inline(text string) string {
	return fmt.Sprintf("keys: [\"%s\"]", strings.ReplaceAll(text, "\n", `\n`))
}
