package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// deadline is the time one request may take, in the hand-written services as in the flow files.
const deadline = 5 * time.Second

// floor is the service a good Go programmer writes for these jobs with the standard library alone: the yardstick.
// It does what the flow files say and no more (no request ids, no metrics, no forwarding headers), so it flatters nobody.
type floor struct {
	base   string
	client *http.Client
}

func newFloor(backend string, d *duties) http.Handler {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		ReadBufferSize:      16 << 10,
		WriteBufferSize:     16 << 10,
	}
	f := &floor{base: "http://" + backend, client: &http.Client{Transport: transport}}
	upstream := &url.URL{Scheme: "http", Host: backend}
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport:  transport,
		BufferPool: &bufferPool{},
	}
	return routes(d, timed(proxy), timed(http.HandlerFunc(f.compose)), timed(http.HandlerFunc(f.chain)))
}

// routes are those of the flow files. One pattern stands for all of the 10,000: the yardstick does not grow with them.
func routes(d *duties, forward, compose, chain http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /get", forward)
	mux.Handle("POST /echo", forward)
	mux.Handle("GET /blob", forward)
	mux.Handle("GET /routes/{route}/items/{id}", forward)
	mux.Handle("GET /compose/{segment}/{id}", compose)
	mux.Handle("GET /chain/{id}", chain)
	for _, algorithm := range algorithms {
		mux.Handle("GET /guarded/"+strings.ToLower(algorithm), d.verified(algorithm, forward))
	}
	mux.Handle("GET /guarded/limit", d.limited(forward))
	mux.Handle("GET /guarded/cache", d.cached(forward))
	mux.Handle("GET /guarded/gzip", d.compressed(forward))
	return mux
}

func timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// What is only passed on stays raw, what is read has a type.
type user struct {
	ID      int             `json:"id"`
	First   string          `json:"first"`
	Last    string          `json:"last"`
	Active  bool            `json:"active"`
	Segment string          `json:"segment"`
	Address json.RawMessage `json:"address"`
}

type offers struct {
	Items json.RawMessage `json:"items"`
}

type profile struct {
	ID      int             `json:"id"`
	Name    string          `json:"name"`
	Segment string          `json:"segment"`
	Address json.RawMessage `json:"address"`
	Orders  json.RawMessage `json:"orders"`
	Offers  json.RawMessage `json:"offers"`
}

func (f *floor) compose(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	id, segment := r.PathValue("id"), r.PathValue("segment")
	var (
		u     user
		list  json.RawMessage
		deals offers
		group sync.WaitGroup
	)
	fetch := func(path string, into any) {
		if err := f.fetch(ctx, path, into); err != nil {
			cancel(err)
		}
	}
	group.Go(func() { fetch("/orders?user="+url.QueryEscape(id), &list) })
	group.Go(func() { fetch("/segments/"+url.PathEscape(segment)+"/offers", &deals) })
	fetch("/users/"+url.PathEscape(id), &u)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	answer(w, &u, list, deals.Items)
}

func (f *floor) chain(w http.ResponseWriter, r *http.Request) {
	var (
		u     user
		list  json.RawMessage
		deals offers
	)
	err := f.fetch(r.Context(), "/users/"+url.PathEscape(r.PathValue("id")), &u)
	if err == nil {
		err = f.fetch(r.Context(), "/orders?user="+strconv.Itoa(u.ID), &list)
	}
	if err == nil && u.Active {
		err = f.fetch(r.Context(), "/segments/"+url.PathEscape(u.Segment)+"/offers", &deals)
	}
	if err != nil {
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	answer(w, &u, list, deals.Items)
}

func (f *floor) fetch(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func answer(w http.ResponseWriter, u *user, list, deals json.RawMessage) {
	body, err := json.Marshal(profile{
		ID: u.ID, Name: u.First + " " + u.Last, Segment: u.Segment, Address: u.Address, Orders: list, Offers: deals,
	})
	if err != nil {
		http.Error(w, "encoding failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// bufferPool keeps ReverseProxy from allocating 32 KB for every request.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
