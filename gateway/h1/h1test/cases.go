// Package h1test holds requests, as they are on the wire, for tests of what reads
// them.
package h1test

import (
	"fmt"
	"strconv"
	"strings"
)

// Case is what a client sends.
type Case struct{ Name, Raw string }

// Sound are requests that have to get through.
func Sound() (all []Case) {
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
		all = append(all, Case{name, raw})
	}
	return all
}

// Smuggled are requests of which two readers may disagree where they end, as
// the literature has them (CL.TE, TE.CL, TE.TE, CL.0, and what hides fields from
// one of the two).
func Smuggled() (all []Case) {
	add := func(name, format string, args ...any) {
		all = append(all, Case{name, fmt.Sprintf(format, args...)})
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
