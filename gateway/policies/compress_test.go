package policies_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-run/weir/flows/flowtest"
)

var document = `{"orders":[` + strings.TrimSuffix(strings.Repeat(`{"id":"7","state":"open","lines":[{"sku":"soap","qty":2}]},`, 200), ",") + `]}`

// decoder reads what a coding made.
func decoder(t testing.TB, coding string, from io.Reader) io.Reader {
	t.Helper()
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(from)
	case "br":
		r = brotli.NewReader(from)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1)); err == nil {
			t.Cleanup(d.Close)
		}
		r = d
	case "":
		r = from
	default:
		t.Fatalf("nobody asked for %q", coding)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shop is a backend whose answers are as the query wants them.
var shop = flowtest.Backends{"backend": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	h, q := w.Header(), r.URL.Query()
	h.Set("Content-Type", "application/json")
	h.Set("X-Asked", strings.Join(r.Header["Accept-Encoding"], ", "))
	for _, field := range q["h"] {
		name, value, _ := strings.Cut(field, ":")
		h.Set(name, value)
	}
	body := document
	if n, err := strconv.Atoi(q.Get("n")); err == nil {
		body = document[:n]
	}
	if h.Get("Content-Type") == "-" {
		h["Content-Type"] = nil
	}
	if q.Get("unknown") == "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	status := http.StatusOK
	if s, err := strconv.Atoi(q.Get("status")); err == nil {
		status = s
	}
	if status == http.StatusNotModified || status == http.StatusNoContent {
		h.Del("Content-Length")
		w.WriteHeader(status)
		return
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
})}

const shopFlows = `flow: page
trigger: { http: GET /page }
steps: [{ forward: backend }]
---
services: { backend: { endpoints: ["http://backend"] } }
`

