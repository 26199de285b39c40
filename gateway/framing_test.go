package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The reference reads whole requests with regular expressions, and has nothing
// else in common with framing.
var (
	referenceLine  = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+ [^\\x00-\\x20\\x7f]+ HTTP/1\\.([01])$")
	referenceField = regexp.MustCompile("^([!#$%&'*+\\-.^_`|~0-9A-Za-z]+):[\\t ]*((?:[\\t -~\\x80-\\xff])*)$")
	referenceChunk = regexp.MustCompile(`^([0-9a-fA-F]{1,15})(;[\t -~\x80-\xff]{0,256})?$`)
	referenceCount = regexp.MustCompile(`^[0-9]{1,18}$`)
)

// reference gives how long the body of each request is, if the text is nothing
// but whole requests.
func reference(text string) (bodies []int, ok bool) {
	line := func() (string, bool) {
		end := strings.IndexByte(text, '\n')
		if end < 1 || text[end-1] != '\r' {
			return "", false
		}
		l := text[:end-1]
		text = text[end+1:]
		return l, latin(referenceAny, l)
	}
	fields := func(trailer bool) (length, coding []string, ok bool) {
		for n := 0; ; n++ {
			l, ok := line()
			if !ok {
				return nil, nil, false
			}
			if l == "" {
				return length, coding, !trailer || length == nil && coding == nil
			}
			m := find(referenceField, l)
			if m == nil || n == 100 {
				return nil, nil, false
			}
			switch value := strings.Trim(m[2], " \t"); strings.ToLower(m[1]) {
			case "content-length":
				if len(m[2]) > maxHeld {
					return nil, nil, false // who pads a number has something in mind
				}
				length = append(length, value)
			case "transfer-encoding":
				coding = append(coding, value)
			}
		}
	}
	for text != "" {
		l, ok := line()
		m := find(referenceLine, l)
		if !ok || m == nil {
			return nil, false
		}
		length, coding, ok := fields(false)
		switch {
		case !ok || len(length)+len(coding) > 1 || m[1] == "0" && coding != nil:
			return nil, false
		case length != nil:
			n, err := strconv.Atoi(length[0])
			if !referenceCount.MatchString(length[0]) || err != nil || n > len(text) {
				return nil, false
			}
			text = text[n:]
			bodies = append(bodies, n)
		case coding != nil && strings.EqualFold(coding[0], "chunked"):
			total := 0
			for {
				l, ok := line()
				m := find(referenceChunk, l)
				if !ok || m == nil {
					return nil, false
				}
				n, _ := strconv.ParseInt(m[1], 16, 64)
				if n == 0 {
					break
				}
				if n > int64(len(text))-2 || text[n:n+2] != "\r\n" {
					return nil, false
				}
				text = text[n+2:]
				total += int(n)
			}
			if _, _, ok := fields(true); !ok {
				return nil, false
			}
			bodies = append(bodies, total)
		case coding != nil:
			if text != "" {
				return nil, false
			}
			return bodies, false
		default:
			bodies = append(bodies, 0)
		}
	}
	return bodies, true
}

var referenceAny = regexp.MustCompile(`^[\t -~\x80-\xff]*$`)

