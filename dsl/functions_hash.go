package dsl

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
)

// hashFunctions hash the bytes of texts.
var hashFunctions = []definition{
	{
		"sha256(text text, [encoding encoding]) text",
		"The SHA-256 of a text, in hex if nothing else is said.",
		digest(sha256.New),
		[]FunctionExample{{`sha256("weir")`, `"9e1bd4e58bdc27cb9abf4c558b21963a3f3fb6b08c715e8e2bb6c795162994bc"`}, {`sha256("weir", "base64")`, `"nhvU5YvcJ8uav0xViyGWOj8/trCMcV6OK7bHlRYplLw="`}},
	},
	{
		"sha512(text text, [encoding encoding]) text",
		"The SHA-512 of a text, in hex if nothing else is said.",
		digest(sha512.New),
		[]FunctionExample{{`len(sha512("weir"))`, `128`}},
	},
	{
		"sha1(text text, [encoding encoding]) text",
		"The SHA-1 of a text, in hex if nothing else is said. It is broken: only for what asks for it.",
		digest(sha1.New),
		[]FunctionExample{{`sha1("weir")`, `"73359e52b959cf85f75158a9bf78501ee2c9f529"`}},
	},
	{
		"md5(text text, [encoding encoding]) text",
		"The MD5 of a text, in hex if nothing else is said. It is broken: only for what asks for it.",
		digest(md5.New),
		[]FunctionExample{{`md5("weir")`, `"57c6838eabf401f73f6dd50093408e33"`}},
	},
	{
		"crc32(text text) text",
		"The CRC-32 (IEEE) of a text, as 8 digits of hex. It finds accidents, not attacks.",
		func(c call) (any, error) {
			return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(argument[string](c, 0)))), nil
		},
		[]FunctionExample{{`crc32("weir")`, `"93848e0c"`}},
	},
	{
		"hmac(text text, key text, [algorithm algorithm], [encoding encoding]) text",
		"The HMAC (RFC 2104) of a text: with sha256 and in hex if nothing else is said.",
		func(c call) (any, error) {
			mac := hmac.New(*argumentOr(c, 2, &newSHA256), []byte(argument[string](c, 1)))
			mac.Write([]byte(argument[string](c, 0)))
			return (*argumentOr(c, 3, &inHex))(mac.Sum(nil)), nil
		},
		[]FunctionExample{{`hmac("weir", "key")`, `"0752428289353926e237276e3a32ce3ea7ed40b6786e67153f9e9c1ec478a804"`}, {`hmac("weir", "key", "sha1", "base64")`, `"TZR5SD+ysgTxBUUvr6sGtgKLdK8="`}},
	},
	{
		"sameSecret(a text or null, b text or null) bool",
		"Whether two texts are equal, in a time that tells neither where they differ nor how long they are: for secrets, signatures and tokens. Null equals nothing.",
		func(c call) (any, error) {
			a, ok := c.args[0].(string)
			b, both := c.args[1].(string)
			x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
			return subtle.ConstantTimeCompare(x[:], y[:]) == 1 && ok && both, nil
		},
		[]FunctionExample{{`sameSecret(hmac("weir", "key"), "0000")`, `false`}, {`sameSecret({"token": null}.token, "0000")`, `false`}},
	},
}

func digest(algorithm func() hash.Hash) func(c call) (any, error) {
	return func(c call) (any, error) {
		h := algorithm()
		h.Write([]byte(argument[string](c, 0)))
		return (*argumentOr(c, 1, &inHex))(h.Sum(nil)), nil
	}
}

type (
	newHash    func() hash.Hash
	byteWriter func(b []byte) string
)

var (
	newSHA256     newHash = sha256.New
	algorithmKind         = oneOf("an algorithm", word[newHash]{"sha256", sha256.New}, word[newHash]{"sha384", sha512.New384},
		word[newHash]{"sha512", sha512.New}, word[newHash]{"sha1", sha1.New}, word[newHash]{"md5", md5.New})

	inHex        byteWriter = hex.EncodeToString
	encodingKind            = oneOf("a way to write bytes", word[byteWriter]{"hex", hex.EncodeToString},
		word[byteWriter]{"base64", base64.StdEncoding.EncodeToString}, word[byteWriter]{"base64url", base64.RawURLEncoding.EncodeToString})
)
