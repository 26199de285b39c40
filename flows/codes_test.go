package flows_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows"
)

// notInFiles are the codes that no file of a flow's author can lead to.
var notInFiles = map[string]string{
	"config-type":   "a configuration struct is not sound, which the tests of the catalog find",
	"cannot-format": "the formatter would lose something, which is a defect of its own",
}

// TestEveryCodeIsShown makes sure that no diagnostic goes unseen: each code in
// the sources stands in a golden of testdata/faults.
func TestEveryCodeIsShown(t *testing.T) {
	shown := map[string]bool{}
	code := regexp.MustCompile(`(?m)^\S.* \[([a-z-]+)\]$`)
	for _, path := range archives(t) {
		for _, m := range code.FindAllStringSubmatch(parseArchive(t, path).want, -1) {
			shown[m[1]] = true
		}
	}
	for _, code := range codes(t, "../dsl", "../engine", "../engine/steps", "../engine/schema", "../connectors", "../engine/openapi", "../gateway", "../gateway/policies", "../flows") {
		_, excepted := notInFiles[code]
		isShown := shown[code]
		if prefix, ok := strings.CutSuffix(code, "*"); ok {
			isShown = slices.ContainsFunc(keys(shown), func(c string) bool { return strings.HasPrefix(c, prefix) })
		}
		if isShown == excepted {
			t.Errorf("code %q: shown %t, excepted %t", code, isShown, excepted)
		}
	}
}

// TestEveryCodeIsExplained compares the table of codes with the sources.
func TestEveryCodeIsExplained(t *testing.T) {
	var explained []string
	for _, c := range flows.Codes {
		explained = append(explained, c.Code)
	}
	if !slices.IsSorted(explained) {
		t.Error("the codes are not in order")
	}
	var dirs []string
	for _, pattern := range []string{"../dsl", "../engine", "../engine/*", "../connectors", "../connectors/*", "../gateway", "../gateway/*", ".", "./*"} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, slices.DeleteFunc(found, func(path string) bool { info, err := os.Stat(path); return err != nil || !info.IsDir() })...)
	}
	known := codes(t, dirs...)
	stands := func(code, known string) bool {
		prefix, open := strings.CutSuffix(known, "*")
		return code == known || open && strings.HasPrefix(code, prefix)
	}
	for _, code := range known {
		if !slices.ContainsFunc(explained, func(e string) bool { return stands(e, code) }) {
			t.Errorf("code %q is not explained", code)
		}
	}
	for _, e := range explained {
		if !slices.ContainsFunc(known, func(code string) bool { return stands(e, code) }) {
			t.Errorf("code %q is explained, and nowhere reported", e)
		}
	}
}

func keys(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// codeArgument is which argument of a function that reports is the code.
var codeArgument = map[string]int{"Errorf": 1, "errorf": 1, "fault": 1, "fail": 2}

// codes finds the codes of diagnostics in the sources of packages: "unknown-*"
// where the code is "unknown-" and something.
func codes(t *testing.T, dirs ...string) (all []string) {
	add := func(x ast.Expr) {
		suffix := ""
		if sum, ok := x.(*ast.BinaryExpr); ok {
			x, suffix = sum.X, "*"
		}
		if lit, ok := x.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			if kebab.MatchString(text) {
				all = append(all, text+suffix)
			}
		}
	}
	for _, dir := range dirs {
		for _, file := range parseDir(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok && (nameOf(n.Type) == "Diagnostic" || nameOf(n.Type) == "Denied") && nameOf(kv.Key) == "Code" {
							add(kv.Value)
						}
					}
				case *ast.AssignStmt:
					for i, left := range n.Lhs {
						if nameOf(left) == "Code" && len(n.Lhs) == len(n.Rhs) {
							add(n.Rhs[i])
						}
					}
				case *ast.CallExpr:
					if at, ok := codeArgument[nameOf(n.Fun)]; ok && at < len(n.Args) {
						add(n.Args[at])
					}
				}
				return true
			})
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var kebab = regexp.MustCompile(`^[a-z]+(-[a-z]+)*-?$`)

func nameOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

func parseDir(t *testing.T, dir string) (files []*ast.File) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	return files
}
