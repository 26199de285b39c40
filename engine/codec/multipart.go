package codec

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Multipart is multipart/form-data (RFC 7578). In JSON a field is a text, and a
// file is { name, type, text } or { name, type, base64 }.
type Multipart struct {
	Lists []string `yaml:"lists" doc:"Names whose values are always a list, also where there is one or none."`
}

// maxParts is more than forms have. The head of a part costs more memory than
// its bytes.
const maxParts = 1000

// Decode gives an object with a field for each name; a name that comes more
// than once gives a list.
func (o *Multipart) Decode(document, mediaType string) (string, error) {
	media, params, err := mime.ParseMediaType(mediaType)
	if err != nil || params["boundary"] == "" {
		return "", faultf(0, "the content type of a multipart form names its boundary; this is %s", excerpt(mediaType))
	}
	if media != "multipart/form-data" {
		return "", faultf(0, "this is %s, not multipart/form-data", excerpt(media))
	}
	g := grouping{lists: o.Lists}
	r := multipart.NewReader(strings.NewReader(document), params["boundary"])
	for n := 1; ; n++ {
		p, err := r.NextPart()
		if err == io.EOF {
			return g.object()
		}
		if err != nil {
			return "", faultf(0, "part %d cannot be read, or the form breaks off", n)
		}
		if n > maxParts {
			return "", faultf(0, "the form has more than %d parts", maxParts)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return "", faultf(0, "part %d cannot be read, or the form breaks off", n)
		}
		disposition, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		if err != nil || disposition != "form-data" || params["name"] == "" || invalidAt(params["name"]) >= 0 {
			return "", faultf(0, "part %d has no name", n)
		}
		filename, isFile := params["filename"]
		name, contentType := params["name"], p.Header.Get("Content-Type")
		json, err := partJSON(string(content), contentType, filename, isFile)
		if err != nil {
			return "", faultf(0, "the field %s: %v", excerpt(name), err)
		}
		g.add(name, json)
	}
}

func partJSON(content, contentType, filename string, isFile bool) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if !isFile && (contentType == "" || err == nil && media == "text/plain") {
		text, err := toUTF8(content, params["charset"])
		return string(dsl.AppendJSONString(nil, text)), err
	}
	if isFile && filename == "" && content == "" {
		return "null", nil // a file that was not chosen
	}
	if isFile && err != nil {
		contentType = "application/octet-stream"
	}
	b := []byte{'{'}
	if isFile {
		filename = filename[strings.LastIndexAny(filename, `/\`)+1:] // a path would be of the sender's disk, or a trap
		b = append(dsl.AppendJSONString(append(b, `"name":`...), filename), ',')
	}
	b = append(dsl.AppendJSONString(append(b, `"type":`...), contentType), ',')
	if isText(media, params["charset"]) && invalidAt(content) < 0 {
		b = dsl.AppendJSONString(append(b, `"text":`...), content)
	} else {
		b = base64.StdEncoding.AppendEncode(append(b, `"base64":"`...), []byte(content))
		b = append(b, '"')
	}
	return string(append(b, '}')), nil
}

func isText(media, charset string) bool {
	switch strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
		return strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/xml" ||
			strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
	}
	return false
}

// Encode writes a part for each field of an object, and for each element of
// those that are lists. Null is left out.
func (o *Multipart) Encode(json string) (string, string, error) {
	json = trim(json)
	var b strings.Builder
	w := multipart.NewWriter(&b)
	// The boundary must not come in the parts. It follows from all of them, so
	// that the same form is always the same bytes, and nobody can put it there.
	sum := sha256.Sum256([]byte(json))
	if err := w.SetBoundary("weir-" + hex.EncodeToString(sum[:])[:40]); err != nil {
		return "", "", err
	}
	err := eachValue(json, "a form", func(key, raw string) error {
		p, err := partOf(key, raw)
		if err != nil {
			return faultf(0, "the field %s: %v", excerpt(key), err)
		}
		out, err := w.CreatePart(p.header)
		if err != nil {
			return err
		}
		if _, err = io.WriteString(out, p.content); err == nil && b.Len() > MaxBytes {
			err = tooLarge()
		}
		return err
	})
	if err == nil {
		err = w.Close()
	}
	return b.String(), w.FormDataContentType(), err
}

type part struct {
	header  textproto.MIMEHeader
	content string
}

func partOf(key, raw string) (part, error) {
	p := part{header: textproto.MIMEHeader{}}
	if key == "" {
		return p, faultf(0, "it has no name")
	}
	disposition := map[string]string{"name": key}
	content, ok := scalar(raw)
	p.content = content
	if !ok {
		if raw[0] != '{' {
			return p, faultf(0, "a value is text or a file, not a list")
		}
		contentType := "application/octet-stream"
		given := 0
		for _, f := range fields(raw) {
			text := unquoted(f.raw)
			if f.raw[0] != '"' {
				return p, faultf(0, "%s of a file is text, not %s", excerpt(f.key), kindOf(f.raw))
			}
			switch f.key {
			case "name":
				disposition["filename"] = text
			case "type":
				contentType = text
			case "text":
				p.content = text
				given++
			case "base64":
				b, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return p, faultf(0, "base64 is not Base64")
				}
				p.content = string(b)
				given++
			default:
				return p, faultf(0, "a file has name, type, and text or base64, but no %s", excerpt(f.key))
			}
		}
		if given != 1 {
			return p, faultf(0, "a file has either text or base64")
		}
		if _, _, err := mime.ParseMediaType(contentType); err != nil || strings.ContainsAny(contentType, "\r\n") {
			return p, faultf(0, "%s is not a media type", excerpt(contentType))
		}
		p.header["Content-Type"] = []string{contentType}
	}
	b := []byte("form-data")
	for _, param := range []string{"name", "filename"} {
		value, ok := disposition[param]
		if !ok {
			continue
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return p, faultf(0, "a name holds control characters")
		}
		b = append(b, "; "+param+`="`+quoteEscaper.Replace(value)+`"`...)
	}
	p.header["Content-Disposition"] = []string{string(b)}
	return p, nil
}

// quoteEscaper is what mime/multipart writes and mime reads.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// Check has nothing to report.
func (o *Multipart) Check(func(key, message, hint string)) {}
