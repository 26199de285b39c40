package h1

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// head is what a response's header says about its body and its connection.
type head struct {
	body   framingKind
	length int64 // of an exact body
	close  bool  // the connection ends with the response
}

// framingKind is how a response's body ends: RFC 9112 section 6.3.
type framingKind uint8

const (
	noBody  framingKind = iota
	exact               // after Content-Length bytes
	chunked             // with a last chunk
	toEnd               // with the connection
)

const errHeaderTooLarge = malformed("the header is too large")

// readBlock reads a header: a first line and fields, up to and with the empty
// line. It returns the text without that line, and the number of its lines.
func (cn *conn) readBlock(limit int) (block string, lines int, err error) {
	start, scanned := 0, 0 // relative to pos: of the line, and what was looked at
	for {
		window := cn.in[cn.pos:cn.end]
		for {
			i := bytes.IndexByte(window[scanned:], '\n')
			if i < 0 {
				break
			}
			end := scanned + i
			if end == 0 || window[end-1] != '\r' {
				return "", 0, malformed("a line does not end with CRLF")
			}
			scanned = end + 1
			if end-1 == start {
				block = string(window[:start])
				cn.pos += scanned
				return block, lines, nil
			}
			start = scanned
			lines++
		}
		scanned = len(window)
		if len(window) >= limit {
			return "", 0, errHeaderTooLarge
		}
		if !plausible(window) {
			return "", 0, malformed("not HTTP/1")
		}
		if _, err := cn.fill(limit); err != nil {
			return "", 0, err
		}
	}
}

