package flows

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
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
