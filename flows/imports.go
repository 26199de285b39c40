package flows

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// A file can import others, and directories: what is in them is part of the
// program, as if their paths had been given with those of the program. To find
// them is to read files, and so is done before any is checked: what came of an
// import that led nowhere is kept, and told where the import stands.
//
// An import may leave the directory of the program, for what several programs
// share stands beside them. It may not name a directory that holds the file
// itself: that would be the program again, or with enough ../ all of the disk.

const mostImported = 10_000 // entries of directories that one import may lead through

// imports are the files that are there only because others import them, and
// what became of the imports.
type imports struct {
	files   map[string]bool     // by name
	roots   []string            // what was found, sorted
	refused map[string]*refusal // by the path that is imported; nil for what was found
}

// refusal is why nothing came of an import.
type refusal struct {
	dsl.Diagnostic
	near []string // paths that are there
}

// imported reports whether a file is there only because another imports it.
func (f *Files) imported(src *dsl.Source) bool { return src != nil && f.imports.files[src.Name] }

// Own are the sources that were asked for: those that others import are not
// among them.
func (f *Files) Own() []*dsl.Source {
	return slices.DeleteFunc(slices.Clone(f.Sources), f.imported)
}

// follow adds the sources that those at hand import, and those that these do.
func (f *Files) follow(found *finder, unsaved map[string]string) {
	f.imports = imports{files: map[string]bool{}, refused: map[string]*refusal{}}
	for i := 0; i < len(f.Sources); i++ { // there will be more
		src := f.Sources[i]
		for _, ref := range importsIn(src) {
			target, refused := importTarget(src, ref.Text)
			if _, known := f.imports.refused[target]; known || refused != nil {
				continue
			}
			from := len(found.files)
			if refused = found.imported(target, ref.Text); refused == nil {
				f.imports.roots = append(f.imports.roots, target)
				refused = f.add(withUnsaved(found.files[from:], []string{target}, unsaved), ref.Text, unsaved)
			}
			f.imports.refused[target] = refused
		}
	}
	slices.Sort(f.imports.roots)
}

// add adds sources that one at hand imports.
func (f *Files) add(paths []string, ref string, unsaved map[string]string) *refusal {
	for _, path := range paths {
		if isTest(path) || slices.ContainsFunc(f.Sources, func(s *dsl.Source) bool { return s.Name == path }) {
			continue
		}
		if err := f.read(path, unsaved); err != nil {
			return unreadable(ref, err)
		}
		f.imports.files[path] = true
	}
	return nil
}

var importing = regexp.MustCompile(`(?m)^["']?imports["']?\s*:`)

// importsIn are the imports of a file, as far as it can be read.
func importsIn(src *dsl.Source) (refs []*dsl.Node) {
	if !importing.MatchString(src.Text) {
		return nil
	}
	var later dsl.Diagnostics // the check reports them
	for _, doc := range dsl.Parse(src, &later) {
		if list := doc.Field("imports"); list != nil {
			refs = append(refs, slices.DeleteFunc(slices.Clone(list.Items), func(n *dsl.Node) bool { return n.Kind != dsl.Scalar || n.Broken() })...)
		}
	}
	return refs
}

// importTarget is the path that an import names, or why it names none.
func importTarget(src *dsl.Source, ref string) (target string, refused *refusal) {
	clean := path.Clean(filepath.ToSlash(ref))
	switch {
	case ref == "" || strings.ContainsRune(ref, 0):
		return "", bad("an import is the path of a file or of a directory", "write it as it is seen from this file, such as ../shared")
	case strings.Contains(ref, "$("):
		return "", bad("an import cannot be an expression", "write the path")
	case strings.Contains(ref, "://"):
		return "", bad("only files and directories can be imported", "save the files beside these, and write their path")
	case path.IsAbs(clean) || filepath.IsAbs(filepath.FromSlash(ref)):
		return "", bad("an import is relative to the file that it stands in", "write the path as it is seen from here, such as ../shared")
	}
	dir := filepath.Dir(src.Name)
	target = filepath.Join(dir, filepath.FromSlash(clean))
	if rel, err := filepath.Rel(target, dir); strings.Trim(clean, "./") == "" || err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", bad(fmt.Sprintf("%q is a directory that holds this file itself", ref), "import the file or the directory that is needed")
	}
	return target, nil
}

