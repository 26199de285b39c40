package dsl

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textFunctions work on texts. They count characters, not bytes.
var textFunctions = []definition{
	{
		"capitalize(text text) text",
		"The text with its first letter in upper case.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			first, size := utf8.DecodeRuneInString(text)
			if size == 0 || first == utf8.RuneError {
				return text, nil
			}
			return string(unicode.ToTitle(first)) + text[size:], nil
		},
		[]FunctionExample{{`capitalize("ada lovelace")`, `"Ada lovelace"`}},
	},
	{
		"slug(text text) text",
		"The text as a part of an address: letters and digits in lower case, with a dash for all that stands between. Latin letters lose their marks, others stay as they are.",
		func(c call) (any, error) { return slug(argument[string](c, 0)), nil },
		[]FunctionExample{{`slug("Crème brûlée, 2 portions!")`, `"creme-brulee-2-portions"`}, {`slug("Straße 7")`, `"strasse-7"`}},
	},
	{
		"truncate(text text, length int, [ending text]) text",
		"The text if it has at most length characters; else its beginning with an ending (… if none is given), length characters together.",
		func(c call) (any, error) {
			return truncate(argument[string](c, 0), argument[int](c, 1), argumentOr(c, 2, "…"))
		},
		[]FunctionExample{{`truncate("a long story", 7)`, `"a long…"`}, {`truncate("a long story", 8, "...")`, `"a lon..."`}, {`truncate("short", 7)`, `"short"`}},
	},
	{
		"padStart(text text, length int, [fill text]) text",
		"The text with as much of fill (spaces if none is given) before it as makes length characters.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			padding, err := padding(text, argument[int](c, 1), argumentOr(c, 2, " "))
			return padding + text, err
		},
		[]FunctionExample{{`padStart("7", 3, "0")`, `"007"`}, {`padStart("12345", 3)`, `"12345"`}},
	},
	{
		"padEnd(text text, length int, [fill text]) text",
		"The text with as much of fill (spaces if none is given) behind it as makes length characters.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			padding, err := padding(text, argument[int](c, 1), argumentOr(c, 2, " "))
			return text + padding, err
		},
		[]FunctionExample{{`padEnd("total", 8, ".")`, `"total..."`}},
	},
	{
		"trimLines(text text) text",
		"The text without the space around each of its lines, and without empty lines.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			var b strings.Builder
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				if b.Len() > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(line)
			}
			return b.String(), nil
		},
		[]FunctionExample{{`trimLines("  one\n\n  two  \n")`, `"one\ntwo"`}},
	},
	{
		"mask(text text, [keepStart int], [keepEnd int]) text",
		"The text with * for each character but the first keepStart and the last keepEnd (none if they are not given). If they were all of it, all is masked.",
		func(c call) (any, error) {
			return mask(argument[string](c, 0), argumentOr(c, 1, 0), argumentOr(c, 2, 0))
		},
		[]FunctionExample{{`mask("DE89370400440532013000", 4, 4)`, `"DE89**************3000"`}, {`mask("secret")`, `"******"`}, {`mask("abc", 2, 2)`, `"***"`}},
	},
	{
		"maskEmail(text text) text",
		"An address of mail with * for each character before the @ but the first. What is no address is masked as a whole.",
		func(c call) (any, error) {
			text := argument[string](c, 0)
			if at := strings.LastIndexByte(text, '@'); at > 0 && at < len(text)-1 {
				local, err := mask(text[:at], 1, 0)
				return local + text[at:], err
			}
			return mask(text, 0, 0)
		},
		[]FunctionExample{{`maskEmail("ada@example.com")`, `"a**@example.com"`}, {`maskEmail("nobody")`, `"******"`}},
	},
	{
		"byteLength(text text) int",
		"How many bytes the text takes in UTF-8. len counts characters.",
		func(c call) (any, error) { return len(argument[string](c, 0)), nil },
		[]FunctionExample{{`byteLength("größe")`, `7`}},
	},
	{
		"formatSize(bytes int) text",
		"A number of bytes as people read it.",
		func(c call) (any, error) { return formatSize(argument[int](c, 0)), nil },
		[]FunctionExample{{`formatSize(1536)`, `"1.5 KiB"`}, {`formatSize(900)`, `"900 B"`}, {`formatSize(5368709120)`, `"5.0 GiB"`}},
	},
	{
		"parseSize(text text) int",
		"The bytes that a size says. KB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB of 1024.",
		func(c call) (any, error) {
			size, err := ParseSize(strings.Replace(argument[string](c, 0), " ", "", 1))
			return int(size), err
		},
		[]FunctionExample{{`parseSize("10MB")`, `10000000`}, {`parseSize("1.5 KiB")`, `1536`}},
	},
	{
		"compareVersions(a text, b text) int",
		"-1 if version a comes before b, 1 if it comes after, 0 if neither, as Semantic Versioning 2.0 orders them. A v in front may be written, and zeros at the end left out.",
		func(c call) (any, error) {
			a, err := parseVersion(argument[string](c, 0))
			if err != nil {
				return nil, err
			}
			b, err := parseVersion(argument[string](c, 1))
			return a.compare(b), err
		},
		[]FunctionExample{{`compareVersions("1.10.0", "1.9.3")`, `1`}, {`compareVersions("v2.0.0-rc.1", "2")`, `-1`}, {`compareVersions("1.2.3+linux", "1.2.3")`, `0`}},
	},
}

