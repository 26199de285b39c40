package openapi

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Starter writes flow files that have the document as a service, and a flow for
// each operation that passes requests on to it: a place to start from. file is
// how they refer to the document.
func (d *Document) Starter(file string) string {
	name := cmp.Or(words(d.Title, "_"), "backend")
	w := &starter{d: d, file: file, service: name, taken: map[string]bool{}}
	endpoint := "http://127.0.0.1:9001"
	for _, s := range d.Servers {
		if strings.HasPrefix(s, "http") && !strings.Contains(s, "{") {
			endpoint = strings.TrimSuffix(s, "/")
			break
		}
	}
	w.line("services:\n  %s:\n    endpoints: [%s]\n    openapi: %s\n---\ngateways:\n  public:\n    listen: \":8080\"", name, strconv.Quote(endpoint), strconv.Quote(file))
	for _, op := range d.Operations {
		if op.Method != "TRACE" {
			w.flow(op)
		}
	}
	return w.String()
}

type starter struct {
	strings.Builder
	d             *Document
	file, service string
	taken         map[string]bool
}

func (w *starter) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

var (
	notWord   = regexp.MustCompile(`[^a-z0-9]+`)
	notName   = regexp.MustCompile(`[^A-Za-z0-9_]`)
	isName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	variable  = regexp.MustCompile(`\{([^{}]*)\}`)
	plainText = regexp.MustCompile(`^[A-Za-z_$/][A-Za-z0-9_.()/$-]*$`)
)

// words makes a name of text.
func words(text, glue string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && 'A' <= r && r <= 'Z' && 'a' <= text[i-1] && text[i-1] <= 'z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	name := strings.Trim(notWord.ReplaceAllString(strings.ToLower(b.String()), glue), glue)
	if name != "" && glue == "_" && '0' <= name[0] && name[0] <= '9' {
		name = "s_" + name
	}
	return name
}

func (w *starter) flow(op *Operation) {
	name := words(op.ID, "-")
	if name == "" {
		name = words(op.Method+" "+op.Path, "-")
	}
	for base, n := name, 2; w.taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	w.taken[name] = true
	w.line("---\nflow: %s", name)
	if op.Summary != "" {
		w.line("summary: %s", quote(op.Summary))
	}
	route, called := op.Path, op.Path
	variables := map[string]string{}
	for _, m := range variable.FindAllStringSubmatch(op.Path, -1) {
		v := cmp.Or(notName.ReplaceAllString(m[1], "_"), "x")
		if v[0] >= '0' && v[0] <= '9' {
			v = "_" + v
		}
		variables[m[1]] = v
		route = strings.ReplaceAll(route, m[0], "{"+v+"}")
		called = strings.ReplaceAll(called, m[0], "$(params."+v+")")
	}
	w.line("trigger:\n  http: %s", quote(op.Method+" "+route))
	body := op.Body()
	w.input(op, body, variables)
	if pointer := w.answerSchema(op); pointer != "" {
		w.line("output:\n  $ref: %s", quote(w.file+"#"+pointer))
	}
	result := op.Method != "HEAD" && op.Success() != 204
	w.line("steps:")
	if result {
		w.line("  - id: result\n    call: %s", quote(op.Method+" "+w.service+" "+called))
	} else {
		w.line("  - call: %s", quote(op.Method+" "+w.service+" "+called))
	}
	w.arguments(op, "query")
	w.arguments(op, "header")
	if body.Declared && op.Method != "GET" && op.Method != "HEAD" {
		w.line("    body: $(body)")
	}
	if !result {
		return
	}
	w.line("  - return: $(result)")
	if status := op.Success(); status != 200 {
		w.line("    status: %d", status)
	}
}

func of(op *Operation, in string) (all []Parameter) {
	for _, p := range op.Parameters {
		if p.In == in {
			all = append(all, p)
		}
	}
	return all
}

// input says of requests what the document says.
func (w *starter) input(op *Operation, body Body, variables map[string]string) {
	var b starter
	if params := of(op, "path"); len(params) > 0 {
		b.line("    params:")
		for _, p := range params {
			if v, ok := variables[p.Name]; ok {
				b.line("      %s: %s", v, simple(p))
			}
		}
	}
	if params := of(op, "query"); len(params) > 0 {
		b.line("    query:")
		var required []string
		for _, p := range params {
			b.line("      %s: %s", quote(p.Name), simple(p))
			if p.Required {
				required = append(required, quote(p.Name))
			}
		}
		if required != nil {
			b.line("      required: [%s]", strings.Join(required, ", "))
		}
	}
	if pointer := w.bodySchema(op); pointer != "" && body.JSON && body.Required {
		b.line("    body:\n      $ref: %s", quote(w.file+"#"+pointer))
	}
	if b.Len() > 0 {
		w.line("  input:")
		w.WriteString(b.String())
	}
}

