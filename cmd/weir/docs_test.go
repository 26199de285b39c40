package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/flows/language"
)

// TestReferenceIsUpToDate compares docs/reference with what weir docs writes.
func TestReferenceIsUpToDate(t *testing.T) {
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	pages := language.Pages(c)
	entries, err := os.ReadDir(filepath.Join(root, referenceDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := pages[e.Name()]; !ok {
			t.Errorf("%s is no page of the reference", e.Name())
		}
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(root, referenceDir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the code says: make generate (%v)", name, err)
		}
	}
}
