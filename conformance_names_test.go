package weir_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A claim is a test that is named for a section of a standard, or one that is
// referred to by its place.
type claim struct {
	standard, section, text string

	dir, file, test string // where it is
}

func (c claim) full() string {
	if c.section == "" {
		return c.standard + ": " + c.text
	}
	return c.standard + " " + c.section + ": " + c.text
}

var (
	claimed  = regexp.MustCompile(`^(RFC [0-9]+|Fetch|Trace Context|RateLimit|No-Vary-Search)(?: ([0-9]+(?:\.[0-9]+)*))?: (.+)$`)
	testPath = regexp.MustCompile(`^([a-z0-9/_]+)\.(Test[A-Z]\w*)(?:/(.+))?$`)
)

// found are the tests of Weir.
type found struct {
	claims []claim
	named  map[string][]claim
	texts  map[string]map[string]bool // by package and function, the literals in it
	files  map[string]string          // by package and function
}

// find gives the tests of a name; none if there are none.
func (f *found) find(name string) []claim {
	if m := testPath.FindStringSubmatch(name); m != nil {
		at := m[1] + "." + m[2]
		file, ok := f.files[at]
		if !ok || m[3] != "" && !f.texts[at][m[3]] {
			return nil
		}
		return []claim{{dir: m[1], file: file, test: m[2], text: m[3]}}
	}
	return f.named[name]
}

// findTests reads the tests as text: the names of subtests are literals, in
// tables and in calls. What is printed when one fails is none of them.
func findTests(t *testing.T) *found {
	all := &found{named: map[string][]claim{}, texts: map[string]map[string]bool{}, files: map[string]string{}}
	err := filepath.WalkDir(".", func(at string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at = filepath.ToSlash(at)
		switch {
		case entry.IsDir() && at != "." && strings.HasPrefix(entry.Name(), "."), entry.IsDir() && entry.Name() == "testdata":
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(at, "_test.go") || !strings.Contains(at, "/"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), at, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			all.read(t, decl, at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.claims {
		all.named[c.full()] = append(all.named[c.full()], c)
	}
	return all
}

func (f *found) read(t *testing.T, decl ast.Decl, at string) {
	dir, name := path.Split(at)
	dir = strings.TrimSuffix(dir, "/")
	test := ""
	if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
		test = fn.Name.Name
		f.files[dir+"."+test] = name
		f.texts[dir+"."+test] = map[string]bool{}
	}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.SelectorExpr); ok {
				switch fn.Sel.Name {
				case "Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf", "Skip", "Skipf":
					return false
				}
			}
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				return false
			}
			text, err := strconv.Unquote(n.Value)
			if err != nil {
				return false
			}
			if test != "" {
				f.texts[dir+"."+test][text] = true
			}
			if m := claimed.FindStringSubmatch(text); m != nil {
				if test == "" {
					t.Errorf("%s: %q is in no test", at, text)
				}
				f.claims = append(f.claims, claim{m[1], m[2], m[3], dir, name, test})
			}
		}
		return true
	})
}
