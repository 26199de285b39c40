package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/weir-run/weir/dsl"
)

// Schema is one compiled schema: immutable and safe for concurrent use.
type Schema struct {
	// fits answers yes or no, which takes little: most values fit. told says what
	// is wrong, and costs some hundred bytes for each thing, of which a hostile
	// value has many.
	fits, told *jsonschema.Schema
}

// Compile compiles the schema that stands at n, with the files that it refers
// to. It gives nil after reporting to r what is wrong, with its place.
func (d *Documents) Compile(n *dsl.Node, r dsl.Reporter) *Schema {
	if n.Broken() {
		return nil
	}
	if n.Kind != dsl.Map {
		r.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-schema", Message: "a schema is a mapping, not " + n.Describe(),
			Hint: "write one, such as { type: object, properties: { id: { type: integer } } }, or { $ref: order.json }"})
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := linter{d, r, map[*dsl.Node]bool{}, false}
	if l.schema(n, n); l.failed {
		return nil
	}
	address := d.fresh()
	s, err := d.made(address, d.forLibrary(n, false))
	if err != nil {
		d.report(err, n, address, r)
	}
	return s
}

// CompileIn compiles the schema at n in a file that flow files refer to, of
// which root is the root. It gives nil, and why, for one that cannot be used: the
// file may be somebody else's.
func (d *Documents) CompileIn(root, n *dsl.Node) (*Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, known := d.schemas[n]; known {
		return s.Schema, s.why
	}
	var s compiledIn
	for _, f := range d.files {
		if path, ok := pathTo(f.root, n); f.root == root && ok {
			ref := fileScheme + strconv.Itoa(f.number) + "#" + (&url.URL{Path: pointer(path)}).EscapedPath()
			s.Schema, s.why = d.made(d.fresh(), map[string]any{"$ref": ref})
			break
		}
	}
	if d.schemas == nil {
		d.schemas = map[*dsl.Node]compiledIn{}
	}
	d.schemas[n] = s
	return s.Schema, s.why
}

// Tell reports why CompileIn cannot use the schema at n.
func (d *Documents) Tell(why error, n *dsl.Node, r dsl.Reporter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report(why, n, "", r)
}

type compiledIn struct {
	*Schema
	why error // it is nil
}

// pathTo is the way from a node to one below it.
func pathTo(from, to *dsl.Node) (path []string, ok bool) {
	if from == nil || from == to {
		return nil, from != nil
	}
	if to.Span.Start < from.Span.Start || to.Span.End > from.Span.End {
		return nil, false
	}
	for i, item := range from.Items {
		if path, ok := pathTo(item, to); ok {
			return append([]string{strconv.Itoa(i)}, path...), true
		}
	}
	for _, f := range from.Fields {
		if path, ok := pathTo(f.Value, to); ok {
			return append([]string{f.Key.Text}, path...), true
		}
	}
	return nil, false
}

// fresh is an address that no schema has.
func (d *Documents) fresh() string {
	d.inline++
	return inlineScheme + strconv.Itoa(d.inline)
}

func (d *Documents) made(address string, resource any) (*Schema, error) {
	told, err := d.compiled(address, resource)
	if err != nil {
		return nil, err
	}
	fits, err := d.compiled(address+"/fits", map[string]any{"if": map[string]any{"$ref": address}, "else": false})
	if err != nil {
		return nil, err
	}
	return &Schema{fits: fits, told: told}, nil
}

func (d *Documents) compiled(address string, resource any) (*jsonschema.Schema, error) {
	if err := d.compiler.AddResource(address, resource); err != nil {
		return nil, err
	}
	return d.compiler.Compile(address)
}

// Resources have addresses of our own making, so that no spelling of a path
// means anything to the library.
const (
	inlineScheme = "weir:///inline/"
	fileScheme   = "weir:///file/"
)

// loader gives the library the documents that schemas refer to.
type loader struct{ *Documents }

// Load is what jsonschema.URLLoader asks for.
func (l loader) Load(address string) (any, error) {
	if f := l.numbered(address); f != nil && f.open() != nil {
		return l.forLibrary(f.root, isOld(f.root)), nil
	}
	return nil, errors.New("only files can be referred to")
}

func (d *Documents) numbered(address string) *document {
	for _, f := range d.files {
		if address == fileScheme+strconv.Itoa(f.number) {
			return f
		}
	}
	return nil
}

// isOld reports whether a document has the schemas of OpenAPI 3.0, which are
// those of an older draft of JSON Schema with keywords of their own.
func isOld(root *dsl.Node) bool {
	v := root.Field("openapi")
	return v != nil && strings.HasPrefix(v.Text, "3.0")
}

// Renewed is a schema of the document with this root in the words of JSON Schema
// 2020-12, if the document is one of OpenAPI 3.0. It may change the object.
func Renewed(object map[string]any, root *dsl.Node) map[string]any {
	if !isOld(root) {
		return object
	}
	return renewed(object)
}

func renewed(object map[string]any) map[string]any {
	if object["nullable"] == true {
		if t, ok := object["type"].(string); ok {
			object["type"] = []any{t, "null"}
			if values, ok := object["enum"].([]any); ok {
				object["enum"] = append(values, nil)
			}
			delete(object, "nullable")
		}
	}
	for old, bound := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		if exclusive, ok := object[old].(bool); ok {
			delete(object, old)
			if exclusive {
				object[old] = object[bound]
				delete(object, bound)
			}
		}
	}
	if _, ok := object["$ref"].(string); ok { // what stands beside a reference is ignored
		return map[string]any{"$ref": object["$ref"]}
	}
	return object
}

