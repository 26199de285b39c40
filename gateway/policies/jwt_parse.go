package policies

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// A token is a JWS in its compact form (RFC 7515 section 7.1) whose payload are
// claims (RFC 7519). The parser takes no more than that, and is written for this
// purpose: nothing of what a token says of itself is acted upon but alg and kid,
// and these only choose among keys that are there already.
type token struct {
	alg, kid, typ string
	claims        map[string]any
	signed        string // what the signature is of
	signature     []byte
}

const (
	maxToken  = 16 << 10 // bytes
	maxHeader = 2 << 10  // bytes, encoded
	maxKeyID  = 256      // bytes
)

var errToken = errors.New("this is no signed token")

// strict refuses what other readers would take for the same bytes: padding, and
// bits behind the last byte.
var strict = base64.RawURLEncoding.Strict()

func parseToken(text string) (*token, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("the token is larger than %d bytes", maxToken)
	}
	if strings.Count(text, ".") != 2 { // a JWE has four
		return nil, errToken
	}
	first := strings.IndexByte(text, '.')
	second := strings.LastIndexByte(text, '.')
	if first > maxHeader {
		return nil, fmt.Errorf("the header is larger than %d bytes", maxHeader)
	}
	header, err := object(text[:first])
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	t := &token{signed: text[:second]}
	if err := t.head(header); err != nil {
		return nil, err
	}
	if t.claims, err = object(text[first+1 : second]); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if t.signature, err = decode64(text[second+1:]); err != nil || len(t.signature) == 0 {
		return nil, fmt.Errorf("signature: %w", errToken)
	}
	return t, t.wellFormed()
}

// head takes what counts of a header. All that would change how the rest is to be
// read is refused; where to find keys is nothing a token may say (jku, x5u, jwk
// and x5c are not looked at).
func (t *token) head(header map[string]any) error {
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if _, ok := header[name]; ok {
			return fmt.Errorf("the header has %s", name)
		}
	}
	var cty string
	for name, to := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &t.typ, "cty": &cty} {
		if v, ok := header[name]; ok {
			text, is := v.(string)
			if !is {
				return fmt.Errorf("%s is no text", name)
			}
			*to = text
		}
	}
	switch {
	case t.alg == "" || strings.EqualFold(t.alg, "none"):
		return errors.New("the token is not signed")
	case len(t.kid) > maxKeyID:
		return errors.New("kid is too long")
	case strings.EqualFold(mediaType(cty), "jwt"):
		return errors.New("there is a token within the token")
	}
	return nil
}

// mediaType is a typ or cty without the prefix that may be left out (RFC 7515
// section 4.1.9).
func mediaType(t string) string {
	const prefix = "application/"
	if len(t) > len(prefix) && strings.EqualFold(t[:len(prefix)], prefix) && !strings.Contains(t[len(prefix):], "/") {
		return t[len(prefix):]
	}
	return t
}

// wellFormed checks the types of the claims that RFC 7519 names.
func (t *token) wellFormed() error {
	for _, name := range []string{"iss", "sub", "jti"} {
		if v, ok := t.claims[name]; ok {
			if _, is := v.(string); !is {
				return fmt.Errorf("%s is no text", name)
			}
		}
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if v, ok := t.claims[name]; ok {
			if _, is := date(v); !is {
				return fmt.Errorf("%s is no number", name)
			}
		}
	}
	if v, ok := t.claims["aud"]; ok {
		if _, is := textsIn(v); !is {
			return errors.New("aud is neither a text nor a list of texts")
		}
	}
	return nil
}

// date reads a NumericDate: seconds since 1970, with a fraction maybe (RFC 7519
// section 2). What no calendar has is the last or the first moment that one has.
func date(v any) (time.Time, bool) {
	const last = 253402300799 // the end of the year 9999
	var seconds float64
	switch v := v.(type) {
	case int:
		return time.Unix(min(max(int64(v), -last), last), 0), true
	case float64:
		seconds = v
	case dsl.Number:
		seconds = v.Float()
	default:
		return time.Time{}, false
	}
	whole, part := math.Modf(min(max(seconds, -last), last))
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// textsIn are the texts of a claim that is a text or a list of them.
func textsIn(v any) (texts []string, ok bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, item := range v {
			text, is := item.(string)
			if !is {
				return nil, false
			}
			texts = append(texts, text)
		}
		return texts, true
	}
	return nil, false
}

// decodeAny64 reads what people call Base64: either alphabet, with padding or
// without.
func decodeAny64(text string) ([]byte, error) {
	text = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text)
	return base64.RawURLEncoding.DecodeString(text)
}

func decode64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which package base64 leaves out
		return nil, errToken
	}
	return strict.DecodeString(text)
}

// object reads an object. One that has a name twice is read differently by
// different readers, and refused (RFC 7519 section 4).
func object(encoded string) (map[string]any, error) {
	b, err := decode64(encoded)
	if err != nil {
		return nil, errToken
	}
	return readObject(string(b))
}

func readObject(text string) (map[string]any, error) {
	if err := dsl.CheckJSON(text); err != nil {
		return nil, err
	}
	v, err := dsl.DecodeBounded(text)
	if err != nil {
		return nil, err
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	if countMembers(text) != len(members) {
		return nil, errors.New("a name stands in it twice")
	}
	return members, nil
}

// countMembers is how many members an object has, names that repeat included. The
// text is a JSON object.
func countMembers(text string) (n int) {
	depth, empty := 0, true
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			empty = false
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 1 {
				n++
			}
		}
	}
	if empty {
		return 0
	}
	return n + 1
}
