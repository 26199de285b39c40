package policies

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// signatureAlgorithms are those of RFC 9421 section 3.3, by the algorithms of keys
// that they are.
var signatureAlgorithms = map[string]string{
	"hmac-sha256": "HS256", "ed25519": "Ed25519", "ecdsa-p256-sha256": "ES256", "ecdsa-p384-sha384": "ES384", "rsa-pss-sha512": "PS512", "rsa-v1_5-sha256": "RS256",
}

// signer is one who signs, as a file names it.
type signer struct {
	*listed
	key    *key
	name   string     // of the algorithm, as signatures call it
	alg    *algorithm // which is the only one for the key
	nonces *nonces
}

// signers are those of a file.
type signers struct {
	fresh *fresh
	known atomic.Pointer[map[string]*signer] // by the id of the key
	full  trouble

	verified, refused, replayed atomic.Int64
}

const maxSignerFile = 16 << 20 // bytes

// openSigners reads a file. Of each key at most so many nonces are remembered, for
// as long as a signature holds.
func openSigners(log *slog.Logger, path string, most int, hold time.Duration) *signers {
	s := &signers{full: trouble{log: log, begins: "signatures are refused: there are more nonces than are remembered", ends: "there is room for nonces again", quiet: 10 * time.Second}}
	s.fresh = freshFile(log, path, maxSignerFile, func(text []byte) error {
		known, err := readSigners(text)
		if err != nil {
			return err
		}
		old := s.known.Load()
		for id, one := range known {
			one.nonces = &nonces{most: most, hold: hold}
			if old == nil {
				continue
			}
			if was := (*old)[id]; was != nil { // what was sent once stays so
				one.nonces = was.nonces
			}
		}
		s.known.Store(&known)
		return nil
	})
	s.fresh.open()
	return s
}

// readSigners reads the keys that signatures are verified with: a line for each,
//
//	KEYID ALGORITHM KEY, and what readListed reads
//
// where KEY is in base64: a secret of 32 bytes or more, or a public key as in PEM,
// without its first and last line (SubjectPublicKeyInfo, RFC 5280 section 4.1).
// Lines that are empty or begin with # say nothing.
func readSigners(text []byte) (map[string]*signer, error) {
	known := map[string]*signer{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) < 4 {
			return nil, fmt.Errorf("line %d is not the id of a key, an algorithm, a key and a consumer", number)
		}
		s, err := readSigner(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if known[words[0]] != nil {
			return nil, fmt.Errorf("line %d is of a key that stands there already", number)
		}
		known[words[0]] = s
	}
	return known, lines.Err()
}

// readSigner reads a line. What is wrong with it is told without its words: one
// may be a secret that stands in the wrong place.
func readSigner(words []string) (s *signer, err error) {
	s = &signer{name: words[1], alg: algorithmOf(signatureAlgorithms[words[1]])}
	if s.alg == nil {
		return nil, errors.New("its second word is no algorithm of signatures")
	}
	b, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		return nil, errors.New("the key is not in base64")
	}
	if s.alg.family == hmacFamily {
		s.key = newSecret(b)
	} else {
		public, err := x509.ParsePKIXPublicKey(b)
		if err != nil {
			return nil, errors.New("this is no public key")
		}
		if s.key, err = newKey(words[0], "", public); err != nil {
			return nil, err
		}
	}
	if !s.key.fits(s.alg) {
		return nil, fmt.Errorf("the key is not one for %s", s.name)
	}
	if s.listed, err = readListed(words[3:], "hmac"); err != nil {
		return nil, errors.New("behind the consumer stand plan=PLAN and expires=TIME, or nothing")
	}
	return s, nil
}

// NewSigner makes a key that signs with an algorithm, which is hmac-sha256 or
// ed25519, for a consumer: what it signs with, which is a secret in base64 or a
// private key in PEM, and the line of a file of keys that its signatures are
// verified with. The plan may be empty, and expires be zero.
func NewSigner(algorithm, consumer, plan string, expires time.Time) (private, line string, err error) {
	if strings.ContainsAny(consumer+plan, " \t\r\n") || consumer == "" {
		return "", "", errors.New("a consumer and a plan are a word each, without spaces")
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it does not fail
	key := secret
	switch algorithm {
	case "hmac-sha256":
		private = base64.StdEncoding.EncodeToString(secret)
	case "ed25519":
		made := ed25519.NewKeyFromSeed(secret)
		der, err := x509.MarshalPKCS8PrivateKey(made)
		if err == nil {
			key, err = x509.MarshalPKIXPublicKey(made.Public())
		}
		if err != nil {
			return "", "", err
		}
		private = strings.TrimSuffix(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "\n")
	default:
		return "", "", fmt.Errorf("keys are made for hmac-sha256 and ed25519, not for %q", algorithm)
	}
	var id [4]byte
	_, _ = rand.Read(id[:])
	line = fmt.Sprintf("%s-%x %s %s %s", consumer, id, algorithm, base64.StdEncoding.EncodeToString(key), consumer)
	if plan != "" {
		line += " plan=" + plan
	}
	if !expires.IsZero() {
		line += " expires=" + expires.UTC().Format(time.RFC3339)
	}
	return private, line, nil
}

// Observe is what engine.Observed asks for.
func (s *signers) Observe(show func(name string, total bool, value int64)) {
	show("signatures_verified", true, s.verified.Load())
	show("signatures_refused", true, s.refused.Load())
	show("signatures_replayed", true, s.replayed.Load())
	if known := s.known.Load(); known != nil {
		held := 0
		for _, one := range *known {
			held += one.nonces.held()
		}
		show("keys", false, int64(len(*known)))
		show("nonces", false, int64(held))
	}
	s.fresh.observe("file", show)
}

// Close is what engine.Keeper asks for.
func (s *signers) Close() { s.fresh.close() }

// nonces are those of one key, of the last while. They stand in two halves, of
// which the older is left out when the younger has been filled for as long as a
// signature holds: what was sent is remembered at least that long. None is left out
// to make room for others, and nobody can fill those of other keys: they come from
// who has the key. The zero nonces has no room. It is safe for concurrent use.
type nonces struct {
	most int
	hold time.Duration

	mu           sync.Mutex
	young, older map[[16]byte]struct{}
	turned       time.Time
}

var (
	errReplayed = errors.New("the nonce was sent before")
	errNoRoom   = errors.New("there are too many nonces")
)

// once notes a nonce, and fails if it was sent before, or that cannot be known.
func (n *nonces) once(nonce string, now time.Time) error {
	sum := sha256.Sum256([]byte(nonce))
	short := [16]byte(sum[:])
	n.mu.Lock()
	defer n.mu.Unlock()
	switch since := now.Sub(n.turned); {
	case n.young == nil || since >= 2*n.hold:
		n.young, n.older, n.turned = map[[16]byte]struct{}{}, nil, now
	case since >= n.hold:
		n.young, n.older, n.turned = map[[16]byte]struct{}{}, n.young, now
	}
	_, young := n.young[short]
	_, older := n.older[short]
	switch {
	case young || older:
		return errReplayed
	case len(n.young)+len(n.older) >= n.most:
		return errNoRoom
	}
	n.young[short] = struct{}{}
	return nil
}

func (n *nonces) held() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.young) + len(n.older)
}
