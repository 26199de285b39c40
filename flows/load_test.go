package flows_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/flows"
)

func TestUnsavedTextsStandForFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	saved := write("a.yaml", "flow: saved\noutput: { $ref: a.json }\n")
	schema := write("a.json", "{}")
	write("b.yaml", "flow: b\n")
	unsaved := map[string]string{
		saved:                                   "flow: unsaved\noutput: { $ref: a.json }\n",
		schema:                                  "true",
		filepath.Join(dir, "new", "c.yml"):      "flow: c\n",
		filepath.Join(dir, ".hidden", "d.yaml"): "flow: d\n",
		filepath.Join(dir, "notes.txt"):         "no flow\n",
		filepath.Join(t.TempDir(), "another.yaml"): "flow: elsewhere\n",
	}
	files, err := flows.LoadUnsaved([]string{dir}, unsaved)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range append(files.Sources, files.Documents...) {
		got[s.Name] = s.Text
	}
	for _, path := range []string{saved, schema, filepath.Join(dir, "new", "c.yml")} {
		if got[path] != unsaved[path] {
			t.Errorf("%s is read as %q", path, got[path])
		}
	}
	if len(got) != 4 {
		t.Errorf("read %q", got)
	}
}
