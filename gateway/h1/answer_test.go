package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const getA = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

func TestAnswersSayWhereTheyEnd(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	write := func(texts ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, text := range texts {
				_, _ = io.WriteString(w, text)
			}
		}
	}
	flush := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "two")
	}
	exact := func(length int, texts ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(length))
			write(texts...)(w, r)
		}
	}
	status := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	const old, oldKept = "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
	tests := []struct {
		name, request string
		handler       http.HandlerFunc
		want          string // of the header, without Date and Content-Type; then the body as it is on the wire
	}{
		{"nothing", getA, write(), "200 OK|Content-Length: 0|"},
		{"small", getA, write("one", "two"), "200 OK|Content-Length: 6|onetwo"},
		{"flushed", getA, flush, "200 OK|Transfer-Encoding: chunked|3,one,3,two,0,,"},
		{"long", getA, write("one", long), "200 OK|Transfer-Encoding: chunked|2713,one" + long + ",0,,"},
		{"long, of known length", getA, exact(10_003, "one", long), "200 OK|Content-Length: 10003|one" + long},
		{"HEAD", "HEAD" + getA[3:], write("one", long), "200 OK|Content-Length: 10003|"},
		{"HEAD of nothing", "HEAD" + getA[3:], write(), "200 OK||"},
		{"HEAD, flushed", "HEAD" + getA[3:], flush, "200 OK||"},
		{"HEAD of known length", "HEAD" + getA[3:], exact(7), "200 OK|Content-Length: 7|"},
		{"204", getA, status(204), "204 No Content||"},
		{"304", getA, status(304), "304 Not Modified||"},
		{"a status without a name", getA, status(599), "599 |Content-Length: 0|"},
		{"HTTP/1.0", old, write("one"), "200 OK|Content-Length: 3|one"},
		{"HTTP/1.0, kept", oldKept, write("one"), "200 OK|Connection: keep-alive|Content-Length: 3|one"},
		{"HTTP/1.0, flushed", oldKept, flush, "200 OK||onetwo"},
		{"close", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n", write("one"), "200 OK|Connection: close|Content-Length: 3|one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := serveText(tt.handler, tt.request)
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			lines := strings.Split(head, "\r\n")
			kept := lines[:1]
			kept[0] = kept[0][len("HTTP/1.1 "):]
			for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
				for _, line := range lines[1:] {
					if strings.HasPrefix(line, name+":") {
						kept = append(kept, line)
					}
				}
			}
			if len(kept) == 1 {
				kept = append(kept, "")
			}
			text := strings.Join(kept, "|") + "|" + strings.ReplaceAll(body, "\r\n", ",")
			if text != tt.want {
				t.Errorf("got  %.200q\nwant %.200q", text, tt.want)
			}
		})
	}
}

func TestWhatIsNoFieldDoesNotReachTheWire(t *testing.T) {
	got := serveText(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["X-Split"] = []string{"a\r\nSet-Cookie: b", "a\nb", "\r\n\r\nbody", "a\x00b\x7f"}
		h["X-Name\r\nSet-Cookie: c"] = []string{"d"}
		h["X Name"], h[""], h["X:"] = []string{"e"}, []string{"e"}, []string{"e"}
		h["Transfer-Encoding"] = []string{"gzip, chunked"}
		h["Content-Length"] = []string{"1", "2"}
		h["Trailer"] = []string{"Content-Length, X-Late, X Late"}
		h["content-length"], h["TRANSFER-ENCODING"], h["trailer"], h["connection"] = []string{"9"}, []string{"gzip"}, []string{"Y"}, []string{"close"}
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "text")
		h["X-Late"] = []string{"f\r\ng"}
		h[http.TrailerPrefix+"X-Later\r\n"] = []string{"h"}
		h[http.TrailerPrefix+"Transfer-Encoding"] = []string{"h"}
	}, getA)
	both := bufio.NewReader(strings.NewReader(got))
	if a, err := http.ReadResponse(both, nil); err != nil || a.StatusCode != http.StatusEarlyHints || a.Close {
		t.Fatal(a, err)
	}
	a, err := http.ReadResponse(both, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(a.Body)
	if err != nil || string(text) != "text" || a.Close || len(a.TransferEncoding) != 1 {
		t.Errorf("%q, %v, %v", text, err, a.TransferEncoding)
	}
	for _, name := range []string{"Date", "Content-Type", "X-Split"} {
		delete(a.Header, name)
	}
	if len(a.Header) != 0 || len(a.Trailer) != 1 || a.Trailer.Get("X-Late") != "f  g" {
		t.Errorf("%v, %v", a.Header, a.Trailer)
	}
	if !strings.Contains(got, "X-Split: a  Set-Cookie: b\r\nX-Split: a b\r\nX-Split: body\r\nX-Split: a b \r\n") {
		t.Error(got)
	}
}

