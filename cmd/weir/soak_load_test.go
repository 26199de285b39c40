package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/net/websocket"
)

// ask sends one request, and fails unless its answer is whole and right.
func (l *soakLoad) ask(client *http.Client, kind string) error {
	// No context: one that ends with the load would fail what is under way.
	method, body := http.MethodGet, []byte(nil)
	if kind == "upload" {
		method, body = http.MethodPost, bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	}
	r, err := http.NewRequest(method, l.base+"/"+kind, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if kind == "token" {
		r.Header.Set("Authorization", "Bearer "+l.issuer.token())
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %.300s", resp.Status, got)
	}
	if kind == "upload" && string(got) != fmt.Sprint(len(body)) {
		return fmt.Errorf("%.100s of %d bytes arrived", got, len(body))
	}
	return nil
}

// socket keeps a WebSocket until the load ends.
func (l *soakLoad) socket(ctx context.Context, address string) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		l.note("WebSocket", 0, false, err)
		return
	}
	defer raw.Close()
	config, err := websocket.NewConfig("ws://x/streams/socket", "http://x/")
	if err != nil {
		l.t.Error(err)
		return
	}
	c, err := websocket.NewClient(config, raw)
	if err != nil {
		l.note("WebSocket", 0, false, err)
		return
	}
	for i := 0; pause(ctx, 50*time.Millisecond); i++ {
		begin, sent := time.Now(), fmt.Sprint("message ", i)
		_, err := io.WriteString(c, sent)
		got := make([]byte, len(sent))
		if err == nil {
			_, err = io.ReadFull(c, got)
		}
		if err == nil && string(got) != sent {
			err = fmt.Errorf("got %q", got)
		}
		if l.note("WebSocket", time.Since(begin), false, err); err != nil {
			return
		}
	}
}

// events keeps a stream of events, one every 50ms.
func (l *soakLoad) events(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/streams/events", nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		l.note("events", 0, false, err)
		return
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for end := time.Now().Add(*soak - 500*time.Millisecond); time.Now().Before(end); {
		begin := time.Now()
		line, err := in.ReadString('\n')
		if err == nil && line != "data: event\n" && line != "\n" {
			err = fmt.Errorf("got %q", line)
		}
		if l.note("events", time.Since(begin), false, err); err != nil {
			return
		}
	}
}

// soakSample is how the process is at a moment.
type soakSample struct {
	at                         time.Duration
	resident, heap, goroutines float64
}

// soakWatch looks at the process.
type soakWatch struct {
	t       *testing.T
	admin   string
	samples []soakSample // under load
	idle    soakSample   // afterwards
}

func (w *soakWatch) look(at time.Duration) soakSample {
	return soakSample{at, metric(w.t, w.admin, resident), metric(w.t, w.admin, "go_memstats_heap_alloc_bytes"), metric(w.t, w.admin, "go_goroutines")}
}

func (w *soakWatch) run(ctx context.Context, warm time.Duration) {
	begin := time.Now()
	for every := max(*soak/200, 50*time.Millisecond); pause(ctx, every); {
		if at := time.Since(begin); at > warm {
			w.samples = append(w.samples, w.look(at))
		}
	}
}

// last looks when all that the load has opened is closed.
func (w *soakWatch) last() {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		w.idle = w.look(*soak)
		open := metric(w.t, w.admin, connections)
		if open == 0 && w.idle.goroutines < 60 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("%v connections and %v goroutines when nobody asks", open, w.idle.goroutines)
			return
		}
	}
}

// report compares the quarters of the time under load. Of a heap that is collected
// now and then, what it never falls below tells whether it grows.
func (w *soakWatch) report(out *strings.Builder) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tresident, most\theap, least\tgoroutines, most\t")
	const parts, mb = 4, 1 << 20
	var quarters [parts]soakSample
	for i := range parts {
		part := w.samples[i*len(w.samples)/parts : (i+1)*len(w.samples)/parts]
		if len(part) == 0 {
			w.t.Error("the time was too short to compare anything")
			return
		}
		q := &quarters[i]
		q.at, q.heap = part[len(part)-1].at, part[0].heap
		for _, s := range part {
			q.resident, q.heap, q.goroutines = max(q.resident, s.resident), min(q.heap, s.heap), max(q.goroutines, s.goroutines)
		}
		fmt.Fprintf(table, "until %v\t%.1f MB\t%.1f MB\t%.0f\t\n", q.at.Round(time.Second/10), q.resident/mb, q.heap/mb, q.goroutines)
	}
	fmt.Fprintf(table, "nobody asks\t%.1f MB\t%.1f MB\t%.0f\t\n", w.idle.resident/mb, w.idle.heap/mb, w.idle.goroutines)
	_ = table.Flush()
	if *soak < time.Minute {
		return // too short to tell growth from what comes and goes
	}
	first, last := quarters[0], quarters[parts-1]
	if last.heap > 1.25*first.heap+4*mb {
		w.t.Errorf("the heap has grown from %.1f to %.1f MB", first.heap/mb, last.heap/mb)
	}
	if last.resident > 1.25*first.resident+16*mb {
		w.t.Errorf("the process has grown from %.1f to %.1f MB", first.resident/mb, last.resident/mb)
	}
	if last.goroutines > 1.5*first.goroutines+50 {
		w.t.Errorf("goroutines have grown from %.0f to %.0f", first.goroutines, last.goroutines)
	}
}

func quantile(of []time.Duration, q float64) time.Duration {
	slices.Sort(of)
	return of[int(q*float64(len(of)-1))].Round(10 * time.Microsecond)
}

func keysOf[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
