package codec

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// XML is XML 1.0 with namespaces. An element becomes a field, named as it is:
//
//	<order id="7"><sku>a</sku><sku>b</sku><note/></order>
//	{"order": {"@id": "7", "sku": ["a", "b"], "note": ""}}
//
// An element with neither attributes nor elements inside is its text, and null
// if it has xsi:nil="true" and nothing else. Other elements are objects: first
// the attributes, each with an @ in front, then "#text" if there is text, then
// the elements inside. Elements of one name are a list if there are several.
//
// The order of the fields is that of the document. Where it does not tell the
// order of the elements, because those of one name stand apart, "#order" lists
// the names one after the other. Text between elements is a "#text" of its own,
// and has its places in "#order". So no path into a document changes its
// meaning with the order of the elements, and none of it is lost.
//
// Comments, processing instructions and white space between elements are left
// out, unless the space stands beside text or under xml:space="preserve"; CDATA
// sections are text.
//
// Document type definitions are refused, and with them all entities but the five
// of XML itself: nothing is fetched, and nothing grows.
type XML struct {
	Root        string            `yaml:"root" doc:"The name of the root element. Reading: it must be this, and the result is what is in it. Writing: it is put around the value."`
	Lists       []string          `yaml:"lists" doc:"Elements that are always a list: NAME, or PARENT/NAME, which is an empty list where PARENT has none."`
	Types       map[string]string `yaml:"types" doc:"Types of elements and of @attributes, by name. What is not named stays text." enum:"integer|number|boolean"`
	Namespaces  map[string]string `yaml:"namespaces" doc:"Prefix to namespace. Names in these namespaces have these prefixes in JSON, whatever the document calls them; the prefix \"\" stands for none."`
	CDATA       []string          `yaml:"cdata" doc:"Elements whose text is written as CDATA."`
	Indent      int               `yaml:"indent" doc:"How many spaces each level is indented by when writing; 0 writes one line." default:"0" min:"0" max:"8"`
	Declaration bool              `yaml:"declaration" doc:"Whether to write <?xml ...?> in front." default:"true"`
}

// Bounds on documents, read or written. A level of elements is up to two levels
// of JSON, a list and an object; the root takes one more, and so may a #text.
const (
	maxElements   = 63      // elements inside of each other
	maxNodes      = 1 << 20 // elements, attributes and texts
	maxAttributes = 256     // of one element
	maxPrefixes   = 64      // known at one place
)

const (
	keyText  = "#text"
	keyOrder = "#order"

	uriXSI = "http://www.w3.org/2001/XMLSchema-instance"
	uriXML = "http://www.w3.org/XML/1998/namespace"
)

// Check reports names that XML does not have.
func (o *XML) Check(report func(key, message, hint string)) {
	if o.Root != "" && !isQName(o.Root) {
		report("root", fmt.Sprintf("%q cannot be the name of an element", o.Root), "use letters, digits, _, - and ., starting with a letter")
	}
	uris := map[string]string{}
	for prefix, uri := range o.Namespaces {
		switch {
		case prefix != "" && (!isNCName(prefix) || prefix == "xml" || prefix == "xmlns"):
			report("namespaces", fmt.Sprintf("%q cannot be a prefix", prefix), "use letters and digits, starting with a letter; xml and xmlns are taken")
		case uri == "":
			report("namespaces", fmt.Sprintf("the prefix %q has no namespace", prefix), "write prefix: urn:of-the-namespace")
		case uris[uri] != "" || uri == uriXSI && prefix != "xsi" || prefix == "xsi" && uri != uriXSI:
			report("namespaces", fmt.Sprintf("%s has two prefixes", uri), "choose one; xsi always stands for "+uriXSI)
		}
		uris[uri] = "prefix " + prefix
	}
}

// namespace is that of a prefix of Namespaces. The prefix xsi is always known,
// so that null can be written anywhere.
func (o *XML) namespace(prefix string) (uri string, ok bool) {
	if prefix == "xsi" {
		return uriXSI, true
	}
	uri, ok = o.Namespaces[prefix]
	return uri, ok
}

// prefix is that of a namespace of Namespaces.
func (o *XML) prefix(uri string) (prefix string, ok bool) {
	if uri == uriXSI {
		return "xsi", true
	}
	for prefix, known := range o.Namespaces {
		if known == uri {
			return prefix, true
		}
	}
	return "", false
}

// otherwise says that a document gives a prefix of the options another meaning.
func otherwise(prefix, uri, known string) string {
	return fmt.Sprintf("the prefix %s stands for %s here, where it must be %s", excerpt(prefix), excerpt(uri), excerpt(known))
}

// bindings are the prefixes that are declared at one place of a document, the
// innermost last.
type bindings []binding

type binding struct {
	prefix, uri string
	shown       string // the prefix that names have in JSON, if the namespace is not one of the flow's
}

// declare adds what an attribute xmlns:prefix="uri" says, or with no prefix
// xmlns="uri" (Namespaces in XML 1.0, section 3).
func (b *bindings) declare(prefix, uri string) string {
	switch {
	case prefix == "xmlns" || prefix == "xml" && uri != uriXML || prefix != "xml" && uri == uriXML:
		return "the prefix " + prefix + " is of XML itself"
	case prefix != "" && uri == "":
		return "the prefix " + excerpt(prefix) + " has no namespace"
	case len(*b) == maxPrefixes:
		return fmt.Sprintf("more than %d prefixes are declared", maxPrefixes)
	}
	*b = append(*b, binding{prefix, uri, prefix})
	return ""
}

func (b bindings) find(prefix string) (found binding, ok bool) {
	if prefix == "xml" {
		return binding{prefix, uriXML, prefix}, true
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i].prefix == prefix {
			return b[i], true
		}
	}
	return binding{}, false
}

// declared tells whether an attribute declares a namespace, and for what prefix.
func declared(attribute string) (prefix string, ok bool) {
	if attribute == "xmlns" {
		return "", true
	}
	return strings.CutPrefix(attribute, "xmlns:")
}

// isQName reports whether s is a name that can have a prefix.
func isQName(s string) bool {
	prefix, local, ok := strings.Cut(s, ":")
	return isNCName(prefix) && (!ok || isNCName(local))
}

// isNCName reports whether s is a name without a prefix.
func isNCName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		case c >= utf8.RuneSelf:
			return isWideName(s)
		default:
			return false
		}
	}
	return s != ""
}

// isWideName lets the reader judge names with letters beyond ASCII: what is
// written must be readable again.
func isWideName(s string) bool {
	if strings.ContainsAny(s, "<>&/:='\" \t\r\n") || len(s) > 1000 {
		return false
	}
	token, err := xml.NewDecoder(strings.NewReader("<" + s + ">")).RawToken()
	start, ok := token.(xml.StartElement)
	return err == nil && ok && start.Name.Local == s
}

func isBlank(s string) bool { return strings.Trim(s, " \t\r\n") == "" }
