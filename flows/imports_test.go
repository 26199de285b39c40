package flows_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

// sourceNames are those of sources, with spaces between.
func sourceNames(sources []*dsl.Source) string {
	var all []string
	for _, s := range sources {
		all = append(all, filepath.ToSlash(s.Name))
	}
	return strings.Join(all, " ")
}

const servedHello = "flow: hello\ntrigger: { http: GET /hello }\nsteps: [{ return: hello }]\n---\ngateways: { public: { listen: \"127.0.0.1:0\" } }\n"

// link makes a symbolic link.
func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestImportsAreReadOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		links map[string]string
		paths []string
		want  string
	}{
		{"a directory and a file beside the program",
			map[string]string{"flows/a.yaml": "imports: [../shared, ../one.yaml]", "shared/b.yaml": "", "shared/deep/c.yml": "", "shared/d.test.yaml": "", "one.yaml": "", "two.yaml": ""}, nil,
			[]string{"flows"}, "flows/a.yaml one.yaml shared/b.yaml shared/deep/c.yml"},
		{"from two files, and what is imported imports",
			map[string]string{"flows/a.yaml": "imports: [../shared]", "flows/b.yaml": "imports: [../shared/, ../shared/x.yaml]", "shared/x.yaml": "imports: [../more]", "more/y.yaml": ""}, nil,
			[]string{"flows"}, "flows/a.yaml flows/b.yaml more/y.yaml shared/x.yaml"},
		{"in a ring",
			map[string]string{"flows/a.yaml": "imports: [../b]", "b/b.yaml": "imports: [../c]", "c/c.yaml": "imports: [../b, ../flows, c.yaml]"}, nil,
			[]string{"flows"}, "b/b.yaml c/c.yaml flows/a.yaml"},
		{"that the command names, too",
			map[string]string{"flows/a.yaml": "imports: [../shared]", "shared/x.yaml": ""}, nil,
			[]string{"shared", "flows"}, "flows/a.yaml shared/x.yaml"},
		{"through links",
			map[string]string{"flows/a.yaml": "imports: [../shared, lib]", "shared/x.yaml": ""},
			map[string]string{"flows/lib": "../shared", "flows/z.yaml": "../shared/x.yaml"},
			[]string{"flows"}, "flows/a.yaml flows/lib/x.yaml"},
		{"through links in a ring",
			map[string]string{"flows/a.yaml": "imports: [../b]", "b/b.yaml": ""},
			map[string]string{"flows/self": ".", "flows/up": "..", "b/to": "../c", "c": "b", "b/gone": "nowhere"},
			[]string{"flows"}, "flows/a.yaml flows/up/b/b.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, ".", c.files)
			for at, to := range c.links {
				link(t, to, at)
			}
			files, err := flows.Load(c.paths)
			if err != nil {
				t.Fatal(err)
			}
			if got := sourceNames(files.Sources); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if _, faults := flows.Check(files, catalog(), flows.Environment{}); strings.Contains(fmt.Sprint(faults), "import") {
				t.Error(faults)
			}
		})
	}
}

func TestImportsThatLeadNowhereAreTold(t *testing.T) {
	for _, c := range []struct {
		ref   string
		files map[string]string
		want  string
	}{
		{"../shraed", map[string]string{"shared/x.yaml": ""}, `there is no file and no directory "../shraed" (did you mean "../shared"?)`},
		{"../shared/deeep/x.yaml", map[string]string{"shared/deep/x.yaml": ""}, `there is no file and no directory "../shared/deeep/x.yaml" (did you mean "../shared/deep/x.yaml"?)`},
		{"../nothing/like/it", nil, `there is no file and no directory "../nothing/like/it" (write its path as it is seen from this file; it is nothing/like/it for Weir)`},
		{"../x.yaml/", map[string]string{"x.yaml": ""}, `there is no file and no directory "../x.yaml/" (did you mean "../x.yaml"?)`},
		{"../x.yaml/y", map[string]string{"x.yaml": ""}, `"../x.yaml/y" cannot be imported: not a directory (let Weir read it, or import what is needed of it)`},
		{"../empty", map[string]string{"empty/readme.md": "", "empty/x.test.yaml": ""}, `there are no flow files in "../empty" (import a directory that holds .yaml or .yml files, or remove the import)`},
		{"../readme.md", map[string]string{"readme.md": ""}, `"../readme.md" is no flow file (import a .yaml or .yml file, or a directory that holds some)`},
		{"../x.test.yaml", map[string]string{"x.test.yaml": ""}, `"../x.test.yaml" holds tests, which are not imported (run them where they stand, and import the flows that they are about)`},
	} {
		t.Run(c.ref, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, ".", c.files)
			write(t, "flows", map[string]string{"a.yaml": "imports: [" + c.ref + "]\n---\n" + servedHello})
			files, err := flows.Load([]string{"flows"})
			if err != nil {
				t.Fatal(err)
			}
			p, faults := flows.Check(files, catalog(), flows.Environment{})
			if p != nil || len(faults) != 1 {
				t.Fatal(p, faults)
			}
			if got := fmt.Sprintf("%s (%s)", faults[0].Message, faults[0].Hint); got != c.want || faults[0].Span.Text() != c.ref {
				t.Errorf("%s: %s", faults[0].Span, got)
			}
		})
	}
}

func TestChangesOfImportsAreFollowed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	write(t, dir, map[string]string{
		"a.yaml":           "imports: [../shared]\n---\n" + flowSaying("one"),
		"../shared/x.yaml": "flow: other\nsteps: [{ log: here }]\n",
	})
	w := watch(t, dir)
	w.write("../shared/y.yaml", "flow: other\nsteps: [{ log: here }]\n")
	if r := w.written(); r.OK() {
		t.Error("a file that is new in what is imported is not read")
	}
	w.write("../shared/y.yaml", "imports: [../more/z.yaml]\n")
	if r := w.written(); r.OK() || !strings.Contains(fmt.Sprint(r.Diagnostics), "../more/z.yaml") {
		t.Error("an import of an import is not followed", r.Diagnostics)
	}
	write(t, filepath.Dir(dir), map[string]string{"more/.new": "flow: more\nsteps: [{ log: here }]\n"})
	if err := os.Rename(filepath.Join(dir, "../more/.new"), filepath.Join(dir, "../more/z.yaml")); err != nil {
		t.Fatal(err)
	}
	if r := w.written(); !r.OK() {
		t.Error("a file that has come is not seen", r.Diagnostics)
	}
	if err := os.RemoveAll(filepath.Join(dir, "../shared")); err != nil {
		t.Fatal(err)
	}
	for r := w.written(); ; r = w.written() {
		if strings.Contains(fmt.Sprint(r.Diagnostics), "there is no file and no directory") {
			break // a state in between may have been looked at
		}
	}
	write(t, filepath.Dir(dir), map[string]string{"shared/x.yaml": flowSaying("two"), "flows/a.yaml": "imports: [../shared]\n"})
	for r := w.written(); !r.OK(); r = w.written() {
	}
	if got := w.answer(); got != "two" {
		t.Error(got)
	}
}