// unmarked has for each letter the Latin letters with marks that become it.
var unmarked = func() map[rune]string {
	all := map[rune]string{}
	for to, from := range map[string]string{
		"a": "àáâãäåāăą", "ae": "æ", "c": "çćĉċč", "d": "ðďđ", "e": "èéêëēĕėęě", "g": "ĝğġģ", "h": "ĥħ", "i": "ìíîïĩīĭįı",
		"j": "ĵ", "k": "ķ", "l": "ĺļľŀł", "n": "ñńņňŉŋ", "o": "òóôõöøōŏő", "oe": "œ", "r": "ŕŗř", "s": "śŝşšș", "ss": "ß",
		"t": "ţťŧț", "th": "þ", "u": "ùúûüũūŭůűų", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
	} {
		for _, r := range from {
			all[r] = to
		}
	}
	return all
}()

func slug(text string) string {
	var b strings.Builder
	for _, r := range text {
		r = unicode.ToLower(r)
		switch plain := unmarked[r]; {
		case plain != "":
			b.WriteString(plain)
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’': // marks that stand alone, and what is inside words
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

// cut gives the first n characters of text and the rest.
func cut(text string, n int) (string, string) {
	i := runeOffset(text, n)
	return text[:i], text[i:]
}

func truncate(text string, length int, ending string) (string, error) {
	if length < 0 {
		return "", fmt.Errorf("length is %d", length)
	}
	if _, rest := cut(text, length); rest == "" {
		return text, nil
	}
	ending, _ = cut(ending, length)
	text, _ = cut(text, length-utf8.RuneCountInString(ending))
	return text + ending, nil
}

// padding is what text lacks to length characters.
func padding(text string, length int, fill string) (string, error) {
	if fill == "" {
		return "", fmt.Errorf("fill is empty")
	}
	lacks := length - utf8.RuneCountInString(text)
	if lacks <= 0 {
		return "", nil
	}
	characters := utf8.RuneCountInString(fill)
	if lacks/characters > (maxExprBytes-len(text))/len(fill) {
		return "", errTooLarge
	}
	rest, _ := cut(fill, lacks%characters)
	return strings.Repeat(fill, lacks/characters) + rest, nil
}

func mask(text string, keepStart, keepEnd int) (string, error) {
	if keepStart < 0 || keepEnd < 0 {
		return "", fmt.Errorf("the number of characters to keep is %d", min(keepStart, keepEnd))
	}
	length := utf8.RuneCountInString(text)
	if keepStart >= length || keepEnd >= length-keepStart {
		keepStart, keepEnd = 0, 0
	}
	start, rest := cut(text, keepStart)
	masked := length - keepStart - keepEnd
	_, end := cut(rest, masked)
	return start + strings.Repeat("*", masked) + end, nil
}

func formatSize(bytes int) string {
	sign := ""
	if bytes < 0 {
		sign = "-"
	}
	n := magnitude(bytes)
	if n < 1024 {
		return fmt.Sprintf("%s%d B", sign, n)
	}
	size, unit := float64(n)/1024, 0
	for ; size >= 1023.95 && unit < len("KMGTPE")-1; unit++ { // which would be written as 1024.0
		size /= 1024
	}
	return fmt.Sprintf("%s%.1f %ciB", sign, size, "KMGTPE"[unit])
}

// version is one of Semantic Versioning 2.0, without the build.
type version struct {
	core [3]string
	pre  []string
}

func parseVersion(text string) (version, error) {
	bad := &remedy{excerpt(text) + " is not a version", "write 1.2.3 or 1.2.3-rc.1"}
	var v version
	rest, build, hasBuild := strings.Cut(strings.TrimPrefix(text, "v"), "+")
	core, pre, hasPre := strings.Cut(rest, "-")
	if len(text) > 256 || hasBuild && !identifiers(build) || hasPre && !identifiers(pre) {
		return v, bad
	}
	parts := strings.Split(core, ".")
	if len(parts) > 3 {
		return v, bad
	}
	v.core = [3]string{"0", "0", "0"}
	for i, part := range parts {
		if !isVersionNumber(part) {
			return v, bad
		}
		v.core[i] = part
	}
	if hasPre {
		v.pre = strings.Split(pre, ".")
		for _, part := range v.pre {
			if digits(part, 0) == len(part) && !isVersionNumber(part) {
				return v, bad
			}
		}
	}
	return v, nil
}

// identifiers reports whether text is identifiers with dots between.
func identifiers(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if part == "" || strings.Trim(part, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return false
		}
	}
	return true
}

func isVersionNumber(text string) bool {
	return text != "" && digits(text, 0) == len(text) && (text == "0" || text[0] != '0')
}

func (v version) compare(o version) int {
	for i := range v.core {
		if d := compareDigits(v.core[i], o.core[i]); d != 0 {
			return d
		}
	}
	switch { // a version comes behind all that lead to it
	case len(v.pre) == 0 || len(o.pre) == 0:
		return cmp.Compare(min(len(o.pre), 1), min(len(v.pre), 1))
	}
	for i := range min(len(v.pre), len(o.pre)) {
		a, b := v.pre[i], o.pre[i]
		aNumber, bNumber := digits(a, 0) == len(a), digits(b, 0) == len(b)
		d := strings.Compare(a, b)
		switch {
		case aNumber && bNumber:
			d = compareDigits(a, b)
		case aNumber:
			d = -1
		case bNumber:
			d = 1
		}
		if d != 0 {
			return d
		}
	}
	return cmp.Compare(len(v.pre), len(o.pre))
}

// compareDigits compares numbers without zeros in front, of any length.
func compareDigits(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