// forLibrary is a node as the library takes values, with the files in its
// references replaced by their addresses.
func (d *Documents) forLibrary(n *dsl.Node, old bool) any {
	switch n.Kind {
	case dsl.List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = d.forLibrary(item, old)
		}
		return list
	case dsl.Map:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			object[f.Key.Text] = d.forLibrary(f.Value, old)
			if f.Key.Text == "$ref" && f.Value.Type == dsl.Str {
				object["$ref"] = d.address(f.Value)
			}
		}
		if old {
			return renewed(object)
		}
		return object
	}
	v, _ := toLibrary(Plain(n))
	return v
}

func (d *Documents) address(ref *dsl.Node) string {
	file, fragment, fragmented := strings.Cut(ref.Text, "#")
	if f := d.find(ref.Span.Source, file); file != "" && !isURL(ref.Text) && f != nil {
		file = fileScheme + strconv.Itoa(f.number)
	}
	if fragmented {
		file += "#" + fragment
	}
	return file
}

// toLibrary makes Numbers those of encoding/json. What the library would not
// survive or take long for has a fault.
func toLibrary(v any) (any, error) {
	c := converter{left: maxValues, keep: maxValues}
	out := c.value(v)
	return out, c.fault
}

const (
	maxValues = 200_000 // in one value that is checked
	maxTold   = 10_000  // values of which it is told what does not fit
	maxDigits = 1000    // of a number: its checks compute with all of them
	maxPower  = 400
)

type converter struct {
	left  int
	keep  int // values, after which lists are cut short
	cut   bool
	fault error
}

func (c *converter) value(v any) any {
	if c.left--; c.left < 0 {
		c.fault = fmt.Errorf("holds more than %d values, which is the most that is checked", maxValues)
		return nil
	}
	switch v := v.(type) {
	case dsl.Number:
		if !reasonable(string(v)) {
			c.fault = errors.New("holds a number that is out of all bounds")
		}
		return json.Number(v)
	case []any:
		list := make([]any, 0, min(len(v), c.left+1))
		for i := range v {
			if maxValues-c.left > c.keep {
				c.cut = true
				break
			}
			list = append(list, c.value(v[i]))
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for k, item := range v {
			object[k] = c.value(item)
		}
		return object
	case nil, bool, string, int, float64:
		return v
	}
	text, err := dsl.AppendText(nil, v)
	if err != nil {
		c.fault = err
	}
	return string(text)
}

func reasonable(number string) bool {
	if len(number) > maxDigits {
		return false
	}
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		power, err := strconv.Atoi(number[i+1:])
		return err == nil && -maxPower < power && power < maxPower
	}
	return true
}

// report says what the library found wrong with the schema at n.
func (d *Documents) report(err error, n *dsl.Node, address string, r dsl.Reporter) {
	place := func(url string, more []string) *dsl.Node {
		url, pointer, _ := strings.Cut(url, "#")
		at := n
		if f := d.numbered(url); f != nil {
			at = f.root
		} else if url != address {
			return n
		}
		for _, token := range append(tokens(pointer), more...) {
			next := child(at, token)
			if next == nil {
				break
			}
			at = next
		}
		return at
	}
	var invalid *jsonschema.SchemaValidationError
	var pattern *jsonschema.InvalidRegexError
	switch {
	case errors.As(err, &invalid):
		var fault *jsonschema.ValidationError
		if errors.As(invalid.Err, &fault) {
			for _, v := range violations(fault) {
				at := place(invalid.URL, v.tokens)
				if at.KeySpan().Text() == "pattern" && at.Type == dsl.Str {
					r.Report(badPattern(at))
					continue
				}
				r.Report(dsl.Diagnostic{Span: at.Span, Code: "bad-schema", Message: "this " + v.Message + " in a schema", Hint: "see json-schema.org for what this keyword takes"})
			}
			return
		}
	case errors.As(err, &pattern):
		r.Report(badPattern(place(pattern.URL, nil)))
		return
	}
	r.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-schema", Message: "the schema cannot be used: " + fileAddress.ReplaceAllString(called(err, address), ""), Hint: "check its references and its $id"})
}

// called is an error in which the schema at hand is called it.
func called(err error, address string) string {
	if address == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), address, "it")
}

var fileAddress = regexp.MustCompile(regexp.QuoteMeta(fileScheme) + `[0-9]+`)

func badPattern(n *dsl.Node) dsl.Diagnostic {
	return dsl.Diagnostic{Span: n.Span, Code: "bad-schema", Message: fmt.Sprintf("%q is not a regular expression that can be used", n.Text),
		Hint: "write it as RE2 has it, without look-around and back references"}
}

// Violation is one thing that a value does not keep to.
type Violation struct {
	Pointer string `json:"pointer"` // where in the value (RFC 6901)
	Message string `json:"message"` // such as: must be a whole number, not text

	tokens []string // the Pointer in parts
	short  bool     // a list has too few elements
}

// Path is the Pointer in its parts.
func (v Violation) Path() []string { return v.tokens }

// mostViolations of one value are told.
const mostViolations = 100

// Check gives what a value, as expressions see values, does not keep to, in
// the order of the places; a hundred at most.
func (s *Schema) Check(v any) []Violation {
	value, err := toLibrary(v)
	if err != nil {
		return []Violation{{Message: err.Error()}}
	}
	if s.fits.Validate(value) == nil {
		return nil
	}
	c := converter{left: maxValues, keep: maxTold}
	var fault *jsonschema.ValidationError
	if errors.As(s.told.Validate(c.value(v)), &fault) {
		all := violations(fault)
		if c.cut {
			all = slices.DeleteFunc(all, func(v Violation) bool { return v.short })
		}
		if len(all) > 0 {
			return all[:min(len(all), mostViolations)]
		}
	}
	return []Violation{{Message: "does not fit, somewhere behind its first values"}}
}
