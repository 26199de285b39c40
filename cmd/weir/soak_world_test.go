package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// soakWorld is what the process calls.
type soakWorld struct {
	t             *testing.T
	steady, dying string
	issuer        *soakIssuer
	deaths        atomic.Int64

	address string // of the service that dies
	server  *http.Server
}

func newSoakWorld(t *testing.T) *soakWorld {
	w := &soakWorld{t: t, issuer: newSoakIssuer(t)}
	steady := listenSoak(t, "127.0.0.1:0")
	w.steady = "http://" + steady.Addr().String()
	serveSoak(t, steady, http.HandlerFunc(serveSoakItems))
	keys := listenSoak(t, "127.0.0.1:0")
	w.issuer.url = "http://" + keys.Addr().String()
	serveSoak(t, keys, w.issuer)
	dying := listenSoak(t, "127.0.0.1:0")
	w.address = dying.Addr().String()
	w.dying = "http://" + w.address
	w.server = serveSoak(t, dying, http.HandlerFunc(serveSoakItems))
	return w
}

func listenSoak(t *testing.T, address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serveSoak(t *testing.T, l net.Listener, h http.Handler) *http.Server {
	s := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends when it is closed
	t.Cleanup(func() { _ = s.Close(); serving.Wait() })
	return s
}

func serveSoakItems(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/upload":
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	case "/streams/socket":
		websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }).ServeHTTP(w, r)
	case "/streams/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			fmt.Fprint(w, "data: event\n\n")
			if http.NewResponseController(w).Flush() != nil || !pause(r.Context(), 50*time.Millisecond) {
				return
			}
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"n":7}`)
	}
}

// misfortunes has the service that dies die, with all its connections, and come
// back.
func (w *soakWorld) misfortunes(ctx context.Context) {
	for pause(ctx, 900*time.Millisecond) {
		_ = w.server.Close()
		w.deaths.Add(1)
		pause(ctx, 300*time.Millisecond)
		l, err := net.Listen("tcp", w.address)
		if err != nil {
			w.t.Error(err)
			return
		}
		w.server = serveSoak(w.t, l, http.HandlerFunc(serveSoakItems))
	}
}

// soakIssuer signs tokens with a key that it changes. A key is in the set for a
// while before it is used, and after.
type soakIssuer struct {
	url       string
	rotations atomic.Int64
	fetched   atomic.Int64
	mood      atomic.Int64 // 0 answers, 1 fails, 2 is slow

	mu      sync.Mutex
	keys    []soakKey // published; tokens are signed with the one of signs
	signs   soakKey
	served  int // keys up to this number were in a set that was fetched
	tokens  int
	current string // the token of signs, for a second
	until   time.Time
}

type soakKey struct {
	id  int
	key *ecdsa.PrivateKey
}

func newSoakIssuer(t *testing.T) *soakIssuer {
	i := &soakIssuer{}
	i.publish()
	i.signs = i.keys[0]
	return i
}

func (i *soakIssuer) publish() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	id := 1
	if n := len(i.keys); n > 0 {
		id = i.keys[n-1].id + 1
	}
	if i.keys = append(i.keys, soakKey{id, key}); len(i.keys) > 3 {
		i.keys = i.keys[1:]
	}
}

// rotate publishes a key, waits until it was fetched, as issuers do by waiting for
// long, and then signs with it. Between the two the endpoint is down or slow.
func (i *soakIssuer) rotate(ctx context.Context) {
	defer i.mood.Store(0)
	for {
		i.publish()
		for !i.fetchedLast() {
			if !pause(ctx, 20*time.Millisecond) {
				return
			}
		}
		if !pause(ctx, 200*time.Millisecond) { // what was fetched is put in place
			return
		}
		i.mu.Lock()
		i.signs, i.until = i.keys[len(i.keys)-1], time.Time{}
		i.mu.Unlock()
		i.mood.Store(1 + i.rotations.Add(1)%2)
		if !pause(ctx, 1500*time.Millisecond) {
			return
		}
		i.mood.Store(0)
	}
}

func (i *soakIssuer) fetchedLast() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.served == i.keys[len(i.keys)-1].id
}

func (i *soakIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.fetched.Add(1)
	switch i.mood.Load() {
	case 1:
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	case 2:
		pause(r.Context(), 2*time.Second)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	for _, k := range i.keys {
		point, err := k.key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		set.Keys = append(set.Keys, map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": fmt.Sprint(k.id), "x": encode(point[1:33]), "y": encode(point[33:])})
	}
	w.Header().Set("Content-Type", "application/json")
	if json.NewEncoder(w).Encode(set) == nil && r.Context().Err() == nil {
		i.served = i.keys[len(i.keys)-1].id
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token is one that holds now. There is a new one every 100ms.
func (i *soakIssuer) token() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := time.Now(); now.After(i.until) {
		i.tokens++
		text := encode(fmt.Appendf(nil, `{"alg":"ES256","typ":"JWT","kid":"%d"}`, i.signs.id)) + "." +
			encode(fmt.Appendf(nil, `{"iss":"soak","aud":"soak","sub":"s%d","exp":%d}`, i.tokens, now.Add(time.Minute).Unix()))
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, i.signs.key, sum[:])
		if err != nil {
			panic(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		i.current, i.until = text+"."+encode(sig), now.Add(100*time.Millisecond)
	}
	return i.current
}
