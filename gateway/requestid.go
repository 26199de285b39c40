package gateway

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"unsafe"
)

const (
	headerRequestID = "X-Request-Id"
	maxRequestID    = 128
)

// requestID takes over the caller's id if it is safe to repeat in headers,
// logs and documents, and makes one otherwise.
func (q *Request) requestID(h http.Header) string {
	if given := h[headerRequestID]; len(given) == 1 && safeID(given[0]) {
		return given[0]
	}
	newID(&q.idText)
	return unsafe.String(&q.idText[0], len(q.idText)) // nobody writes there again
}

func safeID(id string) bool { return len(id) <= maxRequestID && idChars.spells(id) }

var idChars = chars(alphanumeric + "-_.~+/=:@")

// newID has 128 random bits in the form of a W3C trace id. The generator is
// the runtime's ChaCha8, seeded by the system: not to be guessed from ids that
// were seen, and without a system call.
func newID(text *[32]byte) {
	var raw [16]byte
	for i := 0; i < len(raw); i += 8 {
		for j, bits := i, rand.Uint64(); j < i+8; j, bits = j+1, bits>>8 {
			raw[j] = byte(bits)
		}
	}
	hex.Encode(text[:], raw[:])
}
