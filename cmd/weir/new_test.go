package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestStarter does what the README of a new directory says.
func TestStarter(t *testing.T) {
	r := newReader(t)
	if out, err := r.shell("weir new shop").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.dir = filepath.Join(r.dir, "shop")
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		return os.WriteFile(path, []byte(r.there.Replace(read(t, path))), 0o666) // with ports of its own
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"weir check flows --strict --notes", "weir check flows dev --strict --notes", "weir fmt --check flows dev", "weir test --faults flows"} {
		if out, err := r.shell(command).CombinedOutput(); err != nil {
			t.Errorf("$ %s\n%s", command, out)
		}
	}
	r.follow(filepath.Join(r.dir, "README.md"))
}
