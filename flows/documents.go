package flows

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Flow files refer to others: schemas, OpenAPI documents. These are read with
// them, so that a check touches nothing and a change of one is a change of the
// program. What a file refers to is found in its text, before anyone knows what
// the text means: to read a file too much does no harm, and one that is not
// there is reported where its name stands.

// reference is a key whose value is the path of a file, in YAML or JSON. What
// stands behind # is a place in the file.
var reference = regexp.MustCompile(`(?:\$ref|openapi)["']?\s*:\s*(?:"([^"\n#]+)|'([^'\n#]+)|([^\s"'#,{}\[\]]+))`)

// flowFile is a section of a flow file, foreign the head of a file that is none.
var (
	flowFile = regexp.MustCompile(`(?m)^["']?(?:flow|services|gateways|policies|templates?|tests|functions|imports)["']?\s*:`)
	foreign  = regexp.MustCompile(`(?m)^["']?(?:openapi|swagger|\$schema|\$id)["']?\s*:`)
	version  = regexp.MustCompile(`^[0-9.]+$`)
)

const maxDocuments = 1000

// references gives the clean paths of the files that a text refers to.
func references(name, text string) (paths []string) {
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		ref := strings.TrimSpace(m[1] + m[2] + m[3])
		if ref == "" || version.MatchString(ref) || strings.Contains(ref, "://") || strings.Contains(ref, "$(") || strings.ContainsRune(ref, 0) {
			continue
		}
		if ref = filepath.FromSlash(ref); !filepath.IsAbs(ref) {
			ref = filepath.Join(filepath.Dir(name), ref)
		}
		if ref = filepath.Clean(ref); !slices.Contains(paths, ref) {
			paths = append(paths, ref)
		}
	}
	return paths
}

// documents reads the files that sources refer to, and those that these refer
// to. looked are all paths that were tried, sorted. Sources that are such files
// themselves are taken out of the flow files.
func documents(sources []*dsl.Source, unsaved map[string]string) (flows, docs []*dsl.Source, looked []string, err error) {
	tried := map[string]bool{}
	known := map[string]*dsl.Source{}
	for _, s := range sources {
		known[s.Name] = s
	}
	var queue []string
	refer := func(s *dsl.Source) {
		for _, path := range references(s.Name, s.Text) {
			if !tried[path] {
				tried[path] = true
				queue = append(queue, path)
			}
		}
	}
	for _, s := range sources {
		if isFlowFile(s.Text) || !foreign.MatchString(s.Text) {
			refer(s)
		}
	}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		s := known[path]
		if s == nil {
			text, ok := unsaved[path]
			if !ok {
				read, err := readDocument(path)
				if err != nil {
					return nil, nil, nil, err
				}
				if read == nil {
					continue
				}
				text = *read
			}
			s = dsl.NewSource(path, text)
		}
		if docs = append(docs, s); len(docs) > maxDocuments {
			return nil, nil, nil, fmt.Errorf("the flow files refer to more than %d other files", maxDocuments)
		}
		refer(s)
	}
	for _, s := range sources {
		if isFlowFile(s.Text) || !tried[s.Name] && !foreign.MatchString(s.Text) {
			flows = append(flows, s)
		}
	}
	for path := range tried {
		looked = append(looked, path)
	}
	slices.Sort(looked)
	slices.SortFunc(docs, func(a, b *dsl.Source) int { return strings.Compare(a.Name, b.Name) })
	return flows, docs, looked, nil
}

func isFlowFile(text string) bool { return flowFile.MatchString(text) }

// readDocument gives nil for what is no file.
func readDocument(path string) (*string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot read %s: %w", path, reason(err))
	case errors.As(err, &pathErr):
		return nil, nil // no path at all, such as one below a file
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	text := string(b)
	return &text, nil
}

// withDocuments adds the files that were looked for to those that were found,
// each with what tells whether it has changed; one that is not there has a
// stamp, too.
func withDocuments(files []file, looked []string) []file {
	for _, path := range looked {
		f := file{path: path}
		if info, err := os.Stat(path); err == nil {
			f.stamp = stampOf(info)
		}
		files = append(files, f)
	}
	return files
}
