package lsp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sink keeps what is written to it.
type sink struct {
	mu   sync.Mutex
	more *sync.Cond
	text strings.Builder
}

func newSink() *sink {
	s := &sink{}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more.Broadcast()
	return s.text.Write(b)
}

func (s *sink) Close() error { return nil }

// wait waits until all texts have come.
func (s *sink) wait(texts ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(s.text.String(), text) }) {
		s.more.Wait()
	}
	return s.text.String()
}

func framed(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

const hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}`

func TestHostileFramesAreAnsweredAndPassedOver(t *testing.T) {
	unknown := framed(`{"jsonrpc":"2.0","id":7,"method":"last"}`)
	for name, c := range map[string]struct {
		in, want string
	}{
		"bad JSON":                      {framed(`{"jsonrpc":`), "-32700"},
		"no object":                     {framed(`42`), "-32700"},
		"an empty message":              {framed(``), "-32700"},
		"an empty batch":                {framed(`[]`), "-32600"},
		"not JSON-RPC":                  {framed(`{"id":1}`), "-32600"},
		"an id that is none":            {framed(`{"jsonrpc":"2.0","id":{},"method":"x"}`), "-32600"},
		"a response to nothing":         {framed(`{"jsonrpc":"2.0","id":99,"result":1}`), "-32600"},
		"a header without a length":     {"Content-Type: x\r\n\r\n", "-32700"},
		"a header that is none":         {strings.Repeat("x", 100_000) + "\r\n\r\n", "-32700"},
		"a length that is no number":    {"Content-Length: many\r\n\r\n", "-32700"},
		"a length below nothing":        {"Content-Length: -1\r\n\r\n", "-32700"},
		"a length that is too long":     {fmt.Sprintf("Content-Length: %d\r\n\r\n%s", maxFrame+1, strings.Repeat(" ", maxFrame+1)), "-32700"},
		"a length that overflows":       {"Content-Length: 99999999999999999999999\r\n\r\n", "-32700"},
		"lines without carriage return": {strings.ReplaceAll(framed(`{"jsonrpc":"2.0","id":8,"method":"x"}`), "\r", ""), "-32601"},
		"empty lines before a header":   {"\r\n\n" + framed(`{"jsonrpc":"2.0","id":8,"method":"x"}`), "-32601"},
		"a header in other letters":     {"content-LENGTH : 2\r\nX: y\r\n\r\n{}", "-32600"},
		"deep nesting":                  {framed(strings.Repeat(`{"jsonrpc":`, 100_000)), "-32700"},
		"parameters of another type":    {framed(`{"jsonrpc":"2.0","id":8,"method":"textDocument/hover","params":{"position":"here"}}`), "-32602"},
		"a position far outside":        {framed(`{"jsonrpc":"2.0","id":8,"method":"textDocument/hover","params":{"position":{"line":-9,"character":9000000000}}}`), `"result":null`},
	} {
		t.Run(name, func(t *testing.T) {
			in, write := io.Pipe()
			out := newSink()
			done := make(chan error, 1)
			go func() {
				_, err := Serve(context.Background(), in, out, options(t))
				done <- err
			}()
			io.WriteString(write, framed(hello))
			out.wait(`"id":1`)
			io.WriteString(write, c.in+unknown)
			out.wait(c.want, `"id":7`) // or the test never ends
			write.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnEndlessMessageTakesNoMemory(t *testing.T) {
	in := io.MultiReader(strings.NewReader(fmt.Sprintf("Content-Length: %d\r\n\r\n", int64(math.MaxInt64))), io.LimitReader(zeros{}, 64<<20))
	f := newFrames(in, newSink())
	if body, err := f.Recv(); err != nil || string(body) != string(invalid) {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := f.Recv(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	f = newFrames(strings.NewReader(fmt.Sprintf("Content-Length: %d\r\n\r\nshort", maxFrame)), newSink())
	if n := testing.AllocsPerRun(1, func() { f.Recv() }); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func FuzzFrames(f *testing.F) {
	f.Add([]byte(framed(hello) + "\r\n" + framed("[]") + "Content-Length: 99\n\nx"))
	f.Fuzz(func(t *testing.T, in []byte) {
		frames := newFrames(bytes.NewReader(in), newSink())
		for range len(in) + 2 {
			if _, err := frames.Recv(); err != nil {
				return
			}
		}
		t.Errorf("%q has no end", in)
	})
}
