package dsl

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const diagnosticsFile = "testdata/diagnostics.txtar"

type diagnosticCase struct{ name, yaml, want string }

// diagnosticCases reads an archive in the txtar format: pairs of NAME.yaml and
// NAME.out.
func diagnosticCases(tb testing.TB) (cases []diagnosticCase) {
	archive, err := os.ReadFile(diagnosticsFile)
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range strings.Split(string(archive), "\n-- ")[1:] {
		name, data, _ := strings.Cut(file, " --\n")
		if data != "" && !strings.HasSuffix(data, "\n") {
			data += "\n"
		}
		if name, ok := strings.CutSuffix(name, ".yaml"); ok {
			cases = append(cases, diagnosticCase{name: name, yaml: data})
		} else if k := len(cases) - 1; k >= 0 {
			cases[k].want = data
		}
	}
	return cases
}

// unescape lets the archive, which is text, hold tabs and ends without a line
// break in a visible form.
func unescape(text string) string {
	text = strings.ReplaceAll(text, "<TAB>", "\t")
	if cut, ok := strings.CutSuffix(text, "<EOF>\n"); ok {
		return cut
	}
	return text
}

func TestFaultsOfFilesAreRendered(t *testing.T) {
	cases := diagnosticCases(t)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var faults Diagnostics
			Parse(NewSource(c.name+".yaml", unescape(c.yaml)), &faults)
			var got strings.Builder
			Render(&got, faults.All(), RenderOptions{})
			cases[i].want = got.String()
			if got.String() != c.want && !*update {
				t.Errorf("got\n%s\nwant\n%s", got.String(), c.want)
			}
			if !strings.Contains(got.String(), "help: ") {
				t.Error("no remedy")
			}
		})
	}
	if *update {
		writeDiagnosticCases(t, cases)
	}
}

func writeDiagnosticCases(t *testing.T, cases []diagnosticCase) {
	var b strings.Builder
	b.WriteString("Faults of files, as Parse reports and Render writes them.\ngo test ./dsl -update rewrites the .out files.\n")
	for _, c := range cases {
		b.WriteString("\n-- " + c.name + ".yaml --\n" + c.yaml + "\n-- " + c.name + ".out --\n" + c.want)
	}
	if err := os.WriteFile(diagnosticsFile, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestRender(t *testing.T) {
	src := NewSource("shop/profile.yaml", "flow: x\nsteps:\n\t- tïmout: 日本 150ms\x1b[31m\n"+strings.Repeat("é", 300)+"HERE"+strings.Repeat("z", 300)+"\nfirst\nsecond\n")
	span := func(part string) Span {
		i := strings.Index(src.Text, part)
		return Span{src, i, i + len(part)}
	}
	tests := map[string]struct {
		x    Diagnostic
		want string
	}{
		"everything": {
			Diagnostic{
				Span: span("flow"), Severity: Warning, Code: "unknown-key", Message: `unknown key "flow"`, Hint: "none",
				Related: []Related{{span("second"), "other place"}, {Span{}, "no place"}},
			},
			`shop/profile.yaml:1:1: warning: unknown key "flow" [unknown-key]
 1 | flow: x
   | ^^^^
   help: none
   note: shop/profile.yaml:6:1: other place
 6 | second
   | ------
   note: no place
`,
		},
		"tabs and wide runes keep the caret in place": {
			Diagnostic{Span: span("150ms"), Message: "m"},
			"shop/profile.yaml:3:15: error: m\n 3 |     - tïmout: 日本 150ms\\x1b[31m\n   |                    ^^^^^\n",
		},
		"control characters are visible": {
			Diagnostic{Span: span("\x1b"), Message: "bad \x1b[0m\nline"},
			"shop/profile.yaml:3:20: error: bad \\x1b[0m\\nline\n 3 |     - tïmout: 日本 150ms\\x1b[31m\n   |                         ^^^^\n",
		},
		"long lines are cut": {
			Diagnostic{Span: span("HERE"), Message: "m"},
			"shop/profile.yaml:4:301: error: m\n 4 | …" + strings.Repeat("é", 33) + "HERE" + strings.Repeat("z", 63) + "…\n   | " + strings.Repeat(" ", 34) + "^^^^\n",
		},
		"of several lines the first is underlined": {
			Diagnostic{Span: span("first\nsecond"), Message: "m"},
			"shop/profile.yaml:5:1: error: m\n 5 | first\n   | ^^^^^\n",
		},
		"the end of the file": {
			Diagnostic{Span: Span{src, len(src.Text), len(src.Text)}, Message: "m"},
			"shop/profile.yaml:7:1: error: m\n 7 |\n   | ^\n",
		},
		"long messages are cut": {
			Diagnostic{Message: strings.Repeat("m", 1000)}, "error: " + strings.Repeat("m", 400) + "…\n",
		},
		"no address": {Diagnostic{Severity: Note, Code: "c", Message: "m", Hint: "h"}, "note: m [c]\n   help: h\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			Render(&got, []Diagnostic{tt.x}, RenderOptions{})
			if got.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), tt.want)
			}
		})
	}
}

func TestRenderCountsWhatItLeavesOut(t *testing.T) {
	var faults Diagnostics
	for i := range 17 {
		faults.Errorf(Span{}, "c", "fault %02d", i)
	}
	var got strings.Builder
	Render(&got, faults.All(), RenderOptions{Limit: 3})
	if !strings.HasSuffix(got.String(), "fault 02 [c]\nand 14 more\n") {
		t.Errorf("got\n%s", got.String())
	}
}

func TestRenderColorsOnlyWhenAsked(t *testing.T) {
	faults := []Diagnostic{{Span: Span{NewSource("a", "b\n"), 0, 1}, Message: "m", Hint: "h"}}
	for _, color := range []bool{false, true} {
		var got strings.Builder
		Render(&got, faults, RenderOptions{Color: color})
		if strings.Contains(got.String(), "\x1b[") != color {
			t.Errorf("Color %t gives %q", color, got.String())
		}
	}
}

func TestRenderJSON(t *testing.T) {
	src := NewSource("a.yaml", "é: <x>\nb: 1\n")
	faults := []Diagnostic{
		{Span: Span{src, 4, 7}, Code: "c", Message: "m", Hint: "h", Related: []Related{{Span{src, 8, 9}, "r"}}},
		{Severity: Warning, Code: "d", Message: "<n>"},
	}
	page := func(code string) string {
		if code == "c" {
			return "#c"
		}
		return ""
	}
	var got bytes.Buffer
	if err := RenderJSON(&got, faults, page); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, got.Bytes()); err != nil {
		t.Fatal(err)
	}
	const want = `[{"file":"a.yaml","line":1,"column":4,"endLine":1,"endColumn":7,"severity":"error","code":"c","page":"#c","message":"m","hint":"h",` +
		`"related":[{"file":"a.yaml","line":2,"column":1,"endLine":2,"endColumn":2,"message":"r"}]},` +
		`{"file":"","line":0,"column":0,"endLine":0,"endColumn":0,"severity":"warning","code":"d","message":"<n>"}]`
	if compact.String() != want {
		t.Errorf("got\n%s\nwant\n%s", compact.String(), want)
	}
	got.Reset()
	if err := RenderJSON(&got, nil, page); err != nil || got.String() != "[]\n" {
		t.Errorf("no faults give %q, %v", got.String(), err)
	}
}
