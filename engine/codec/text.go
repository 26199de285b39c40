package codec

import (
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/weir-run/weir/dsl"
)

// Text is text without a structure: in JSON, a string.
type Text struct {
	Charset string `yaml:"charset" doc:"How the text is encoded if neither its media type nor a byte order mark says it." default:"utf-8" enum:"utf-8|utf-16|iso-8859-1|iso-8859-2|iso-8859-15|windows-1250|windows-1251|windows-1252"`
}

// Decode gives the text as a string.
func (o *Text) Decode(document, mediaType string) (string, error) {
	text, err := toUTF8(document, charsetOf(mediaType, o.Charset))
	if err != nil {
		return "", err
	}
	return string(dsl.AppendJSONString(make([]byte, 0, len(text)+2), text)), nil
}

// Encode gives a string as it is, null as nothing, and other values as JSON.
func (o *Text) Encode(json string) (string, string, error) {
	json = trim(json)
	text, ok := scalar(json)
	if !ok {
		text = json
	}
	return text, "text/plain; charset=utf-8", nil
}

// Check has nothing to report.
func (o *Text) Check(func(key, message, hint string)) {}

// Bytes are bytes of any kind: in JSON, a string in Base64 (RFC 4648 section 4).
type Bytes struct {
	Type string `yaml:"type" doc:"The media type of the bytes that are written." default:"application/octet-stream"`
}

// Decode gives the bytes in Base64.
func (o *Bytes) Decode(document, _ string) (string, error) {
	if base64.StdEncoding.EncodedLen(len(document)) > MaxBytes {
		return "", tooLarge()
	}
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(document))+2)
	b = base64.StdEncoding.AppendEncode(append(b, '"'), []byte(document))
	return string(append(b, '"')), nil
}

// Encode gives the bytes that a string in Base64 stands for. Line breaks in it
// are taken for nothing (RFC 2045).
func (o *Bytes) Encode(json string) (string, string, error) {
	json = trim(json)
	if json[0] != '"' {
		return "", "", faultf(0, "bytes are text in Base64 here, not %s", kindOf(json))
	}
	b, err := base64.StdEncoding.DecodeString(unquoted(json))
	if err != nil {
		return "", "", faultf(0, "this is not Base64: %s", strings.TrimPrefix(err.Error(), "illegal base64 data "))
	}
	return string(b), o.Type, nil
}

// Check reports a media type that is none.
func (o *Bytes) Check(report func(key, message, hint string)) {
	if _, _, err := mime.ParseMediaType(o.Type); err != nil {
		report("type", o.Type+" is not a media type", "write for example image/png")
	}
}

// charsets are those of old files and mails that are still met. Many more would
// bring their tables into every binary.
var charsets = map[string]encoding.Encoding{
	"utf-16":       unicode.UTF16(unicode.BigEndian, unicode.UseBOM), // RFC 2781 section 4.3
	"utf-16be":     unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	"utf-16le":     unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
	"iso-8859-1":   charmap.ISO8859_1,
	"latin1":       charmap.ISO8859_1,
	"iso-8859-2":   charmap.ISO8859_2,
	"iso-8859-15":  charmap.ISO8859_15,
	"windows-1250": charmap.Windows1250,
	"windows-1251": charmap.Windows1251,
	"windows-1252": charmap.Windows1252,
}

// charsetOf is the charset parameter of a media type, or else fallback.
func charsetOf(mediaType, fallback string) string {
	if strings.Contains(mediaType, ";") {
		if _, params, err := mime.ParseMediaType(mediaType); err == nil && params["charset"] != "" {
			return params["charset"]
		}
	}
	return fallback
}

const (
	markUTF8  = "\xef\xbb\xbf"
	markLarge = "\xfe\xff"
	markSmall = "\xff\xfe"
)

// toUTF8 gives a document without its byte order mark. A mark says more surely
// than anything else how the document is encoded (RFC 7303 section 3.3).
func toUTF8(document, charset string) (string, error) {
	charset = strings.ToLower(charset)
	switch {
	case strings.HasPrefix(document, markUTF8):
		document, charset = document[len(markUTF8):], "utf-8"
	case strings.HasPrefix(document, markLarge):
		document, charset = document[len(markLarge):], "utf-16be"
	case strings.HasPrefix(document, markSmall):
		document, charset = document[len(markSmall):], "utf-16le"
	}
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		if i := invalidAt(document); i >= 0 {
			return "", faultf(lineAt(document, i), "this is not UTF-8")
		}
		return document, nil
	}
	known, ok := charsets[charset]
	if !ok {
		return "", unknownCharset(charset)
	}
	text, err := known.NewDecoder().String(document)
	if err != nil {
		return "", faultf(0, "this is not %s", charset)
	}
	return text, nil
}

func unknownCharset(name string) *Fault {
	return faultf(0, "the charset %s is not one that is read here: use UTF-8", excerpt(name))
}

// invalidAt is where text stops being UTF-8, or -1.
func invalidAt(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}
