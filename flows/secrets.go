package flows

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/weir-run/weir/dsl"
)

// SecretStore is where secrets are: files below a directory, and variables of
// the environment for those that no file holds. Only what flow files name is
// looked for. It is safe for concurrent use.
type SecretStore struct {
	Dir      string                                    // "": there are no files
	Env      func(name string) (value string, ok bool) // nil: there are no variables
	Redactor *dsl.Redactor                             // is told of all that is found
}

// DefaultSecrets is the directory that container platforms mount secrets below.
const DefaultSecrets = "/run/secrets"

// Secrets are the secrets that some flow files name, as they were at one moment.
// They are immutable.
type Secrets struct {
	values []dsl.SecretValue // sorted by name
	looked []string          // the paths that were tried
	sum    [sha256.Size]byte // of all of it; it means something in this process only
	madeUp bool              // they are those of a test
}

const maxSecret = 64 << 10 // bytes

// A secret is named by one or more segments: directories, and a file. None of
// them leads out of the directory, or is one of those that Kubernetes keeps
// beside the files of a volume, which begin with dots.
var (
	secretName    = regexp.MustCompile(`\bsecret((?:\s*(?:\?\.|\.)\s*[A-Za-z_][A-Za-z0-9_]*|\s*(?:\?\.)?\s*\[\s*(?:"[^"\\]*"|'[^'\\]*')\s*\])+)`)
	secretPart    = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*|"[^"]*"|'[^']*'`)
	secretSegment = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$`)
)

const maxSegments = 8

// secretsOf gives the names of the secrets that flows and services seem to name,
// and those that only tests do.
func secretsOf(docs []*dsl.Node) (secrets, tested []string) {
	named, inTests := map[string]bool{}, map[string]bool{}
	for _, doc := range docs {
		if isTest(doc.Span.Source.Name) {
			secretsIn(doc, inTests)
			continue
		}
		for _, f := range doc.Fields {
			if f.Key.Text == "tests" {
				secretsIn(f.Value, inTests)
			} else {
				secretsIn(f.Value, named)
			}
		}
	}
	for name := range named {
		delete(inTests, name)
	}
	return slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(inTests))
}

// Secrets are the names of the secrets that the files seem to name, for a
// SecretStore: the segments of each with / between.
func (d *Draft) Secrets() []string { return d.secrets }

// secretsIn gives the names of the secrets that the scalars of a document seem to
// name. To look for one too much does no harm.
func secretsIn(n *dsl.Node, found map[string]bool) {
	var all [][]string
	if strings.Contains(n.Text, "secret") { // the pattern is slow to find that there is none
		all = secretName.FindAllStringSubmatch(n.Text, -1)
	}
	for _, m := range all {
		parts := secretPart.FindAllString(m[1], -1)
		for i, part := range parts {
			parts[i] = strings.Trim(part, `"'`)
		}
		if !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(part, "/") }) {
			found[strings.Join(parts, "/")] = true
		}
	}
	for _, item := range n.Items {
		secretsIn(item, found)
	}
	for _, f := range n.Fields {
		secretsIn(f.Value, found)
	}
}

// Read looks for secrets, which are named as Draft.Secrets does. What is wrong
// with one is told where it is used.
func (s *SecretStore) Read(names []string) *Secrets {
	out := &Secrets{}
	sum := hmac.New(sha256.New, processKey())
	for _, name := range slices.Sorted(slices.Values(names)) {
		v := dsl.SecretValue{Name: name}
		v.Text, v.Denied = s.find(name, out)
		fmt.Fprintf(sum, "%q %q %t\n", name, v.Text, v.Denied != nil)
		out.values = append(out.values, v)
	}
	sum.Sum(out.sum[:0])
	s.Redactor.Add(out.Values())
	return out
}

// shownAs is a name as it is written in expressions.
func shownAs(name string) string { return "secret." + strings.ReplaceAll(name, "/", ".") }

// processKey makes sums of secrets worthless to whoever finds one.
var processKey = sync.OnceValue(func() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it does not fail
	return key
})

