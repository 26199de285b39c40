package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var soak = flag.Duration("soak", 4*time.Second, "how long TestSoak lasts; make soak lets it last 10m")

// soakProgram is served all the time. What is behind a service named steady never
// fails; who asks for it must never see a 5xx.
const soakProgram = `
flow: open
trigger: { http: GET /open, gateway: public }
steps: [{ return: ok }]
---
flow: token
trigger:
  http: GET /token
  gateway: public
  policies:
    - jwt: { issuer: soak, audience: soak, jwks: "JWKS/keys", refresh: 1s }
      rate_limit: { rate: 100000/s }
steps: [{ forward: steady, path: /item }]
---
flow: composed
trigger: { http: GET /composed, gateway: public }
steps:
  - compose:
      a: { call: GET steady /item }
      b: { call: GET dying /item, timeout: 500ms, fallback: null }
      c: { call: GET faulty /item, fallback: null }
  - return: { a: $(a.n), b: "$(b?.n)", c: "$(c?.n)" }
---
flow: cached
trigger: { http: GET /cached, gateway: public, policies: [{ cache: { ttl: 1s } }] }
steps: [{ forward: steady, path: /item }]
---
flow: upload
trigger: { http: POST /upload, gateway: public, max_body: 4MB }
steps: [{ forward: steady }]
---
flow: streams
trigger: { http: "GET /streams/{kind}", gateway: public, deadline: 24h }
steps: [{ forward: steady }]
---
flow: dying
trigger: { http: GET /dying, gateway: public }
steps: [{ forward: dying, path: /item }]
---
flow: faulty
trigger: { http: GET /faulty, gateway: public, policies: [{ compress: {} }] }
steps: [{ id: a, call: GET faulty /item }, { return: $(a.n) }]
---
services:
  steady: { endpoints: ["STEADY"], timeout: 20s }
  dying: { endpoints: ["DYING"], timeout: 1s, breaker: { failures: 5, open: 500ms } }
  faulty: { endpoints: ["STEADY"], inject: { share: 20%, abort: 503, delay: 10ms } }
---
gateways: { public: { listen: "127.0.0.1:0", h2c: true } }
`

// soakChange is a file that is written again and again, soundly or not.
func soakChange(v int, sound bool) string {
	text := fmt.Sprintf(`
flow: changing
trigger: { http: GET /changing, gateway: public }
steps: [{ id: a, call: GET changing /item }, { return: { version: %d, n: $(a.n) } }]
---
services: { changing: { endpoints: ["STEADY"], timeout: %dms } }
`, v, 10000+v)
	if !sound {
		return strings.Replace(text, "$(a.n)", "$(b.n)", 1)
	}
	return text
}