func TestWritersSayWhatTheyDoNotTake(t *testing.T) {
	tests := map[string]struct {
		handler func(w http.ResponseWriter) error
		want    error
	}{
		"more than was promised": {func(w http.ResponseWriter) error {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "ab")
			_, err := io.WriteString(w, "cd")
			_, _ = io.WriteString(w, "c")
			return err
		}, http.ErrContentLength},
		"a body of 204": {func(w http.ResponseWriter) error {
			w.WriteHeader(204)
			_, err := io.WriteString(w, "text")
			return err
		}, http.ErrBodyNotAllowed},
		"a second header": {func(w http.ResponseWriter) error {
			w.WriteHeader(201)
			w.WriteHeader(202)
			return nil
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := serveText(func(w http.ResponseWriter, _ *http.Request) {
				if err := tt.handler(w); !errors.Is(err, tt.want) {
					t.Errorf("got %v", err)
				}
			}, getA+getA)
			if all := answers(t, strings.NewReader(got)); len(all) != 2 {
				t.Errorf("got %d answers", len(all))
			}
		})
	}
}

func TestAnAnswerThatIsTooShortIsCutOff(t *testing.T) {
	got := serveText(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "text")
	}, getA+getA)
	a, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(a.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestAHandlerThatPanicsCutsTheConnection(t *testing.T) {
	for _, v := range []any{http.ErrAbortHandler, "panic"} {
		for name, begin := range map[string]func(w http.ResponseWriter){
			"at once":      func(http.ResponseWriter) {},
			"in the midst": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "text"); w.(http.Flusher).Flush() },
		} {
			got := serveText(func(w http.ResponseWriter, _ *http.Request) {
				begin(w)
				panic(v)
			}, getA+getA)
			if n := strings.Count(got, "HTTP/1.1"); n > 1 || strings.HasSuffix(got, "0\r\n\r\n") || name == "at once" && n > 0 {
				t.Errorf("%s, %v: %q", name, v, got)
			}
		}
	}
}

func TestWhatIsUsedAfterTheHandlerFails(t *testing.T) {
	var w http.ResponseWriter
	var r *http.Request
	got := serveText(func(nw http.ResponseWriter, nr *http.Request) {
		if w == nil {
			w, r = nw, nr
			return
		}
		if _, err := w.Write([]byte("late")); err == nil {
			t.Error("a late write succeeds")
		}
		if err := http.NewResponseController(w).Flush(); err == nil {
			t.Error("a late flush succeeds")
		}
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("a late takeover succeeds")
		}
		if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("a late read: %v", err)
		}
		if err := r.Context().Err(); err == nil {
			t.Error("the context of a request goes on")
		}
		<-r.Context().Done()
		_, _ = io.WriteString(nw, "second")
	}, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"+getA)
	all := answers(t, strings.NewReader(got))
	if len(all) != 2 || bodyOf(all[1]) != "second" {
		t.Error(got)
	}
}

