package dsl

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type modifiers struct {
	ID      string   `yaml:"id" doc:"The step's name."`
	Timeout Duration `yaml:"timeout" doc:"How long the step may take." max:"1h"`
}

type retryConfig struct {
	Attempts int      `yaml:"attempts" default:"3" min:"1" max:"10"`
	On       []string `yaml:"on" default:"[connect]" enum:"connect|502|503"`
	Budget   Percent  `yaml:"budget" default:"20%" max:"50%"`
}

type method string

type callConfig struct {
	Call     String                 `yaml:"call" doc:"What is called." required:"true"`
	Method   method                 `yaml:"method" default:"GET" enum:"GET|POST"`
	Query    Shape                  `yaml:"query"`
	Path     Text                   `yaml:"path"`
	When     Cond                   `yaml:"when"`
	Steps    Steps                  `yaml:"steps"`
	Compose  Block                  `yaml:"compose"`
	Any      *Node                  `yaml:"any"`
	Stream   bool                   `yaml:"stream"`
	Weight   float64                `yaml:"weight" min:"0"`
	Limit    Size                   `yaml:"limit" default:"64KB"`
	Retry    *retryConfig           `yaml:"retry"`
	Fallback retryConfig            `yaml:"fallback"`
	Hosts    map[string]retryConfig `yaml:"hosts"`
	Lists    [][]int                `yaml:"lists"`
	Since    time.Time              `yaml:"since"`
	Star     string                 `yaml:"star" default:"*"`
	At       Span                   `yaml:",span"`
	Cache    any                    `yaml:"-"`
	private  int                    //lint:ignore U1000 the decoder must pass over it
	Embedded
}

// Embedded is inlined.
type Embedded struct {
	Note string `yaml:"note"`
}

func decodeText(t *testing.T, text string, targets ...any) (*Node, *Diagnostics, bool) {
	t.Helper()
	var faults Diagnostics
	roots := Parse(NewSource("t.yaml", text), &faults)
	if faults.Failed() || len(roots) != 1 {
		t.Fatalf("%q: %v", text, faults.All())
	}
	ok := Decode(roots[0], &faults, targets...)
	return roots[0], &faults, ok
}

