package policies

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/engine"
)

// FuzzToken holds that of all texts only one form is a token: what is taken has
// three parts, each in the one way to write its bytes, and a header of which
// nothing else counts.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		"", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIiwiZXhwIjoxZTQwMH0.AA",
		"eyJhbGciOiJIUzI1NiIsImNyaXQiOltdfQ.e30.AA", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwic3ViIjoiYiJ9.AA", "eyJhbGciOiJIUzI1NiJ9.e30.A\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := parseToken(text)
		if err != nil {
			return
		}
		parts := strings.Split(text, ".")
		if len(parts) != 3 || token.signed != parts[0]+"."+parts[1] || len(token.signature) == 0 || token.alg == "" || strings.EqualFold(token.alg, "none") {
			t.Fatalf("%q is taken as %+v", text, token)
		}
		for _, part := range parts {
			b, err := strict.DecodeString(part)
			if err != nil || strict.EncodeToString(b) != part {
				t.Errorf("%q is not the one way to write its bytes: %v", part, err)
			}
		}
		_ = marksOf(token.claims)
		_ = hasScopes(token.claims, []string{"a"})
	})
}

// FuzzFiles holds that no file of keys, users or revocations ends the process,
// and that what is taken is whole.
func FuzzFiles(f *testing.F) {
	sum := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, seed := range []string{
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"jti " + sum + "\nsub " + sum + " 17\n", sum + " wk_1 till plan=gold expires=2030-01-01T00:00:00Z\n", "ada:$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234\n",
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := readKeys(text); err == nil && len(keys) == 0 {
			t.Error("a set without keys is taken")
		}
		if keys, err := readAPIKeys(text); err == nil {
			for _, k := range keys {
				if k.consumer.Name == "" {
					t.Error("a key of nobody is taken")
				}
			}
		}
		_, _ = readRevoked(text)
		_, _ = readUsers(text)
	})
}

func TestKeysThatAreRefused(t *testing.T) {
	number := func(n int, first byte) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = first
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	for name, key := range map[string]string{
		"RFC 8725 3.4: a point that is not on the curve":       fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, number(32, 7), number(32, 9)),
		"RFC 8725 3.4: a point of another length":              fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, number(31, 7), number(32, 9)),
		"RFC 8725 3.4: a curve that is not known":              fmt.Sprintf(`{"kty":"EC","crv":"secp256k1","x":%q,"y":%q}`, number(32, 7), number(32, 9)),
		"RFC 8725 3.5: a key of RSA that is too short":         fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, number(128, 0xc1)),
		"RFC 8725 3.5: an exponent of RSA that hides nothing":  fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQ"}`, number(256, 0xc1)),
		"RFC 8725 3.5: a secret among keys that are published": fmt.Sprintf(`{"kty":"oct","k":%q}`, number(32, 7)),
	} {
		t.Run(name, func(t *testing.T) {
			if keys, err := readKeys([]byte(`{"keys":[` + key + `]}`)); err == nil {
				t.Errorf("%d keys", len(keys))
			}
		})
	}
}

func TestTheTokenCacheIsBounded(t *testing.T) {
	key := func(i int) *[sha256.Size]byte {
		var sum [sha256.Size]byte
		binary.BigEndian.PutUint64(sum[:], uint64(i))
		return &sum
	}
	v := func(size int) *verified {
		return &verified{consumer: &engine.Consumer{}, until: time.Now(), size: size}
	}
	t.Run("by entries", func(t *testing.T) {
		c := newTokenCache(1000, 1<<30)
		for i := range 1_000_000 {
			c.add(key(i), v(1))
			if i == 999_999 || i%1000 == 0 {
				if entries, _ := c.held(); entries > 1000 {
					t.Fatal(entries)
				}
			}
		}
		if entries, _ := c.held(); entries < 500 || c.find(key(999_999)) == nil {
			t.Error("too little is kept:", entries)
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		c := newTokenCache(1000, 10_000)
		for i := range 10_000 {
			c.add(key(i), v(100+i%7))
		}
		c.add(key(-1), v(6000)) // larger than a half
		if entries, bytes := c.held(); bytes > 10_000 || entries < 40 || c.find(key(-1)) != nil {
			t.Error(entries, bytes)
		}
	})
	t.Run("what is asked for stays", func(t *testing.T) {
		c := newTokenCache(100, 1<<20)
		for i := range 10_000 {
			c.add(key(i), v(1))
			if c.find(key(0)) == nil {
				t.Fatal("it is gone after", i)
			}
		}
	})
	t.Run("what is dropped is gone from both halves", func(t *testing.T) {
		c := newTokenCache(4, 1<<20)
		for i := range 3 {
			c.add(key(i), v(1))
		}
		for i := range 3 {
			c.drop(key(i))
		}
		if entries, bytes := c.held(); entries != 0 || bytes != 0 {
			t.Error(entries, bytes)
		}
	})
	t.Run("of no entries", func(t *testing.T) {
		c := newTokenCache(0, 1<<20)
		c.add(key(1), v(1))
		if c.find(key(1)) != nil {
			t.Error("it is there")
		}
	})
}

func TestNamesOfMembersAreCounted(t *testing.T) {
	for text, want := range map[string]int{`{}`: 0, ` { } `: 0, `{"a":1}`: 1, `{"a":{"b":1,"c":2},"d":[1,2,3]}`: 2, `{"a,\"":"{,","b":""}`: 2, `{"a":1,"a":2}`: 2} {
		if got := countMembers(text); got != want {
			t.Errorf("%s: %d, not %d", text, got, want)
		}
	}
}