// Expressions work on characters, and requests are bytes.
func wide(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func latin(re *regexp.Regexp, s string) bool          { return re.MatchString(wide(s)) }
func find(re *regexp.Regexp, s string) (all []string) { return re.FindStringSubmatch(wide(s)) }

// whole reads a text in pieces, and says whether it is nothing but whole
// requests, and else where it stops being sound.
func whole(text string, piece int) (ok bool, at int, reason string) {
	f := framing{maxFields: 100}
	rest := []byte(text)
	for len(rest) > 0 {
		p := rest[:min(piece, len(rest))]
		n := f.read(p)
		at += n
		if f.fault != nil {
			return false, at, f.fault.reason
		}
		if n != len(p) {
			panic("not all was read, and no fault")
		}
		rest = rest[len(p):]
	}
	return f.state == inStart, at, ""
}

func FuzzFraming(f *testing.F) {
	for _, c := range slices.Concat(smuggled(), sound()) {
		f.Add(c.raw, uint8(7))
	}
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		ok, at, reason := whole(text, max(len(text), 1))
		if pok, pat, preason := whole(text, int(piece)%16+1); ok != pok || at != pat || reason != preason {
			t.Errorf("in pieces it is %v at %d (%s), in one %v at %d (%s)", pok, pat, preason, ok, at, reason)
		}
		bodies, want := reference(text)
		if ok != want {
			t.Fatalf("whole: %v (%s at %d), the reference says %v", ok, reason, at, want)
		}
		if !ok {
			return
		}
		// What is let through net/http reads the same way, or not at all.
		r := bufio.NewReader(strings.NewReader(text))
		for i, n := range bodies {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			got, err := io.Copy(io.Discard, req.Body)
			if err != nil || int(got) != n {
				t.Fatalf("request %d has a body of %d to net/http (%v), want %d", i, got, err, n)
			}
		}
		if r.Buffered() > 0 {
			t.Errorf("net/http left %d bytes", r.Buffered())
		}
	})
}

type wireCase struct{ name, raw string }

// sound are requests that have to get through.
func sound() (all []wireCase) {
	for name, raw := range map[string]string{
		"least":             "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"no space":          "GET / HTTP/1.1\r\nHost:x\r\n\r\n",
		"spaces around":     "GET / HTTP/1.1\r\nHost: \t x \t\r\n\r\n",
		"empty value":       "GET / HTTP/1.1\r\nHost: x\r\nX:\r\n\r\n",
		"length":            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"length, lower":     "POST / HTTP/1.1\r\nhost: x\r\ncontent-length:5\r\n\r\nhello",
		"length 0":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"body with GET":     "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
		"body of a request": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"chunks":            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
		"Chunked":           "POST / HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
		"extension":         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n",
		"trailer":           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n\r\n",
		"leading zeros":     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000\r\n\r\n",
		"bytes beyond":      "GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\nX: \xfc\r\n\r\n",
		"odd names":         "GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~9aZ: y\r\n\r\n",
		"odd method":        "M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/1.0":          "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"long names":        "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("n", 200) + ": y\r\n\r\n",
		"Expect":            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
		"QUERY":             "QUERY / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
	} {
		all = append(all, wireCase{name, raw})
	}
	return all
}