// bodySchema is where the document has the schema of what an operation takes as
// JSON, or "".
func (w *starter) bodySchema(op *Operation) string {
	return w.contentSchema(op, "/requestBody", op.self.node.Field("requestBody"))
}

// answerSchema is where the document has the schema of what an operation answers
// as JSON if it succeeds, or "".
func (w *starter) answerSchema(op *Operation) string {
	code := strconv.Itoa(op.Success())
	n := op.self.node.Field("responses").Field(code)
	if n == nil || op.Method == "HEAD" {
		return ""
	}
	return w.contentSchema(op, "/responses/"+code, n)
}

func (w *starter) contentSchema(op *Operation, part string, n *dsl.Node) string {
	at := "/paths/" + pointed(op.Path) + "/" + strings.ToLower(op.Method) + part
	if ref := n.Field("$ref"); ref != nil {
		target, _, _ := w.d.docs.Follow(ref, op.self.root)
		local, ok := strings.CutPrefix(ref.Text, "#")
		if target == nil || !ok {
			return ""
		}
		at, n = local, target
	}
	content := n.Field("content")
	if content == nil || op.self.root.Field("paths").Field(op.Path).Field("$ref") != nil {
		return ""
	}
	for _, f := range content.Fields {
		if _, ok := jsonOf(place{&dsl.Node{Kind: dsl.Map, Fields: []dsl.Field{f}}, op.self.root}); ok && f.Value.Field("schema") != nil {
			return at + "/content/" + pointed(f.Key.Text) + "/schema"
		}
	}
	return ""
}

// pointed is a token of a JSON pointer in a URL.
func pointed(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "#", "%23").Replace(token)
}

// simple is the schema of a parameter as far as one line can hold it.
func simple(p Parameter) string {
	kept := map[string]any{}
	if t := p.Type; t != nil && p.Schema != nil && t.Kinds&dsl.IsObject == 0 {
		for name, k := range map[string]dsl.Kinds{"integer": dsl.IsInt, "number": dsl.IsNumber, "string": dsl.IsText, "boolean": dsl.IsBool, "array": dsl.IsList} {
			if t.Kinds&^dsl.IsNull == k {
				kept["type"] = name
			}
		}
		for _, key := range []string{"enum", "default", "minimum", "maximum", "minLength", "maxLength"} {
			if n := p.Schema.Field(key); n != nil {
				kept[key] = schema.Plain(n)
			}
		}
		if e := t.Element(); e != nil && kept["type"] == "array" {
			for name, k := range map[string]dsl.Kinds{"integer": dsl.IsInt, "number": dsl.IsNumber, "string": dsl.IsText, "boolean": dsl.IsBool} {
				if e.Kinds&^dsl.IsNull == k {
					kept["items"] = map[string]any{"type": name}
				}
			}
		}
	}
	if p.Required {
		delete(kept, "default")
	}
	text, err := dsl.AppendJSON(nil, kept)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// arguments hands parameters on.
func (w *starter) arguments(op *Operation, in string) {
	key := "query"
	if in == "header" {
		key = "headers"
	}
	params := slices.DeleteFunc(of(op, in), func(p Parameter) bool {
		return in == "header" && slices.Contains([]string{"accept", "content-type", "authorization"}, strings.ToLower(p.Name))
	})
	if len(params) == 0 {
		return
	}
	w.line("    %s:", key)
	for _, p := range params {
		value := fmt.Sprintf("$(%s[%q])", key, p.Name)
		if isName.MatchString(p.Name) {
			value = fmt.Sprintf("$(%s.%s)", key, p.Name)
		}
		w.line("      %s: %s", quote(p.Name), quote(value))
	}
}

// quote writes a text as YAML.
func quote(s string) string {
	if plainText.MatchString(s) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "Yes", "No", "On", "Off", "True", "False", "Null"}, s) {
		return s
	}
	return string(dsl.AppendJSONString(nil, s))
}