func TestDecodeFillsEveryType(t *testing.T) {
	var c callConfig
	var m modifiers
	const text = `call: GET users
id: 0123
timeout: 1m30s
method: POST
query: { a: $(b) }
path: /x/$(y)
when: a > 1
steps: [{ set: 1 }]
compose: { a: { set: 1 } }
any: [1]
stream: true
weight: 0x10
limit: 1GiB
retry: { attempts: 5, on: [502, "503"] }
hosts: { b: {}, a: { budget: 10% } }
lists: [[1, -2], []]
since: 2024-01-02T03:04:05Z
note: 1.10
`
	n, faults, ok := decodeText(t, text, &c, &m)
	if !ok {
		t.Fatal(faults.All())
	}
	if c.Call.Value != "GET users" || c.Call.Span.Text() != "GET users" || c.At != n.Span {
		t.Errorf("call %+v at %v", c.Call, c.At)
	}
	for name, part := range map[string]*Node{
		"{ a: $(b) }": c.Query.Node, "/x/$(y)": c.Path.Node, "a > 1": c.When.Node, "[{ set: 1 }]": c.Steps.Node,
		"{ a: { set: 1 } }": c.Compose.Node, "[1]": c.Any,
	} {
		if part == nil || part.Span.Text() != name {
			t.Errorf("%s is %+v", name, part)
		}
	}
	defaults := retryConfig{3, []string{"connect"}, 0.2}
	want := callConfig{
		Call: c.Call, Query: c.Query, Path: c.Path, When: c.When, Steps: c.Steps, Compose: c.Compose, Any: c.Any, At: c.At,
		Method: "POST", Stream: true, Weight: 16, Limit: 1 << 30, Star: "*",
		Retry:    &retryConfig{5, []string{"502", "503"}, 0.2},
		Fallback: defaults,
		Hosts:    map[string]retryConfig{"b": defaults, "a": {3, []string{"connect"}, 0.1}},
		Lists:    [][]int{{1, -2}, {}},
		Since:    time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
		Embedded: Embedded{"1.10"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	if m.ID != "0123" || time.Duration(m.Timeout) != 90*time.Second {
		t.Errorf("modifiers %+v", m)
	}
}

func TestDecodeSetsDefaults(t *testing.T) {
	var c callConfig
	if _, faults, ok := decodeText(t, "call: x", &c); !ok {
		t.Fatal(faults.All())
	}
	if c.Method != "GET" || c.Limit != 64_000 || c.Retry != nil || c.Fallback.Attempts != 3 || c.Fallback.Budget != 0.2 || c.Any != nil {
		t.Errorf("got %+v", c)
	}
	var other callConfig
	decodeText(t, "call: x", &other)
	c.Fallback.On[0] = "changed"
	if other.Fallback.On[0] != "connect" {
		t.Error("two values share a default")
	}
}

func TestDecodeReportsEachFaultAtItsPlace(t *testing.T) {
	tests := map[string]struct{ yaml, want string }{
		"unknown key":             {"call: x\ntimout: 2s", `2:1 unknown-key: unknown key "timout"; did you mean "timeout"?`},
		"unknown key, far":        {"call: x\nretry: { zzzzz: 1 }", `2:10 unknown-key: unknown key "zzzzz"; the keys here are attempts, on, budget`},
		"missing key":             {"id: a", `1:1 missing-key: the key "call" is missing; add call: text (What is called)`},
		"missing in braces":       {"{}", `1:1 missing-key: the key "call" is missing; add call: text (What is called)`},
		"not a mapping":           {"- call: x", `1:1 wrong-type: this is a mapping here, not a list; write { call: ... }`},
		"no space":                {"call:x", `1:1 wrong-type: this is a mapping here, not text; write a space behind the colon`},
		"text for int":            {"call: x\nretry: { attempts: many }", `2:20 wrong-type: "attempts" is a whole number here, not text; write a number such as 3`},
		"quoted int":              {"call: x\nretry: { attempts: \"3\" }", `2:20 wrong-type: "attempts" is a whole number here, not text; write 3 without quotes`},
		"zeros":                   {"call: x\nretry: { attempts: 010 }", `2:20 wrong-type: "attempts" is a whole number here, not text; write 10`},
		"underscores":             {"call: x\nweight: 1_0", `2:9 wrong-type: "weight" is a number here, not text; write 10`},
		"float for int":           {"call: x\nretry: { attempts: 3.0 }", `2:20 wrong-type: "attempts" is a whole number here, not a number; write 3`},
		"expression for int":      {"call: x\nretry: { attempts: $(n) }", `2:20 wrong-type: "attempts" is a whole number here, not an expression; write the value itself: this is read when the file is loaded, before there is anything to evaluate`},
		"expression for duration": {"call: x\ntimeout: $(n)", `2:10 bad-value: "timeout": "$(n)" is not a duration; write the value itself: this is read when the file is loaded, before there is anything to evaluate`},
		"mapping for text":        {"call: { a: b }", `1:7 wrong-type: "call" is text here, not a mapping; write one text (What is called)`},
		"brackets for text":       {"call: { a }", `1:7 wrong-type: "call" is text here, not a mapping; quote a text that begins with a bracket`},
		"block for text":          {"call:\n  a: b", `2:3 wrong-type: "call" is text here, not a mapping; write one text (What is called)`},
		"nothing for text":        {"call:", `1:1 wrong-type: "call" has no value; write text behind the colon, or delete the key`},
		"null for text":           {"call: ~", `1:7 wrong-type: "call" is text here, not null; write one text`},
		"nothing for a struct":    {"call: x\nretry:", `2:1 wrong-type: "retry" has no value; write a mapping below it, or delete the key`},
		"text for bool":           {"call: x\nstream: 1", `2:9 wrong-type: "stream" is true or false here, not a whole number; write true or false`},
		"quoted bool":             {"call: x\nstream: 'true'", `2:9 wrong-type: "stream" is true or false here, not text; write true without quotes`},
		"scalar for list":         {"call: x\nretry: { on: connect }", `2:14 wrong-type: "on" is a list here, not text; write [connect]`},
		"scalar for steps":        {"call: x\nsteps: x", `2:8 wrong-type: "steps" is a list of steps here, not text; begin each step with a dash and a space`},
		"list for block":          {"call: x\ncompose: []", `2:10 wrong-type: "compose" is a mapping of id to step here, not a list; write id: in place of each dash, with the step below it`},
		"list for condition":      {"call: x\nwhen: [a]", `2:7 wrong-type: "when" is a condition here, not a list; quote a text that begins with a bracket`},
		"null for template":       {"call: x\npath: null", `2:7 wrong-type: "path" is text here, not null; write one text`},
		"not in enum":             {"call: x\nmethod: PSOT", `2:9 unknown-value: "method" cannot be "PSOT"; did you mean "POST"?`},
		"not in enum, far":        {"call: x\nretry: { on: [502, everything] }", `2:20 unknown-value: "on[1]" cannot be "everything"; write connect, 502 or 503`},
		"below min":               {"call: x\nretry: { attempts: 0 }", `2:20 out-of-range: "attempts" cannot be 0; write a value from 1 to 10`},
		"above max":               {"call: x\ntimeout: 2h", `2:10 out-of-range: "timeout" cannot be 2h; write 1h or less`},
		"below min of number":     {"call: x\nweight: -.5", `2:9 out-of-range: "weight" cannot be -.5; write 0 or more`},
		"percent above max":       {"call: x\nretry: { budget: 60% }", `2:18 out-of-range: "budget" cannot be 60%; write 50% or less`},
		"no unit":                 {"call: x\ntimeout: 2", `2:10 bad-value: "timeout": "2" has no unit; write 2s or 2ms`},
		"no unit of size":         {"call: x\nlimit: 64", `2:8 bad-value: "limit": "64" has no unit; write 64KB or 64MB`},
		"list for duration":       {"call: x\ntimeout: [2s]", `2:10 wrong-type: "timeout" is a duration here, not a list; write a duration such as 2s or 150ms`},
		"custom type":             {"call: x\nsince: today", `2:8 bad-value: "since": parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"`},
		"too large":               {"call: x\nlists: [[99999999999999999999]]", `2:10 out-of-range: 99999999999999999999 is too large; write a smaller number`},
		"infinite":                {"call: x\nweight: .inf", `2:9 out-of-range: .inf is not a number that can be used here; write digits, such as 0.5`},
		"deep in a map":           {"call: x\nhosts:\n  a: { budget: 5 }\n  b: []", "3:16 bad-value: \"budget\": \"5\" has no percent sign; write 5%\n4:6 wrong-type: \"hosts.b\" is a mapping here, not a list; write { attempts: ... }"},
		"all at once":             {"cal: x\ntimeout: 2\nmethod: x", "1:1 unknown-key: unknown key \"cal\"; did you mean \"call\"?\n2:10 bad-value: \"timeout\": \"2\" has no unit; write 2s or 2ms\n3:9 unknown-value: \"method\" cannot be \"x\"; write GET or POST"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, faults, ok := decodeText(t, tt.yaml, &callConfig{}, &modifiers{})
			var got []string
			for _, x := range faults.All() {
				if x.Severity != Error {
					continue
				}
				line, column := x.Span.Position()
				text := fmt.Sprintf("%d:%d %s: %s", line, column, x.Code, x.Message)
				if x.Hint != "" {
					text += "; " + x.Hint
				}
				got = append(got, text)
			}
			if strings.Join(got, "\n") != tt.want || ok {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

func TestDecodeNamesWhatIsWrongWithAType(t *testing.T) {
	tests := map[string]struct {
		target any
		want   string
	}{
		"no pointer": {modifiers{}, "cannot decode into dsl.modifiers"},
		"time.Duration": {&struct {
			A time.Duration `yaml:"a"`
		}{}, "use dsl.Duration"},
		"no tag": {&struct{ A int }{}, `a tag yaml:"key"`},
		"twice": {&struct {
			A int `yaml:"a"`
			B int `yaml:"a"`
		}{}, "declared twice"},
		"unsupported": {&struct {
			A chan int `yaml:"a"`
		}{}, "cannot have the type chan int"},
		"enum of ints": {&struct {
			A int `yaml:"a" enum:"1|2"`
		}{}, "enum is for text"},
		"min of text": {&struct {
			A string `yaml:"a" min:"1"`
		}{}, "min and max are for"},
		"bad min": {&struct {
			A Duration `yaml:"a" min:"1"`
		}{}, "no unit"},
		"bad default": {&struct {
			A int `yaml:"a" default:"x"`
		}{}, `the default "x"`},
		"default not in": {&struct {
			A string `yaml:"a" default:"x" enum:"y"`
		}{}, `cannot be "x"`},
		"default, required": {&struct {
			A int `yaml:"a" default:"1" required:"true"`
		}{}, "needs no default"},
		"required: yes": {&struct {
			A int `yaml:"a" required:"yes"`
		}{}, "required is true or absent"},
		"inside another": {&struct {
			A struct {
				B chan int `yaml:"b"`
			} `yaml:"a"`
		}{}, "cannot have the type chan int"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, faults, ok := decodeText(t, "a: {}", tt.target)
			if all := faults.All(); ok || len(all) == 0 || !strings.Contains(all[0].Message, tt.want) {
				t.Errorf("got %v, want %q", all, tt.want)
			}
		})
	}
}

func TestDecodeWarnsOfExpressionsInPlainText(t *testing.T) {
	for text, want := range map[string]int{"call: x\nnote: a $(b)": 1, "call: x\nnote: a $$(b)": 0, "call: $(a)": 0, "call: x\nnote: $5 (b)": 0} {
		_, faults, ok := decodeText(t, text, &callConfig{})
		if !ok || faults.Len() != want || want > 0 && faults.All()[0].Code != "not-evaluated" {
			t.Errorf("%q: ok %t with %v, want %d warnings", text, ok, faults.All(), want)
		}
	}
}

type tree struct {
	Name string `yaml:"name" required:"true"`
	Kids []tree `yaml:"kids"`
}

func TestDecodeFollowsRecursiveTypes(t *testing.T) {
	var root tree
	if _, faults, ok := decodeText(t, "name: a\nkids: [{ name: b, kids: [{ name: c }] }]", &root); !ok {
		t.Fatal(faults.All())
	}
	if root.Kids[0].Kids[0].Name != "c" {
		t.Errorf("got %+v", root)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("call: GET users\ntimeout: 2s\nretry: { attempts: 5, on: [502] }\nlists: [[1], []]\nsince: 2024-01-02T03:04:05Z")
	f.Add("call:\nlimit: 1.5KiB\nhosts: { a: { budget: 12.5% } }\nweight: 0x1f\nfallback: {}\nstream: True")
	f.Add("timeout: 106751d23h47m16s854ms775us808ns\nretry: ~\nsteps: [a]\ncompose: {a: b}\nmethod: 'GET'\nnote: |\n  x")
	f.Fuzz(func(t *testing.T, text string) {
		var faults Diagnostics
		for _, n := range Parse(NewSource("t.yaml", text), &faults) {
			var found Diagnostics
			ok := Decode(n, &found, &callConfig{}, &modifiers{})
			if ok && found.Failed() || !ok && !found.Failed() && !faults.Failed() { // what Parse told is not told twice
				t.Fatalf("ok is %t with %v", ok, found.All())
			}
			for _, x := range found.All() {
				if !x.Span.Valid() || x.Message == "" || x.Code == "config-type" {
					t.Fatalf("incomplete diagnostic %+v", x)
				}
			}
		}
	})
}

type flowConfig struct {
	Flow    string `yaml:"flow" required:"true"`
	Summary string `yaml:"summary"`
	Trigger struct {
		HTTP     String   `yaml:"http"`
		Gateway  string   `yaml:"gateway"`
		Policies []string `yaml:"policies"`
		Deadline Duration `yaml:"deadline" default:"30s"`
	} `yaml:"trigger"`
	Steps  Steps `yaml:"steps"`
	Errors []struct {
		When   Cond  `yaml:"when"`
		Return Shape `yaml:"return"`
		Status int   `yaml:"status" default:"500"`
	} `yaml:"errors"`
}

// BenchmarkLoad is the price of one of a program's many small flows: parsing,
// and decoding its sections and steps.
func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var faults Diagnostics
		roots := Parse(NewSource("t.yaml", smallFlow), &faults)
		var flow flowConfig
		if !Decode(roots[0], &faults, &flow) {
			b.Fatal(faults.All())
		}
		for _, call := range roots[0].Field("steps").Items[0].Field("compose").Fields {
			var c struct {
				Call     Text  `yaml:"call"`
				Query    Shape `yaml:"query"`
				Fallback Shape `yaml:"fallback"`
			}
			if !Decode(call.Value, &faults, &c, &modifiers{}) {
				b.Fatal(faults.All())
			}
		}
	}
}
