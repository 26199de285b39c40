package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
	"github.com/weir-run/weir/flows/suite"
)

// languageSchema is the schema that weir schema prints.
func languageSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	return compileJSON(t, language.Grammar(c).JSONSchema())
}

func TestSchemaTakesAllThatWeShow(t *testing.T) {
	schema := languageSchema(t)
	shown := map[string]string{}
	for _, c := range components(t) {
		for _, x := range c.examples {
			shown[c.name+": "+x.Name] = c.program(x.YAML)
		}
	}
	for _, dir := range []string{"../../examples", "../../docs"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			files, err := flows.LoadWithTests([]string{path})
			if err != nil {
				return err
			}
			for _, src := range files.Sources {
				shown[src.Name] = src.Text
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range shown {
		var faults dsl.Diagnostics
		docs := dsl.Parse(dsl.NewSource(name, text), &faults)
		if faults.Failed() {
			t.Fatal(faults.All())
		}
		for _, doc := range docs {
			for _, e := range refusals(t, schema, doc) {
				t.Errorf("%s: at /%s: %v", name, strings.Join(e.InstanceLocation, "/"), e.ErrorKind)
			}
		}
	}
}

// structural are the codes of faults that a document shows by itself, whatever
// its names and expressions mean.
var structural = []string{
	"bad-value", "missing-key", "no-verb", "out-of-range", "two-verbs", "unknown-key", "unknown-value", "unsupported-section", "wrong-type",
}

// onlyChecked are the faults of structure, by the archives that show them, that
// the schema does not tell of.
var onlyChecked = map[string]struct {
	faults int
	why    string
}{
	"callers":              {1, "claims are a shape, which may be any value"},
	"contracts":            {3, "values that must fit a schema of another file"},
	"expressions/shapes":   {2, "what a shape is depends on what reads it: an expected value knows no directives"},
	"gateways":             {1, "headers and queries are shapes, most of which are texts"},
	"keys/below":           {5, "what stands below a misspelt key or verb"},
	"others":               {1, "whether a request is needed depends on what stands beside it"},
	"policies/any_of":      {1, "policies of any_of are one each, and no names of bundles"},
	"policies/bandwidth":   {1, "ranges of sizes"},
	"policies/concurrency": {1, "ranges of durations"},
	"policies/jwt":         {2, "what is needed stands beside the policy, or in its list of issuers"},
	"policies/shed":        {2, "ranges of durations and of shares"},
	"run/schema":           {4, "what is given depends on the flow or template that takes it"},
	"schemas/bad-input":    {4, "schemas in flow files, and values that must fit them"},
	"schemas/openapi":      {11, "values that must fit a schema of another file"},
	"schemas/validate":     {1, "schemas in flow files"},
	"services/policy":      {1, "ranges of durations"},
	"steps/cache":          {2, "ranges of durations"},
	"steps/headers":        {1, "headers and queries are shapes, most of which are texts"},
	"steps/query":          {1, "headers and queries are shapes, most of which are texts"},
	"steps/saga":           {1, "ranges of durations"},
	"steps/sticky":         {1, "headers and queries are shapes, most of which are texts"},
	"steps/wait":           {2, "a wait is a duration, or text with an expression that makes one"},
	"templates/arguments":  {5, "what is given depends on the template that takes it"},
	"templates/head":       {2, "values that must be of a type which the file says"},
	"templates/literals":   {7, "what stands in a template depends on what is given"},
	"templates/unused":     {1, "what stands in a template depends on its default"},
}

// TestSchemaRefusesWhatTheCheckerRefuses holds the schema against the goldens
// of faults: of a fault of structure it must tell at the place where the
// checker does, and what it refuses must have a fault.
func TestSchemaRefusesWhatTheCheckerRefuses(t *testing.T) {
	schema := languageSchema(t)
	site := read(t, "../../flows/testdata/faults/site.yaml")
	for dir, base := range map[string]string{"../../flows/testdata/faults": site, "../../flows/suite/testdata/faults": ""} {
		for name, a := range archives(t, dir) {
			t.Run(name, func(t *testing.T) {
				sources, faults := checked(t, a, base)
				untold := 0
				for _, src := range sources {
					var syntax dsl.Diagnostics
					docs := dsl.Parse(src, &syntax)
					if syntax.Failed() {
						continue // what is no YAML is no document
					}
					for _, doc := range docs {
						untold += compareFaults(t, schema, doc, faults)
					}
				}
				if known := onlyChecked[name]; untold != known.faults {
					t.Errorf("the schema does not tell of %d faults of structure; known are %d", untold, known.faults)
				}
			})
		}
	}
}

// archives are those below a directory, by their paths in it.
func archives(t *testing.T, dir string) map[string]*txtar.Archive {
	t.Helper()
	all := map[string]*txtar.Archive{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".txtar" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		a, err := txtar.ParseFile(path)
		all[strings.TrimSuffix(filepath.ToSlash(name), ".txtar")] = a
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatal("no archives", err)
	}
	return all
}

// checked are the flow files of an archive, and what is wrong with them.
func checked(t *testing.T, a *txtar.Archive, site string) ([]*dsl.Source, []dsl.Diagnostic) {
	t.Helper()
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	files := &flows.Files{}
	if site != "" && !slices.ContainsFunc(a.Files, func(f txtar.File) bool { return f.Name == "site.yaml" }) {
		files.Sources = append(files.Sources, dsl.NewSource("site.yaml", site))
	}
	for _, f := range a.Files {
		src := dsl.NewSource(f.Name, string(f.Data))
		switch {
		case strings.HasPrefix(f.Name, "api/"):
			files.Documents = append(files.Documents, src)
		case f.Name != "want":
			files.Sources = append(files.Sources, src)
		}
	}
	_, faults := suite.Check(flows.Parse(files), c, flows.Environment{
		Env: func(string) (string, bool) { return "outside", true }, Log: slog.New(slog.DiscardHandler),
	})
	return files.Sources, faults
}

// compareFaults gives the number of faults of structure that the schema does not
// tell of.
func compareFaults(t *testing.T, schema *jsonschema.Schema, doc *dsl.Node, faults []dsl.Diagnostic) (untold int) {
	t.Helper()
	refused := refusals(t, schema, doc)
	faulty := false
	for _, d := range faults {
		at, whole, inside := pathTo(doc, d.Span)
		if !inside || d.Severity != dsl.Error {
			continue
		}
		faulty = true
		if !whole {
			continue // it is about an expression
		}
		told := slices.ContainsFunc(refused, func(e *jsonschema.ValidationError) bool { return near(e.InstanceLocation, at) })
		if !told && slices.Contains(structural, d.Code) {
			t.Logf("untold: %s: %s", d.Span, d.Message)
			untold++
		}
	}
	if len(refused) > 0 && !faulty {
		t.Errorf("%s: the schema refuses what the checker does not: /%s: %v", doc.Span, strings.Join(refused[0].InstanceLocation, "/"), refused[0].ErrorKind)
	}
	return untold
}

// pathTo leads to the innermost value, or key, that a span begins in. whole says
// that it is the value, and not a part of its text.
func pathTo(n *dsl.Node, at dsl.Span) (path []string, whole, inside bool) {
	if at.Source != n.Span.Source || at.Start < n.Span.Start || at.Start > n.Span.End {
		return nil, false, false
	}
	for _, f := range n.Fields {
		if in := f.Key.Span; in.Start <= at.Start && at.Start < in.End {
			return []string{f.Key.Text}, true, true
		}
		if inner, whole, ok := pathTo(f.Value, at); ok {
			return append([]string{f.Key.Text}, inner...), whole, true
		}
	}
	for i, item := range n.Items {
		if inner, whole, ok := pathTo(item, at); ok {
			return append([]string{strconv.Itoa(i)}, inner...), whole, true
		}
	}
	return nil, n.Kind != dsl.Scalar || at == n.Span, true
}

// near reports whether two paths lead to the same value, to a mapping and a key
// of it, or to a value and what is inside.
func near(refused, told []string) bool {
	if len(refused) >= len(told) {
		return slices.Equal(refused[:len(told)], told)
	}
	return len(told)-len(refused) == 1 && slices.Equal(refused, told[:len(refused)])
}

// refusals are the innermost reasons for which a schema refuses a document.
func refusals(t *testing.T, schema *jsonschema.Schema, doc *dsl.Node) (all []*jsonschema.ValidationError) {
	t.Helper()
	text, err := json.Marshal(plain(doc))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	var refused *jsonschema.ValidationError
	if !errors.As(schema.Validate(value), &refused) {
		return nil
	}
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			all = append(all, e)
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(refused)
	return all
}
