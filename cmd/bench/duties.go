package main

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// duties are what a hand-written service does by itself where Weir has policies. As the rest of the floor they do what the
// jobs ask for and no more: counters that nobody has used stay, answers are kept without bound and without Vary, and all
// is in one map under one lock.
type duties struct {
	secret []byte
	rsa    *rsa.PublicKey
	ecdsa  *ecdsa.PublicKey

	mu      sync.Mutex
	buckets map[string]bucket
	answers map[string]*kept

	compressors sync.Pool
}

func newDuties(k keys) (*duties, error) {
	d := &duties{secret: []byte(k.Secret), buckets: map[string]bucket{}, answers: map[string]*kept{}}
	d.compressors.New = func() any {
		w, _ := gzip.NewWriterLevel(io.Discard, 5) // the level is known
		return w
	}
	var ok bool
	if d.rsa, ok = parseKey(k.RSA).(*rsa.PublicKey); !ok {
		return nil, errors.New("no RSA key")
	}
	if d.ecdsa, ok = parseKey(k.ECDSA).(*ecdsa.PublicKey); !ok {
		return nil, errors.New("no ECDSA key")
	}
	return d, nil
}

func parseKey(text string) any {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	key, _ := x509.ParsePKIXPublicKey(block.Bytes)
	return key
}

// verified lets in who has a token. Each is verified each time.
func (d *duties) verified(algorithm string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || d.verify(algorithm, token) != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "unauthenticated", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errToken = errors.New("the token does not hold")

func (d *duties) verify(algorithm, token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errToken
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Issuer   string   `json:"iss"`
		Audience []string `json:"aud"`
		Subject  string   `json:"sub"`
		Expires  int64    `json:"exp"`
	}
	if decodePart(parts[0], &header) != nil || header.Alg != algorithm {
		return errToken
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !d.signed(algorithm, token[:len(token)-len(parts[2])-1], signature) {
		return errToken
	}
	if decodePart(parts[1], &claims) != nil || claims.Issuer != issuer || !slices.Contains(claims.Audience, audience) ||
		claims.Subject == "" || time.Now().Unix() > claims.Expires {
		return errToken
	}
	return nil
}

func decodePart(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (d *duties) signed(algorithm, text string, signature []byte) bool {
	if algorithm == "HS256" {
		mac := hmac.New(sha256.New, d.secret)
		io.WriteString(mac, text)
		return hmac.Equal(mac.Sum(nil), signature)
	}
	digest := sha256.Sum256([]byte(text))
	if algorithm == "RS256" {
		return rsa.VerifyPKCS1v15(d.rsa, crypto.SHA256, digest[:], signature) == nil
	}
	return len(signature) == 64 &&
		ecdsa.Verify(d.ecdsa, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// The limit of the limited job, which no load comes near.
const (
	limitRate  = 1_000_000 // requests per second
	limitBurst = 1_000_000
)

type bucket struct {
	tokens float64
	at     time.Time
}

// limited counts by tenant, and tells each what it has left.
func (d *duties) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left, ok := d.take(r.Header.Get("X-Tenant"), time.Now())
		h := w.Header()
		h.Set("RateLimit-Policy", fmt.Sprintf(`"rate";q=%d;w=1`, limitRate))
		h.Set("RateLimit", `"rate";r=`+strconv.Itoa(left))
		if !ok {
			h.Set("Retry-After", "1")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (d *duties) take(key string, now time.Time) (left int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, known := d.buckets[key]
	if !known {
		b = bucket{tokens: limitBurst, at: now}
	}
	b.tokens = min(limitBurst, b.tokens+now.Sub(b.at).Seconds()*limitRate)
	b.at = now
	if ok = b.tokens >= 1; ok {
		b.tokens--
	}
	d.buckets[key] = b
	return int(b.tokens), ok
}

// kept is an answer that is given again.
type kept struct {
	header http.Header
	body   []byte
	at     time.Time
	fresh  time.Duration
}

// cached gives answers again for as long as their max-age says.
func (d *duties) cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Host + r.URL.RequestURI()
		d.mu.Lock()
		k := d.answers[key]
		d.mu.Unlock()
		age := time.Duration(0)
		if k != nil {
			age = time.Since(k.at)
		}
		if k == nil || age >= k.fresh {
			rec := &recording{header: http.Header{}}
			next.ServeHTTP(rec, r)
			k = &kept{header: rec.header, body: rec.body.Bytes(), at: time.Now(), fresh: maxAge(rec.header)}
			if rec.status == http.StatusOK && k.fresh > 0 {
				d.mu.Lock()
				d.answers[key] = k
				d.mu.Unlock()
			}
		}
		h := w.Header()
		for name, values := range k.header {
			h[name] = values
		}
		h.Set("Age", strconv.Itoa(int(age.Seconds())))
		w.Write(k.body)
	})
}

func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			n, _ := strconv.Atoi(seconds)
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recording) Header() http.Header    { return r.header }
func (r *recording) WriteHeader(status int) { r.status = status }
func (r *recording) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(p)
}

// compressed compresses answers for those that take gzip.
func (d *duties) compressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		z := d.compressors.Get().(*gzip.Writer)
		z.Reset(w)
		next.ServeHTTP(&compressing{ResponseWriter: w, to: z}, r)
		z.Close()
		d.compressors.Put(z)
	})
}

type compressing struct {
	http.ResponseWriter
	to *gzip.Writer
}

func (c *compressing) WriteHeader(status int) {
	c.Header().Del("Content-Length")
	c.Header().Set("Content-Encoding", "gzip")
	c.ResponseWriter.WriteHeader(status)
}

func (c *compressing) Write(p []byte) (int, error) { return c.to.Write(p) }
