package codec_test

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/codec"
)

const boundary = "multipart/form-data; boundary=b"

// form is a multipart form with the boundary b: the head and the content of
// each part.
func form(parts ...string) string {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--b\r\n" + strings.ReplaceAll(parts[i], "\n", "\r\n") + "\r\n\r\n" + parts[i+1] + "\r\n")
	}
	return b.String() + "--b--\r\n"
}

func TestReadMultipart(t *testing.T) {
	const field = "Content-Disposition: form-data; name=a"
	for _, r := range []reading{
		{name: "fields", document: form(field, "1", `Content-Disposition: form-data; name="b ü"`, "Zürich\r\n\x00"), json: `{"a":"1","b ü":"Zürich\r\n\u0000"}`},
		{name: "a name that comes twice is a list", document: form(field, "1", field, "2"), json: `{"a":["1","2"]}`},
		{name: "lists", options: "lists: [a, none]", document: form(field, "1"), json: `{"a":["1"],"none":[]}`},
		{name: "a file of text", document: form(field+"; filename=\"x \\\"y\\\".csv\"\nContent-Type: text/csv", "a,b"), json: `{"a":{"name":"x \"y\".csv","type":"text/csv","text":"a,b"}}`},
		{name: "a file of bytes", document: form(field+"; filename=x.png\nContent-Type: image/png", "\x89PNG"), json: `{"a":{"name":"x.png","type":"image/png","base64":"iVBORw=="}}`},
		{name: "a file of text that is not UTF-8", document: form(field+"; filename=x.csv\nContent-Type: text/csv", "\xfc"), json: `{"a":{"name":"x.csv","type":"text/csv","base64":"/A=="}}`},
		{name: "a file without a type", document: form(field+"; filename=x", "a"), json: `{"a":{"name":"x","type":"application/octet-stream","base64":"YQ=="}}`},
		{name: "a file that was not chosen", document: form(field+"; filename=\"\"\nContent-Type: application/octet-stream", ""), json: `{"a":null}`},
		{name: "a file with a path", document: form(field+`; filename="..\\..\\etc/passwd"`, ""), json: `{"a":{"name":"passwd","type":"application/octet-stream","base64":""}}`},
		{name: "a field with a type", document: form(field+"\nContent-Type: application/json", `{"b":1}`), json: `{"a":{"type":"application/json","text":"{\"b\":1}"}}`},
		{name: "a field with a charset", document: form(field+"\nContent-Type: text/plain; charset=iso-8859-1", "\xfc"), json: `{"a":"ü"}`},
		{name: "no parts", document: "--b--\r\n", json: `{}`},
		{name: "a field that is not UTF-8", document: form(field, "\xfc"), fault: `the field "a": line 1: this is not UTF-8`},
		{name: "no name", document: form("Content-Disposition: form-data", ""), fault: "part 1 has no name"},
		{name: "another disposition", document: form(field, "", "Content-Disposition: attachment; name=b", ""), fault: "part 2 has no name"},
		{name: "an end that is missing", document: "--b\r\n" + field + "\r\n\r\n1", fault: "part 1 cannot be read, or the form breaks off"},
		{name: "nothing", fault: "part 1 cannot be read, or the form breaks off"},
		{name: "another boundary", document: "--c--", fault: "part 1 cannot be read, or the form breaks off"},
		{name: "no boundary", document: "--b--", media: "multipart/form-data", fault: `the content type of a multipart form names its boundary; this is "multipart/form-data"`},
		{name: "no content type", document: "--b--", media: "none", fault: `the content type of a multipart form names its boundary; this is "none"`},
		{name: "another multipart", document: "--b--", media: "multipart/mixed; boundary=b", fault: `this is "multipart/mixed", not multipart/form-data`},
		{name: "many parts", document: strings.Repeat("--b\r\n"+field+"\r\n\r\n\r\n", 2000) + "--b--", fault: "the form has more than 1000 parts"},
		{name: "a large head", document: form("X: "+strings.Repeat("x", 20<<20), ""), fault: "part 1 cannot be read, or the form breaks off"},
	} {
		if r.media == "" {
			r.media = boundary
		}
		r.test(t, "multipart")
	}
	content := strings.Repeat("x", 10<<20)
	reading{name: "a large field", document: form(field, content), media: boundary, json: `{"a":"` + content + `"}`}.test(t, "multipart")
}

