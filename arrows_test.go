// Package weir_test holds the architecture to its word.
package weir_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/weir-run/weir"

// arrows are what each package may import of the others. What is not listed
// may not be; docs/architecture.md draws the same.
var arrows = map[string][]string{
	"dsl":                    {},
	"lookout":                {},
	"queue":                  {},
	"engine":                 {"engine/schema", "engine/trace", "dsl"},
	"engine/codec":           {"dsl"},
	"engine/openapi":         {"engine/schema", "dsl"},
	"engine/schema":          {"dsl"},
	"engine/steps":           {"engine", "engine/codec", "engine/schema", "engine/trace", "dsl"},
	"engine/trace":           {}, // contexts and spans: what they are of does not matter
	"otlp":                   {"engine/trace"},
	"mesh":                   {"mesh/discovery", "mesh/h1", "lookout", "queue"},
	"mesh/discovery":         {},
	"mesh/discovery/dnstest": {}, // for tests only
	"mesh/h1":                {},
	"mesh/sim":               {"mesh", "mesh/discovery"},
	"mesh/failures":          {"mesh", "mesh/discovery/dnstest"},
	"connectors":             {"engine", "engine/openapi", "engine/schema", "engine/trace", "dsl", "mesh"},
	"gateway":                {"gateway/acme", "gateway/h1", "gateway/usage", "engine", "engine/trace", "dsl", "lookout"},
	"gateway/acme":           {},
	"gateway/h1":             {}, // serves HTTP/1.1, whatever the handler
	"gateway/h1/h1test":      {}, // for tests only
	"gateway/usage":          {}, // counts, whatever is counted
	"gateway/policies":       {"gateway", "engine", "engine/openapi", "engine/schema", "dsl", "lookout", "queue"},
	"flows":                  {"connectors", "engine", "engine/schema", "engine/steps", "engine/trace", "gateway", "gateway/acme", "gateway/usage", "gateway/policies", "mesh", "dsl"},
	"cmd/weir":               {"engine/openapi", "flows", "flows/suite", "flows/explain", "flows/language", "flows/lsp", "connectors", "engine", "engine/steps", "engine/trace", "otlp", "gateway", "gateway/usage", "gateway/policies", "dsl"},
	"cmd/bench":              {"mesh", "mesh/h1"}, // measures the binary from outside, and the mesh by itself

	"flows/suite":    {"flows", "connectors", "engine/openapi", "engine", "gateway", "dsl"},
	"flows/explain":  {"flows", "connectors", "engine", "gateway", "dsl"},
	"flows/language": {"flows", "flows/suite", "connectors", "engine", "gateway/policies", "dsl"},
	"flows/lsp":      {"flows", "flows/suite", "flows/language", "dsl"}, // what is wrong in tests is wrong in an editor, too

	"flows/flowtest": {"flows", "connectors", "engine", "engine/steps", "engine/trace", "gateway", "gateway/policies", "mesh", "dsl"}, // for tests only
}

// testArrows are what the tests of a package may import on top.
var testArrows = map[string][]string{
	"engine":           {"engine/steps", "flows/flowtest"},
	"engine/steps":     {"flows/flowtest"},
	"mesh/discovery":   {"mesh/discovery/dnstest"},
	"connectors":       {"flows", "flows/flowtest", "engine/steps", "gateway"},
	"gateway":          {"gateway/h1/h1test", "flows/flowtest"},
	"gateway/h1":       {"gateway/h1/h1test"},
	"gateway/policies": {"flows/flowtest"},
	"flows":            {"flows/flowtest"},
	"flows/suite":      {"engine/steps", "gateway/policies"},
	"flows/explain":    {"engine/steps", "gateway/policies"},
	"flows/lsp":        {"engine/steps", "connectors"},
}

// exclusive are the modules that few packages know, and which: all others would
// be bound to them for no gain.
var exclusive = map[string][]string{
	"gopkg.in/yaml.v3":                      {"dsl"},
	"github.com/santhosh-tekuri/jsonschema": {"engine/schema"},
	"github.com/expr-lang/expr":             {"dsl"},
	"github.com/tidwall/gjson":              {"dsl", "engine", "engine/codec", "cmd/bench"},
	"golang.org/x/text":                     {"engine/codec"},
	"golang.org/x/net":                      {"mesh/discovery"},
	"github.com/gorilla/mux":                {"gateway"},
	"github.com/quic-go/quic-go":            {"gateway"},
	"github.com/andybalholm/brotli":         {"gateway/policies"},
	"github.com/klauspost/compress":         {"gateway/policies"},
	"github.com/failsafe-go/failsafe-go":    {"mesh"},
	"github.com/fsnotify/fsnotify":          {"flows"},
	"google.golang.org/protobuf":            {"otlp"},
	"github.com/prometheus/client_golang":   {"gateway", "flows", "flows/flowtest", "cmd/weir"},
	"github.com/spf13/cobra":                {"cmd/weir"},
	"github.com/creachadair/jrpc2":          {"flows/lsp"},
	"golang.org/x/crypto":                   {"gateway/policies", "gateway/acme"},
	"github.com/maypok86/otter":             {"gateway/policies"},
}

type goPackage struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
	TestImports     []string
	XTestImports    []string
}

func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags=http3", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != module { // this test's own
			all = append(all, p)
		}
	}
	return all
}

func TestPackagesImportAlongTheArrows(t *testing.T) {
	for _, p := range packages(t) {
		allowed, known := arrows[p.name()]
		if !known {
			t.Errorf("%s has no place among the arrows", p.name())
			continue
		}
		for _, path := range p.Imports {
			if other, ours := strings.CutPrefix(path, module+"/"); ours && !slices.Contains(allowed, other) {
				t.Errorf("%s must not import %s", p.name(), other)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if other, ours := strings.CutPrefix(path, module+"/"); ours && other != p.name() &&
				!slices.Contains(allowed, other) && !slices.Contains(testArrows[p.name()], other) {
				t.Errorf("the tests of %s must not import %s", p.name(), other)
			}
		}
	}
}

func TestModulesHaveTheirImporters(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			for mod, owners := range exclusive {
				if (path == mod || strings.HasPrefix(path, mod+"/")) && !slices.Contains(owners, p.name()) {
					t.Errorf("%s must not import %s: only %s does", p.name(), path, strings.Join(owners, ", "))
				}
			}
		}
	}
}

// TestNothingRegistersItself finds init functions and blank imports: what a
// program consists of is written in one list, cmd/weir/catalog.go.
func TestNothingRegistersItself(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s: an init function", files.Position(f.Pos()))
				}
			}
			for _, i := range file.Imports {
				if path, _ := strconv.Unquote(i.Path.Value); i.Name != nil && i.Name.Name == "_" && path != "embed" && path != "time/tzdata" {
					t.Errorf("%s: a blank import", files.Position(i.Pos()))
				}
			}
		}
	}
}