// smuggled are requests of which two readers may disagree where they end, as
// the literature has them (CL.TE, TE.CL, TE.TE, CL.0, and what hides fields from
// one of the two).
func smuggled() (all []wireCase) {
	add := func(name, format string, args ...any) {
		all = append(all, wireCase{name, fmt.Sprintf(format, args...)})
	}
	const post = "POST / HTTP/1.1\r\nHost: x\r\n"
	const chunks = "\r\n0\r\n\r\n"
	// Transfer-Encoding that one reader sees and the other does not, each alone
	// and beside a length.
	codings := []string{
		"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked",
		"Transfer-Encoding:\x0bchunked", "Transfer-Encoding:\x0cchunked", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: chunked\x00",
		"Transfer-Encoding: chunked\x0b", "Transfer-Encoding: \x7fchunked", "Transfer-Encoding:\rchunked", "Transfer-Encoding:\nchunked",
		"Transfer-Encoding:\r\n chunked", "Transfer-Encoding:\r\n\tchunked", "Transfer-Encoding\r\n: chunked", "Transfer\rEncoding: chunked",
		"Transfer-Encoding: chunked\r\n ", "Transfer-Encoding: chun\r\n ked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
		"X: y\r\rTransfer-Encoding: chunked", "X: y\n\rTransfer-Encoding: chunked", "\x00Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked",
		"Transfer-Encod\xc4\xb1ng: chunked", "\xa0Transfer-Encoding: chunked", "Transfer-Encoding\xa0: chunked", "\"Transfer-Encoding\": chunked",
		"(Transfer-Encoding): chunked", "Transfer Encoding: chunked", "Transfer-Encoding; chunked", "Transfer-Encoding chunked", "Transfer-Encoding",
		": chunked", ":Transfer-Encoding: chunked", "Transfer-Encoding/: chunked", "Transfer-Encoding=: chunked", "Transfer-Encoding,: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-encoding: x",
		"Transfer-Encoding:\r\nTransfer-Encoding: chunked", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
		"X-Y: z\r\n\x20Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r", "Transfer-Encoding:\x08chunked", "Transfer-Encoding:\x1fchunked",
		"Transfer-Encoding: \x1bchunked", "Foo\x01: bar\r\nTransfer-Encoding: chunked", "Transfer-Encoding\x0b: chunked", "Transfer-Encoding\x0c: chunked",
	}
	for _, coding := range codings {
		add("coding "+strconv.Quote(coding), "%s%s\r\n%s", post, coding, chunks)
		add("length and coding "+strconv.Quote(coding), "%sContent-Length: 5\r\n%s\r\n%s", post, coding, chunks)
		add("coding and length "+strconv.Quote(coding), "%s%s\r\nContent-Length: 5\r\n%s", post, coding, chunks)
	}
	// Codings that are well written, beside a length or of HTTP/1.0.
	for _, coding := range []string{"chunked", "Chunked", "CHUNKED", " chunked", "chunked ", "\tchunked", "identity", "gzip", "gzip, chunked", "chunked, identity", "chunked,", ",chunked", "\"chunked\"", "'chunked'", "chunked;q=1", "xchunked", "", "cow", "\xffchunked", "chunked\xff", "chunked chunked"} {
		add("CL.TE "+strconv.Quote(coding), "%sContent-Length: 5\r\nTransfer-Encoding:%s\r\n%s", post, coding, chunks)
		add("TE.CL "+strconv.Quote(coding), "%sTransfer-Encoding:%s\r\nContent-Length: 5\r\n%s", post, coding, chunks)
		add("CL.0 "+strconv.Quote(coding), "%sContent-Length: 0\r\nTransfer-Encoding: %s\r\n%s", post, coding, chunks)
		add("HTTP/1.0 "+strconv.Quote(coding), "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: %s\r\n%s", coding, chunks)
	}
	for _, coding := range []string{"identity", "gzip", "gzip, chunked", "chunked, identity", "chunked,", ",chunked", "\"chunked\"", "chunked;q=1", "xchunked", "cow", "\xffchunked", "chunked\xa0"} {
		add("unknown coding "+strconv.Quote(coding), "%sTransfer-Encoding: %s\r\n%s", post, coding, chunks)
	}
	for _, length := range []string{"", " ", "+5", "-5", "5 5", "5,5", "5, 5", "0x5", "5.0", "5e0", "\"5\"", "'5'", "5;", "5\x00", "\x005", "five", "١", "5\x0b", "\x0c5", "1_0", "5 ,", ",5", "99999999999999999999", "18446744073709551621", "-0", "00000000000000000000000000000005", "5\xa0", "&5", "5\r\n 5", "5\r\n\t"} {
		add("length "+strconv.Quote(length), "%sContent-Length: %s\r\n\r\nhello", post, length)
	}
	for _, field := range []string{
		"Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0\r\ncontent-length: 5", "Content-Length: 5\r\nContent-Length:",
		"Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5", "\tContent-Length: 5", "Content-Length\x00: 5", "Content-Length\xa0: 5", "Content Length: 5", "Content-Length",
		"Content-Length; 5", "X: y\nContent-Length: 5", "X: y\rContent-Length: 5", "X: y\r\n Content-Length: 5", "X: \x00\r\nContent-Length: 5", "X: y\r\n\nContent-Length: 5",
	} {
		add("length in "+strconv.Quote(field), "%s%s\r\n\r\nhello", post, field)
	}
	for _, body := range []string{
		"\r\n", "hello\r\n", "5\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "\t5\r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
		"5_0\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n", "\"5\"\r\nhello\r\n0\r\n\r\n", "5,5\r\nhello\r\n0\r\n\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n",
		"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "5 ; a=b\r\nhello\r\n0\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5;a\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
		"5;" + strings.Repeat("x", 300) + "\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\r\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\r\n\rX", "5\r\nhello\r\n0 \r\n\r\n", "5\r\nhello\r\n\r\n0\r\n\r\n",
		"5\r\nhello\r\n0\r\nX : y\r\n\r\n", "5\r\nhello\r\n0\r\n X: y\r\n\r\n", "5\r\nhello\r\n0\r\nX: y\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "5\r\nhello\r\n0\r\nX\x00: y\r\n\r\n", "٥\r\nhello\r\n0\r\n\r\n",
	} {
		add("chunks "+strconv.Quote(body), "%sTransfer-Encoding: chunked\r\n\r\n%s", post, body)
	}
	for _, line := range []string{
		"GET / HTTP/1.1\n", "GET / HTTP/1.1\r", "GET / HTTP/1.1 \r\n", "GET /  HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n", " GET / HTTP/1.1\r\n", "\tGET / HTTP/1.1\r\n", "GET\t/ HTTP/1.1\r\n", "GET /\tHTTP/1.1\r\n",
		"GET / HTTP/1.2\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/11\r\n", "GET / HTTP/1.10\r\n", "GET / HTTP/01.1\r\n", "GET / HTTP/1.01\r\n", "GET / http/1.1\r\n", "GET / HTTP/1.1x\r\n", "GET / HTTPS/1.1\r\n", "GET / HTTP 1.1\r\n", "GET / HTTP/1,1\r\n", "GET / HTTP/1.١\r\n",
		"GET /\r\n", "GET\r\n", "GET \r\n", "/ HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n", "\nGET / HTTP/1.1\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "\x00GET / HTTP/1.1\r\n", "\xef\xbb\xbfGET / HTTP/1.1\r\n", "G\x00ET / HTTP/1.1\r\n", "G\x01 / HTTP/1.1\r\n", "GET / \x00HTTP/1.1\r\n",
		"GET /a b HTTP/1.1\r\n", "GET /a\x00b HTTP/1.1\r\n", "GET /a\x0bb HTTP/1.1\r\n", "GET /a\rb HTTP/1.1\r\n", "GET /a\nb HTTP/1.1\r\n", "GET /a\x7fb HTTP/1.1\r\n", "GET: / HTTP/1.1\r\n", "G(ET / HTTP/1.1\r\n", "G\xc3\x89T / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "{} / HTTP/1.1\r\n", "GET / HTTP/1.1\r\r\n", "GET / HTTP/1.1\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
	} {
		add("line "+strconv.Quote(line), "%sHost: x\r\n\r\n", line)
	}
	for _, field := range []string{
		"X: y\n", "X: y\r", "X : y\r\n", "X\t: y\r\n", " X: y\r\n", "\tX: y\r\n", "X\r\n", "X y\r\n", ": y\r\n", "X: y\r\n z\r\n", "X: y\r\n\tz\r\n", "X: y\x00\r\n", "X: \x01y\r\n", "X: y\x7f\r\n", "X: y\x1b[0m\r\n", "X\x00: y\r\n", "X(: y\r\n", "\xc3\xbc: y\r\n", "X: y\r\r\n", "X: y\n\n", "X: y\r\n\n", "X: y\n\r\n", "X: a\rb\r\n", "X@Y: z\r\n", "X[0]: z\r\n", "{X}: z\r\n", "X\\: z\r\n", "X=Y: z\r\n", "GET / HTTP/1.1\r\n",
	} {
		add("field "+strconv.Quote(field), "%s%s\r\n", post, field)
		add("first field "+strconv.Quote(field), "GET / HTTP/1.1\r\n%sHost: x\r\n\r\n", field)
	}
	return all
}

