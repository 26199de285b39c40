package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// placement says on which core a child runs.
type placement uint8

const (
	otherCore  placement = iota // beside the driver
	serverCore                  // alone, with GOMAXPROCS=1
	anyCore                     // wherever the kernel puts it
)

// The counters of the Go runtime that servers publish on /metrics, as the Prometheus client names them.
const (
	mallocsTotal    = "go_memstats_mallocs_total"
	allocBytesTotal = "go_memstats_alloc_bytes_total"
)

// process is a running child.
type process struct {
	cmd     *exec.Cmd
	name    string
	output  string // file that holds what it wrote
	started time.Time
	exited  chan struct{}
	err     error // of Wait; read after exited is closed
}

// launch starts a program whose output goes to a file in dir.
func launch(c cores, where placement, dir string, argv []string) (*process, error) {
	out, err := os.CreateTemp(dir, "output-*")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = environment(where)
	p := &process{cmd: cmd, name: filepath.Base(argv[0]) + " " + argv[1], output: out.Name(), exited: make(chan struct{})}
	p.started = time.Now()
	if err := startOn(cmd, c, where); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// environment is the caller's without what tunes a Go runtime or configures the product: all programs run as they come.
func environment(where placement) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "WEIR_"), name == "GOGC", name == "GOMEMLIMIT", name == "GODEBUG", name == "GOMAXPROCS":
			continue
		}
		env = append(env, v)
	}
	if where != anyCore {
		env = append(env, "GOMAXPROCS=1")
	}
	return env
}

// stop ends the process: politely, and after five seconds by force.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// blame adds to err what the process last wrote.
func (p *process) blame(err error) error {
	text, readErr := os.ReadFile(p.output)
	text = bytes.TrimSpace(text)
	if err == nil || readErr != nil || len(text) == 0 {
		return err
	}
	const most = 4 << 10
	if len(text) > most {
		text = append([]byte("..."), text[len(text)-most:]...)
	}
	return fmt.Errorf("%w\n--- %s wrote:\n%s", err, p.name, text)
}

// ready waits until probe succeeds; it fails when the process ends or the time is up.
func (p *process) ready(ctx context.Context, within, pause time.Duration, probe func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.blame(fmt.Errorf("%s ended before it was ready: %w", p.name, errors.Join(p.err, err)))
		case <-ctx.Done():
			return p.blame(fmt.Errorf("%s was not ready within %v: %w", p.name, within, err))
		case <-time.After(pause):
		}
	}
}

// admin reads what a server says of itself; its connections are not kept.
var admin = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

func fetch(url string) ([]byte, error) {
	resp, err := admin.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", url, resp.StatusCode)
	}
	return body, err
}

// heap is what a Go program has allocated since it started.
type heap struct{ mallocs, bytes float64 }

func readHeap(adminAddr string) (heap, error) {
	text, err := fetch("http://" + adminAddr + "/metrics")
	if err != nil {
		return heap{}, err
	}
	return parseHeap(string(text))
}

func parseHeap(metrics string) (heap, error) {
	var h heap
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var into *float64
		switch name {
		case mallocsTotal:
			into = &h.mallocs
		case allocBytesTotal:
			into = &h.bytes
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return heap{}, fmt.Errorf("metric %s: %w", name, err)
		}
		*into = n
	}
	if h.mallocs == 0 || h.bytes == 0 {
		return heap{}, fmt.Errorf("/metrics has no %s or no %s", mallocsTotal, allocBytesTotal)
	}
	return h, nil
}

// freeAddress is a loopback address nobody listens on. Its port lies below those the kernel gives to clients:
// else a connection of the load could take it, and dialling it before the server listens could connect to itself.
func freeAddress() (string, error) {
	var last error
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		return addr, l.Close()
	}
	return "", fmt.Errorf("no free port: %w", last)
}
