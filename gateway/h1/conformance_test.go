package h1

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// shows is a handler that tells what it sees of a request, and does what the path
// says.
func shows(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/hints":
		h.Set("Link", "</style>")
		w.WriteHeader(http.StatusEarlyHints)
	case "/none":
		return
	case "/204", "/304":
		h.Set("Content-Type", "text/x")
		h.Set("Content-Length", "7")
		w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
		return
	case "/flush":
		w.(http.Flusher).Flush()
	case "/trailer":
		h.Set("Trailer", "X-Late")
	case "/typed":
		h.Set("Content-Type", "text/x")
	case "/encoded":
		h.Set("Content-Encoding", "x")
	case "/close":
		h.Set("Connection", "close")
	case "/html":
		_, _ = io.WriteString(w, "<html>")
	case "/dated":
		h["Date"] = nil
	case "/exact":
		h.Set("Content-Length", "4")
		_, _ = io.WriteString(w, "text")
		return
	case "/large":
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		return
	case "/unread":
		_, _ = io.WriteString(w, "unread")
		return
	case "/middle":
		_, _ = io.WriteString(w, strings.Repeat("x", 3000))
		return
	case "/coded":
		h.Set("Transfer-Encoding", "identity")
	}
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %s %d %v %v %v\n", r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.TransferEncoding, r.Close, err)
	fmt.Fprintf(w, "%q %q %q %q %v\n", r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.Host, r.URL.ForceQuery)
	for _, fields := range []http.Header{r.Header, r.Trailer} {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(w, "%s: %q\n", name, fields[name])
		}
	}
	_, _ = w.Write(body)
	if r.URL.Path == "/trailer" {
		h.Set("X-Late", "y")
		h.Set(http.TrailerPrefix+"X-Later", "z")
	}
}

// exchanged is what a server says to a text, answer by answer.
func exchanged(t *testing.T, addr, raw string) (all []string) {
	t.Helper()
	c := dial(t, addr)
	_, _ = io.WriteString(c, raw)
	_ = c.CloseWrite()
	for _, a := range answers(t, c, strings.Fields(raw + " GET")[0]) {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %s %v %v\n", a.Proto, a.Status, a.Close, a.TransferEncoding)
		for _, fields := range []http.Header{a.Header, a.Trailer} {
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				if name == "Date" {
					fmt.Fprintln(&text, "Date")
					continue
				}
				fmt.Fprintf(&text, "%s: %q\n", name, fields[name])
			}
		}
		if a.StatusCode < 400 { // what a refusal says is one's own
			text.WriteString(bodyOf(a))
		}
		all = append(all, text.String())
	}
	return all
}