// find gives the text of one secret, or why there is none.
func (s *SecretStore) find(name string, out *Secrets) (text string, why *dsl.Denied) {
	segments := strings.Split(name, "/")
	written := shownAs(name)
	denied := func(hint, format string, args ...any) *dsl.Denied {
		return &dsl.Denied{Code: "no-secret", Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if why := misnamed(name); why != nil {
		return "", why
	}
	var places []string
	if s.Dir != "" {
		path := filepath.Join(append([]string{s.Dir}, segments...)...)
		out.looked = append(out.looked, path)
		text, err := readSecret(path)
		switch {
		case err == nil:
			return text, nil
		case !errors.Is(err, errNoSecret):
			return "", denied("repair the file", "%s cannot be used: %s %v", written, path, err)
		}
		places = append(places, "the file "+path)
	}
	if s.Env != nil && len(segments) == 1 {
		if text, ok := s.Env(name); ok {
			if err := CheckSecret(text); err != nil {
				return "", denied("set it to the secret", "%s cannot be used: the variable %s %v", written, name, err)
			}
			return text, nil
		}
		places = append(places, "the variable "+name)
	}
	if len(places) == 0 {
		return "", denied("name the directory of secrets with --secrets", "there is no %s: secrets below others are files, and no directory is named", written)
	}
	hint := "provide it; tests write secrets: { " + strings.Join(segments, ".") + ": ... }"
	if near, ok := dsl.Nearest(segments[len(segments)-1], s.beside(segments)); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	missing := places[0] + " is not there"
	if len(places) > 1 {
		missing = "neither " + strings.Join(places, " nor ") + " is there"
	}
	return "", denied(hint, "there is no %s: %s", written, missing)
}

// misnamed says why a secret cannot have a name.
func misnamed(name string) *dsl.Denied {
	segments := strings.Split(name, "/")
	if len(segments) <= maxSegments && !slices.ContainsFunc(segments, func(segment string) bool { return !secretSegment.MatchString(segment) }) {
		return nil
	}
	return dsl.Misnamed(strings.Join(segments, "."))
}

// beside are the names of the files that stand where a secret was looked for.
func (s *SecretStore) beside(segments []string) (names []string) {
	if s.Dir == "" {
		return nil
	}
	entries, _ := os.ReadDir(filepath.Join(append([]string{s.Dir}, segments[:len(segments)-1]...)...)) // none: no nearest
	for _, e := range entries {
		if secretSegment.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// errNoSecret says that there is no such file.
var errNoSecret = errors.New("is not there")

// readSecret reads a file that holds a secret, without the line break that
// editors put at the end. Its errors begin with a verb.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", errNoSecret
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", reason(err))
	case info.IsDir():
		return "", errors.New("is a directory; write the name of a file in it behind another dot")
	case !info.Mode().IsRegular():
		return "", errors.New("is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+3))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", reason(err))
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	return text, CheckSecret(text)
}

// CheckSecret says, beginning with a verb, what keeps a text from being a secret. An empty one would
// open every door that it is compared for.
func CheckSecret(text string) error {
	switch {
	case text == "":
		return errors.New("is empty")
	case len(text) < dsl.ShortestSecret:
		return fmt.Errorf("has less than %d characters, too few to tell it apart in a log", dsl.ShortestSecret)
	case len(text) > maxSecret:
		return fmt.Errorf("is longer than %d KiB", maxSecret>>10)
	case !utf8.ValidString(text):
		return errors.New("is not text in UTF-8; write it in Base64, and read it with fromBase64")
	}
	return nil
}

// Values are the secrets that are there, by the names that expressions have for
// them.
func (s *Secrets) Values() map[string]string {
	all := map[string]string{}
	if s != nil {
		for _, v := range s.values {
			if v.Denied == nil {
				all[shownAs(v.Name)] = v.Text
			}
		}
	}
	return all
}

// Name is the name secret where nobody asks what becomes of the values.
func (s *Secrets) Name() *dsl.Name { return dsl.SecretName(s.values, false) }

// name is what the name secret stands for. Nil Secrets have not been looked for:
// all names are there, and none can be read.
func (s *Secrets) name(names []string) *dsl.Name {
	if s != nil {
		return dsl.SecretName(s.values, true)
	}
	var all []dsl.SecretValue
	for _, name := range names {
		all = append(all, dsl.SecretValue{Name: name, Unknown: true, Denied: misnamed(name)})
	}
	return dsl.SecretName(all, true)
}

// MadeUp are secrets for tests: the texts given, and made-up ones for the others
// that the flows and services name.
func (d *Draft) MadeUp(given map[string]string) *Secrets {
	out := &Secrets{madeUp: true}
	for _, name := range d.secrets {
		text, ok := given[strings.ReplaceAll(name, "/", ".")]
		if !ok {
			text = "made-up-" + strings.ReplaceAll(name, "/", "-")
		}
		out.values = append(out.values, dsl.SecretValue{Name: name, Text: text, Denied: misnamed(name)})
	}
	for _, name := range d.tested {
		why := &dsl.Denied{Code: "no-secret", Message: fmt.Sprintf("no flow and no service reads %s", shownAs(name)), Hint: "write the text itself"}
		if near, ok := dsl.Nearest(name, d.secrets); ok {
			why.Hint = fmt.Sprintf("did you mean %s?", shownAs(near))
		}
		out.values = append(out.values, dsl.SecretValue{Name: name, Denied: why})
	}
	return out
}
