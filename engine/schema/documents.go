// Package schema is JSON Schema (draft 2020-12): what schemas say of values is
// checked when a flow runs, and known of them when it is compiled. It is the
// only package that knows the library which validates.
package schema

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/weir-run/weir/dsl"
)

// Documents are the files that flow files refer to, such as schemas and OpenAPI
// documents, read once for a program. It is safe for concurrent use.
type Documents struct {
	files map[string]*document

	mu       sync.Mutex
	types    map[*dsl.Node]*dsl.StaticType
	schemas  map[*dsl.Node]compiledIn
	compiler *jsonschema.Compiler
	inline   int // schemas that were compiled
}

type document struct {
	source *dsl.Source
	number int
	once   sync.Once
	root   *dsl.Node // nil: it cannot be read
	faults dsl.Diagnostics
}

// NewDocuments takes the files as they were read. Their names are clean paths.
func NewDocuments(files []*dsl.Source) *Documents {
	d := &Documents{files: map[string]*document{}, types: map[*dsl.Node]*dsl.StaticType{}}
	for i, f := range files {
		d.files[filepath.ToSlash(f.Name)] = &document{source: f, number: i}
	}
	d.compiler = jsonschema.NewCompiler()
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	d.compiler.UseLoader(loader{d})
	return d
}

// Open gives the root of the file that ref names, relative to the file that
// names it. It reports to r why it cannot: the file is not there, or holds no
// YAML or JSON.
func (d *Documents) Open(ref dsl.String, r dsl.Reporter) *dsl.Node {
	f := d.find(ref.Span.Source, ref.Value)
	if f == nil {
		hint := "write its path as it is seen from this file"
		if near, ok := dsl.Nearest(ref.Value, d.beside(ref.Span.Source)); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		message := fmt.Sprintf("there is no file %q", ref.Value)
		if isURL(ref.Value) {
			message, hint = "only files can be referred to", "save the document beside this file, and write its path"
		}
		r.Report(dsl.Diagnostic{Span: ref.Span, Code: "unknown-file", Message: message, Hint: hint})
		return nil
	}
	root := f.open()
	for _, fault := range f.faults.All() {
		r.Report(fault)
	}
	return root
}

func isURL(ref string) bool { return strings.Contains(ref, "://") }

func (d *Documents) find(from *dsl.Source, ref string) *document {
	if from == nil {
		return nil
	}
	return d.files[path.Join(path.Dir(filepath.ToSlash(from.Name)), ref)]
}

// beside names the files as they are seen from another.
func (d *Documents) beside(from *dsl.Source) (names []string) {
	dir := filepath.Dir(from.Name)
	for name := range d.files {
		if rel, err := filepath.Rel(dir, filepath.FromSlash(name)); err == nil {
			names = append(names, filepath.ToSlash(rel))
		}
	}
	return names
}

func (f *document) open() *dsl.Node {
	f.once.Do(func() { f.root = dsl.ParseData(f.source, &f.faults) })
	return f.root
}

// Follow gives the node that a reference means: #/a/b in the document with this
// root, or file.json#/a/b. root is that of the node's document, or nil where a
// node of a flow file is a document of its own. It is nil for what is not there
// or has another kind of name, which why tells.
func (d *Documents) Follow(ref *dsl.Node, root *dsl.Node) (target, targetRoot *dsl.Node, why string) {
	file, fragment, _ := strings.Cut(ref.Text, "#")
	if isURL(ref.Text) {
		return nil, nil, "only files can be referred to"
	}
	if file != "" {
		f := d.find(ref.Span.Source, file)
		if f == nil {
			return nil, nil, fmt.Sprintf("there is no file %q", file)
		}
		if root = f.open(); root == nil {
			return nil, nil, fmt.Sprintf("the file %q cannot be read", file)
		}
	}
	if fragment != "" && !strings.HasPrefix(fragment, "/") {
		return nil, nil, "" // an anchor: the library knows it
	}
	n := root
	for _, token := range tokens(fragment) {
		if n = child(n, token); n == nil {
			return nil, nil, fmt.Sprintf("there is nothing at #%s", fragment)
		}
	}
	return n, root, ""
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// tokens splits a JSON pointer as it stands in a URL (RFC 6901 section 6).
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(pointer[1:], "/")
	for i, p := range parts {
		if text, err := url.PathUnescape(p); err == nil {
			p = text
		}
		parts[i] = unescape.Replace(p)
	}
	return parts
}

func child(n *dsl.Node, token string) *dsl.Node {
	if n.Kind == dsl.List {
		i := 0
		if _, err := fmt.Sscanf(token, "%d", &i); err != nil || i < 0 || i >= len(n.Items) {
			return nil
		}
		return n.Items[i]
	}
	return n.Field(token)
}