func TestWriteMultipart(t *testing.T) {
	o := &codec.Multipart{}
	for _, json := range []string{
		`{}`, `{"a":"1","b ü \"\\":"x\r\n\u0000"}`, `{"a":["1","2"]}`,
		`{"f":{"name":"x \"y\\.csv","type":"text/csv","text":"a,b"}}`,
		`{"f":[{"name":"ü.png","type":"image/png","base64":"iVBORw=="},{"type":"application/json","text":"{}"}]}`,
	} {
		document, media, err := o.Encode(json)
		if err != nil {
			t.Errorf("%v in %s", err, json)
			continue
		}
		if twice, _, _ := o.Encode(json); twice != document {
			t.Errorf("%s is written in two ways", json)
		}
		got, err := o.Decode(document, media)
		if err != nil || got != strings.ReplaceAll(json, `x \"y\\.csv`, `.csv`) {
			t.Errorf("%s became\n%s, %v by\n%s", json, got, err, document)
		}
	}
	got, media, err := o.Encode(`{"n":1.50,"none":null,"f":{"name":"x.txt","type":"text/plain","text":"hi"}}`)
	_, b, _ := strings.Cut(media, "boundary=")
	want := strings.ReplaceAll("--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1.50\r\n--B\r\n"+
		"Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B--\r\n", "B", b)
	if got != want || err != nil {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for _, w := range []writing{
		{name: "no object", json: `[]`, fault: "a form is written from an object, not from a list"},
		{name: "a list in a list", json: `{"a":[[1]]}`, fault: `the field "a": a value is text or a file, not a list`},
		{name: "an object that is not a file", json: `{"a":{"b":"1"}}`, fault: `the field "a": a file has name, type, and text or base64, but no "b"`},
		{name: "a file without content", json: `{"a":{"name":"b"}}`, fault: `the field "a": a file has either text or base64`},
		{name: "a file with two contents", json: `{"a":{"text":"","base64":""}}`, fault: `the field "a": a file has either text or base64`},
		{name: "a file of numbers", json: `{"a":{"text":1}}`, fault: `the field "a": "text" of a file is text, not a number`},
		{name: "no Base64", json: `{"a":{"base64":"-"}}`, fault: `the field "a": base64 is not Base64`},
		{name: "a type that would be more than one", json: `{"a":{"type":"text/plain\r\nX: y","text":""}}`, fault: `the field "a": "text/plain\r\nX: y" is not a media type`},
		{name: "a name that would be more than a name", json: `{"a\r\nX: y":1}`, fault: `the field "a\r\nX: y": a name holds control characters`},
	} {
		w.test(t, "multipart")
	}
}

func FuzzMultipart(f *testing.F) {
	f.Add(form("Content-Disposition: form-data; name=a", "1"))
	f.Add(form("Content-Disposition: form-data; name=a; filename=b\nContent-Type: text/plain", "1"))
	f.Add(form("Content-Disposition: form-data; name=\"a\\\"\"; filename*=UTF-8''%c3%bc\nContent-Transfer-Encoding: quoted-printable", "=3D"))
	f.Add(`{"a":{"name":"b","type":"image/png","base64":"AAAA"},"c":["1",2]}`)
	f.Fuzz(func(t *testing.T, text string) {
		o := &codec.Multipart{}
		if json, err := o.Decode(text, boundary); err == nil {
			if dsl.CheckJSON(json) != nil {
				t.Fatalf("%q", json)
			}
			readable(t, o, json)
		}
		readable(t, o, text)
	})
}
