package dsl

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func jsonSchemaOf(t *testing.T, s *Schema) *jsonschema.Schema { return compiled(t, s.JSONSchema()) }

func compiled(t *testing.T, schema map[string]any) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("config.json")
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return compiled
}

func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	schema := jsonSchemaOf(t, schemaOf(reflect.TypeFor[callConfig]()))
	values := map[string][]string{
		"call":     {"x", "1", "1.10", "true", "''", "~", "[]", "{}", "'1'", "$(x)"},
		"method":   {"GET", "POST", "get", "1", "true", "~"},
		"query":    {"{ a: $(b) }", "[1]", "~", "x"},
		"path":     {"/a/$(b)", "1", "[]", "~", "{}"},
		"when":     {"a > b", "true", "1", "[]", "~"},
		"steps":    {"[]", "[{ set: 1 }]", "{}", "x", "~"},
		"compose":  {"{}", "{ a: { set: 1 } }", "[]", "~"},
		"any":      {"1", "[]", "~"},
		"stream":   {"true", "false", "1", "'true'", "~"},
		"weight":   {"1", "0.5", "-1", "'1'", "x", "0x10", "1e3"},
		"limit":    {"64KB", "1GiB", "1.5KiB", "10", "10kb", "B", "''", "~", "[]", "1MiB1B"},
		"retry":    {"{}", "{ attempts: 3 }", "{ attempts: 0 }", "{ attempts: 11 }", "{ attempts: x }", "{ zzz: 1 }", "~", "[]"},
		"hosts":    {"{}", "{ a: {} }", "{ a: { budget: 12.5% } }", "{ a: { budget: 12 } }", "{ a: { budget: 101% } }", "{ a: [] }", "[]"},
		"fallback": {"{ on: [502, connect] }", "{ on: ['503'] }", "{ on: [504] }", "{ on: connect }", "{ on: [] }", "{ budget: -1% }"},
		"lists":    {"[]", "[[1]]", "[1]", "[[x]]", "[[1.5]]", "[~]"},
		"note":     {"x", "~"},
		"unknown":  {"1"},
	}
	for key, texts := range values {
		for _, text := range texts {
			yaml := "call: x\n" + key + ": " + text
			if key == "call" {
				yaml = key + ": " + text
			}
			agree(t, schema, yaml, &callConfig{})
		}
	}
	agree(t, schema, "method: GET", &callConfig{})

	type timedConfig struct {
		Timeout Duration `yaml:"timeout"`
	}
	timed := jsonSchemaOf(t, schemaOf(reflect.TypeFor[timedConfig]()))
	for _, text := range []string{"2s", "1m30s", "1.5s", "7d", "1.0ns", "0.5ns", "20µs", "0s", "2", "fast", "30s1m", "-2s", "''", "2S", "1s1s", "~", "2 s", "s"} {
		agree(t, timed, "timeout: "+text, &timedConfig{})
	}

	recursive := jsonSchemaOf(t, schemaOf(reflect.TypeFor[tree]()))
	for _, text := range []string{
		"name: a", "name: a\nkids: [{ name: b, kids: [{ name: c }] }]", "name: a\nkids: [{ name: b, kids: [{ nam: c }] }]", "kids: []",
	} {
		agree(t, recursive, text, &tree{})
	}
}

func agree(t *testing.T, schema *jsonschema.Schema, text string, target any) {
	t.Helper()
	var faults Diagnostics
	n := Parse(NewSource("t.yaml", text), &faults)[0]
	decoded := Decode(n, &faults, target)
	raw, err := json.Marshal(n.plainValue())
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); (err == nil) != decoded {
		t.Errorf("%q: decoded %t (%v), schema says %v", text, decoded, faults.All(), err)
	}
}

func TestSchemaTellsDefaultsAndRanges(t *testing.T) {
	s := schemaOf(reflect.TypeFor[retryConfig]())
	got, err := json.Marshal(s.JSONSchema())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"additionalProperties":false,"properties":{` +
		`"attempts":{"default":3,"maximum":10,"minimum":1,"type":"integer"},` +
		`"budget":{"default":"20%","errorMessage":"write a share, such as 20%","minLength":1,"pattern":"^((100(\\.0+)?|\\d{1,2}(\\.\\d+)?)%)$","type":"string"},` +
		`"on":{"default":["connect"],"items":{"enum":["connect","502",502,"503",503]},"type":"array"}},"type":"object"}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if f := s.Fields[2]; f.Max != "50%" || f.Type != PercentType {
		t.Errorf("budget is %+v", f.Schema)
	}
}