// Each is followed by a request that must not be seen, be it a part of the first
// or not.
func TestWhatMaySmuggleIsRefusedAndTheConnectionClosed(t *testing.T) {
	var hidden bool
	seen := route("", "/hidden")
	seen.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hidden = true })
	reads := route("", "/{rest:.*}")
	reads.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			p, ok := ProblemOf(err)
			if !ok {
				p = Problem{Status: http.StatusBadRequest}
			}
			WriteProblem(w, r, p)
		}
	})
	addr := serve(t, seen, reads)
	cases := smuggled()
	if len(cases) < 300 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := send(t, addr, c.raw+"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n")
			if len(got) != 1 || got[0] != 400 && got[0] != 501 || hidden {
				t.Errorf("got %v, the hidden request seen: %v, for %q", got, hidden, c.raw)
			}
			hidden = false
		})
	}
}

func TestSoundRequestsGetThrough(t *testing.T) {
	reads := route("", "/{rest:.*}")
	reads.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
	})
	addr := serve(t, reads)
	for _, c := range sound() {
		t.Run(c.name, func(t *testing.T) {
			want := []int{200, 200}
			if c.name == "Expect" {
				want = []int{100, 200, 200}
			}
			if got := send(t, addr, c.raw+"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"); !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A request that has begun ends as it would have, whatever comes behind it.
func TestAMalformedRequestLeavesTheOneBeforeAlone(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	r := route("", "/{rest:.*}")
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-end
		if err := r.Context().Err(); err != nil {
			t.Errorf("cancelled: %v", err)
		}
	})
	addr := serve(t, r)
	answered := make(chan []int)
	go func() { answered <- send(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\nHost: x\r\n\r\n") }()
	<-begun
	close(end)
	if got := <-answered; !slices.Equal(got, []int{200, 400}) {
		t.Errorf("got %v", got)
	}
}

func TestTooManyFieldsAreRefused(t *testing.T) {
	addr := serve(t, route("GET", "/a"))
	for n, want := range map[int]int{98: 200, 99: 200, 100: 431} {
		raw := "GET /a HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", n) + "\r\n"
		if got := send(t, addr, raw); len(got) != 1 || got[0] != want {
			t.Errorf("%d fields beside Host: got %v, want %d", n, got, want)
		}
	}
}

func TestReadingAlongAllocatesNothing(t *testing.T) {
	text := []byte(browserRequest)
	var f framing
	if n := testing.AllocsPerRun(100, func() { f.read(text) }); n != 0 || f.fault != nil {
		t.Errorf("%v allocations, %v", n, f.fault)
	}
}

const browserRequest = "POST /customers/7/orders HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n" +
	"Accept: application/json\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nContent-Type: application/json\r\nContent-Length: 16\r\nCookie: session=0123456789abcdef0123456789abcdef\r\nConnection: keep-alive\r\n\r\n{\"answer\": true}"

func BenchmarkFraming(b *testing.B) {
	for name, text := range map[string]string{"GET": "GET /users/7 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n", "browser": browserRequest,
		"1 MB": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20)} {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			var f framing
			for b.Loop() {
				f.read(p)
			}
			if f.fault != nil || f.state != inStart {
				b.Fatal(f.fault)
			}
		})
	}
}

func TestTheServersOwnAnswerIsKnown(t *testing.T) {
	// send recognises it by its text, which is net/http's to change.
	addr := serve(t, route("GET", "/a"))
	got := sendRaw(t, addr, "GET /a HTTP/1.1\nHost: x\r\n\r\n")
	if !bytes.Contains(got, []byte(`"code":"bad-request"`)) || !bytes.Contains(got, []byte("does not end with CRLF")) && !bytes.Contains(got, []byte("HTTP/1.1.")) {
		t.Errorf("got %s", got)
	}
}
