package gateway

import (
	"math"
	"net/http"
	"strings"
)

// framing reads along with a connection of HTTP/1.1, before the server does, and
// finds the first byte at which two readers may no longer agree on where requests
// begin and end (RFC 9112): what net/http repairs, or takes for what was meant,
// another one in front or behind may read otherwise, and what the one takes for a
// body is a request to the other.
//
// It takes nothing but the grammar: CRLF ends lines, names are tokens with a
// colon right behind, no line is folded, there is one Content-Length or one
// Transfer-Encoding, chunks have sizes in hexadecimal digits and no space
// anywhere. Which codings, hosts and targets are taken is for others to say. It
// keeps no more than the name and the value at hand, and allocates nothing.
type framing struct {
	state     framingState
	fault     *malformation // once set, nothing is read any more
	h2c       bool          // whether the connection may turn out to be one of HTTP/2
	maxFields int           // 0 or less is no bound
	front     *front        // that counts faults; nil: nobody does

	head    int   // bytes of the request line and the header so far; all of them is math.MaxInt
	fields  int   // lines of the header
	left    int64 // of the body or the chunk
	matched int   // bytes of a text that has to be there as it is

	old, chunked, measured, coded bool // HTTP/1.0; chunked body; Content-Length; Transfer-Encoding
	trailer                       bool // the header at hand is one
	field                         fieldName
	held                          [maxHeld]byte // the name, then the value at hand
	length                        int           // of held; more than it holds is too long to matter
}

// maxHeld is for transfer-encoding, and for a length of 19 digits.
const maxHeld = 24

// malformation is what is wrong with a request that is no HTTP.
type malformation struct {
	status       int
	reason       string // a label of metrics and logs
	code, detail string
}

// Error is what readers of a body that is no HTTP are told.
func (m *malformation) Error() string { return "malformed request: " + m.reason }

func malformed(reason, detail string) *malformation {
	return &malformation{status: http.StatusBadRequest, reason: reason, code: CodeBadRequest, detail: detail}
}

var (
	badMethod     = malformed("method", "The request does not begin with a method.")
	badTarget     = malformed("target", "The request target holds what no target has.")
	badVersion    = malformed("version", "The request line does not end with HTTP/1.1.")
	badLineEnd    = malformed("line-end", "A line of the header does not end with CRLF.")
	badFold       = malformed("folded-line", "A line of the header is folded.")
	badName       = malformed("field-name", "The name of a field is not a token with a colon right behind it.")
	badText       = malformed("field-value", "The value of a field holds control characters.")
	badLength     = malformed("content-length", "The Content-Length is not a number.")
	twoLengths    = malformed("two-lengths", "There are two fields Content-Length.")
	twoCodings    = malformed("two-codings", "There are two fields Transfer-Encoding.")
	lengthAndCode = malformed("length-and-coding", "There are both Content-Length and Transfer-Encoding.")
	oldCoding     = malformed("old-coding", "HTTP/1.0 has no Transfer-Encoding.")
	afterCoding   = malformed("unknown-coding", "Something follows a body of which nobody knows where it ends.")
	badChunk      = malformed("chunk", "The body is not made of chunks.")
	badTrailer    = malformed("trailer", "The trailer says how long the body is.")
	tooManyFields = &malformation{http.StatusRequestHeaderFieldsTooLarge, "fields", CodeHeaderTooLarge, "The header has too many fields."}
)

// The most that is taken of a chunk's size, in digits, and of what stands behind
// it, in bytes.
const (
	maxChunkDigits = 15
	maxExtension   = 256
)

type framingState uint8

const (
	inStart framingState = iota
	inPreface
	inMethod
	inTargetStart
	inTarget
	inVersion
	inVersionEnd
	inLineStart // of the header
	inName
	inValue
	inValueEnd
	inHeaderEnd
	inBody
	inChunkStart
	inChunkSize
	inExtension
	inChunkSizeEnd
	inChunk
	inChunkEnd
	inChunkLF
	inUnknown // a body of a coding that the server refuses
	inOther   // another protocol
)

