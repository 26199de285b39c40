package codec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/codec"
)

// options is a format with options as they are written in a flow.
func options[F any](t testing.TB, yaml string) *F {
	t.Helper()
	var ds dsl.Diagnostics
	docs := dsl.Parse(dsl.NewSource("options.yaml", "{ "+yaml+" }"), &ds)
	f := new(F)
	if len(docs) == 1 {
		dsl.Decode(docs[0], &ds, f)
	}
	if ds.Failed() {
		t.Fatal(ds.All())
	}
	return f
}

// of is a format by its name.
func of(t testing.TB, name, yaml string) codec.Format {
	t.Helper()
	switch name {
	case "xml":
		return options[codec.XML](t, yaml)
	case "csv":
		return options[codec.CSV](t, yaml)
	case "form":
		return options[codec.Form](t, yaml)
	case "multipart":
		return options[codec.Multipart](t, yaml)
	case "ndjson":
		return options[codec.NDJSON](t, yaml)
	case "text":
		return options[codec.Text](t, yaml)
	case "bytes":
		return options[codec.Bytes](t, yaml)
	}
	return codec.JSON{}
}

type reading struct {
	name     string
	options  string
	document string
	media    string
	json     string
	fault    string // instead
}

func (r reading) test(t *testing.T, format string) {
	t.Run(r.name, func(t *testing.T) {
		got, err := of(t, format, r.options).Decode(r.document, r.media)
		if err == nil {
			if err := dsl.CheckJSON(got); err != nil {
				t.Errorf("%v: %.1000s", err, got)
			}
		}
		if got != r.json || fmt.Sprint(err) != fault(r.fault) {
			t.Errorf("got  %.1000s, %v\nwant %s, %s", got, err, r.json, fault(r.fault))
		}
	})
}

type writing struct {
	name     string
	options  string
	json     string
	document string
	fault    string // instead
}

func (w writing) test(t *testing.T, format string) {
	t.Run(w.name, func(t *testing.T) {
		if err := dsl.CheckJSON(w.json); err != nil {
			t.Fatal(err)
		}
		got, _, err := of(t, format, w.options).Encode(w.json)
		if fmt.Sprint(err) != fault(w.fault) || err == nil && got != w.document {
			t.Errorf("got  %.1000s, %v\nwant %s, %s", got, err, w.document, fault(w.fault))
		}
	})
}

func fault(text string) string {
	if text == "" {
		return "<nil>"
	}
	return text
}

