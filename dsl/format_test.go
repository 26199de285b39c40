package dsl

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// testGrammar is a language of few verbs.
var testGrammar = &Grammar{
	Flow: SchemaOf[struct {
		Flow    string    `yaml:"flow" doc:"."`
		Summary string    `yaml:"summary" doc:"."`
		Steps   Steps     `yaml:"steps" doc:"."`
		Trigger *struct{} `yaml:"trigger" doc:"."`
	}](),
	Template: SchemaOf[struct {
		Template string `yaml:"template" doc:"." required:"true"`
		Steps    Steps  `yaml:"steps" doc:"."`
		Yield    Shape  `yaml:"yield" doc:"."`
	}](),
	Sections: map[string]*Schema{"services": {Type: MapType, Elem: SchemaOf[struct {
		URL   string   `yaml:"url" doc:"."`
		Retry struct { // its keys are ordered, too
			Attempts int      `yaml:"attempts" doc:"."`
			On       []string `yaml:"on" doc:"."`
		} `yaml:"retry" doc:"."`
		Answers Several[struct {
			Status int    `yaml:"status" doc:"."`
			Body   string `yaml:"body" doc:"."`
		}] `yaml:"answers" doc:"."`
	}]()}, "settings": {Type: MapType, Expands: true, Elem: SchemaOf[struct {
		N int      `yaml:"n" doc:"."`
		D Duration `yaml:"d" doc:"."`
		S Size     `yaml:"s" doc:"."`
		B bool     `yaml:"b" doc:"."`
		E string   `yaml:"e" doc:"." enum:"x|y"`
	}]()}},
	Verbs: map[string]*Schema{
		"call": SchemaOf[struct {
			Call  Text             `yaml:"call" doc:"."`
			Query map[string]Shape `yaml:"query" doc:"."`
			After Steps            `yaml:"after" order:"last" doc:"."`
		}](),
		"each": SchemaOf[struct {
			Each  Text  `yaml:"each" order:"first" doc:"."`
			Limit int   `yaml:"limit" doc:"."`
			Steps Steps `yaml:"steps" doc:"."`
			Yield Shape `yaml:"yield" doc:"."`
		}](),
		"limit": SchemaOf[struct { // a detail of each, too
			Limit int `yaml:"limit" doc:"."`
		}](),
		"race": SchemaOf[struct {
			Race Branches `yaml:"race" doc:"."`
		}](),
		"group": SchemaOf[struct {
			Group Block `yaml:"group" doc:"."`
		}](),
	},
	Modifiers: SchemaOf[struct {
		ID       string   `yaml:"id" order:"first" doc:"."`
		When     Cond     `yaml:"when" order:"first" doc:"."`
		Timeout  Duration `yaml:"timeout" doc:"."`
		Fallback Shape    `yaml:"fallback" doc:"."`
	}](),
}

const formatFile = "testdata/format.txtar"

