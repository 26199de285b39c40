package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/weir-run/weir/mesh"
	"github.com/weir-run/weir/mesh/h1"
)

// What all policies of a service cost when nothing fails: the same calls are made over the bare transport and through
// the whole stack, in turns, by a process that has the server's core to itself. Connections are in memory and answer at
// once, so that what is left of the difference is the stack's.

// overhead is by how much a call through the stack is the dearer, turn by turn.
type overhead struct {
	CPU    []float64 `json:"cpu_us"`
	Allocs []float64 `json:"allocs"`
}

const (
	overheadWarm  = 12 // turns, until pools are filled and the stack knows how long replies take
	overheadTurns = 60
	overheadCalls = 3_000 // in each turn
)

// everything is a service with all that can be switched on.
func everything(dial func(context.Context, string, string) (net.Conn, error)) mesh.Config {
	return mesh.Config{
		Endpoints:         []string{"http://one.example", "http://two.example"},
		Timeout:           time.Minute,
		Deadline:          2 * time.Minute,
		DeadlineHeader:    "X-Envoy-Expected-Rq-Timeout-Ms",
		StreamIdleTimeout: time.Minute,
		Retry:             mesh.Retry{Attempts: 3},
		Hedge:             mesh.Hedge{Extra: 0.01},
		Breaker:           mesh.Breaker{Ratio: 0.5, Slow: mesh.Slow{Over: time.Minute}},
		ServiceBreaker:    mesh.Breaker{Ratio: 0.5, Within: 10 * time.Second},
		Limit:             mesh.Limit{Concurrent: 100, PerEndpoint: 50, Queue: 50},
		Ejection:          mesh.Ejection{Ratio: 0.3},
		Health:            mesh.Health{Check: "tcp", Interval: time.Hour},
		SlowStart:         time.Minute,
		Observe:           func(context.Context, mesh.Attempt) {},
		Dial:              dial,
	}
}

// measureOverhead is the role of a process that writes an overhead as JSON.
func measureOverhead(ctx context.Context, out io.Writer) error {
	dial := func(context.Context, string, string) (net.Conn, error) { return &echo{}, nil }
	bare := h1.New(&url.URL{Scheme: "http", Host: "one.example"}, h1.Config{Dial: dial})
	defer bare.Close()
	stack, err := mesh.Open("all", everything(dial))
	if err != nil {
		return err
	}
	defer stack.Close()
	caller, leave := context.WithCancel(ctx) // as the context of a request that is served
	defer leave()
	req, err := http.NewRequestWithContext(caller, http.MethodGet, "http://service/customers/7/orders", nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {"bench/1"}, "X-Tenant": {"acme"}, "X-Request-Id": {"0123456789abcdef"}}
	debug.SetGCPercent(800) // of 4 MB: garbage is collected when it has come to 32 MB, as in Weir
	buf := make([]byte, 4<<10)
	turn := func(over http.RoundTripper) (cpu, allocs float64, err error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start, err := cpuTime(os.Getpid())
		if err != nil {
			return 0, 0, err
		}
		for range overheadCalls {
			if err := fetchOver(over, req, buf); err != nil {
				return 0, 0, err
			}
		}
		end, err := cpuTime(os.Getpid())
		runtime.ReadMemStats(&after)
		return micros(end-start) / overheadCalls, float64(after.Mallocs-before.Mallocs) / overheadCalls, err
	}
	var o overhead
	for i := range overheadWarm + overheadTurns {
		cheap, few, err := turn(bare)
		if err != nil {
			return err
		}
		dear, many, err := turn(stack)
		if err != nil {
			return err
		}
		if i >= overheadWarm {
			o.CPU, o.Allocs = append(o.CPU, dear-cheap), append(o.Allocs, many-few)
		}
	}
	return json.NewEncoder(out).Encode(o)
}

func fetchOver(over http.RoundTripper, req *http.Request, buf []byte) error {
	resp, err := over.RoundTrip(req)
	for err == nil {
		_, err = resp.Body.Read(buf)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return resp.Body.Close()
}

// overhead runs that role.
func (l *lab) overhead(ctx context.Context) ([]fact, error) {
	p, err := launch(l.cores, serverCore, l.dir, []string{l.self, "overhead"})
	if err != nil {
		return nil, err
	}
	defer p.stop()
	select {
	case <-p.exited:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Minute):
		return nil, p.blame(errors.New("overhead: it does not end"))
	}
	if p.err != nil {
		return nil, p.blame(fmt.Errorf("overhead: %w", p.err))
	}
	text, err := os.ReadFile(p.output)
	if err != nil {
		return nil, err
	}
	var o overhead
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, p.blame(fmt.Errorf("overhead: %w", err))
	}
	return overheadFacts(o), nil
}

func overheadFacts(o overhead) []fact {
	return []fact{
		{Job: "overhead", Target: "weir", Name: "all policies, CPU", Unit: "us/call", Value: summarize(o.CPU)},
		{Job: "overhead", Target: "weir", Name: "all policies, allocations", Unit: "1/call", Value: summarize(o.Allocs)},
	}
}

// echo is a connection whose other end answers each write at once.
type echo struct{ left string }

const echoAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n" + `{"id":7,"name":"Ada","n":1}`

func (c *echo) Write(p []byte) (int, error) {
	c.left = echoAnswer
	return len(p), nil
}

func (c *echo) Read(p []byte) (int, error) {
	if c.left == "" {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (*echo) Close() error                     { return nil }
func (*echo) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*echo) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*echo) SetDeadline(time.Time) error      { return nil }
func (*echo) SetReadDeadline(time.Time) error  { return nil }
func (*echo) SetWriteDeadline(time.Time) error { return nil }
