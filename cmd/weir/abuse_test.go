package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// abused starts a process that serves text, whose gateway is called public, and
// gives its addresses and its log. The program may call a service at BACKEND.
func abused(t *testing.T, text string) (address, admin string, log func() string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/flow.yaml", []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	b, err := launch(dir, append(os.Environ(), "WEIR_ADMIN=127.0.0.1:0", "WEIR_LOG_FORMAT=json"), "run", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kill)
	s, err := b.serving()
	if err != nil {
		t.Fatal(err)
	}
	return s.Gateways["public"].Address, s.Admin, b.log.String
}

// metric is the value of a metric of a process, which has one series of it for
// the labels.
func metric(t *testing.T, admin, series string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("there is no metric %s", series)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	resident    = "process_resident_memory_bytes"
	connections = `weir_http_connections{gateway="public"}`
)

// Ten thousand connections that send a header byte by byte hold up nobody, cost
// little, and are gone when their time is up.
func TestTenThousandSlowConnections(t *testing.T) {
	slow := 10000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if room := int(files.Max) - 200; room < slow { // this process has one side, Weir's the other
		t.Logf("the system allows %d connections, not %d", room, slow)
		slow = room
	}
	address, admin, _ := abused(t, `
flow: f
trigger: { http: GET / }
steps: [{ return: ok }]
---
gateways: { public: { listen: "127.0.0.1:0", limits: { header_time: 6s } } }
`)
	idle := metric(t, admin, resident)
	conns := make([]net.Conn, slow)
	var dialing sync.WaitGroup
	for part := range 4 {
		dialing.Go(func() {
			for i := part; i < slow; i += 4 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
			}
		})
	}
	dialing.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	var most float64
	for range 20 {
		if got := status(address, "/"); got != http.StatusOK {
			t.Errorf("somebody else got %d", got)
		}
		for _, c := range conns[:slow/20] {
			_, _ = io.WriteString(c, "a")
		}
		most = max(most, metric(t, admin, connections))
	}
	each := (metric(t, admin, resident) - idle) / float64(slow)
	t.Logf("%.0f of %d slow connections were open at a time, at %.1f KB each", most, slow, each/1024)
	if most < float64(slow)/4 {
		t.Error("too few to say anything")
	}
	if each > 40<<10 {
		t.Errorf("a slow connection takes %.0f bytes", each)
	}
	for deadline := time.Now().Add(patience); metric(t, admin, connections) > 1; time.Sleep(50 * time.Millisecond) { // of status
		if time.Now().After(deadline) {
			t.Fatalf("%v connections are still open", metric(t, admin, connections))
		}
	}
	if got := status(address, "/"); got != http.StatusOK {
		t.Errorf("afterwards somebody got %d", got)
	}
}

// wire is a service that answers with an empty object and keeps what came, byte
// by byte.
type wire struct {
	net.Listener
	mu  sync.Mutex
	got bytes.Buffer
}

func newWire(t *testing.T) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return w
}

// serve answers one request, of which it reads the header.
func (w *wire) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		w.mu.Lock()
		w.got.WriteString(line)
		w.mu.Unlock()
		if err != nil {
			return
		}
		if line == "\r\n" {
			break
		}
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
}

func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.String()
}

// What an expression puts into a header stays in it, on the wire of a service as
// on that of the caller; what cannot is refused.
func TestHeadersAreNotSmuggledByExpressions(t *testing.T) {
	backend := newWire(t)
	address, _, _ := abused(t, `
flow: called
trigger: { http: GET /called }
steps: [{ call: GET b /, headers: { X-Value: $(query.v) } }, { return: ok }]
---
flow: forwarded
trigger: { http: GET /forwarded }
steps: [{ forward: b, headers: { X-Value: $(query.v) } }]
---
flow: returned
trigger: { http: GET /returned }
steps: [{ return: ok, headers: { X-Value: $(query.v), Location: /x/$(query.v) } }]
---
flow: edited
trigger: { http: GET /edited, policies: [{ headers: { request: { set: { X-Value: $(query.v) } }, response: { set: { X-Value: $(query.v) } } } }] }
steps: [{ forward: b }]
---
services: { b: { endpoints: ["http://`+backend.Addr().String()+`"] } }
gateways: { public: { listen: "127.0.0.1:0" } }
`)
	for _, value := range []string{
		"a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\r\n\r\nGET /evil HTTP/1.1\r\nX-Evil: 1", "a\r\nContent-Length: 0\r\nX-Evil: 1",
		"a\x00X-Evil: 1", "a\u010d\u010aX-Evil: 1", "a\u2028X-Evil: 1", "a\x0bX-Evil: 1", "a\u0085X-Evil: 1",
	} {
		for _, path := range []string{"/called", "/forwarded", "/returned", "/edited"} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "GET %s?v=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path, url.QueryEscape(value))
			answer, err := io.ReadAll(c)
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			for who, text := range map[string]string{"the service": backend.text(), "the caller": string(answer)} {
				for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' || r == 0 }) {
					if strings.HasPrefix(line, "X-Evil") || strings.HasPrefix(line, "GET /evil") {
						t.Errorf("%s, %q: %s got\n%s", path, value, who, text)
					}
				}
			}
			if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 {
				t.Errorf("%s, %q: %d answers to one request", path, value, n)
			}
		}
	}
}