// plausible reports whether a response can begin like this. It spares the wait
// for the end of a line that a server of another protocol never sends.
func plausible(b []byte) bool {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// parseHead reads a header block into resp, and its fields into the map fields,
// if that is not nil. All strings are parts of block, and all values of the
// header lie in one array, so that a header costs four allocations at most,
// however many fields it has.
func parseHead(block string, lines int, method string, resp *http.Response, fields http.Header) (head, error) {
	*resp = http.Response{}
	line, block, ok := cutLine(block)
	if !ok {
		return head{}, malformed("no status line")
	}
	if err := parseStatusLine(line, resp); err != nil {
		return head{}, err
	}
	if fields == nil {
		fields = make(http.Header, lines-1)
	} else {
		clear(fields)
	}
	values := make([]string, lines-1)
	for i := 0; block != ""; i++ {
		if line, block, ok = cutLine(block); !ok {
			return head{}, malformed("no end of line")
		}
		name, value, err := parseField(line)
		if err != nil {
			return head{}, err
		}
		if prior, repeated := fields[name]; repeated {
			fields[name] = append(prior, value)
			continue
		}
		values[i] = value
		fields[name] = values[i : i+1 : i+1]
	}
	resp.Header = fields
	return parseFraming(method, resp)
}

// parseStatusLine reads "HTTP/1.1 200 OK". RFC 9112 section 4 wants the space
// after the code even where no reason follows; servers forget it.
func parseStatusLine(line string, resp *http.Response) error {
	switch {
	case strings.HasPrefix(line, "HTTP/1.1 "):
		resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.1", 1, 1
	case strings.HasPrefix(line, "HTTP/1.0 "):
		resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.0", 1, 0
	default:
		return malformedf("status line %.32q", line)
	}
	resp.Status = line[len("HTTP/1.1 "):]
	s := resp.Status
	if len(s) < 3 || len(s) > 3 && s[3] != ' ' || !validValue(s) {
		return malformedf("status line %.32q", line)
	}
	for i := range 3 {
		if s[i] < '0' || s[i] > '9' {
			return malformedf("status line %.32q", line)
		}
		resp.StatusCode = resp.StatusCode*10 + int(s[i]-'0')
	}
	if resp.StatusCode < 100 {
		return malformedf("status %s", s[:3])
	}
	return nil
}

// parseField reads "name: value". A line that begins with a space would continue
// the one before it, which RFC 9112 section 5.2 has abolished.
func parseField(line string) (name, value string, err error) {
	colon := strings.IndexByte(line, ':')
	if colon < 0 || !validToken(line[:colon]) {
		return "", "", malformedf("header line %.32q", line)
	}
	name, value = line[:colon], trimBlanks(line[colon+1:])
	if !validValue(value) {
		return "", "", malformedf("value of header %s", name)
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// trimBlanks is strings.Trim(s, " \t").
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// cutLine takes the first line of a block, in which each LF has its CR.
func cutLine(s string) (line, rest string, ok bool) {
	end := strings.IndexByte(s, '\n')
	if end < 1 {
		return s, "", false
	}
	return s[:end-1], s[end+1:], true
}

// parseFraming finds where the body ends and what becomes of the connection.
func parseFraming(method string, resp *http.Response) (head, error) {
	h := head{length: -1}
	fields := resp.Header
	lengths := fields["Content-Length"]
	connection := fields["Connection"]
	h.close = hasToken(connection, "close")
	if resp.ProtoMinor == 0 {
		h.close = h.close || !hasToken(connection, "keep-alive")
	} else if h.close {
		delete(fields, "Connection") // said by Response.Close
	}
	if len(lengths) > 0 {
		n, err := parseLength(lengths)
		if err != nil {
			return head{}, err
		}
		h.length = n
		fields["Content-Length"] = lengths[:1]
	}
	codings, encoded := fields["Transfer-Encoding"]
	if encoded {
		switch {
		case len(lengths) > 0:
			return head{}, malformed("both Content-Length and Transfer-Encoding")
		case resp.ProtoMinor == 0:
			return head{}, malformed("Transfer-Encoding in HTTP/1.0")
		case len(codings) != 1 || !strings.EqualFold(codings[0], "chunked"):
			return head{}, malformedf("Transfer-Encoding %.32q", codings)
		}
		delete(fields, "Transfer-Encoding")
		resp.TransferEncoding = chunkedEncoding
		if err := announceTrailer(resp); err != nil {
			return head{}, err
		}
	}
	status := resp.StatusCode
	switch {
	case status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || method == http.MethodHead:
		h.body = noBody
	case encoded:
		h.body = chunked
	case h.length > 0:
		h.body = exact
	case h.length < 0:
		h.body, h.close = toEnd, true
	}
	resp.ContentLength = h.length
	if h.body == noBody && method != http.MethodHead {
		resp.ContentLength = 0
	}
	resp.Close = h.close
	return h, nil
}

// chunkedEncoding is shared by all responses; its capacity is its length, so
// appending to it copies.
var chunkedEncoding = []string{"chunked"}[:1:1]

// parseLength reads Content-Length. Several are one if they are equal: RFC 9110
// section 8.6.
func parseLength(values []string) (int64, error) {
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, malformedf("differing Content-Length %.64q", values)
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, malformedf("Content-Length %.32q", values[0])
	}
	return int64(n), nil
}

// announceTrailer moves the names in the Trailer header to resp.Trailer.
func announceTrailer(resp *http.Response) error {
	values, ok := resp.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(resp.Header, "Trailer")
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.Trim(name, " \t"); name == "" {
				continue
			}
			if !validToken(name) || !validTrailer(name) {
				return malformedf("trailer %.32q", name)
			}
			if resp.Trailer == nil {
				resp.Trailer = http.Header{}
			}
			resp.Trailer[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
	}
	return nil
}

// hasToken reports whether a comma-separated list contains the token.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for v != "" {
			var item string
			item, v, _ = strings.Cut(v, ",")
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// readTrailer reads the fields after the last chunk.
func (cn *conn) readTrailer(resp *http.Response, limit int) error {
	for {
		line, err := cn.readLine(limit)
		if err != nil {
			return err
		}
		if line == "" {
			return nil
		}
		if limit -= len(line); limit <= 0 {
			return errHeaderTooLarge
		}
		name, value, err := parseField(line)
		if err != nil {
			return err
		}
		if !validTrailer(name) {
			return malformedf("trailer %s", name)
		}
		if resp.Trailer == nil {
			resp.Trailer = http.Header{}
		}
		resp.Trailer[name] = append(resp.Trailer[name], value)
	}
}

// readLine reads a line, and returns it without its CRLF.
func (cn *conn) readLine(limit int) (string, error) {
	b, err := cn.peekLine(limit)
	if err != nil {
		return "", err
	}
	line := string(b)
	cn.pos += len(b) + 2
	return line, nil
}

// peekLine waits for a line and returns it without its CRLF, still unread.
func (cn *conn) peekLine(limit int) ([]byte, error) {
	for {
		window := cn.in[cn.pos:cn.end]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			if i == 0 || window[i-1] != '\r' {
				return nil, malformed("a line does not end with CRLF")
			}
			return window[:i-1], nil
		}
		if len(window) >= limit {
			return nil, errHeaderTooLarge
		}
		if _, err := cn.fill(max(limit, len(cn.in))); err != nil {
			return nil, unexpected(err)
		}
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