// imported finds what an import leads to.
func (f *finder) imported(target, ref string) *refusal {
	info, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() && strings.HasSuffix(ref, "/"):
		return &refusal{dsl.Diagnostic{Code: "unknown-file", Message: fmt.Sprintf("there is no file and no directory %q", ref),
			Hint: "write its path as it is seen from this file; it is " + filepath.ToSlash(target) + " for Weir"}, nearby(target, ref)}
	case err != nil:
		return unreadable(ref, reason(err))
	case !info.IsDir() && (!isFlowPath(target) || !info.Mode().IsRegular()):
		return bad(fmt.Sprintf("%q is no flow file", ref), "import a .yaml or .yml file, or a directory that holds some")
	case !info.IsDir() && isTest(target):
		return bad(fmt.Sprintf("%q holds tests, which are not imported", ref), "run them where they stand, and import the flows that they are about")
	}
	f.left = mostImported
	before := f.met
	switch err := f.find(target); {
	case errors.Is(err, errTooMany):
		return bad(fmt.Sprintf("%q holds more than %d files and directories", ref, mostImported), "import the directory that holds no more than flow files")
	case err != nil:
		return unreadable(ref, err)
	case f.met == before:
		return bad(fmt.Sprintf("there are no flow files in %q", ref), "import a directory that holds .yaml or .yml files, or remove the import")
	}
	return nil
}

func bad(message, hint string) *refusal {
	return &refusal{Diagnostic: dsl.Diagnostic{Code: "bad-import", Message: message, Hint: hint}}
}

func unreadable(ref string, err error) *refusal {
	return bad(fmt.Sprintf("%q cannot be imported: %v", ref, err), "let Weir read it, or import what is needed of it")
}

// nearby are paths that an author can have meant by ref, which is not there:
// those with another name in the place of the first that is wrong.
func nearby(target, ref string) (near []string) {
	parts := strings.Split(path.Clean(filepath.ToSlash(ref)), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		target = filepath.Dir(target)
		entries, err := os.ReadDir(target)
		if err != nil {
			continue
		}
		for _, entry := range entries[:min(len(entries), mostImported)] {
			if name := entry.Name(); (entry.IsDir() || isFlowPath(name)) && !hidden(name) {
				near = append(near, strings.Join(slices.Concat(parts[:i], []string{name}, parts[i+1:]), "/"))
			}
		}
		return near
	}
	return nil
}

// refusal is what became of an import, nil if it led somewhere. Files that were
// not loaded have no more than their names.
func (f *Files) refusal(src *dsl.Source, ref string) *refusal {
	target, refused := importTarget(src, ref)
	if refused != nil {
		return refused
	}
	if refused, known := f.imports.refused[target]; known {
		return refused
	}
	var near []string
	for _, s := range f.Sources {
		if s.Name == target || strings.HasPrefix(s.Name, target+string(filepath.Separator)) {
			return nil
		}
		for name := s.Name; name != "." && name != string(filepath.Separator); name = filepath.Dir(name) {
			if rel, err := filepath.Rel(filepath.Dir(src.Name), name); err == nil && !slices.Contains(near, filepath.ToSlash(rel)) {
				near = append(near, filepath.ToSlash(rel))
			}
		}
	}
	return &refusal{dsl.Diagnostic{Code: "unknown-file", Message: fmt.Sprintf("there is no file and no directory %q", ref), Hint: "write its path as it is seen from this file"}, near}
}

// imports reports the imports that led nowhere.
func (c *checker) imports(section dsl.Field) {
	v := section.Value
	if v.Kind != dsl.List {
		if !v.Broken() {
			c.ds.Report(dsl.Diagnostic{Span: section.Key.Span, Code: "wrong-type", Message: "imports is a list of paths, not " + v.Describe(), Hint: "write imports: [../shared]"})
		}
		c.partial = true
		return
	}
	for _, ref := range v.Items {
		switch {
		case ref.Broken():
			c.partial = true
		case ref.Kind != dsl.Scalar:
			c.partial = true
			c.ds.Report(dsl.Diagnostic{Span: ref.KeySpan(), Code: "wrong-type", Message: "an import is a path, not " + ref.Describe(), Hint: "write for example ../shared"})
		default:
			if refused := c.files.refusal(ref.Span.Source, ref.Text); refused != nil {
				c.partial = true
				d := refused.Diagnostic
				d.Span = ref.Span
				d.Suggest(ref.Text, refused.near)
				c.ds.Report(d)
			}
		}
	}
}
