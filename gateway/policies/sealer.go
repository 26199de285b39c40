package policies

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/weir-run/weir/dsl"
)

// sealer makes texts that nobody else can read, or make, of what browsers keep for
// the gateway. It is XChaCha20-Poly1305, whose nonces are long enough to be random
// for any number of texts. The first key seals, all open: a new one is put in front
// of the old, which goes when what it has sealed has expired.
type sealer struct{ keys []cipher.AEAD }

const minSealKey = 32 // bytes

func (c *Compiler) sealer(secrets []dsl.Secret) *sealer {
	s := &sealer{}
	for _, secret := range secrets {
		text := secret.Reveal()
		if len(text) < minSealKey && !c.lang.MadeUp {
			c.Report(dsl.Diagnostic{Span: secret.Span, Code: "bad-policy", Message: "the key has less than 32 bytes, and can be guessed", Hint: "take one that openssl rand -hex 32 makes"})
			continue
		}
		s.add(text)
	}
	return s
}

// add adds the key that is made of a secret.
func (s *sealer) add(secret string) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "weir sealed cookie", chacha20poly1305.KeySize)
	if err != nil {
		return // of a key of this size it is not so
	}
	if aead, err := chacha20poly1305.NewX(key); err == nil { // likewise
		s.keys = append(s.keys, aead)
	}
}

// seal gives a text for a purpose: it opens for no other.
func (s *sealer) seal(purpose string, plain []byte) string {
	aead := s.keys[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // it does not fail
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(purpose)))
}

// open gives what was sealed for the purpose.
func (s *sealer) open(purpose, text string) (plain []byte, ok bool) {
	sealed, err := decode64(text)
	if err != nil {
		return nil, false
	}
	for _, aead := range s.keys {
		if len(sealed) < aead.NonceSize() {
			return nil, false
		}
		if plain, err = aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(purpose)); err == nil {
			return plain, true
		}
	}
	return nil, false
}
