package flows_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

// FuzzCheck loads arbitrary bytes as a flow file. Nothing may break over it,
// and every fault has a place in it.
func FuzzCheck(f *testing.F) {
	for _, path := range archives(f) {
		for _, file := range parseArchive(f, path).files {
			if text := expand(file.text); len(text) < 4<<10 {
				f.Add(text)
			}
		}
	}
	for _, dir := range []string{"quickstart", "passthrough"} {
		files, err := filepath.Glob(filepath.Join("..", "examples", dir, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		f.Fatal(err)
	}
	everything := &flows.Catalog{Steps: verbs}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 32<<10 {
			return
		}
		src := dsl.NewSource("flow.yaml", text)
		p, faults := flows.Check(&flows.Files{Sources: []*dsl.Source{src}}, everything, flows.Environment{
			Env: func(string) (string, bool) { return "", false },
		})
		failed := false
		for _, d := range faults {
			failed = failed || d.Severity == dsl.Error
			inside(t, d.Span, text)
			for _, r := range d.Related {
				inside(t, r.Span, text)
			}
			if d.Message == "" || d.Code == "" || !utf8.ValidString(d.Message+d.Hint) || len(d.Message)+len(d.Hint) > 4<<10 {
				t.Errorf("a fault without a code or a readable message: %.300q", []string{d.Code, d.Message, d.Hint})
			}
		}
		if failed != (p == nil) {
			t.Errorf("the program is %v, the faults %v", p, faults)
		}
		dsl.Render(io.Discard, faults, dsl.RenderOptions{Color: true})
		if err := dsl.RenderJSON(io.Discard, faults, flows.Page); err != nil {
			t.Error(err)
		}
	})
}

// TestAPanicOfACheckLeavesTheProgramServing breaks a verb, as a fault of Weir
// would.
func TestAPanicOfACheckLeavesTheProgramServing(t *testing.T) {
	broken := dsl.Define("break", "Breaks.", func(*engine.Compiler, *dsl.Node, *struct {
		Break bool `yaml:"break" doc:"How."`
	}) engine.Step {
		panic("broken")
	})
	verbs, err := dsl.NewCatalog(append(steps.All(), broken)...)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(step string) {
		text := "flow: f\ntrigger: { http: GET /f }\nsteps:\n  - " + step + "\n---\ngateways: { public: { listen: \"127.0.0.1:0\" } }\n"
		if err := os.WriteFile(filepath.Join(dir, "f.yaml"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	host := flows.NewHost(flows.HostOptions{Log: log, Metrics: metrics, Drain: time.Second})
	t.Cleanup(func() { _ = host.Shutdown(context.Background()) })
	reloader, err := flows.NewReloader(host, flows.ReloadOptions{
		Paths: []string{dir}, Catalog: &flows.Catalog{Steps: verbs}, Metrics: prometheus.NewRegistry(),
		Environment: flows.Environment{Env: os.LookupEnv, Log: log}, Report: func(flows.Reload) {}, Interval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	write("return: 1")
	if r := reloader.Load(); !r.OK() {
		t.Fatal(r.Err, r.Diagnostics)
	}
	before := host.Program()
	write("break: true")
	if r := reloader.Load(); r.OK() || r.Err == nil || !strings.Contains(r.Err.Error(), "broken") {
		t.Errorf("got %v", r.Err)
	}
	if host.Program() != before {
		t.Error("another program is served")
	}
}

func inside(t *testing.T, s dsl.Span, text string) {
	t.Helper()
	if s.Source == nil || s.Start < 0 || s.End < s.Start || s.End > len(text) {
		t.Errorf("the place [%d, %d) is not in the %d bytes of the file", s.Start, s.End, len(text))
	}
}

// TestHostileFilesAreRefused checks files that would exhaust a careless reader.
func TestHostileFilesAreRefused(t *testing.T) {
	flow := "flow: f\ntrigger: { http: GET /f }\nsteps:\n  - return: "
	for name, text := range map[string]string{
		"a megabyte of brackets":         strings.Repeat("[", 1<<20),
		"a megabyte of braces":           strings.Repeat("{", 1<<20),
		"nested keys":                    strings.Repeat("a: {", 1<<18),
		"a megabyte of dashes":           strings.Repeat("- ", 1<<19),
		"a staircase":                    staircase(2000),
		"brackets in a shape":            flow + strings.Repeat("[", 1<<20),
		"parentheses in an expression":   flow + "$(" + strings.Repeat("(", 1<<20) + ")",
		"brackets in an expression":      flow + "'$(" + strings.Repeat("[", 15<<10) + "1" + strings.Repeat("]", 15<<10) + ")'",
		"brackets behind a quoted quote": flow + `'$(/* " */` + strings.Repeat("(", 15<<10) + `/* " */)'`,
		"many expressions":               flow + strings.Repeat("$(", 1<<19),
		"a megabyte of $":                flow + strings.Repeat("$", 1<<20),
		"an alias of itself":             flow + "&a [*a]",
		"a billion laughs":               laughs(),
		"invalid UTF-8":                  flow + "\xff\xfe",
		"NUL":                            flow + "a\x00b",
		"a UTF-16 file":                  "\xff\xfef\x00l\x00o\x00w\x00",
		"one line of a megabyte":         flow + strings.Repeat("a", 1<<20) + ": b: c",
		"a megabyte of colons":           strings.Repeat(":", 1<<20),
		"a megabyte of quotes":           strings.Repeat(`"`, 1<<20) + "x",
		"a megabyte of tabs":             strings.Repeat("\t", 1<<20) + "x",
		"many documents":                 strings.Repeat("---\na: b\n", 1<<13),
		"many faults":                    "flow: f\nsteps:\n" + strings.Repeat("  - retrun: 1\n", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			faults := check([]*dsl.Source{dsl.NewSource("flow.yaml", text)})
			if len(faults) == 0 || faults[0].Severity != dsl.Error {
				t.Fatalf("got %d faults", len(faults))
			}
			for _, d := range faults {
				inside(t, d.Span, text)
			}
			var out strings.Builder
			dsl.Render(&out, faults, dsl.RenderOptions{Limit: 20})
			if out.Len() > 64<<10 {
				t.Errorf("the faults take %d bytes", out.Len())
			}
		})
	}
}

func staircase(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [lol, lol]\n")
	for i := range 30 {
		b.WriteString(strings.NewReplacer("I", string(rune('a'+i)), "J", string(rune('a'+i-1))).Replace("I: &I [*J, *J, *J, *J]\n"))
	}
	return b.String()
}
