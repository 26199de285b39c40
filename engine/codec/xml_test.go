package codec_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/codec"
)

const soap = `namespaces: { soap: "http://schemas.xmlsoap.org/soap/envelope/", "": "urn:orders" }`

func TestReadXML(t *testing.T) {
	for _, r := range []reading{
		{name: "elements, attributes and text", document: `<order id="7"><sku>a</sku><qty>007</qty></order>`, json: `{"order":{"@id":"7","sku":"a","qty":"007"}}`},
		{name: "repeated elements", document: `<o><i>1</i><i>2</i><n/></o>`, json: `{"o":{"i":["1","2"],"n":""}}`},
		{name: "text beside attributes", document: `<p cur="EUR">9.50</p>`, json: `{"p":{"@cur":"EUR","#text":"9.50"}}`},
		{name: "an attribute and no text", document: `<p cur="EUR"/>`, json: `{"p":{"@cur":"EUR"}}`},
		{name: "only text", document: "<p> a\tb </p>", json: `{"p":" a\tb "}`},
		{name: "line ends", document: "<p a='x'>a\r\nb\rc&#xD;</p>", json: `{"p":{"@a":"x","#text":"a\nb\nc\r"}}`},
		{name: "space between elements", document: "\n<o>\n  <a/>\n  <b> </b>\n</o>\n", json: `{"o":{"a":"","b":" "}}`},
		{name: "space that is to be kept", document: `<o xml:space="preserve"> <a/></o>`, json: `{"o":{"@xml:space":"preserve","#text":" ","a":""}}`},
		{name: "space that is not, inside of such", document: `<o xml:space="preserve"><i xml:space="default"> <a/></i></o>`, json: `{"o":{"@xml:space":"preserve","i":{"@xml:space":"default","a":""}}}`},
		{name: "elements of one name apart", document: `<o><a>1</a><b>2</b><a>3</a></o>`, json: `{"o":{"a":["1","3"],"b":"2","#order":["a","b","a"]}}`},
		{name: "mixed content", document: `<p>Dear <b>Ada</b>, <i>hi</i>.</p>`, json: `{"p":{"#text":["Dear ",", ","."],"b":"Ada","i":"hi","#order":["#text","b","#text","i","#text"]}}`},
		{name: "mixed content in a plain order", document: `<p>Dear <b>Ada</b></p>`, json: `{"p":{"#text":"Dear ","b":"Ada"}}`},
		{name: "comments and instructions", document: `<?xml version="1.0"?><!-- a --><?x y?><o>a<!-- b -->b<?x?>c</o><!-- c -->`, json: `{"o":"abc"}`},
		{name: "CDATA", document: `<o>a <![CDATA[<b> & ]]>&amp; c</o>`, json: `{"o":"a <b> & & c"}`},
		{name: "entities of XML itself", document: `<o a="&quot;&#65;">&lt;&#x1F600;</o>`, json: `{"o":{"@a":"\"A","#text":"<😀"}}`},
		{name: "nil", document: `<o xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a xsi:nil="true"/><b xsi:nil="false"/><c xsi:nil="true" d=""/></o>`,
			json: `{"o":{"a":null,"b":{"@xsi:nil":"false"},"c":{"@xsi:nil":"true","@d":""}}}`},
		{name: "nil by another prefix", document: `<o xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>`, json: `{"o":null}`},
		{name: "prefixes are kept", document: `<p:o xmlns:p="urn:p" xmlns="urn:d" p:a="1" xml:lang="en"><b/></p:o>`, json: `{"p:o":{"@xmlns:p":"urn:p","@xmlns":"urn:d","@p:a":"1","@xml:lang":"en","b":""}}`},
		{name: "prefixes of the flow", options: soap, document: `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><o:order xmlns:o="urn:orders" S:must="1"/></S:Body></S:Envelope>`,
			json: `{"soap:Envelope":{"soap:Body":{"order":{"@soap:must":"1"}}}}`},
		{name: "the same by a default namespace", options: soap, document: `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><order xmlns="urn:orders" xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:must="1"/></Body></Envelope>`,
			json: `{"soap:Envelope":{"soap:Body":{"order":{"@soap:must":"1"}}}}`},
		{name: "a namespace that the flow does not know", options: soap, document: `<o xmlns="urn:orders" xmlns:x="urn:x"><x:y/></o>`, json: `{"o":{"@xmlns:x":"urn:x","x:y":""}}`},
		{name: "a prefix that means something else to the flow gets another", options: soap, document: `<o xmlns="urn:orders" xmlns:soap="urn:x" soap:a="1"><soap:b/></o>`,
			json: `{"o":{"@xmlns:ns1":"urn:x","@ns1:a":"1","ns1:b":""}}`},
		{name: "so does none", options: soap, document: `<o:o xmlns:o="urn:orders"><t xmlns="urn:x"><u/><v xmlns="urn:y"/><o:w/></t></o:o>`,
			json: `{"o":{"ns1:t":{"@xmlns:ns1":"urn:x","ns1:u":"","ns2:v":{"@xmlns:ns2":"urn:y"},"w":""}}}`},
		{name: "which is none that the document has", options: soap, document: `<o xmlns="urn:orders" xmlns:ns1="urn:z"><t xmlns="urn:x"><ns1:a/><ns2:b xmlns:ns2="urn:q"><t/></ns2:b></t></o>`,
			json: `{"o":{"@xmlns:ns1":"urn:z","ns2:t":{"@xmlns:ns2":"urn:x","ns1:a":"","ns3:b":{"@xmlns:ns3":"urn:q","ns2:t":""}}}}`},
		{name: "no namespace where the flow expects one", options: soap, document: `<o/>`, fault: `line 1: <o> has no namespace, where it must be "urn:orders"`},
		{name: "an attribute in the namespace of names without prefix", options: soap, document: `<o:o xmlns:o="urn:orders" o:a=""/>`, fault: `line 1: the attribute "o:a" is in the namespace of names without prefix, and attributes need one`},
		{name: "no name behind a prefix", document: `<o xmlns:p="urn:p" p:0=""/>`, fault: `line 1: "0" is not a name`},
		{name: "no name as a prefix", document: `<o xmlns:0="urn:p"/>`, fault: `line 1: "0" is not a prefix`},
		{name: "a prefix that is not declared", document: "<o>\n<p:a/></o>", fault: `line 2: the prefix "p" is not declared`},
		{name: "a prefix is declared only inside", document: `<o><a xmlns:p="urn:p"/><p:b/></o>`, fault: `line 1: the prefix "p" is not declared`},
		{name: "lists", options: "lists: [item]", document: `<o><item>1</item></o>`, json: `{"o":{"item":["1"]}}`},
		{name: "lists of a parent", options: "lists: [items/item]", document: `<o><items> </items><item/></o>`, json: `{"o":{"items":{"item":[]},"item":""}}`},
		{name: "lists of a parent with one", options: "lists: [items/item]", document: `<o><items><item/></items></o>`, json: `{"o":{"items":{"item":[""]}}}`},
		{name: "types", options: `types: { qty: integer, "@ok": boolean, price: number }`, document: `<o ok="1"><qty>007</qty><qty/><price cur="E">1.50</price><ok>1</ok></o>`,
			json: `{"o":{"@ok":true,"qty":[7,null],"price":{"@cur":"E","#text":1.50},"ok":"1"}}`},
		{name: "a wrong type", options: "types: { qty: integer }", document: "<o>\n <qty>x</qty>\n</o>", fault: `line 2: qty: "x" is not of type integer`},
		{name: "the root is left out", options: "root: o", document: `<o><a>1</a></o>`, json: `{"a":"1"}`},
		{name: "another root", options: "root: o", document: "\n<x/>", fault: "line 2: the root element is <x>, not <o>"},

		{name: "a charset that the document tells", document: "<?xml version='1.0' encoding='ISO-8859-1'?><o>Z\xfcrich</o>", json: `{"o":"Zürich"}`},
		{name: "a charset that the media type tells", document: "<?xml version='1.0' encoding='UTF-8'?><o>Z\xfcrich</o>", media: "text/xml; charset=iso-8859-1", json: `{"o":"Zürich"}`},
		{name: "UTF-16", document: "\xff\xfe<\x00?\x00x\x00m\x00l\x00 \x00v\x00e\x00r\x00s\x00i\x00o\x00n\x00=\x00'\x001\x00.\x000\x00'\x00 \x00e\x00n\x00c\x00o\x00d\x00i\x00n\x00g\x00=\x00'\x00U\x00T\x00F\x00-\x001\x006\x00'\x00?\x00>\x00<\x00o\x00>\x00\xfc\x00<\x00/\x00o\x00>\x00", json: `{"o":"ü"}`},
		{name: "UTF-16 without a mark", document: "<\x00o\x00/\x00>\x00", fault: "line 1: this looks like UTF-16, but has no byte order mark"},
		{name: "a charset that is not known", document: "<?xml version='1.0' encoding='EBCDIC'?><o/>", fault: `the charset "EBCDIC" is not one that is read here: use UTF-8`},
		{name: "a byte order mark", document: "\xef\xbb\xbf<o/>", json: `{"o":""}`},
		{name: "invalid UTF-8", document: "<o>\nZ\xfcrich</o>", fault: "line 2: invalid UTF-8"},
		{name: "NUL", document: "<o>\x00</o>", fault: "line 1: illegal character code U+0000"},
		{name: "NUL by reference", document: "<o>&#0;</o>", fault: "line 1: illegal character code U+0000"},

		{name: "nothing", fault: "line 1: there is no element"},
		{name: "no XML", document: "hello", fault: "line 1: text stands outside of the root element"},
		{name: "an end that is missing", document: "<a>\n<b>", fault: "line 2: the document ends inside <b>"},
		{name: "an end of another", document: "<a>\n<b>\n</a>", fault: "line 3: <b> of line 2 is closed by </a>"},
		{name: "an end of nothing", document: "<a/></b>", fault: "line 1: </b> closes nothing"},
		{name: "two roots", document: "<a/>\n<b/>", fault: "line 2: a second root element: <b>"},
		{name: "an attribute twice", document: `<a b="" b=""/>`, fault: "line 1: <a> has the attribute b twice"},
		{name: "an attribute twice, by two prefixes", options: "namespaces: { n: urn:n }", document: `<a xmlns:x="urn:n" xmlns:y="urn:n" x:b="" y:b=""/>`, fault: "line 1: <a> has the attribute n:b twice"},
		{name: "a prefix of nothing", document: `<a xmlns:x=""/>`, fault: `line 1: the prefix "x" has no namespace`},
		{name: "a broken tag", document: "<a>\n<b c></b></a>", fault: "line 2: attribute name without = in element"},
		{name: "an unknown entity", document: "<a>&nbsp;</a>", fault: "line 1: invalid character entity &nbsp;"},
		{name: "a late declaration", document: "<a/><?xml version='1.0'?>", fault: "line 1: the XML declaration does not stand at the start"},
		{name: "XML 1.1", document: "<?xml version='1.1'?><a/>", fault: `line 1: unsupported version "1.1"; only version 1.0 is supported`},
	} {
		r.test(t, "xml")
	}
}

