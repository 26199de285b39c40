package h1

import "strings"

// head reads the request line and the fields of a request, or the fields of a
// trailer. It may be stopped by the end of what has come at any byte, and goes on
// there, so that each byte is looked at once and the first wrong one is found as
// soon as it is there.
//
// It takes nothing but the grammar: CRLF ends lines, names are tokens with a
// colon right behind, no line is folded, there is one Content-Length or one
// Transfer-Encoding, which is chunked. Places are counted from the head's first
// byte; nothing is copied.
type head struct {
	at    int // where to go on
	state headState
	fault *Fault // once set, nothing is read any more

	targetAt, versionAt int
	start               int // of what is being read
	fields              []field
	maxFields           int // 0 or less is no bound

	trailer                 bool // there is no request line
	old                     bool // HTTP/1.0
	measured, coded         bool // there is a Content-Length, a Transfer-Encoding
	chunked                 bool
	length                  int64
	hosts                   int  // how many there are
	linked, expects, trails bool // there is a Connection, an Expect, a Trailer
}

// field is where a line of the header is.
type field struct {
	name, colon int // where the name begins and ends
	value, end  int // without blanks around
	kind        fieldKind
}

// fieldKind sets apart the fields that mean something to the server.
type fieldKind uint8

const (
	ordinary fieldKind = iota
	contentLength
	transferEncoding
	host
	expect
	connection
	trailer
)

type headState uint8

const (
	inMethod headState = iota
	inTarget
	inVersion
	inLine // at the begin of a field, or of the last line
	inName
	inValue
	inValueEnd
	inEnd
)

const versionText = "HTTP/1.1\r\n"

// begin makes ready for the next head.
func (h *head) begin() {
	*h = head{fields: h.fields[:0], maxFields: h.maxFields}
}

// beginTrailer makes ready for a trailer.
func (h *head) beginTrailer() {
	h.begin()
	h.state, h.trailer = inLine, true
}

// parse goes on with p, which begins with the head, and reports whether that is
// complete: it ends before p[h.at]. If there is a fault, it is of p[h.at].
func (h *head) parse(p []byte) (complete bool) {
	i := h.at
	var fault *Fault
	for i < len(p) && fault == nil {
		switch h.state {
		case inMethod:
			if i = tokenChars.skip(p, i); i == len(p) {
				continue
			}
			if p[i] != ' ' || i == 0 {
				fault = badMethod
				continue
			}
			i++
			h.state, h.targetAt = inTarget, i
		case inTarget:
			if i = targetChars.skip(p, i); i == len(p) {
				continue
			}
			if p[i] != ' ' || i == h.targetAt {
				fault = badTarget
				continue
			}
			i++
			h.state, h.versionAt = inVersion, i
		case inVersion:
			i, fault = h.version(p, i)
		case inLine:
			switch b := p[i]; {
			case tokenChars[b]:
				if h.maxFields > 0 && len(h.fields) == h.maxFields {
					fault = TooManyFields
					continue
				}
				h.state, h.start = inName, i
			case b == '\r':
				i++
				h.state = inEnd
			case b == ' ' || b == '\t':
				fault = badFold
			case b == '\n':
				fault = badLineEnd
			case h.maxFields > 0 && len(h.fields) == h.maxFields:
				fault = TooManyFields
			default:
				fault = badName
			}
		case inName:
			if i = tokenChars.skip(p, i); i == len(p) {
				continue
			}
			if p[i] != ':' {
				fault = badName
				continue
			}
			f := field{name: h.start, colon: i, kind: kindOf(p[h.start:i])}
			if f.kind != ordinary {
				fault = h.named(f.kind)
			}
			if fault != nil {
				continue
			}
			h.fields = append(h.fields, f)
			i++
			h.state, h.start = inValue, i
		case inValue:
			if i = valueChars.skip(p, i); i == len(p) {
				continue
			}
			if p[i] != '\r' {
				if fault = badText; p[i] == '\n' {
					fault = badLineEnd
				}
				continue
			}
			if fault = h.valued(p, i); fault != nil {
				continue
			}
			i++
			h.state = inValueEnd
		case inValueEnd:
			if p[i] != '\n' {
				fault = badLineEnd
				continue
			}
			i++
			h.state = inLine
		case inEnd:
			if fault = h.ended(p[i]); fault == nil {
				h.at = i + 1
				return true
			}
		}
	}
	h.at, h.fault = i, fault
	return false
}