// same compares JSON without regard to the order of fields.
func same(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// settles checks what holds for all formats: a document that is read gives
// checked JSON, which can be written, and reads as the same again.
func settles(t *testing.T, f codec.Format, document, media string) {
	t.Helper()
	first, err := f.Decode(document, media)
	if err != nil {
		return
	}
	if err := dsl.CheckJSON(first); err != nil {
		t.Fatalf("%v: %q", err, first)
	}
	written, media, err := f.Encode(first)
	if err != nil {
		t.Fatalf("%q was read as %q, and cannot be written: %v", document, first, err)
	}
	again, err := f.Decode(written, media)
	if err != nil || again != first {
		t.Fatalf("%q was read as\n%q, written as\n%q and read as\n%q, %v", document, first, written, again, err)
	}
}

// readable checks that what is written of any JSON can be read, and has then
// settled.
func readable(t *testing.T, f codec.Format, json string) {
	t.Helper()
	if dsl.CheckJSON(json) != nil {
		return
	}
	document, media, err := f.Encode(json)
	if err != nil {
		return
	}
	if _, err := f.Decode(document, media); err != nil {
		t.Fatalf("%q was written as\n%q: %v", json, document, err)
	}
	settles(t, f, document, media)
}

func TestTypes(t *testing.T) {
	for _, tt := range []struct{ kind, text, json string }{
		{"integer", "7", "7"}, {"integer", "+007", "7"}, {"integer", "-0", "-0"}, {"integer", " 12\n", "12"},
		{"integer", "123456789012345678901234567890", "123456789012345678901234567890"},
		{"integer", "1.0", ""}, {"integer", "1e3", ""}, {"integer", "1 2", ""}, {"integer", "0x1f", ""}, {"integer", "", "null"},
		{"number", "1.10", "1.10"}, {"number", ".5", "0.5"}, {"number", "-.5", "-0.5"}, {"number", "5.", "5"}, {"number", "1E+09", "1E+09"},
		{"number", "1e", ""}, {"number", "1e+-5", ""}, {"number", ".", ""}, {"number", "-", ""}, {"number", "+-1", ""}, {"number", "NaN", ""}, {"number", "1,5", ""},
		{"boolean", "true", "true"}, {"boolean", "0", "false"}, {"boolean", "yes", ""}, {"boolean", " ", "null"},
	} {
		r := reading{name: tt.kind + " " + tt.text, options: "header: false, columns: [v], types: { v: " + tt.kind + " }", document: `"` + tt.text + "\"\n", json: `[{"v":` + tt.json + `}]`}
		if tt.json == "" {
			r.json, r.fault = "", fmt.Sprintf("line 1: v: %q is not of type %s", tt.text, tt.kind)
		}
		r.test(t, "csv")
	}
}

func TestForm(t *testing.T) {
	for _, r := range []reading{
		{name: "fields", document: "name=Ada+Lovelace&city=Z%C3%BCrich&empty=&bare", json: `{"name":"Ada Lovelace","city":"Zürich","empty":"","bare":""}`},
		{name: "a name that comes twice is a list", document: "tag=a&x=1&tag=b", json: `{"tag":["a","b"],"x":"1"}`},
		{name: "lists", options: "lists: [tag, none]", document: "tag=a", json: `{"tag":["a"],"none":[]}`},
		{name: "types", options: "types: { n: integer, ok: boolean }", document: "n=7&n=8&ok=true&s=7", json: `{"n":[7,8],"ok":true,"s":"7"}`},
		{name: "a wrong type", options: "types: { n: integer }", document: "n=x", fault: `n: "x" is not of type integer`},
		{name: "nothing", json: `{}`},
		{name: "NUL", document: "a=%00", json: `{"a":"\u0000"}`},
		{name: "many fields", document: strings.Repeat("a&", 1<<20), fault: "the form has more than 100000 fields"},
		{name: "a broken escape", document: "a=%4", fault: `"%4" is not escaped as a form is`},
		{name: "invalid UTF-8", document: "a=%ff", fault: `"%ff" is not UTF-8`},
	} {
		if r.fault != "" {
			r.fault = strings.Replace(r.fault, "n: ", `"n": `, 1)
		}
		r.test(t, "form")
	}
	for _, w := range []writing{
		{name: "fields", json: ` {"name":"Ada Lovelace","n":1.50,"ok":true,"none":null,"tag":["a",null,"b&c"],"empty":[]}`, document: "name=Ada+Lovelace&n=1.50&ok=true&tag=a&tag=b%26c"},
		{name: "the last of two fields counts", json: `{"role":"user","role":"guest"}`, document: "role=guest"},
		{name: "an object inside", json: `{"a":{}}`, fault: `the value of "a" is an object, which a form has no place for`},
		{name: "no object", json: `[1]`, fault: "a form is written from an object, not from a list"},
	} {
		w.test(t, "form")
	}
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"a=1&a=2&b", "a=%zz", "a=%ff", "&&=", "a;b=1", "name=Ada+Lovelace&%C3%BC=%F0%9F%8C%8A"} {
		f.Add(seed, `{"a":"`+seed+`"}`)
	}
	f.Fuzz(func(t *testing.T, document, json string) {
		settles(t, &codec.Form{}, document, "")
		readable(t, &codec.Form{}, json)
	})
}

func TestNDJSON(t *testing.T) {
	for _, r := range []reading{
		{name: "lines", document: "{\"a\":1}\n\n [1.10]\r\n\"x\"", json: `[{"a":1},[1.10],"x"]`},
		{name: "nothing", json: `[]`},
		{name: "a line that is not JSON", document: "1\n\n{a}\n2", fault: "line 3: not JSON at byte 2: invalid character 'a' looking for beginning of object key string"},
		{name: "lines that are not JSON, collected", options: "errors: collect", document: "1\n{a}\n2\nx\n",
			json: `{"rows":[1,2],"lines":[1,3],"errors":[{"line":2,"message":"not JSON at byte 2: invalid character 'a' looking for beginning of object key string"},{"line":4,"message":"not JSON at byte 1: invalid character 'x' looking for beginning of value"}]}`},
		{name: "no faults, collected", options: "errors: collect", document: "1", json: `{"rows":[1],"lines":[1],"errors":[]}`},
		{name: "two values in a line", document: "1 2", fault: "line 1: not JSON at byte 3: invalid character '2' after top-level value"},
		{name: "a line that nests too deep for a list of lines", document: "1\n" + strings.Repeat("[", 127) + strings.Repeat("]", 127), fault: "line 2: JSON nests deeper than 128 levels"},
		{name: "a line that nests too deep", document: strings.Repeat("[", 1e6), fault: "line 1: JSON nests deeper than 128 levels"},
		{name: "invalid UTF-8", document: "1\n\"\xff\"", fault: "line 2: this is not UTF-8"},
		{name: "a byte order mark", document: "\xef\xbb\xbf1", json: `[1]`},
	} {
		r.test(t, "ndjson")
	}
	for _, w := range []writing{
		{name: "a list", json: "[1.10, {\"a\":\n \"x y\"}, null]", document: "1.10\n{\"a\":\"x y\"}\nnull\n"},
		{name: "an empty list", json: "[]"},
		{name: "one value", json: `{"a": 1}`, document: "{\"a\":1}\n"},
	} {
		w.test(t, "ndjson")
	}
}

