// Package flows makes one program of directories of flow files and keeps it
// running: load, check, open, swap, watch, drain.
//
// A Program is checked as a whole before anything changes, and is pure: the
// same files and environment give the same Program. A Host serves one Program
// at a time, as a generation: a new one is opened beside the old, swapped in
// by one pointer, and the old one closes when its last request has ended.
// What both have in common, by its configuration, is carried over: listeners,
// and the connections, breakers and statistics of services.
package flows

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Files are the flow files of some directories as they were at one moment.
type Files struct {
	Sources   []*dsl.Source // sorted by name
	Documents []*dsl.Source // the files that they refer to, such as schemas; sorted by name
	Hash      string        // of all names and texts, in hex

	looked  []string // the paths of Documents, and of files and imports that are not there
	imports imports
}

// Load reads all .yaml and .yml files below the directories, and those that
// they import; a path may also be a file. Symbolic links are followed, and what
// is reached in several ways is read once. Names that start with a dot are
// passed over: editors and Kubernetes keep their own there.
//
// Files that hold nothing but tests, *.test.yaml, are passed over, too: a
// program is served without them, and a change of them is none of the program.
func Load(paths []string) (*Files, error) { return load(paths, false, nil) }

// LoadWithTests is Load with the files that hold tests.
func LoadWithTests(paths []string) (*Files, error) { return load(paths, true, nil) }

// LoadUnsaved is LoadWithTests with the texts of unsaved, by their clean paths,
// in place of what is on disk. A text whose file is not there yet counts if its
// path is one of those that are read.
func LoadUnsaved(paths []string, unsaved map[string]string) (*Files, error) {
	return load(paths, true, unsaved)
}

func load(paths []string, tests bool, unsaved map[string]string) (*Files, error) {
	found := newFinder()
	for _, path := range paths {
		if err := found.find(path); err != nil {
			return nil, err
		}
	}
	f := &Files{}
	for _, path := range withUnsaved(found.files, paths, unsaved) {
		if isTest(path) && !tests {
			continue
		}
		if err := f.read(path, unsaved); err != nil {
			return nil, err
		}
	}
	f.follow(found, unsaved)
	slices.SortFunc(f.Sources, func(a, b *dsl.Source) int { return strings.Compare(a.Name, b.Name) })
	var err error
	if f.Sources, f.Documents, f.looked, err = documents(f.Sources, unsaved); err != nil {
		return nil, err
	}
	for target, refused := range f.imports.refused {
		if refused != nil && !slices.Contains(f.looked, target) {
			f.looked = append(f.looked, target)
		}
	}
	slices.Sort(f.looked)
	sum := sha256.New()
	for _, s := range slices.Concat(f.Sources, f.Documents) {
		fmt.Fprintf(sum, "%q %q\n", s.Name, s.Text)
	}
	f.Hash = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// read adds a file to the sources.
func (f *Files) read(path string, unsaved map[string]string) error {
	text, ok := unsaved[path]
	if !ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", path, reason(err))
		}
		text = string(b)
	}
	f.Sources = append(f.Sources, dsl.NewSource(path, text))
	return nil
}

// withUnsaved is the paths of the files that were found, and of the unsaved ones
// that would be found if they were saved.
func withUnsaved(found []file, paths []string, unsaved map[string]string) []string {
	all := make([]string, len(found))
	for i, f := range found {
		all[i] = f.path
	}
	for path := range unsaved {
		if !slices.Contains(all, path) && holds(paths, path) {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

// holds reports whether a file of this path would be read with paths.
func holds(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(dir string) bool {
		dir = filepath.Clean(dir)
		below, err := filepath.Rel(dir, path)
		switch {
		case dir == path:
			return true
		case err != nil || !filepath.IsLocal(below) || !isFlowPath(path):
			return false
		}
		return !slices.ContainsFunc(strings.Split(below, string(filepath.Separator)), hidden)
	})
}

// isFlowPath and hidden say which names of a directory are read.
func isFlowPath(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// isTest reports whether a file holds nothing but tests.
func isTest(path string) bool {
	return strings.HasSuffix(path, ".test.yaml") || strings.HasSuffix(path, ".test.yml")
}

// Edit is the files with edits in their Sources. The Hash and the Documents stay
// those that were read.
func (f *Files) Edit(edits []dsl.Edit) *Files {
	edited := *f
	edited.Sources = make([]*dsl.Source, len(f.Sources))
	for i, src := range f.Sources {
		if edited.Sources[i] = src; slices.ContainsFunc(edits, func(e dsl.Edit) bool { return e.Span.Source == src }) {
			edited.Sources[i] = dsl.NewSource(src.Name, dsl.Apply(src, edits))
		}
	}
	return &edited
}
