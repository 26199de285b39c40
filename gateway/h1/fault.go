package h1

import "net/http"

// Fault is why a request is refused before a handler sees it, or what reading its
// body fails with. It is the client's.
type Fault struct {
	Status int
	Reason string // stable, for labels
	Detail string // a sentence for the client
}

// Error tells the reason.
func (f *Fault) Error() string { return "malformed request: " + f.Reason }

func malformed(reason, detail string) *Fault {
	return &Fault{http.StatusBadRequest, reason, detail}
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
	badChunk      = malformed("chunk", "The body is not made of chunks.")
	badTrailer    = malformed("trailer", "The trailer says how long the body is.")
	noHost        = malformed("host", "There is no field Host.")
	twoHosts      = malformed("host", "There are two fields Host.")
	badHost       = malformed("host", "The Host field is not a host and port.")
	badEncoding   = malformed("target", "The request target is not a URL.")

	unknownCoding   = &Fault{http.StatusNotImplemented, "unknown-coding", "The body has a transfer coding other than chunked."}
	tooLarge        = &Fault{http.StatusRequestHeaderFieldsTooLarge, "header", "The header is too large."}
	tooSlow         = &Fault{http.StatusRequestTimeout, "timeout", "The header arrived too slowly."}
	badExpectation  = &Fault{http.StatusExpectationFailed, "expectation", "What Expect asks for is not known."}
	trailerTooLarge = malformed("trailer", "The trailer is too large.")
)

// TooManyFields is for headers of other protocols, too.
var TooManyFields = &Fault{http.StatusRequestHeaderFieldsTooLarge, "fields", "The header has too many fields."}