func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{"1\n{\"a\":[1]}\n", "\n\n", "{", "\xff", "[[[[", `{"a":"\ud800"}`, "\xef\xbb\xbf1", "\xff\xfe1\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		o := &codec.NDJSON{Errors: "fail"}
		// Values keep the white space inside them until they are written.
		if read, err := o.Decode(document, ""); err == nil {
			written, _, err := o.Encode(read)
			if err != nil {
				t.Fatal(err)
			}
			settles(t, o, written, "")
		}
		readable(t, o, document)
		if read, err := (&codec.NDJSON{Errors: "collect"}).Decode(document, ""); err == nil && dsl.CheckJSON(read) != nil {
			t.Fatalf("%q", read)
		}
	})
}

func TestText(t *testing.T) {
	for _, r := range []reading{
		{name: "text", document: "a \"b\"\n\x00", json: `"a \"b\"\n\u0000"`},
		{name: "nothing", json: `""`},
		{name: "a charset", document: "Z\xfcrich \x80", media: "text/plain; charset=Windows-1252", json: `"Zürich €"`},
		{name: "a charset that only the flow knows", options: "charset: iso-8859-1", document: "Z\xfcrich", media: "text/plain", json: `"Zürich"`},
		{name: "the media type counts more than the flow", options: "charset: iso-8859-1", document: "Zürich", media: "text/plain;charset=utf-8", json: `"Zürich"`},
		{name: "UTF-16 with a mark", document: "\xff\xfeZ\x00\xfc\x00", json: `"Zü"`},
		{name: "UTF-16 without a mark", document: "\x00Z\x00\xfc", media: "text/plain; charset=utf-16", json: `"Zü"`},
		{name: "UTF-16 that breaks off", document: "\xff\xfeZ\x00\xfc", json: `"Z` + "\ufffd" + `"`},
		{name: "invalid UTF-8", document: "a\nb\xff", fault: "line 2: this is not UTF-8"},
		{name: "an unknown charset", document: "a", media: "text/plain; charset=klingon", fault: `the charset "klingon" is not one that is read here: use UTF-8`},
	} {
		r.test(t, "text")
	}
	for _, w := range []writing{
		{name: "text", json: ` "a\u0000b\u00fc" `, document: "a\x00bü"},
		{name: "a number", json: "1.10", document: "1.10"},
		{name: "null", json: "null"},
		{name: "an object", json: ` {"a": 1} `, document: `{"a": 1}`},
	} {
		w.test(t, "text")
	}
}

func TestBytes(t *testing.T) {
	reading{name: "bytes", document: "\x00\xff\xfe", json: `"AP/+"`}.test(t, "bytes")
	reading{name: "nothing", json: `""`}.test(t, "bytes")
	for _, w := range []writing{
		{name: "Base64", json: `"AP/+"`, document: "\x00\xff\xfe"},
		{name: "line breaks", json: `"AP\r\n/+"`, document: "\x00\xff\xfe"},
		{name: "other text", json: `"A-"`, fault: "this is not Base64: at input byte 1"},
		{name: "no text", json: `{}`, fault: "bytes are text in Base64 here, not an object"},
	} {
		w.test(t, "bytes")
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"a", "\xff\xfea\x00", "\xfe\xff\xd8\x00", "\xef\xbb\xbfa", "\xff"} {
		f.Add(seed, "utf-16")
		f.Add(seed, "latin1")
	}
	f.Fuzz(func(t *testing.T, document, charset string) {
		if read, err := (&codec.Text{Charset: charset}).Decode(document, "text/plain"); err == nil && dsl.CheckJSON(read) != nil {
			t.Fatalf("%q", read)
		}
		settles(t, &codec.Bytes{Type: "image/png"}, document, "")
	})
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct{ format, options, key string }{
		{"csv", `delimiter: ";;"`, "delimiter"}, {"csv", `delimiter: ""`, "delimiter"}, {"csv", `delimiter: "\""`, "delimiter"}, {"csv", `delimiter: "\t"`, ""}, {"csv", `delimiter: "¦"`, ""},
		{"csv", "columns: [a, a]", "columns"}, {"csv", "columns: [a], types: { b: integer }", "types"},
		{"xml", "root: a b", "root"}, {"xml", "root: a:b:c", "root"}, {"xml", "root: größe", ""},
		{"xml", "namespaces: { a: urn:x, b: urn:x }", "namespaces"}, {"xml", `namespaces: { a: "" }`, "namespaces"}, {"xml", "namespaces: { xml: urn:x }", "namespaces"},
		{"xml", "namespaces: { xsi: urn:x }", "namespaces"}, {"xml", `namespaces: { "": urn:x, b: urn:y }`, ""},
		{"bytes", "type: image", ""}, {"bytes", `type: "/"`, "type"},
	} {
		got := ""
		of(t, tt.format, tt.options).Check(func(key, message, _ string) { got = key })
		if got != tt.key {
			t.Errorf("%s { %s }: got a fault of %q, want %q", tt.format, tt.options, got, tt.key)
		}
	}
}