func TestHostileXML(t *testing.T) {
	laughs := "<!DOCTYPE l [<!ENTITY a \"ha\">"
	for c := 'b'; c < 'l'; c++ {
		laughs += fmt.Sprintf("<!ENTITY %c \"%s\">", c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	var attributes strings.Builder
	for i := range 300 {
		fmt.Fprintf(&attributes, " a%d=''", i)
	}
	var prefixes strings.Builder
	for i := range 200 {
		fmt.Fprintf(&prefixes, " xmlns:a%d='urn:a'", i)
	}
	const refused = "line 1: document type definitions and their entities are refused"
	for _, r := range []reading{
		{name: "billion laughs", document: laughs + "]><l>&k;</l>", fault: refused},
		{name: "an external entity", document: `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, fault: refused},
		{name: "an external definition", document: `<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>`, fault: refused},
		{name: "a definition inside", document: `<a><!DOCTYPE a></a>`, fault: refused},
		{name: "deep nesting", document: strings.Repeat("<a>", 1e6), fault: "line 1: more than 63 elements stand inside of each other"},
		{name: "the deepest nesting", document: strings.Repeat("<a>", 63) + strings.Repeat("</a>", 63), json: strings.Repeat(`{"a":`, 63) + `""` + strings.Repeat("}", 63)},
		{name: "the deepest nesting of lists", options: "lists: [a]", document: strings.Repeat("<a>", 62) + "x<b/>y" + strings.Repeat("</a>", 62),
			json: `{"a":` + strings.Repeat(`{"a":[`, 61) + `{"#text":["x","y"],"b":"","#order":["#text","b","#text"]}` + strings.Repeat("]}", 61) + "}"},
		{name: "many elements", document: "<a>" + strings.Repeat("<b/>", 1<<20) + "</a>", fault: "line 1: the document has more than 1048576 elements, attributes and texts"},
		{name: "many attributes", document: "<a" + attributes.String() + "/>", fault: "line 1: <a> has more than 256 attributes"},
		{name: "many prefixes", document: "<a" + prefixes.String() + "/>", fault: "line 1: more than 64 prefixes are declared"},
		{name: "long names in messages", document: "<" + strings.Repeat("a", 1000) + ">", fault: "line 1: the document ends inside <" + strings.Repeat("a", 120) + "...>"},
	} {
		r.test(t, "xml")
	}
	text := strings.Repeat("x", 10<<20)
	reading{name: "a large text", document: "<a>" + text + "</a>", json: `{"a":"` + text + `"}`}.test(t, "xml")
	reading{name: "a text in many pieces", document: "<a>" + strings.Repeat("x<!---->", 1<<20) + "</a>", json: `{"a":"` + strings.Repeat("x", 1<<20) + `"}`}.test(t, "xml")
	writing{name: "a long name for many elements", json: `{"o":{"` + strings.Repeat("k", 1<<20) + `":[` + strings.Repeat("1,", 1000) + `1]}}`, fault: "this would become larger than 64 MiB"}.test(t, "xml")
}

func TestWriteXML(t *testing.T) {
	const soapOut = `declaration: false, ` + soap
	for _, w := range []writing{
		{name: "with a declaration", options: "declaration: true", json: `{"o":1}`, document: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<o>1</o>"},
		{name: "elements, attributes and text", json: `{"o":{"a":{"#text":1.50,"@cur":"E","@none":null},"b":true,"@id":7}}`, document: `<o id="7"><a cur="E">1.50</a><b>true</b></o>`},
		{name: "lists and nothing", json: `{"o":{"a":[1,null,""],"b":[],"c":{},"d":null}}`,
			document: `<o xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a>1</a><a xsi:nil="true"/><a/><c/><d xsi:nil="true"/></o>`},
		{name: "escapes", json: `{"o":{"@a":"<\"'&>\r\n\t","#text":"<\"'&]]>\r\n\t"}}`, document: "<o a=\"&lt;&quot;'&amp;&gt;&#xD;&#xA;&#x9;\">&lt;\"'&amp;]]&gt;&#xD;\n\t</o>"},
		{name: "order", json: `{"o":{"b":2,"a":[1,3],"#order":["a","b","a"]}}`, document: `<o><a>1</a><b>2</b><a>3</a></o>`},
		{name: "an order that no longer fits", json: `{"o":{"a":[1,2,3],"b":4,"#order":["b","x","a","b","a"]}}`, document: `<o><b>4</b><a>1</a><a>2</a><a>3</a></o>`},
		{name: "mixed content", json: `{"p":{"#text":["Dear ","!"],"b":"Ada","#order":["#text","b","#text"]}}`, document: `<p>Dear <b>Ada</b>!</p>`},
		{name: "CDATA", options: "cdata: [s]", json: `{"o":{"s":"<b>]]>\r","t":"<"}}`, document: `<o><s><![CDATA[<b>]]]]><![CDATA[>]]>&#xD;<![CDATA[]]></s><t>&lt;</t></o>`},
		{name: "indented", options: "indent: 2", json: `{"o":{"a":{"b":1},"c":[],"p":{"#text":"x","i":{"j":1}},"s":{"@xml:space":"preserve","i":1}}}`,
			document: "<o>\n  <a>\n    <b>1</b>\n  </a>\n  <p>x<i><j>1</j></i></p>\n  <s xml:space=\"preserve\"><i>1</i></s>\n</o>\n"},
		{name: "a root of the flow", options: "root: o", json: `{"a":1,"b":[2,3]}`, document: `<o><a>1</a><b>2</b><b>3</b></o>`},
		{name: "a root of the flow around a value", options: "root: o", json: `7`, document: `<o>7</o>`},
		{name: "the last of two fields counts", json: `{"o":{"role":"user","x":1,"role":"guest"}}`, document: `<o><role>guest</role><x>1</x></o>`},
		{name: "prefixes of the flow", options: soapOut, json: `{"soap:Envelope":{"soap:Body":{"order":{"@soap:must":1,"a":null}}}}`,
			document: `<soap:Envelope xmlns="urn:orders" xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soap:Body><order soap:must="1"><a xsi:nil="true"/></order></soap:Body></soap:Envelope>`},
		{name: "prefixes of the document", json: `{"p:o":{"@p:a":1,"@xmlns:p":"urn:p","p:b":{"@xmlns":"urn:d","c":""}}}`, document: `<p:o p:a="1" xmlns:p="urn:p"><p:b xmlns="urn:d"><c/></p:b></p:o>`},
		{name: "a declaration that is there", json: `{"o":{"@xmlns:xsi":"http://www.w3.org/2001/XMLSchema-instance","a":null}}`, document: `<o xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a xsi:nil="true"/></o>`},
		{name: "names beyond ASCII", json: `{"größe":{"@日本":1}}`, document: `<größe 日本="1"/>`},

		{name: "no root", json: `{"a":1,"b":2}`, fault: "a document has one root element, and this object has 2 fields: write xml: { root: name }"},
		{name: "no name for the root", json: `[1]`, fault: "a document has a root element, and a list has no name for it: write xml: { root: name }"},
		{name: "several roots", json: `{"a":[1,2]}`, fault: `"a" is a list directly in a list, or the root: its elements have no name`},
		{name: "a list in a list", json: `{"o":{"a":[[1]]}}`, fault: `"a" is a list directly in a list, or the root: its elements have no name`},
		{name: "a name that is none", json: `{"o":{"first name":1}}`, fault: `"first name" cannot be the name of an element or attribute`},
		{name: "a name that would be more than a name", json: `{"o":{"a><b":1}}`, fault: `"a><b" cannot be the name of an element or attribute`},
		{name: "an attribute that would be more than one", json: `{"o":{"@a=\"1\" b":1}}`, fault: `"a=\"1\" b" cannot be the name of an element or attribute`},
		{name: "a prefix that would be more than a prefix", json: `{"o":{"@xmlns:a=\"1\" b":"urn:x"}}`, fault: `"a=\"1\" b" cannot be a prefix`},
		{name: "a prefix of nobody", json: `{"o":{"p:a":1}}`, fault: `the prefix of "p:a" is not declared: write xml: { namespaces: { prefix: namespace } }, or an attribute @xmlns:p`},
		{name: "a character that XML does not have", json: `{"o":{"a":"\u0000"}}`, fault: `the value of "a" holds U+0000, which XML has no way to write`},
		{name: "an object in an attribute", json: `{"o":{"@a":{}}}`, fault: `the attribute "a" is an object, and can only be text`},
		{name: "an object as text", json: `{"o":{"#text":{}}}`, fault: `the text of "o" is an object`},
		{name: "too deep", json: strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), fault: "this nests deeper than 63 elements"},
		{name: "another xsi", json: `{"o":{"@xmlns:xsi":"urn:x","a":null}}`, fault: `the prefix "xsi" stands for "urn:x" here, where it must be "http://www.w3.org/2001/XMLSchema-instance"`},
	} {
		if !strings.Contains(w.options, "declaration") {
			w.options = strings.TrimSuffix("declaration: false, "+w.options, ", ")
		}
		w.test(t, "xml")
	}
}

// documents are of kinds that must survive a way through JSON as they are.
var documents = []string{
	`<o/>`, `<o a="1" b=" x "> y </o>`, `<o><a/><b/><a>1</a><a>2</a><c/></o>`,
	`<p>Dear <b>Ada</b> <i>and</i> all, <b>hi</b>!</p>`, `<p> <b/>x</p>`, `<p><b/>x<b/></p>`,
	`<o xmlns="urn:a"><p:b xmlns:p="urn:p" p:c="1"><d xmlns=""/></p:b></o>`,
	`<o xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a xsi:nil="true"/><b xsi:nil="1"/><c xsi:type="d"/></o>`,
	`<o xml:space="preserve"> <a/> <b/> </o>`, `<o xml:lang="en">&lt;&amp;&#xD;&#x9;</o>`, `<größe/>`, `<a.b-c_d/>`,
	"<o>\n\t<a>\n\t\t<b>1</b>\n\t</a>\n</o>",
}

// events are what a document says, however it is written: names with their
// namespaces, attributes in any order, text.
func events(t *testing.T, document string) (list []string) {
	t.Helper()
	mixed := strings.Contains(document, "preserve") || strings.HasPrefix(document, "<p>")
	d := xml.NewDecoder(strings.NewReader(document))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		switch token := token.(type) {
		case xml.StartElement:
			var attrs []string
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					attrs = append(attrs, fmt.Sprintf("%v=%q", a.Name, a.Value))
				}
			}
			slices.Sort(attrs)
			list = append(list, fmt.Sprintf("<%v %v>", token.Name, attrs))
		case xml.EndElement:
			list = append(list, fmt.Sprintf("</%v>", token.Name))
		case xml.CharData:
			text := string(token)
			if n := len(list) - 1; n >= 0 && strings.HasPrefix(list[n], "text ") {
				list[n] += text
			} else if mixed || strings.TrimSpace(text) != "" {
				list = append(list, "text "+text)
			}
		}
	}
}

func TestDocumentsSurvive(t *testing.T) {
	for _, options := range []string{"", "lists: [a, b, d]", "indent: 2", "cdata: [o, p, b]", `namespaces: { q: "urn:p" }`} {
		f := options
		o := of(t, "xml", f)
		for _, document := range documents {
			json, err := o.Decode(document, "")
			if err != nil {
				t.Fatalf("%v in %s", err, document)
			}
			written, _, err := o.Encode(json)
			if err != nil {
				t.Fatalf("%v in %s of %s", err, json, document)
			}
			written = strings.TrimPrefix(strings.TrimPrefix(written, `<?xml version="1.0" encoding="UTF-8"?>`), "\n")
			got, want := events(t, strings.TrimSpace(written)), events(t, document)
			if !slices.Equal(got, want) {
				t.Errorf("{ %s }: %s\nbecame %s\nand    %s\n%v\n%v", f, document, json, written, got, want)
			}
			settles(t, o, document, "")
		}
	}
}

func FuzzXML(f *testing.F) {
	for _, document := range documents {
		f.Add(document)
	}
	for _, seed := range []string{`{"o":{"@a":1,"#text":["x","y"],"b":[1,null],"#order":["#text","b"]}}`, `{"a:b":{"@xmlns:a":"x"}}`,
		"\xff\xfe<\x00o\x00/\x00>\x00", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<?xml version='1.0' encoding='latin1'?><o>\xfc</o>", "<a><![CDATA[]]>]]&gt;</a>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, o := range []*codec.XML{
			{Declaration: true, Lists: []string{"a", "o/b"}},
			{Indent: 1, CDATA: []string{"o", "b"}, Namespaces: map[string]string{"": "urn:a", "q": "urn:p"}},
		} {
			settles(t, o, text, "")
			readable(t, o, text)
		}
		o := &codec.XML{Root: "o", Types: map[string]string{"a": "integer", "@a": "boolean", "b": "number"}}
		if json, err := o.Decode(text, "text/xml; charset=utf-16"); err == nil && dsl.CheckJSON(json) != nil {
			t.Fatalf("%q", json)
		}
	})
}

func BenchmarkReadXML(b *testing.B) {
	document := "<order id='7'>" + strings.Repeat("<item><sku>a-1</sku><qty>3</qty><note>as ordered &amp; paid</note></item>", 20) + "</order>"
	o := &codec.XML{}
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Decode(document, "application/xml"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteXML(b *testing.B) {
	json := `{"order":{"@id":"7","item":[` + strings.Repeat(`{"sku":"a-1","qty":3,"note":"as ordered & paid"},`, 20) + `{}]}}`
	o := &codec.XML{}
	b.SetBytes(int64(len(json)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := o.Encode(json); err != nil {
			b.Fatal(err)
		}
	}
}
