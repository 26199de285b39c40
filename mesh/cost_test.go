package mesh

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// replying answers requests without a body, and does not allocate.
func replying(text string) func(net.Conn, *bufio.Reader) {
	answer := []byte(text)
	return func(conn net.Conn, in *bufio.Reader) {
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
	}
}

var plainReply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)

// allPolicies are switched on, and nothing fails.
func allPolicies(base string) Config {
	return Config{
		Endpoints: []string{base, base + "/again"},
		Timeout:   time.Minute,
		Retry:     Retry{Attempts: 3},
		Limit:     Limit{Adaptive: Adaptive{Max: 200}, PerEndpoint: 50, Queue: 50},
		Breaker:   Breaker{Ratio: 0.5, Slow: Slow{Over: time.Minute}},

		ServiceBreaker: Breaker{Ratio: 0.5, Within: 10 * time.Second},
		SlowStart:      time.Minute,
		Ejection:       Ejection{Ratio: 0.3},
		Health:         Health{Check: checkTCP, Interval: time.Hour},
	}
}

// learned is a service that knows how long replies take, so that it is ready to
// hedge.
func learned(t testing.TB, base string) *Service {
	cfg := allPolicies(base)
	cfg.Hedge = Hedge{Extra: 0.01}
	s := open(t, cfg)
	for range 1000 {
		s.hedge.latencies.observe(0, time.Minute)
	}
	return s
}

func readReply(t testing.TB, rt http.RoundTripper, req *http.Request, buf []byte) {
	resp, err := rt.RoundTrip(req)
	for err == nil {
		_, err = resp.Body.Read(buf)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// The stack costs one allocation over the bare transport, for following the
// body, and net/http needs a request of its own and that request's URL.
// Policies that have nothing to do cost none, but where net/http is to end a
// call by the attempt timeout: that takes a context.
func TestCostInAllocations(t *testing.T) {
	base := rawServer(t, replying(plainReply))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, buf := newRequest(t, "GET", base+"/", nil).WithContext(ctx), make([]byte, 4096)
	measure := func(rt http.RoundTripper) float64 {
		return testing.AllocsPerRun(200, func() { readReply(t, rt, req, buf) })
	}
	u, _, _ := parseEndpoint(base)
	client := h1.New(u, h1.Config{})
	defer client.Close()
	std := newStdTransport(u, Config{}.withDefaults())
	defer std.close()
	bareH1, bareStd := measure(client), measure(std.begin().tr)
	const varies = 2 // what net/http has of its pools
	for _, c := range []struct {
		name    string
		s       *Service
		ceiling float64
	}{
		{"h1, no policy", open(t, Config{Endpoints: []string{base}}), bareH1 + 1},
		{"h1, all policies", open(t, allPolicies(base)), bareH1 + 1},
		{"h1, credentials", open(t, Config{Endpoints: []string{base}, Credentials: known{}}), bareH1 + 4},
		{"h1, all policies and hedging", learned(t, base), bareH1 + 10},
		{"net/http, no policy", overStd(open(t, Config{Endpoints: []string{base}})), bareStd + 3 + varies},
		{"net/http, all policies", overStd(open(t, allPolicies(base))), bareStd + 13 + varies},
	} {
		if got := measure(c.s); got > c.ceiling {
			t.Errorf("%s: %v allocations, ceiling %v", c.name, got, c.ceiling)
		}
	}
}

// BenchmarkStack shows what the layers cost over a bare transport, when nothing fails.
func BenchmarkStack(b *testing.B) {
	base := rawServer(b, replying(plainReply))
	u, _, _ := parseEndpoint(base)
	client := h1.New(u, h1.Config{})
	defer client.Close()
	std := newStdTransport(u, Config{}.withDefaults())
	defer std.close()
	for _, c := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"h1/bare", client},
		{"h1/no policy", open(b, Config{Endpoints: []string{base}})},
		{"h1/all policies", open(b, allPolicies(base))},
		{"h1/all policies and hedging", learned(b, base)},
		{"net-http/bare", std.begin().tr},
		{"net-http/no policy", overStd(open(b, Config{Endpoints: []string{base}}))},
		{"net-http/all policies", overStd(open(b, allPolicies(base)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			req, buf := newRequest(b, "GET", base+"/", nil).WithContext(ctx), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				readReply(b, c.rt, req, buf)
			}
		})
	}
	// Without a connection below it the stack itself can be seen.
	b.Run("nothing/all policies", func(b *testing.B) {
		cfg := allPolicies(base)
		cfg.Timeout = 0
		s := open(b, cfg)
		resp := &http.Response{StatusCode: 200, Body: http.NoBody}
		for _, e := range s.set.Load().endpoints {
			e.transport = nothing{resp}
		}
		req := newRequest(b, "GET", base+"/", nil)
		b.ReportAllocs()
		for b.Loop() {
			s.RoundTrip(req)
		}
	})
}

// known are credentials that are always there.
type known struct{}

var knownToken = []string{"Bearer t"}

func (known) Authorization(context.Context) ([]string, error)   { return knownToken, nil }
func (known) Renew(context.Context, []string) ([]string, error) { return nil, errSameToken }
func (known) Stats() CredentialsStats                           { return CredentialsStats{} }

type nothing struct{ resp *http.Response }

func (n nothing) roundTrip(*http.Request, h1.Options) (*http.Response, error) {
	return n.resp, nil
}
func (nothing) close()                              {}
func (nothing) connections() (dialed, closed int64) { return 0, 0 }

// BenchmarkPick is a pick as an attempt has it, which knows what time it is, with
// nothing wrong and while one endpoint is out.
func BenchmarkPick(b *testing.B) {
	for _, name := range Balancers() {
		for _, n := range []int{3, 100} {
			for _, state := range endpointStates {
				b.Run(fmt.Sprint(name, "/", n, " endpoints/", state.name), func(b *testing.B) {
					s := oneIs(b, state.set, name, n)
					req := newRequest(b, "GET", "/", nil)
					req.Header.Set("X-User", "ada")
					b.ReportAllocs()
					now := time.Now()
					for b.Loop() {
						var tried tried
						p, err := tried.pick(s, req, now)
						if err != nil {
							b.Fatal(err)
						}
						p.release()
					}
				})
			}
		}
	}
}
