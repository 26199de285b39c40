package policies

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"strings"
)

// maxDigests bounds the members of a Content-Digest.
const maxDigests = 16

var (
	errNoDigest    = errors.New("Content-Digest has none by sha-256 or sha-512")
	errOtherDigest = errors.New("the body is not what Content-Digest says")
)

// checkDigest compares a body with its Content-Digest (RFC 9530 section 2). Of the
// algorithms sha-256 and sha-512 count, the ones that are not broken: one of them
// must be there, and what is there must fit.
func checkDigest(lines []string, body []byte) error {
	members, err := readDictionary(strings.Join(lines, ", "), maxDigests)
	if err != nil {
		return err
	}
	known := false
	for i := range members {
		var sum []byte
		switch m := &members[i]; {
		case m.key == "sha-256":
			s := sha256.Sum256(body)
			sum = s[:]
		case m.key == "sha-512":
			s := sha512.Sum512(body)
			sum = s[:]
		default:
			continue
		}
		known = true
		if m := &members[i]; m.inner || m.bare.kind != sfBytes || !bytes.Equal([]byte(m.bare.text), sum) {
			return errOtherDigest // it is no secret, and whoever sends it knows it
		}
	}
	if !known {
		return errNoDigest
	}
	return nil
}