func (h *head) version(p []byte, i int) (int, *Fault) {
	for ; i < len(p); i++ {
		switch n := i - h.versionAt; {
		case n == len(versionText)-3 && p[i] == '0':
			h.old = true
		case n == len(versionText)-1 && p[i] != '\n':
			return i, badLineEnd
		case p[i] != versionText[n]:
			return i, badVersion
		case n == len(versionText)-1:
			h.state = inLine
			return i + 1, nil
		}
	}
	return i, nil
}

func kindOf[T string | []byte](name T) fieldKind {
	switch len(name) {
	case 4:
		if same(name, "host") {
			return host
		}
	case 6:
		if same(name, "expect") {
			return expect
		}
	case 7:
		if same(name, "trailer") {
			return trailer
		}
	case 10:
		if same(name, "connection") {
			return connection
		}
	case 14:
		if same(name, "content-length") {
			return contentLength
		}
	case 17:
		if same(name, "transfer-encoding") {
			return transferEncoding
		}
	}
	return ordinary
}

// same reports whether name is lower, in letters of any case.
func same[T string | []byte](name T, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(lower) {
		if b := name[i]; b != lower[i] && (b < 'A' || b > 'Z' || b|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

// named looks at the name of a field that means something.
func (h *head) named(kind fieldKind) *Fault {
	switch kind {
	case contentLength:
		if h.trailer {
			return badTrailer
		}
		if h.measured {
			return twoLengths
		}
		h.measured = true
	case transferEncoding:
		if h.trailer {
			return badTrailer
		}
		if h.coded {
			return twoCodings
		}
		h.coded = true
	case host:
		h.hosts++
	case connection:
		h.linked = true
	case expect:
		h.expects = true
	case trailer:
		h.trails = true
	}
	return nil
}

// The most that a Content-Length may have: of bytes with blanks behind, and of
// digits.
const (
	maxLengthText   = 24
	maxLengthDigits = 18
)

// valued looks at the value of a field, which ends before p[end].
func (h *head) valued(p []byte, end int) *Fault {
	f := &h.fields[len(h.fields)-1]
	from, to := h.start, end
	for from < to && (p[from] == ' ' || p[from] == '\t') {
		from++
	}
	for from < to && (p[to-1] == ' ' || p[to-1] == '\t') {
		to--
	}
	f.value, f.end = from, to
	switch f.kind {
	case transferEncoding:
		h.chunked = same(p[from:to], "chunked")
	case contentLength:
		if from == to || to-from > maxLengthDigits || end-from > maxLengthText {
			return badLength // who pads a number has something in mind
		}
		for _, b := range p[from:to] {
			if b < '0' || b > '9' {
				return badLength
			}
			h.length = h.length*10 + int64(b-'0')
		}
	}
	return nil
}

// ended looks at the head as a whole.
func (h *head) ended(last byte) *Fault {
	switch {
	case last != '\n':
		return badLineEnd
	case h.measured && h.coded:
		return lengthAndCode
	case h.coded && h.old:
		return oldCoding
	case h.coded && !h.chunked:
		return unknownCoding
	}
	return nil
}

// has reports whether a list of tokens holds one. In a field that comes more than
// once it may stand in any of them.
func has(values []string, token string) bool {
	for _, v := range values {
		for v != "" {
			var one string
			one, v = cut(v)
			if same(one, token) {
				return true
			}
		}
	}
	return false
}

// cut takes the first element of a list, without blanks around.
func cut(list string) (first, rest string) {
	first, rest, _ = strings.Cut(list, ",")
	return strings.Trim(first, " \t"), rest
}