// TestAsNetHTTPDoes has both servers serve the same. Where they differ the reason
// is given: then they must.
func TestAsNetHTTPDoes(t *testing.T) {
	post := func(path, rest string) string { return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + rest }
	get := func(path, fields string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" }
	const chunks = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	tests := []struct{ name, raw, differs string }{
		{"GET", get("/", ""), ""},
		{"fields", get("/", "X: a\r\nx: b\r\nY:\r\nsec-CH-ua: c\r\nCookie: d\r\nCookie: e\r\n"), ""},
		{"two on a connection", get("/", "") + get("/b?c", ""), ""},
		{"close", get("/", "Connection: close\r\n") + get("/b", ""), ""},
		{"close among others", get("/", "Connection: keep-alive, x\r\nConnection: Close\r\n") + get("/b", ""), ""},
		{"the handler closes", get("/close", "") + get("/b", ""), ""},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n" + get("/b", ""), ""},
		{"HTTP/1.0, kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: y\r\n\r\n" + get("/b", ""), ""},
		{"HTTP/1.0, flushed", "GET /flush HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/b", ""), ""},
		{"a body", post("/", "Content-Length: 5\r\n\r\nhello") + get("/b", ""), ""},
		{"chunks", post("/", chunks) + get("/b", ""), ""},
		{"a trailer", post("/", "Trailer: X-End, Y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: a\r\nz: b\r\n\r\n") + get("/b", ""), ""},
		{"a trailer that nothing has", post("/", "Trailer: X\r\nContent-Length: 0\r\n\r\n"), ""},
		{"a body that nobody reads", post("/unread", "Content-Length: 5\r\n\r\nhello") + get("/b", ""), ""},
		{"chunks that nobody reads", post("/unread", chunks) + get("/b", ""), ""},
		{"an expectation", post("/", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello") + get("/b", ""), ""},
		{"an expectation that nobody meets", post("/unread", "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello") + get("/b", ""), ""},
		{"an expectation without a body", get("/", "Expect: 100-continue\r\n") + get("/b", ""), ""},
		{"HEAD", "HEAD" + get("/", "")[3:], ""},
		{"HEAD of a known length", "HEAD" + get("/exact", "")[3:], ""},
		{"HEAD of nothing", "HEAD" + get("/none", "")[3:], ""},
		{"nothing", get("/none", ""), ""},
		{"204", get("/204", "") + get("/b", ""), ""},
		{"304", get("/304", "") + get("/b", ""), ""},
		{"hints", get("/hints", ""), ""},
		{"flushed", get("/flush", ""), ""},
		{"trailers", get("/trailer", ""), ""},
		{"a type", get("/typed", ""), ""},
		{"a coding", get("/encoded", ""), ""},
		{"HTML", get("/html", ""), ""},
		{"no date", get("/dated", ""), ""},
		{"a known length", get("/exact", ""), ""},
		{"large", get("/large", "") + get("/b", ""), ""},
		{"escaped", get("/a%2Fb%20c?d=%zz&e", ""), ""},
		{"brackets", get("/[a]?", ""), ""},
		{"absolute", get("http://y:80/a?b", ""), ""},
		{"authority", "CONNECT y:80 HTTP/1.1\r\nHost: z\r\n\r\n", ""},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"odd method", "M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"upgrade", get("/", "Connection: Upgrade\r\nUpgrade: x\r\n"), ""},
		{"nothing at all", "", ""},

		{"Pragma", get("/", "Pragma: no-cache\r\n"), "net/http adds Cache-Control, which is not a gateway's to invent"},
		{"two expectations", post("/", "Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello"), "net/http takes one that it knows for all"},
		{"HEAD of a large answer", "HEAD" + get("/large", "")[3:], "the length is known, so it is told"},
		{"an answer of 3 KB", get("/middle", ""), "net/http makes chunks of more than 2 KB"},
		{"a handler that frames", get("/coded", ""), "net/http takes identity for an answer that ends with the connection"},
		{"bare LF", "GET / HTTP/1.1\nHost: x\n\n", "net/http ends lines with LF"},
		{"blank lines first", "\r\n" + get("/", ""), ""},
		{"a part of a request", "GET / HTTP/1.1\r\nHo", "net/http answers a client that leaves in the midst"},
		{"folded", get("/", "X: a\r\n b\r\n"), "net/http unfolds"},
		{"a length beside a coding", post("/", "Content-Length: 3\r\n"+chunks), "net/http believes the coding"},
		{"two lengths that are the same", post("/", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), "net/http takes one"},
		{"a list of lengths", post("/", "Content-Length: 5, 5\r\n\r\nhello"), ""},
		{"a coding of HTTP/1.0", "POST / HTTP/1.0\r\n" + chunks, "net/http passes over it"},
		{"blanks behind a size", post("/", "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"), "net/http trims"},
		{"blanks in a target", get("/a b", ""), ""},
		{"an old version", "GET / HTTP/0.9\r\nHost: x\r\n\r\n", "net/http says 505"},
	}
	theirs := &http.Server{Handler: http.HandlerFunc(shows), DisableGeneralOptionsHandler: true}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = theirs.Serve(l) }()
	defer func() { _ = theirs.Close(); <-served; time.Sleep(600 * time.Millisecond) }() // connections linger
	ours := listen(t, &Server{Handler: http.HandlerFunc(shows)})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, got := exchanged(t, l.Addr().String(), tt.raw), exchanged(t, ours, tt.raw)
			alike := slices.Equal(refusals(got), refusals(want))
			if alike != (tt.differs == "") {
				t.Errorf("differs: %q\ngot:\n%s\nnet/http:\n%s", tt.differs, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// refusals keeps of refusals the status alone.
func refusals(all []string) []string {
	all = slices.Clone(all)
	for i, a := range all {
		if line, _, _ := strings.Cut(a, "\n"); strings.Contains(line, " 4") || strings.Contains(line, " 5") {
			all[i] = line
		}
	}
	return all
}
