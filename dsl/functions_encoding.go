package dsl

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
)

// encodingFunctions write texts in other letters, and read them.
var encodingFunctions = []definition{
	{
		"toBase64URL(text text) text",
		"The bytes of a text in the base64 of addresses and tokens (RFC 4648 section 5), without padding.",
		func(c call) (any, error) {
			return base64.RawURLEncoding.EncodeToString([]byte(argument[string](c, 0))), nil
		},
		[]FunctionExample{{`toBase64URL("a?b>")`, `"YT9iPg"`}},
	},
	{
		"fromBase64URL(text text) text",
		"The text that toBase64URL made; padding may be there.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
			if err != nil {
				return nil, errors.New(excerpt(text) + " is not base64url")
			}
			return string(out), nil
		},
		[]FunctionExample{{`fromBase64URL("YT9iPg")`, `"a?b>"`}},
	},
	{
		"toHex(text text) text",
		"The bytes of a text as digits of hex.",
		func(c call) (any, error) { return hex.EncodeToString([]byte(argument[string](c, 0))), nil },
		[]FunctionExample{{`toHex("weir")`, `"77656972"`}},
	},
	{
		"fromHex(text text) text",
		"The text whose bytes are given as digits of hex.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			out, err := hex.DecodeString(text)
			if err != nil {
				return nil, errors.New(excerpt(text) + " is not hex")
			}
			return string(out), nil
		},
		[]FunctionExample{{`fromHex("77656972")`, `"weir"`}},
	},
	{
		"escapeQuery(text text) text",
		"The text as a value of a query. Paths and queries of calls escape what is put into them by themselves.",
		func(c call) (any, error) { return url.QueryEscape(argument[string](c, 0)), nil },
		[]FunctionExample{{`escapeQuery("a b&c/d")`, `"a+b%26c%2Fd"`}},
	},
	{
		"unescapeQuery(text text) text",
		"The text that a value of a query says.",
		func(c call) (any, error) { return decoded(url.QueryUnescape, argument[string](c, 0)) },
		[]FunctionExample{{`unescapeQuery("a+b%26c")`, `"a b&c"`}},
	},
	{
		"escapePath(text text) text",
		"The text as one segment of a path.",
		func(c call) (any, error) { return url.PathEscape(argument[string](c, 0)), nil },
		[]FunctionExample{{`escapePath("a b/c")`, `"a%20b%2Fc"`}},
	},
	{
		"unescapePath(text text) text",
		"The text that a segment of a path says.",
		func(c call) (any, error) { return decoded(url.PathUnescape, argument[string](c, 0)) },
		[]FunctionExample{{`unescapePath("a%20b+c")`, `"a b+c"`}},
	},
}

func decoded(with func(string) (string, error), text string) (any, error) {
	out, err := with(text)
	if err != nil {
		return nil, errors.New(excerpt(text) + " has a % without two digits of hex behind it")
	}
	return out, nil
}
