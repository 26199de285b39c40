package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// FuzzTarget compares with package url, which plain paths go past.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{"/", "/a/b?c=d", "/a?", "/a??", "/?a?b?", "//a", "/a%2fb", "/a%zz", "/ä", "/a:b@c", "/[a]", "*", "x:80", "http://y/a?b", "/a#b", "?a", "a", "/a;b,c=d&e+f$"} {
		f.Add(target, false)
		f.Add(target, true)
	}
	f.Fuzz(func(t *testing.T, target string, connect bool) {
		if target == "" || !targetChars.spells(target) {
			return
		}
		x := &exchange{request: http.Request{Method: "GET", RequestURI: target}}
		whole := target
		authority := connect && target[0] != '/'
		if connect {
			x.request.Method = "CONNECT"
		}
		if authority {
			whole = "http://" + target
		}
		want, err := url.ParseRequestURI(whole)
		if fault := x.readTarget(); (fault != nil) != (err != nil) {
			t.Fatalf("%v, package url says %v", fault, err)
		}
		if err != nil {
			return
		}
		if authority {
			want.Scheme = ""
		}
		if !reflect.DeepEqual(*want, x.url) {
			t.Errorf("got %#v, want %#v", x.url, *want)
		}
	})
}

// FuzzChunks sends a text in chunks of any size, which come in any pieces and are
// read into any room.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("hello"), uint16(2), uint16(3), uint16(4), false)
	f.Add(bytes.Repeat([]byte("0123456789"), 2000), uint16(5000), uint16(4096), uint16(9000), true)
	f.Fuzz(func(t *testing.T, text []byte, chunk, piece, room uint16, trailer bool) {
		var raw strings.Builder
		raw.WriteString("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		for rest := text; len(rest) > 0; {
			n := min(int(chunk)+1, len(rest))
			fmt.Fprintf(&raw, "%X;x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		raw.WriteString("0\r\n")
		if trailer {
			raw.WriteString("X-Late: y\r\n")
		}
		raw.WriteString("\r\n" + getA)
		seen := 0
		c := &recorded{inPieces: inPieces{rest: raw.String(), piece: int(piece) + 1}}
		(&Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if seen++; seen > 1 {
				return
			}
			var got bytes.Buffer
			p := make([]byte, int(room)+1)
			for {
				n, err := r.Body.Read(p)
				got.Write(p[:n])
				if err == io.EOF {
					break
				}
				if n == 0 || err != nil {
					t.Fatalf("read %d, %v", n, err)
				}
			}
			if !bytes.Equal(got.Bytes(), text) {
				t.Errorf("got %q", got.Bytes())
			}
			if (r.Trailer.Get("X-Late") == "y") != trailer {
				t.Errorf("trailer %v", r.Trailer)
			}
		})}).Serve(c)
		if seen != 2 {
			t.Errorf("%d requests", seen)
		}
	})
}

func TestBodiesAreReadToTheirEnd(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	var fault *Fault
	tests := []struct {
		name, raw, body string
		err             error
	}{
		{"length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello", nil},
		{"cut short", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel", "hel", io.ErrUnexpectedEOF},
		{"chunks", chunked + "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!", nil},
		{"chunks, cut short", chunked + "5\r\nhel", "hel", io.ErrUnexpectedEOF},
		{"no last chunk", chunked + "5\r\nhello\r\n", "hello", io.ErrUnexpectedEOF},
		{"no end of the trailer", chunked + "5\r\nhello\r\n0\r\nX: y\r\n", "hello", io.ErrUnexpectedEOF},
		{"no chunk", chunked + "5\r\nhello\r\nx", "hello", badChunk},
		{"a trailer that is too large", chunked + "5\r\nhello\r\n0\r\nX: " + strings.Repeat("y", 70<<10) + "\r\n\r\n", "hello", trailerTooLarge},
		{"a trailer of too many fields", chunked + "0\r\n" + strings.Repeat("X: y\r\n", 101) + "\r\n", "", TooManyFields},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told []*Fault
			served := false
			c := &recorded{inPieces: inPieces{rest: tt.raw, piece: 100}}
			(&Server{MaxFields: 100, Malformed: func(f *Fault) { told = append(told, f) }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served = true
				text, err := io.ReadAll(r.Body)
				if string(text) != tt.body || !errors.Is(err, tt.err) {
					t.Errorf("got %q, %v", text, err)
				}
				if _, again := r.Body.Read(make([]byte, 1)); err != nil && !errors.Is(again, tt.err) {
					t.Errorf("then %v", again)
				}
			})}).Serve(c)
			if !served || errors.As(tt.err, &fault) != (len(told) == 1) {
				t.Errorf("served %v, told of %v", served, told)
			}
		})
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want *Fault
	}{
		"no host":              {"GET / HTTP/1.1\r\n\r\n", noHost},
		"two hosts":            {"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", twoHosts},
		"no host at all":       {"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", badHost},
		"percent":              {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", badEncoding},
		"expectation":          {"GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", badExpectation},
		"two expectations":     {"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", badExpectation},
		"HTTP/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", badVersion},
		"HTTP/0.9":             {"GET /\r\n\r\n", badTarget},
		"TLS":                  {"\x16\x03\x01\x02\x00", badMethod},
		"a trailer of lengths": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X, Content-Length\r\n\r\n0\r\n\r\n", badTrailer},
		"a coding":             {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", unknownCoding},
		"a header too large":   {"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10), tooLarge},
		"a target too large":   {"GET /" + strings.Repeat("x", 64<<10), tooLarge},
		"HEAD without a host":  {"HEAD / HTTP/1.1\r\n\r\n", noHost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var told *Fault
			c := &recorded{inPieces: inPieces{rest: tt.raw, piece: 1000}}
			(&Server{Malformed: func(f *Fault) { told = f }, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") })}).Serve(c)
			if told != tt.want {
				t.Errorf("refused for %v", told)
			}
			all := answers(t, strings.NewReader(c.wrote.String()), strings.Fields(tt.raw)[0])
			if len(all) != 1 || all[0].StatusCode != tt.want.Status || !all[0].Close {
				t.Errorf("answered %v", c.wrote.String())
			}
		})
	}
}

func TestHeadersUpToTheirBoundAreTaken(t *testing.T) {
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, more := range []int{-1, 0, 1} {
			head := "GET / HTTP/1.1\r\nHost: x\r\nX: "
			raw := head + strings.Repeat("x", size+more-len(head)-4) + "\r\n\r\n"
			status := 200
			if size == 64<<10 && more > 0 {
				status = 431
			}
			all := answers(t, strings.NewReader(serveText(func(http.ResponseWriter, *http.Request) {}, raw)))
			if len(all) != 1 || all[0].StatusCode != status {
				t.Errorf("%d bytes: %v", len(raw), all)
			}
		}
	}
}

func TestChunksThatAreThereAreReadTogether(t *testing.T) {
	const n = 10_000
	c := &recorded{inPieces: inPieces{rest: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", n) + "0\r\n\r\n", piece: firstRoom}}
	got, reads := 0, 0
	(&Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := make([]byte, firstRoom)
		for {
			m, err := r.Body.Read(p)
			got, reads = got+m, reads+1
			if err != nil {
				return
			}
		}
	})}).Serve(c)
	if most := 2 * n * len("1\r\nx\r\n") / firstRoom; got != n || reads > most {
		t.Errorf("%d bytes in %d reads, want %d in %d at most", got, reads, n, most)
	}
}