const (
	versionText = "HTTP/1."
	prefaceText = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// read goes on with p, and gives how much of it is sound.
func (f *framing) read(p []byte) int {
	if f.fault != nil {
		return 0
	}
	from := 0 // where the head at hand begins in p
	for i := 0; i < len(p); {
		b := p[i]
		switch f.state {
		case inStart:
			f.begin()
			from = i
			if b == prefaceText[0] && f.h2c {
				f.state = inPreface
				continue
			}
			f.h2c = false
			if !tokenChars[b] {
				return f.refuse(badMethod, i, from)
			}
			f.state = inMethod
		case inPreface:
			if b != prefaceText[f.matched] {
				return f.request(p, i)
			}
			if f.matched++; f.matched == len(prefaceText) {
				f.state = inOther
			}
		case inMethod:
			if i = skip(tokenChars, p, i); i == len(p) {
				continue
			}
			if p[i] != ' ' {
				return f.refuse(badMethod, i, from)
			}
			f.state = inTargetStart
		case inTargetStart:
			if !targetChars[b] {
				return f.refuse(badTarget, i, from)
			}
			f.state = inTarget
		case inTarget:
			if i = skip(targetChars, p, i); i == len(p) {
				continue
			}
			if p[i] != ' ' {
				return f.refuse(badTarget, i, from)
			}
			f.state, f.matched = inVersion, 0
		case inVersion:
			switch {
			case f.matched < len(versionText) && b == versionText[f.matched]:
				f.matched++
			case f.matched == len(versionText) && (b == '0' || b == '1'):
				f.old = b == '0'
				f.matched++
			case f.matched > len(versionText) && b == '\r':
				f.state = inVersionEnd
			default:
				return f.refuse(badVersion, i, from)
			}
		case inVersionEnd:
			if b != '\n' {
				return f.refuse(badLineEnd, i, from)
			}
			f.state = inLineStart
		case inLineStart:
			switch {
			case b == '\r':
				f.state = inHeaderEnd
			case b == ' ' || b == '\t':
				return f.refuse(badFold, i, from)
			case b == '\n':
				return f.refuse(badLineEnd, i, from)
			default:
				if f.fields++; f.maxFields > 0 && f.fields > f.maxFields {
					return f.refuse(tooManyFields, i, from)
				}
				f.state, f.length = inName, 0
				continue
			}
		case inName:
			at := i
			i = skip(tokenChars, p, i)
			f.hold(p[at:i])
			if i == len(p) {
				continue
			}
			if p[i] != ':' || f.length == 0 {
				return f.refuse(badName, i, from)
			}
			if fault := f.named(); fault != nil {
				return f.refuse(fault, i, from)
			}
			f.state, f.length = inValue, 0
		case inValue:
			at := i
			i = skip(valueChars, p, i)
			if f.field != otherField {
				f.hold(p[at:i])
			}
			if i == len(p) {
				continue
			}
			if p[i] != '\r' {
				if p[i] == '\n' {
					return f.refuse(badLineEnd, i, from)
				}
				return f.refuse(badText, i, from)
			}
			if fault := f.valued(); fault != nil {
				return f.refuse(fault, i, from)
			}
			f.state = inValueEnd
		case inValueEnd:
			if b != '\n' {
				return f.refuse(badLineEnd, i, from)
			}
			f.state = inLineStart
		case inHeaderEnd:
			if b != '\n' {
				return f.refuse(badLineEnd, i, from)
			}
			if fault := f.ended(); fault != nil {
				return f.refuse(fault, i, from)
			}
		case inBody, inChunk:
			n := min(f.left, int64(len(p)-i))
			f.left -= n
			i += int(n)
			switch {
			case f.left > 0:
			case f.state == inBody:
				f.state = inStart
			default:
				f.state = inChunkEnd
			}
			continue
		case inChunkStart, inChunkSize:
			digit, ok := hexadecimal(b)
			switch {
			case ok && f.matched < maxChunkDigits:
				f.left = f.left<<4 | digit
				f.matched++
				f.state = inChunkSize
			case f.state == inChunkSize && b == '\r':
				f.state = inChunkSizeEnd
			case f.state == inChunkSize && b == ';':
				f.state, f.matched = inExtension, 0
			default:
				return f.refuse(badChunk, i, from)
			}
		case inExtension:
			at := i
			i = skip(valueChars, p, i)
			if more := maxExtension - f.matched; i-at > more {
				return f.refuse(badChunk, at+more, from)
			}
			f.matched += i - at
			if i == len(p) {
				continue
			}
			if p[i] != '\r' {
				return f.refuse(badChunk, i, from)
			}
			f.state = inChunkSizeEnd
		case inChunkSizeEnd:
			if b != '\n' {
				return f.refuse(badChunk, i, from)
			}
			if f.state = inChunk; f.left == 0 {
				f.state, f.trailer, f.fields = inLineStart, true, 0
			}
		case inChunkEnd:
			if b != '\r' {
				return f.refuse(badChunk, i, from)
			}
			f.state = inChunkLF
		case inChunkLF:
			if b != '\n' {
				return f.refuse(badChunk, i, from)
			}
			f.state, f.left, f.matched = inChunkStart, 0, 0
		case inUnknown:
			return f.refuse(afterCoding, i, from)
		case inOther:
			return len(p)
		}
		i++
	}
	if f.inHead() {
		f.head += len(p) - from
	}
	return len(p)
}

// inHead reports whether nothing of a body has come yet. A request that the
// server has in part may be answered, one that it has in full is a matter of its
// handler.
func (f *framing) inHead() bool {
	return f.state > inStart && f.state < inBody && !f.trailer
}

func (f *framing) begin() {
	f.head, f.fields, f.left, f.matched, f.length = 0, 0, 0, 0, 0
	f.old, f.chunked, f.measured, f.coded, f.trailer = false, false, false, false, false
}

// request goes back to reading a request where it looked like the preface of
// HTTP/2 up to p[at].
func (f *framing) request(p []byte, at int) int {
	same := f.matched
	f.state, f.h2c = inStart, false
	if f.read([]byte(prefaceText[:same])) < same {
		return at
	}
	return at + f.read(p[at:])
}

func (f *framing) refuse(fault *malformation, at, from int) int {
	if f.inHead() || f.state == inStart {
		f.head += at - from
	} else {
		f.head = math.MaxInt // all of it is with the server
	}
	f.fault = fault
	return at
}

// skip gives where what follows is not of a set.
func skip(set *charset, p []byte, at int) int {
	for at < len(p) && set[p[at]] {
		at++
	}
	return at
}

func (f *framing) hold(text []byte) {
	if f.length < maxHeld {
		copy(f.held[f.length:], text)
	}
	f.length += len(text)
}

type fieldName uint8

const (
	otherField fieldName = iota
	contentLength
	transferEncoding
)

// named looks at the name of a field.
func (f *framing) named() *malformation {
	f.field = otherField
	switch {
	case f.is("content-length"):
		f.field = contentLength
		if f.measured {
			return twoLengths
		}
		f.measured = true
	case f.is("transfer-encoding"):
		f.field = transferEncoding
		if f.coded {
			return twoCodings
		}
		f.coded = true
	}
	if f.trailer && f.field != otherField {
		return badTrailer
	}
	return nil
}

func (f *framing) is(name string) bool {
	return f.length == len(name) && strings.EqualFold(string(f.held[:f.length]), name)
}

// valued looks at the value of a field.
func (f *framing) valued() *malformation {
	if f.field == otherField {
		return nil
	}
	if f.length > maxHeld {
		if f.field == contentLength {
			return badLength
		}
		return nil // no coding that there is has such a name
	}
	value := strings.Trim(string(f.held[:f.length]), " \t")
	if f.field == transferEncoding {
		f.chunked = strings.EqualFold(value, "chunked")
		return nil
	}
	if value == "" || len(value) > 18 {
		return badLength
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return badLength
		}
		f.left = f.left*10 + int64(value[i]-'0')
	}
	return nil
}

// ended decides how the body is read.
func (f *framing) ended() *malformation {
	switch {
	case f.trailer:
		f.state = inStart
	case f.measured && f.coded:
		return lengthAndCode
	case f.coded && f.old:
		return oldCoding
	case f.chunked:
		f.state, f.left, f.matched = inChunkStart, 0, 0
	case f.coded:
		f.state = inUnknown
	case f.left > 0:
		f.state = inBody
	default:
		f.state = inStart
	}
	return nil
}

func hexadecimal(b byte) (digit int64, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return int64(b - '0'), true
	case 'a' <= b && b <= 'f':
		return int64(b-'a') + 10, true
	case 'A' <= b && b <= 'F':
		return int64(b-'A') + 10, true
	}
	return 0, false
}

var (
	targetChars = except(" ")
	valueChars  = except("")
)
