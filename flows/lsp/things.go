package lsp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// What a name in a value is the name of, the check tells when it is written in
// full (index.go). What can be written where nothing is yet, these tables tell:
// one line for each key whose value, or whose own keys, are names of things.

// reference is a key whose value names things, word by word.
type reference struct {
	key   string
	step  bool // only of steps
	words []words
}

// words are what one word of a value can be. before are the words in front of it.
type words func(c *completer, before []string) []word

type word struct {
	name, detail, text string
	kind               int
}

// references are a function, and not a variable, which every command would pay
// for at its start.
func references() []reference {
	return []reference{
		{"call", true, []words{verbsOfHTTP("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"), thingsOf("service"), paths}},
		{"forward", true, []words{thingsOf("service")}},
		{"run", false, []words{thingsOf("flow")}},
		{"use", true, []words{thingsOf("template")}},
		{"gateway", false, []words{thingsOf("gateway")}},
		{"http", false, []words{verbsOfHTTP("GET", "POST", "PUT", "PATCH", "DELETE", "ANY")}},
		{"openapi", false, []words{files}},
		{"$ref", false, []words{files}},
		{"imports", false, []words{files}},
	}
}

// owner is a key below which the keys are names of things.
type owner struct {
	key  string
	keys words
}

func owners() []owner {
	return []owner{
		{"with", inputs},
		{"mock", thingsOf("service")},
		{"calls", thingsOf("service")},
	}
}

func verbsOfHTTP(names ...string) words {
	return func(*completer, []string) (all []word) {
		for _, name := range names {
			all = append(all, word{name, "", name + " ", keywordKind})
		}
		return all
	}
}

// thingsOf are the things of the program with a noun.
func thingsOf(noun string) words {
	return func(c *completer, _ []string) (all []word) {
		for _, name := range c.index().names(noun) {
			all = append(all, word{name, noun, name, moduleKind})
		}
		return all
	}
}

// index is that of the file's program, or an empty one.
func (c *completer) index() *index {
	if c.program == nil {
		return newIndex()
	}
	return c.meanings(c.program)
}

// paths are those of the service's OpenAPI document that have the method.
func paths(c *completer, before []string) (all []word) {
	service := c.thing("services", before[1])
	file := service.Field("openapi")
	if file == nil {
		return nil
	}
	path := filepath.Join(filepath.Dir(file.Span.Source.Name), filepath.FromSlash(file.Text))
	found, _ := c.findings(c.program)
	for _, src := range found.files.Documents {
		if src.Name != path {
			continue
		}
		root := dsl.ParseData(src, &dsl.Diagnostics{})
		if root.Field("paths") == nil {
			return nil
		}
		for _, f := range root.Field("paths").Fields {
			op := f.Value.Field(strings.ToLower(before[0]))
			if op == nil {
				continue
			}
			summary := ""
			if s := op.Field("summary"); s != nil {
				summary = s.Text
			}
			all = append(all, word{f.Key.Text, summary, strings.NewReplacer("{", "$(", "}", ")").Replace(f.Key.Text), valueKind})
		}
	}
	return all
}

// files are those of the directory that the value names so far.
func files(c *completer, _ []string) (all []word) {
	if c.path == "" {
		return nil
	}
	typed := strings.TrimLeft(c.string[min(c.at.start, c.cursor):c.cursor], `"'`)
	dir := typed[:strings.LastIndexByte(typed, '/')+1]
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(c.path), filepath.FromSlash(dir)))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if ext := filepath.Ext(name); strings.HasPrefix(name, ".") || !e.IsDir() && ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		all = append(all, word{dir + name, "", dir + name, fileKind})
	}
	return all
}

// inputs are what the flow or template takes that is run or used beside the keys.
func inputs(c *completer, _ []string) (all []word) {
	declared := c.inputsOf(c.at.in)
	if declared == nil {
		return nil
	}
	for _, f := range declared.Fields {
		x := word{name: f.Key.Text, text: f.Key.Text, kind: propertyKind}
		if t := f.Value.Field("type"); t != nil {
			x.detail = t.Text
		}
		all = append(all, x)
	}
	return all
}

// inputsOf are the inputs that a mapping gives values for, as they are declared,
// or nil if it is none of inputs.
func (c *completer) inputsOf(with *node) *dsl.Node {
	if with.of == nil || with.of.key != "with" {
		return nil
	}
	for _, by := range []struct{ key, noun string }{{"run", "flow"}, {"use", "template"}} {
		if name := with.of.in.field(by.key); name != nil {
			return c.thing(by.noun, strings.Trim(c.string[name.start:name.end], `"'`)).Field("input")
		}
	}
	return nil
}

// thing is what defines an entry of a section of the program, or the document
// that has a name; nil if nothing does.
func (c *completer) thing(section, name string) *dsl.Node {
	if c.program == nil {
		return nil
	}
	found, _ := c.findings(c.program)
	if found.err != nil {
		return nil
	}
	for _, src := range found.files.Sources {
		for _, doc := range dsl.Parse(src, &dsl.Diagnostics{}) {
			n := doc.Field(section)
			switch {
			case n == nil:
			case n.Kind == dsl.Scalar && n.Text == name:
				return doc
			case n.Field(name) != nil:
				return n.Field(name)
			}
		}
	}
	return nil
}

// things offers the names of things where a value names some.
func (c *completer) things() {
	e := c.at.entry
	switch {
	case e == nil && c.at.in != nil:
		e = c.at.in.of // an item of a list that is not there yet
	case e != nil && e.in != nil && e.in.kind == dsl.List:
		e = e.in.of
	}
	if e == nil || e.in == nil {
		return
	}
	all := references()
	i := slices.IndexFunc(all, func(r reference) bool { return r.key == e.key && (!r.step || c.of(e.in).step()) })
	if t := c.inputsOf(e.in).Field(e.key).Field("type"); t != nil && t.Text == "service" {
		all, i = []reference{{words: []words{thingsOf("service")}}}, 0
	}
	if i < 0 {
		return
	}
	before := strings.TrimLeft(c.string[min(c.at.start, c.cursor):c.cursor], `"'`)
	start := c.cursor - len(before) + strings.LastIndexAny(before, ` "'`) + 1
	typed := strings.Fields(c.string[c.cursor-len(before) : start])
	if len(typed) >= len(all[i].words) {
		return
	}
	end := c.cursor
	for end < max(c.at.end, c.cursor) && strings.IndexByte(" \r\n\"'", c.string[end]) < 0 {
		end++
	}
	for _, x := range all[i].words[len(typed)](c, typed) {
		if typed := len(typed) + 1; typed < len(all[i].words) {
			x.text = strings.TrimRight(x.text, " ") + " "
		}
		c.items = append(c.items, completionItem{Label: x.name, Kind: x.kind, Detail: x.detail, SortText: "1" + x.name,
			Edit: edit{c.span(start, end, c.encoding), c.dash + x.text}})
	}
}

// names offers the keys of a mapping whose keys are names of things.
func (c *completer) names(in *node) {
	if in.of == nil {
		return
	}
	for _, o := range owners() {
		if o.key != in.of.key {
			continue
		}
		for _, x := range o.keys(c, nil) {
			if in.field(x.name) == nil {
				c.keyWith(dsl.Property{Key: x.name}, x.kind, x.detail, "", "0")
			}
		}
	}
}