// TestFormat formats the .in files of testdata/format.txtar. A case without one
// is in the canonical form.
func TestFormat(t *testing.T) {
	a, err := txtar.ParseFile(formatFile)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]string{}
	for i, f := range a.Files {
		name, kind, _ := strings.Cut(f.Name, ".")
		if kind == "in" {
			in[name] = unescape(string(f.Data))
			continue
		}
		t.Run(name, func(t *testing.T) {
			text := cmp.Or(in[name], unescape(string(f.Data)))
			var faults Diagnostics
			got, ok := Format(NewSource("t.yaml", text), testGrammar, &faults)
			if !ok {
				t.Fatal(faults.All())
			}
			if *update {
				a.Files[i].Data = []byte(strings.ReplaceAll(got, "\t", "<TAB>"))
			} else if got != unescape(string(f.Data)) {
				t.Errorf("got\n%s\nwant\n%s", got, f.Data)
			}
			if fault := formatFault(text, testGrammar); fault != "" {
				t.Error(fault)
			}
		})
	}
	if *update {
		if err := os.WriteFile(formatFile, txtar.Format(a), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// formatFault is what is wrong with the canonical form of a text: that it says
// something else, lacks a comment, or is not stable. It does not rely on what
// Format checks itself.
func formatFault(text string, g *Grammar) string {
	var faults Diagnostics
	src := NewSource("t.yaml", text)
	before := Parse(src, &faults)
	if faults.Failed() {
		return ""
	}
	formatted, ok := Format(src, g, &faults)
	if !ok {
		return "refused: " + faults.All()[0].Message
	}
	again, _ := Format(NewSource("t.yaml", formatted), g, &faults)
	after := Parse(NewSource("t.yaml", formatted), &faults)
	switch {
	case faults.Failed():
		return "has faults then:\n" + formatted
	case again != formatted:
		return "is not stable:\n" + formatted + "\nand then\n" + again
	case !slices.EqualFunc(before, after, func(a, b *Node) bool { return sameMeaning(a, b, g.Verbs != nil) }):
		return "says something else:\n" + formatted
	case g.Verbs == nil && !slices.Equal(commentsOf(text), commentsOf(formatted)):
		return "has other comments:\n" + formatted
	case strings.HasPrefix(formatted, byteOrderMark), strings.Contains(formatted, "\r"), formatted != "" && !strings.HasSuffix(formatted, "\n"):
		return "is not clean:\n" + formatted
	}
	return ""
}

func commentsOf(text string) []string {
	src := NewSource("t.yaml", text)
	s, err := readSheet(src, Parse(src, &Diagnostics{}))
	if err != nil {
		return []string{err.Error()}
	}
	return s.comments
}

func sameMeaning(a, b *Node, anyOrder bool) bool {
	if a.Kind != b.Kind || a.Type != b.Type || trimExpressions(a.Text) != trimExpressions(b.Text) {
		return false
	}
	if len(a.Fields) != len(b.Fields) || !slices.EqualFunc(a.Items, b.Items, func(a, b *Node) bool { return sameMeaning(a, b, anyOrder) }) {
		return false
	}
	for i, f := range a.Fields {
		other := b.Field(f.Key.Text)
		if other == nil || !anyOrder && b.Fields[i].Value != other || !sameMeaning(f.Value, other, anyOrder) {
			return false
		}
	}
	return true
}

// wild are YAML files from all over the repository, good and bad.
func wild(tb testing.TB) (texts []string) {
	for _, c := range diagnosticCases(tb) {
		texts = append(texts, unescape(c.yaml))
	}
	for _, dir := range []string{"testdata", "../examples", "../flows/testdata", "../cmd/weir/testdata"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if filepath.Ext(path) == ".txtar" {
				for _, f := range txtar.Parse(data).Files {
					texts = append(texts, string(f.Data))
				}
			} else if filepath.Ext(path) == ".yaml" {
				texts = append(texts, string(data))
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return texts
}

func TestFormatKeepsWhatFilesSay(t *testing.T) {
	formatted := 0
	for _, text := range wild(t) {
		for _, g := range []*Grammar{{}, testGrammar} {
			if fault := formatFault(text, g); fault != "" {
				t.Errorf("%s\nof\n%s", fault, text)
			}
		}
		if _, ok := Format(NewSource("t.yaml", text), testGrammar, &Diagnostics{}); ok {
			formatted++
		}
	}
	if formatted < 50 {
		t.Errorf("only %d files could be formatted", formatted)
	}
}

func TestFormatEndsLinesItsOwnWay(t *testing.T) {
	for _, text := range wild(t) {
		want, _ := Format(NewSource("t.yaml", text), testGrammar, &Diagnostics{})
		for _, lineEnd := range []string{"\r\n", "\r"} {
			var faults Diagnostics
			got, ok := Format(NewSource("t.yaml", strings.ReplaceAll(text, "\n", lineEnd)), testGrammar, &faults)
			if ok && got != want {
				t.Errorf("with %q: got\n%s\nwant\n%s", lineEnd, got, want)
			}
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, text := range wild(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, g := range []*Grammar{{}, testGrammar} {
			if fault := formatFault(text, g); fault != "" {
				t.Fatalf("%s\nof\n%q", fault, text)
			}
		}
	})
}