func TestCompress(t *testing.T) {
	w := flowtest.Serve(t, site(`{ compress: {}, cors: { origins: [https://shop.example] } }`, "", shopFlows), shop)
	gz := []string{"Accept-Encoding", "gzip"}
	for _, c := range []struct {
		name, method, path string
		sent               []string
		coding             string
		varies             bool
		more               map[string]string
	}{
		{"the first of what the client takes", "GET", "/page", []string{"Accept-Encoding", "gzip, deflate, br, zstd"}, "zstd", true, nil},
		{"br", "GET", "/page", []string{"Accept-Encoding", "br;q=1, gzip;q=0.5"}, "br", true, nil},
		{"gzip", "GET", "/page", gz, "gzip", true, map[string]string{"X-Asked": ""}},
		{"no header", "GET", "/page", nil, "", true, map[string]string{"Content-Length": strconv.Itoa(len(document))}},
		{"nothing that is known", "GET", "/page", []string{"Accept-Encoding", "deflate"}, "", true, nil},
		{"nothing at all: it gets what there is", "GET", "/page", []string{"Accept-Encoding", "identity;q=0, *;q=0"}, "", true, nil},
		{"a small answer", "GET", "/page?n=999", gz, "", false, map[string]string{"Content-Length": "999"}},
		{"an answer just large enough", "GET", "/page?n=1000", gz, "gzip", true, nil},
		{"an answer of unknown length", "GET", "/page?unknown=1", gz, "gzip", true, nil},
		{"a type that is compressed already", "GET", "/page?h=Content-Type:image/png", gz, "", false, nil},
		{"no type", "GET", "/page?h=Content-Type:-", gz, "", false, nil},
		{"a type with parameters, in capitals", "GET", "/page?h=Content-Type:Text/HTML;charset=utf-8", gz, "gzip", true, nil},
		{"a type by its end", "GET", "/page?h=Content-Type:application/vnd.api%2bjson", gz, "gzip", true, nil},
		{"events are not in text/*", "GET", "/page?h=Content-Type:text/event-stream", gz, "", false, nil},
		{"what the backend has encoded", "GET", "/page?h=Content-Encoding:br", gz, "br-of-the-backend", false, nil},
		{"what the backend calls identity", "GET", "/page?h=Content-Encoding:identity", gz, "gzip", true, nil},
		{"RFC 9111 5.2.2.6: no-transform of the answer", "GET", "/page?h=Cache-Control:public,No-Transform", gz, "", false, nil},
		{"RFC 9111 5.2.1.6: no-transform of the request", "GET", "/page", append(gz, "Cache-Control", "no-transform"), "", true, nil},
		{"RFC 9530 2: a digest of the bytes", "GET", "/page?h=Content-Digest:sha-256=:x:", gz, "", false, nil},
		{"RFC 9110 8.8.1: a strong validator becomes weak", "GET", `/page?h=ETag:"v1"`, gz, "gzip", true, map[string]string{"ETag": `W/"v1"`}},
		{"RFC 9110 8.8.1: a weak one stays so", "GET", `/page?h=ETag:W/"v1"`, gz, "gzip", true, map[string]string{"ETag": `W/"v1"`}},
		{"RFC 9110 8.8.1: without coding it stays strong", "GET", `/page?h=ETag:"v1"`, nil, "", true, map[string]string{"ETag": `"v1"`}},
		{"RFC 9110 15.4.5: 304 has the validator and Vary of 200", "GET", `/page?status=304&h=ETag:"v1"`, gz, "", true, map[string]string{"ETag": `W/"v1"`}},
		{"RFC 9110 14.2: a part is not compressed", "GET", "/page?status=206&h=Content-Range:bytes%200-999/2000", gz, "", false, nil},
		{"RFC 9110 14.3: nobody asks for parts of the coded form", "GET", "/page?h=Accept-Ranges:bytes", gz, "gzip", true, map[string]string{"Accept-Ranges": ""}},
		{"RFC 9110 9.3.2: HEAD says what GET says", "HEAD", `/page?h=ETag:"v1"`, gz, "gzip", true, map[string]string{"ETag": `W/"v1"`, "Content-Length": ""}},
		{"an answer without a body", "GET", "/page?status=204", gz, "", false, nil},
		{"a failure that is passed on", "GET", "/page?status=500", gz, "gzip", true, nil},
		{"a problem", "GET", "/nowhere", gz, "", false, nil},
		{"BREACH: what another site caused with cookies", "GET", "/page", append(gz, "Cookie", "a=b", "Sec-Fetch-Site", "cross-site"), "", true, nil},
		{"cookies of an own page", "GET", "/page", append(gz, "Cookie", "a=b", "Sec-Fetch-Site", "same-origin"), "gzip", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, c.path, c.sent...)
			coding := got.header.Get("Content-Encoding")
			varies := strings.Contains(strings.Join(got.header["Vary"], ", "), "Accept-Encoding")
			if varies != c.varies || !strings.Contains(strings.Join(got.header["Vary"], ", "), "Origin") {
				t.Errorf("varies by %q", got.header["Vary"])
			}
			for name, want := range c.more {
				if had := got.header.Get(name); had != want {
					t.Errorf("%s: %q, not %q", name, had, want)
				}
			}
			if c.coding == "br-of-the-backend" {
				if got.body != document || coding != "br" {
					t.Errorf("%s: it is not as the backend sent it", coding)
				}
				return
			}
			if coding != c.coding {
				t.Fatalf("coding %q, not %q", coding, c.coding)
			}
			if c.method == "HEAD" || got.status == 304 || got.status == 204 || got.status == 404 {
				return
			}
			text, err := io.ReadAll(decoder(t, coding, strings.NewReader(got.body)))
			if err != nil || !strings.HasPrefix(document, string(text)) || len(text) == 0 {
				t.Errorf("%v: %d bytes, decoded: %.100s", err, len(got.body), text)
			}
			if coding != "" && len(got.body) > len(text)/2 {
				t.Errorf("%d bytes became %d", len(text), len(got.body))
			}
		})
	}
}

// Each event can be read when it was sent, and not later.
func TestCompressSendsWhatIsFlushed(t *testing.T) {
	for _, coding := range []string{"gzip", "br", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			next := make(chan struct{})
			events := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush() // the header goes first
				for i := range 3 {
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
					_, _ = fmt.Fprintf(w, "data: %d\n", i)
					w.(http.Flusher).Flush()
				}
			})
			w := flowtest.Serve(t, site(`{ compress: { types: [text/event-stream] } }`, "", shopFlows), flowtest.Backends{"backend": events})
			r, err := http.NewRequest("GET", "http://public:80/page", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept-Encoding", coding)
			res, err := w.Client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if got := res.Header.Get("Content-Encoding"); got != coding {
				t.Fatalf("coding %q", got)
			}
			next <- struct{}{}
			lines := bufio.NewReader(decoder(t, coding, res.Body))
			for i := range 3 {
				if i > 0 {
					next <- struct{}{}
				}
				if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("%q %v", line, err)
				}
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
		})
	}
}

// What breaks off is not whole for anyone who decodes it; and what has not left
// becomes a problem.
func TestCompressOfAnAnswerThatBreaksOff(t *testing.T) {
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, document[:5000])
		panic(http.ErrAbortHandler)
	})
	w := flowtest.Serve(t, site(`{ compress: {} }`, "", shopFlows), flowtest.Backends{"backend": broken})
	r, _ := http.NewRequest("GET", "http://public:80/page", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := w.Client.Do(r)
	if err != nil {
		return // nothing of it came
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return
	}
	if whole, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
		if _, err = io.ReadAll(whole); err == nil {
			t.Error("a part was taken for the whole")
		}
	}
}
