package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

const referenceDir = "../../docs/reference"

// TestReferenceIsUpToDate compares docs/reference with what the Kinds say, or
// with -update writes it.
func TestReferenceIsUpToDate(t *testing.T) {
	pages := reference(t)
	if *update {
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(referenceDir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir(referenceDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := pages[e.Name()]; !ok {
			t.Errorf("%s is no page of the reference", e.Name())
		}
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(referenceDir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the code says: make generate (%v)", name, err)
		}
	}
}

// reference renders all pages, by name.
func reference(t *testing.T) map[string]string {
	kinds, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	verbs := kinds.Steps.All()
	slices.SortFunc(verbs, func(a, b engine.StepKind) int { return cmp.Compare(a.Name, b.Name) })

	flow := newPage("Flows", "A document with `flow:` is a flow. Its steps are [verbs](steps.md).")
	flow.keys(engine.FlowSchema())

	steps := newPage("Steps", "A step is a mapping with one verb. The verb's details and the [modifiers](#modifiers) stand beside it.")
	for _, k := range verbs {
		steps.kind("`"+k.Name+"`", k.Doc, k.Schema(), k.Examples)
	}
	steps.section("Modifiers", "Keys that every step may have.")
	steps.keys(engine.ModifierSchema())

	service := newPage("Services", "The section `services:` is a mapping of name to service.")
	service.kind("A service", connectors.ServiceKind.Doc, connectors.ServiceKind.Schema(), connectors.ServiceKind.Examples)

	gateway := newPage("Gateways", "The section `gateways:` is a mapping of name to gateway.")
	gateway.kind("A gateway", flows.GatewayKind.Doc, flows.GatewayKind.Schema(), flows.GatewayKind.Examples)

	tests := newPage("Tests", "The section `tests:` is a list of tests. The [guide](../guide/testing.md) shows them at work.")
	for _, k := range []struct {
		title, doc string
		schema     *dsl.Schema
		examples   []dsl.Example
	}{
		{"A test", suite.TestKind.Doc, suite.TestKind.Schema(), suite.TestKind.Examples},
		{"A mock", suite.MockKind.Doc, suite.MockKind.Schema(), suite.MockKind.Examples},
	} {
		tests.kind(k.title, k.doc, k.schema, k.examples)
	}

	imports := newPage("Imports", "The section `imports:` is a list of paths. What is in these files and directories is part of the program, as if they had been given to "+
		"the command.")
	imports.line("\n```yaml\nimports: [../shared, ../gateways.yaml]\n```")
	imports.line("\n- A path is relative to the file that it stands in. It may lead out of the directory of the program; it is neither absolute nor a directory that holds the file itself.")
	imports.line("- A directory is all .yaml and .yml files below it. Names that begin with a dot are passed over, links are followed.")
	imports.line("- A file is read once, in however many ways it is reached; files may import each other.")
	imports.line("- The tests of imported files run where these are at home, and so do those in *.test.yaml. Nothing is said of what is imported and not used, and `weir fmt` leaves it as it is.")
	imports.line("- A change of an imported file is a change of the program.")

	functions := functionsPage()
	diagnostics := newPage("Diagnostics", "What `weir check` says, by the code at the end of each message. Errors keep a program from being served. "+
		"Warnings are about what it would hardly be meant to do; with `--strict` they fail the check, too. Notes, which `--notes` shows, are about what is not needed.")
	diagnostics.line("\n| code | what it means | what to write |\n| --- | --- | --- |")
	for _, c := range flows.Codes {
		diagnostics.line("| <a id=%q></a>`%s` | %s | %s |", c.Code, c.Code, cell(c.Means), cell(c.Remedy))
	}

	index := newPage("Reference", "What flow files are written with. These pages are generated from the code: `make generate`.")
	index.line("\n- [Flows](flows.md): the head of a flow, its trigger, its answers to failures")
	index.line("- [Steps](steps.md): what a flow does")
	for _, k := range verbs {
		index.line("  - [`%s`](steps.md#%s): %s", k.Name, k.Name, firstSentence(k.Doc))
	}
	index.line("- [Functions](functions.md): what expressions compute with")
	index.line("- [Services](services.md): what flows call")
	index.line("- [Gateways](gateways.md): where flows are served")
	index.line("- [Imports](imports.md): what other directories hold")
	index.line("- [Tests](tests.md): what flows are held against")
	index.line("- [Diagnostics](diagnostics.md): what every code of a fault means")
	index.section("Types", "What the tables call the values of keys.")
	index.line("\n| type | what to write |\n| --- | --- |")
	for _, row := range types {
		index.line("| %s | %s |", row.name, row.doc)
	}
	return map[string]string{
		"README.md": index.String(), "flows.md": flow.String(), "steps.md": steps.String(),
		"functions.md": functions.String(), "services.md": service.String(), "gateways.md": gateway.String(),
		"imports.md": imports.String(), "tests.md": tests.String(), "diagnostics.md": diagnostics.String(),
	}
}

// types says what a value of each type looks like.
var types = []struct {
	name dsl.Type
	doc  string
}{
	{dsl.TextType, "text, as it is"},
	{dsl.BoolType, "`true` or `false`"},
	{dsl.IntType, "a whole number"},
	{dsl.NumberType, "a number"},
	{dsl.DurationType, "a number with its unit: `150ms`, `2s`, `1m30s`"},
	{dsl.SizeType, "a number of bytes with its unit: `64KB`, `10MB`, `1GiB`"},
	{dsl.PercentType, "a share: `20%`"},
	{dsl.TemplateType, "text with `$(...)` inside, escaped for its place"},
	{dsl.ConditionType, "an expression without `$(...)`"},
	{dsl.ShapeType, "any YAML with `$(...)` at the leaves; one whole `$(...)` keeps the type of its value"},
	{dsl.StepsType, "a list of [steps](steps.md)"},
	{dsl.BlockType, "a mapping of id to [step](steps.md)"},
	{dsl.BranchesType, "a list of [steps](steps.md), or a mapping of name to step"},
	{dsl.SeveralType, "a mapping, or a list of them"},
	{dsl.AnyType, "any YAML"},
}

// page is one page of markdown.
type page struct{ strings.Builder }

func newPage(title, intro string) *page {
	p := &page{}
	fmt.Fprintf(p, "<!-- Generated by make generate. -->\n# %s\n\n%s\n", title, intro)
	return p
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) section(title, intro string) { fmt.Fprintf(p, "\n## %s\n\n%s\n", title, intro) }

func (p *page) kind(title, doc string, s *dsl.Schema, examples []dsl.Example) {
	p.section(title, doc)
	p.keys(s)
	for _, x := range examples {
		p.line("\n%s:\n\n```yaml\n%s\n```", strings.ToUpper(x.Name[:1])+x.Name[1:], strings.TrimSpace(x.YAML))
	}
}

func (p *page) keys(s *dsl.Schema) {
	p.line("\n| key | type | default | |\n| --- | --- | --- | --- |")
	p.rows("", s)
}

func (p *page) rows(prefix string, s *dsl.Schema) {
	for _, f := range s.Fields {
		key := prefix + f.Key
		p.line("| `%s` | %s | %s | %s |", key, typeOf(f.Schema), defaultOf(f.Schema), cell(f.Doc))
		inner, key := f.Schema, key
		for ; inner.Type == dsl.ListType || inner.Type == dsl.MapType; inner = inner.Elem {
			if inner.Type == dsl.ListType {
				key += "[]"
			} else {
				key += ".NAME"
			}
		}
		if !inner.Recurs {
			p.rows(key+".", inner)
		}
	}
}

func typeOf(s *dsl.Schema) string {
	switch {
	case s.Type == dsl.ListType:
		return "list of " + typeOf(s.Elem)
	case s.Type == dsl.MapType:
		return "name to " + typeOf(s.Elem)
	case s.Enum != nil:
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	case s.Min != "" && s.Max != "":
		return fmt.Sprintf("%s, %s to %s", s.Type, s.Min, s.Max)
	case s.Min != "":
		return fmt.Sprintf("%s from %s", s.Type, s.Min)
	default:
		return string(s.Type)
	}
}

func defaultOf(s *dsl.Schema) string {
	switch {
	case s.Required:
		return "required"
	case s.Default != nil:
		return "`" + s.Default.Text + "`"
	default:
		return ""
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func firstSentence(doc string) string {
	first, _, more := strings.Cut(doc, ". ")
	if more {
		first += "."
	}
	return first
}
