package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads one message and returns its head and whole body.
func readAll(s *stream) (h head, line, body string, err error) {
	h, err = s.next()
	if err != nil {
		return h, "", "", err
	}
	line = string(h.line)
	for {
		p, err := s.piece()
		if err == io.EOF {
			return h, line, body, nil
		}
		if err != nil {
			return h, line, body, err
		}
		body += string(p)
	}
}

func TestStreamReadsOneMessageAfterAnother(t *testing.T) {
	const wire = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" +
		"HTTP/1.1 204 No Content\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\nA;x=y\r\n0123456789\r\n0\r\nTrail: er\r\n\r\n" +
		"HTTP/1.1 503 Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	want := []struct {
		line, body string
		status     int
		framed     bool
		closes     bool
	}{
		{"HTTP/1.1 200 OK", "hello", 200, true, false},
		{"HTTP/1.1 204 No Content", "", 204, false, false},
		{"HTTP/1.1 200 OK", "Wiki0123456789", 200, true, false},
		{"HTTP/1.1 503 Down", "", 503, true, true},
	}
	sources := map[string]io.Reader{
		"all at once":  strings.NewReader(wire),
		"byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
		"half by half": iotest.HalfReader(strings.NewReader(wire)),
	}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			s := newStream(src, 80)
			for _, w := range want {
				h, line, body, err := readAll(s)
				if err != nil {
					t.Fatal(err)
				}
				if line != w.line || body != w.body || h.framed != w.framed || h.closes != w.closes {
					t.Errorf("got %q %q framed=%v closes=%v, want %+v", line, body, h.framed, h.closes, w)
				}
				if status, err := (head{line: []byte(line)}).status(); err != nil || status != w.status {
					t.Errorf("status %d, %v, want %d", status, err, w.status)
				}
			}
			if _, err := s.next(); err != io.EOF {
				t.Errorf("after the last message: %v, want io.EOF", err)
			}
		})
	}
}

func TestStreamRefusesWhatIsNotAMessage(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		want error
	}{
		"cut head":          {"HTTP/1.1 200 OK\r\nContent-Le", io.ErrUnexpectedEOF},
		"cut body":          {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", io.ErrUnexpectedEOF},
		"cut chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", io.ErrUnexpectedEOF},
		"chunk without end": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", errChunk},
		"chunk of no size":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", errChunk},
		"negative length":   {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", errHead},
		"huge length":       {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", errHead},
		"empty first line":  {"\r\n\r\n\r\n", errHead},
		"endless head":      {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 500), errTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, _, err := readAll(newStream(strings.NewReader(c.wire), 128)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestFirstLineOfARequest(t *testing.T) {
	for line, want := range map[string]struct {
		method, path string
		bad          bool
	}{
		"GET /orders?user=7 HTTP/1.1": {method: "GET", path: "/orders?user=7"},
		"POST /echo HTTP/1.0":         {method: "POST", path: "/echo"},
		"GET /x":                      {bad: true},
		"GET /x SPDY/3":               {bad: true},
		"nonsense":                    {bad: true},
	} {
		method, path, err := head{line: []byte(line)}.target()
		if string(method) != want.method && !want.bad || string(path) != want.path && !want.bad || (err != nil) != want.bad {
			t.Errorf("%q: %q %q %v", line, method, path, err)
		}
	}
}

func TestReadingAMessageDoesNotAllocate(t *testing.T) {
	const wire = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	src := strings.NewReader(wire)
	s := newStream(src, 1024)
	got := testing.AllocsPerRun(100, func() {
		src.Reset(wire)
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := s.piece(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
	if got != 0 {
		t.Errorf("%v allocations per message, want none", got)
	}
}
