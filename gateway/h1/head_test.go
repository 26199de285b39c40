package h1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/gateway/h1/h1test"
)

// The reference reads whole requests with regular expressions, and has nothing
// else in common with head and body.
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
				if len(m[2]) > maxLengthText {
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

// inPieces is a connection on which a text comes piece by piece.
type inPieces struct {
	net.Conn
	rest  string
	piece int
	read  int
}

func (c *inPieces) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), c.piece)], c.rest)
	if c.rest = c.rest[n:]; n == 0 {
		return 0, io.EOF
	}
	c.read += n
	return n, nil
}

func (*inPieces) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// whole reads a text in pieces, and says whether it is nothing but whole
// requests, and else where it stops being sound.
func whole(text string, piece int) (ok bool, at int, reason string) {
	from := &inPieces{rest: text, piece: piece}
	c := newConn(&Server{MaxFields: 100, MaxHeaderBytes: 1 << 20}, from)
	defer c.gone()
	for {
		_, err := c.readHead()
		if err == nil {
			x := &exchange{conn: c}
			x.body.begin(x, &c.head)
			for p := make([]byte, 100); err == nil && x.body.state != atEnd; {
				_, err = x.body.read(p)
			}
			if x.body.state == atEnd {
				continue
			}
			if err == io.EOF {
				return false, from.read, ""
			}
		}
		switch fault, faulty := err.(*Fault); {
		case faulty:
			return false, from.read - c.w + c.r, fault.Reason
		case err == io.EOF:
			return c.head.at == 0, from.read, ""
		default:
			panic(err)
		}
	}
}

func FuzzFraming(f *testing.F) {
	for _, c := range slices.Concat(h1test.Smuggled(), h1test.Sound()) {
		f.Add(c.Raw, uint8(7))
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

func TestParsingAllocatesNothing(t *testing.T) {
	text := []byte(browserRequest)
	var h head
	parse := func() {
		h.begin()
		if !h.parse(text) {
			t.Error(h.fault)
		}
	}
	if n := testing.AllocsPerRun(100, parse); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const browserRequest = "POST /customers/7/orders HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n" +
	"Accept: application/json\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nContent-Type: application/json\r\nContent-Length: 16\r\nCookie: session=0123456789abcdef0123456789abcdef\r\nConnection: keep-alive\r\n\r\n{\"answer\": true}"

func BenchmarkHead(b *testing.B) {
	for name, text := range map[string]string{"GET": plainRequest, "browser": browserRequest} {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			var h head
			for b.Loop() {
				h.begin()
				if !h.parse(p) {
					b.Fatal(h.fault)
				}
			}
		})
	}
}

const plainRequest = "GET /users/7 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