// A body that becomes a thousand times as large when it is unpacked is not
// unpacked, neither a caller's nor a service's.
func TestNobodyUnpacksBombs(t *testing.T) {
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 256 {
		_, _ = z.Write(bytes.Repeat([]byte("["), 1<<20))
	}
	_ = z.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})}
	go func() { _ = service.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = service.Close() })
	address, admin, _ := abused(t, `
flow: reads
trigger: { http: POST /reads }
steps: [{ return: $(body.a) }]
---
flow: calls
trigger: { http: POST /calls }
steps: [{ id: a, call: GET b / }, { return: $(a.b) }]
---
flow: forwards
trigger: { http: POST /forwards, policies: [{ compress: {} }] }
steps: [{ forward: b }]
---
services: { b: { endpoints: ["http://`+l.Addr().String()+`"] } }
gateways: { public: { listen: "127.0.0.1:0" } }
`)
	idle := metric(t, admin, resident)
	for path, want := range map[string]int{"/reads": http.StatusUnsupportedMediaType, "/calls": http.StatusBadGateway, "/forwards": http.StatusOK} {
		for range 4 {
			r, err := http.NewRequest("POST", "http://"+address+path, bytes.NewReader(bomb.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("Accept-Encoding", "gzip") // so that this client does not unpack it
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want || err != nil || want == http.StatusOK && n != int64(bomb.Len()) {
				t.Errorf("%s: %s, %d bytes, %v", path, resp.Status, n, err)
			}
		}
	}
	if grown := metric(t, admin, resident) - idle; grown > 64<<20 {
		t.Errorf("bombs of %d KB took %.0f MB", bomb.Len()>>10, grown/(1<<20))
	}
}

// Whatever a caller sends, each line of the log is one record of Weir's.
func TestCallersWriteNoLinesOfTheLog(t *testing.T) {
	address, _, log := abused(t, `
flow: fails
trigger: { http: "GET /fails/{rest:.*}" }
steps:
  - { log: "for $(headers[\"User-Agent\"]) by $(query.q)", fields: { rest: $(params.rest) } }
  - { fail: no $(query.q), status: 500 }
---
gateways: { public: { listen: "127.0.0.1:0", access_log: {} } }
`)
	const evil = `%0a{"level":"ERROR","msg":"evil"}%0d%0a`
	for _, target := range []string{"/fails/" + evil, "/fails/x?q=" + evil, "/none/" + evil, "/fails/%1b[2J%E2%80%AE", "/fails/x?q=%00%85%c2%85%e2%80%a8"} {
		for _, line := range []string{"", "X-Request-Id: a\tb", "User-Agent: {\"level\":\"ERROR\",\"msg\":\"evil\"}\x85", "Referer: \x1b[31m", "Host: evil\" msg=\"evil"} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			header := "GET " + target + " HTTP/1.1\r\nConnection: close\r\n"
			if !strings.HasPrefix(line, "Host") {
				header += "Host: x\r\n"
			}
			if line != "" {
				header += line + "\r\n"
			}
			_, _ = io.WriteString(c, header+"\r\n")
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}
	records := 0
	for line := range strings.Lines(log()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%q is no record: %v", line, err)
		}
		if record["msg"] == "evil" {
			t.Errorf("a caller wrote %s", line)
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b\r\x7f") {
			t.Errorf("a line has control characters: %q", line)
		}
		records++
	}
	if records < 10 {
		t.Errorf("only %d records", records)
	}
}