// TestSoak serves a mixed load while files change, soundly or not, a service dies
// and comes back, another fails on purpose, and the keys of tokens are rotated, are
// not to be had for a while, and come slowly. No request fails that no service has
// failed, no stream ends, and memory and goroutines are in the end what they were.
func TestSoak(t *testing.T) {
	world := newSoakWorld(t)
	dir := t.TempDir()
	place := strings.NewReplacer("STEADY", world.steady, "DYING", world.dying, "JWKS", world.issuer.url)
	save := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", []byte(place.Replace(text)), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	save("main.yaml", soakProgram)
	save("changing.yaml", soakChange(0, true))
	b, err := launch(dir, append(os.Environ(), "WEIR_ADMIN=127.0.0.1:0", "WEIR_LOG_FORMAT=json", "WEIR_POLL=100ms"), "run", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kill)
	at, err := b.serving()
	if err != nil {
		t.Fatal(err)
	}
	load := &soakLoad{t: t, base: "http://" + at.Gateways["public"].Address, issuer: world.issuer, tallies: map[string]*tally{}}
	watch := &soakWatch{t: t, admin: at.Admin}

	warm := min(*soak/4, 30*time.Second)
	ctx, stop := context.WithTimeout(t.Context(), *soak)
	defer stop()
	var working sync.WaitGroup
	for i := range 6 {
		working.Go(func() { load.run(ctx, i%3 == 2) })
	}
	for range 4 {
		working.Go(func() { load.socket(ctx, at.Gateways["public"].Address) })
		working.Go(func() { load.events(ctx) })
	}
	working.Go(func() { world.misfortunes(ctx) })
	working.Go(func() { world.issuer.rotate(ctx) })
	changes := 0
	working.Go(func() {
		for v := 1; pause(ctx, 400*time.Millisecond); v++ {
			save("changing.yaml", soakChange(v, v%5 != 0))
			changes++
		}
		save("changing.yaml", soakChange(0, true))
	})
	working.Go(func() { watch.run(ctx, warm) })
	working.Wait()

	watch.last()
	loads := metric(t, at.Admin, `weir_config_reloads_total{result="success"}`)
	var table strings.Builder
	fmt.Fprintf(&table, "%v: %d changes of files, of which %.0f were served; %d rotations of keys, which were fetched %d times; the service that dies was down %d times\n\n",
		*soak, changes, loads, world.issuer.rotations.Load(), world.issuer.fetched.Load(), world.deaths.Load())
	load.report(&table)
	watch.report(&table)
	t.Log("\n" + table.String())
	if loads < float64(changes)/4 {
		t.Errorf("%v of %d changes were served", loads, changes)
	}
	if b.cmd.ProcessState != nil {
		t.Errorf("the process has ended:\n%s", b.log.String())
	}
	if t.Failed() {
		log := b.log.String()
		t.Logf("the log ends with\n%s", log[max(0, len(log)-8000):])
	}
}

// pause waits, and reports whether there is any time left.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// tally is what became of the requests of one kind.
type tally struct {
	requests, theirs, other int // of which services failed, and which failed otherwise
	took                    []time.Duration
	seen                    string // one of other
}

// soakLoad asks, and counts what comes of it.
type soakLoad struct {
	t      *testing.T
	base   string
	issuer *soakIssuer

	mu      sync.Mutex
	tallies map[string]*tally
}

// note counts one request. theirs says that a service may have failed it.
func (l *soakLoad) note(kind string, took time.Duration, theirs bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.tallies[kind]
	if c == nil {
		c = &tally{}
		l.tallies[kind] = c
	}
	c.requests++
	const most = 10000 // of which a sample is kept
	if len(c.took) < most {
		c.took = append(c.took, took)
	} else if i := rand.IntN(c.requests); i < most {
		c.took[i] = took
	}
	switch {
	case err == nil:
	case theirs:
		c.theirs++
	default:
		c.other++
		if c.seen == "" {
			c.seen = err.Error()
		}
	}
}

func (l *soakLoad) report(out *strings.Builder) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\trequests\tfailed by services\tfailed otherwise\tp50\tp99\t")
	for _, kind := range sorted(keysOf(l.tallies)) {
		c := l.tallies[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%v\t%v\t\n", kind, c.requests, c.theirs, c.other, quantile(c.took, 0.5), quantile(c.took, 0.99))
		if c.other > 0 {
			l.t.Errorf("%s: %d requests failed and no service had: %s", kind, c.other, c.seen)
		}
		if c.requests == c.theirs {
			l.t.Errorf("%s: none of %d requests succeeded", kind, c.requests)
		}
	}
	_ = table.Flush()
	out.WriteByte('\n')
}

// run asks for everything in turn, over HTTP/1.1 or HTTP/2.
func (l *soakLoad) run(ctx context.Context, http2 bool) {
	transport := &http.Transport{MaxIdleConnsPerHost: 2, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for i := 0; pause(ctx, time.Duration(rand.IntN(8))*time.Millisecond); i++ {
		kind := []string{"open", "token", "composed", "cached", "upload", "dying", "faulty", "changing"}[i%8]
		begin := time.Now()
		err := l.ask(client, kind)
		l.note(kind, time.Since(begin), kind == "dying" || kind == "faulty", err)
	}
}
