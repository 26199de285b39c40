package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// store is a directory of files:
//
//	HOST/account.key    the key of the account at the authority HOST
//	HOST/DOMAIN.pem     the key and the certificates of a domain, from there
//	challenges/TOKEN    what HTTP-01 asks for, while it does
//
// Files are replaced whole. Several processes may share it.
type store struct{ root, dir string }

func openStore(root, directory string) (store, error) {
	u, err := url.Parse(directory)
	if err != nil {
		return store{}, err
	}
	s := store{root: root, dir: filepath.Join(root, strings.ReplaceAll(u.Host, ":", "_"))}
	for _, dir := range []string{s.dir, challengesOf(root)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return store{}, err
		}
	}
	return s, nil
}

func challengesOf(root string) string { return filepath.Join(root, "challenges") }

func (s store) put(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // which nobody else can read
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// account is the key of the account, which is made where there is none.
func (s store) account() (*ecdsa.PrivateKey, error) {
	name := filepath.Join(s.dir, "account.key")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		block, err := encodeKey(key)
		if err != nil {
			return nil, err
		}
		return key, s.put(name, block)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no key in PEM", name)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func (s store) file(domain string) string { return filepath.Join(s.dir, domain+".pem") }

// certificate is the one that is kept for a domain, or nil if there is none that
// can be used.
func (s store) certificate(domain string) *tls.Certificate {
	text, err := os.ReadFile(s.file(domain))
	if err != nil {
		return nil
	}
	c, err := usable(domain, text)
	if err != nil {
		return nil
	}
	return c
}

// usable is the certificate in a text, if it is for the domain, and now.
func usable(domain string, text []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	if err := c.Leaf.VerifyHostname(domain); err != nil {
		return nil, err
	}
	if now := time.Now(); now.After(c.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate has expired at %v", c.Leaf.NotAfter)
	}
	return &c, nil
}

// keep is what has been issued, which is also in its file then.
func (s store) keep(domain string, key *ecdsa.PrivateKey, chain [][]byte) (*tls.Certificate, error) {
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	c, err := usable(domain, text)
	if err != nil {
		return nil, err
	}
	return c, s.put(s.file(domain), text)
}

// token is answered for from now on, until undo.
func (s store) token(name, text string) (undo func(), err error) {
	if !isToken(name) {
		return nil, fmt.Errorf("%q is no token", name)
	}
	path := filepath.Join(challengesOf(s.root), name)
	if err := s.put(path, []byte(text)); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil // it opens nothing if it stays
}

// isToken reports texts that RFC 8555, section 8.3, calls tokens: there is no way
// out of a directory in them.
func isToken(text string) bool {
	return text != "" && len(text) <= 128 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

const challengePath = "/.well-known/acme-challenge/"

// Answer answers a request of an authority that looks for what a process, with one
// of these caches, has put there. It leaves all others alone.
func Answer(caches []string, w http.ResponseWriter, r *http.Request) (answered bool) {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok || r.Method != http.MethodGet || !isToken(token) {
		return false
	}
	for _, cache := range caches {
		if text, err := os.ReadFile(filepath.Join(challengesOf(cache), token)); err == nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(text) // who asks may leave
			return true
		}
	}
	return false
}