func TestFilesAreSentByTheSystem(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	name := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(name, big, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })}
	c := dial(t, listen(t, s))
	_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=1-9\r\n\r\n"+getA)
	_ = c.CloseWrite()
	all := answers(t, c)
	if len(all) != 2 || bodyOf(all[0]) != "123456789" || bodyOf(all[1]) != string(big) {
		t.Errorf("got %d answers", len(all))
	}
}

func TestTheDateIsOfTheSecond(t *testing.T) {
	got := serveText(func(http.ResponseWriter, *http.Request) {}, getA)
	a, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := http.ParseTime(a.Header.Get("Date"))
	if age := time.Since(at); err != nil || age < 0 || age > time.Minute {
		t.Errorf("%v, %v", at, err)
	}
}

// FuzzAnswer has a handler do whatever the bytes say, and reads what comes of it:
// it is one answer, and the next one follows.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07"), byte(0))
	f.Add([]byte("\x10\xc8\x22\xff\x05\x04\x00\x41\x33"), byte(1))
	f.Fuzz(func(t *testing.T, script []byte, kind byte) {
		request, method := getA, "GET"
		switch kind % 3 {
		case 1:
			request, method = "HEAD"+getA[3:], "HEAD"
		case 2:
			request = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		}
		var promised bool
		var said strings.Builder
		first := true
		got := serveText(func(w http.ResponseWriter, _ *http.Request) {
			if !first {
				_, _ = io.WriteString(w, "second")
				return
			}
			first = false
			for rest := script; len(rest) > 1; rest = rest[2:] {
				op, arg := rest[0], rest[1]
				text := strings.Repeat(string(rune(arg)), int(arg)*int(op>>4))
				switch op & 15 {
				case 0:
					w.WriteHeader(200 + int(arg)*3)
				case 1, 2, 3:
					n, _ := io.WriteString(w, text)
					said.WriteString(text[:n])
				case 4:
					w.(http.Flusher).Flush()
				case 5:
					w.WriteHeader(102 + int(arg)%2)
				case 6:
					w.Header().Set("Content-Length", fmt.Sprint(int(arg)*16))
					promised = true
				case 7:
					w.Header().Add(string(rest), string(rest))
				case 8:
					w.Header().Set("Transfer-Encoding", []string{"chunked", "identity", "gzip"}[arg%3])
				case 9:
					w.Header().Set("Trailer", "X-Late")
				case 10:
					w.Header().Set("X-Late", string(rest))
				case 11:
					w.Header().Set(http.TrailerPrefix+"X-Later", string(rest))
				case 12:
					w.Header().Set("Content-Type", string(rest))
				case 13:
					w.Header().Set("Connection", string(rest))
				case 14:
					n, _ := w.(io.ReaderFrom).ReadFrom(strings.NewReader(text))
					said.WriteString(text[:n])
				case 15:
					w.Header()[string(rest)] = []string{"", string(rest)}
				}
			}
		}, request+getA)
		r := bufio.NewReader(strings.NewReader(got))
		for {
			a, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%v: %q", err, got)
			}
			if a.StatusCode < 200 && a.StatusCode != 101 {
				continue
			}
			text, err := io.ReadAll(a.Body)
			if err != nil && promised {
				return // less than that
			}
			if err != nil || method != "HEAD" && string(text) != said.String() {
				t.Fatalf("wrote %q, got %q, %v: %q", said.String(), text, err, got)
			}
			if a.Close {
				if r.Buffered() > 0 {
					t.Fatalf("something follows the last answer: %q", got)
				}
				return
			}
			break
		}
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			if promised && method != "HEAD" && r.Buffered() == 0 {
				return
			}
			t.Fatalf("the next answer: %v: %q", err, got)
		}
		if text, err := io.ReadAll(a.Body); string(text) != "second" || err != nil {
			t.Fatalf("the next answer is %q, %v: %q", text, err, got)
		}
	})
}
