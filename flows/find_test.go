package flows

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func TestFinderGivesUpWhereThereIsTooMuch(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt", "c.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f := newFinder()
	if f.left = 2; !errors.Is(f.find(dir), errTooMany) {
		t.Error("three files are not more than two")
	}
	f = newFinder()
	if f.left = 3; f.find(dir) != nil || len(f.files) != 1 {
		t.Error(f.files)
	}
}

// FuzzImports reads the imports of any text. What they lead to is neither
// absolute nor above the file.
func FuzzImports(f *testing.F) {
	for _, seed := range []string{"imports: [../a, b.yaml]", "imports: ['/etc', '', ., ../.., ../flows]", "flow: a\n---\n\"imports\": [$(x), 1, {}, https://x]", "imports: [\"..\\\\..\", \"\\0\"]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := &Files{Sources: []*dsl.Source{dsl.NewSource("flows/a.yaml", text)}}
		for _, ref := range importsIn(files.Sources[0]) {
			target, refused := importTarget(files.Sources[0], ref.Text)
			if (target == "") != (refused != nil) || filepath.IsAbs(target) {
				t.Fatalf("%q leads to %q, %v", ref.Text, target, refused)
			}
			if below, err := filepath.Rel(target, "flows"); refused == nil && err == nil && filepath.IsLocal(below) {
				t.Fatalf("%q leads to %q, which holds the file", ref.Text, target)
			}
		}
	})
}
