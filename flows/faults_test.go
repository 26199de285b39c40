package flows_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway/policies"
)

var update = flag.Bool("update", false, "rewrite the diagnostics that testdata/faults expects")

const faultsDir = "testdata/faults"

// shown is how many diagnostics the goldens hold at most.
const shown = 20

// TestFaults holds every mistake in testdata/faults against the diagnostics
// that its author sees. An archive is a program: its files, and the one called
// want; behind it, as fixed/NAME, are the files that the certain fixes change.
// Files stand beside site.yaml, unless the archive has its own.
func TestFaults(t *testing.T) {
	site, err := os.ReadFile(filepath.Join(faultsDir, "site.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range archives(t) {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(path), faultsDir+"/"), ".txtar")
		t.Run(name, func(t *testing.T) {
			a := parseArchive(t, path)
			sources := a.sources(string(site))
			faults := check(sources)
			faults = slices.DeleteFunc(faults, func(d dsl.Diagnostic) bool {
				return d.Severity == dsl.Note && d.Span.Source != nil && d.Span.Source.Text == string(site) // what all share is used by few
			})
			if len(faults) == 0 {
				t.Error("no fault was found")
			}
			for _, d := range faults {
				judge(t, d)
			}
			var got strings.Builder
			limit := shown
			if strings.HasPrefix(name, "schemas/") || strings.HasPrefix(name, "secrets/") {
				limit = 0
			}
			dsl.Render(&got, faults, dsl.RenderOptions{Limit: limit})
			fixed := fixedFiles(t, sources, faults)
			switch {
			case got.String() == a.want && slices.Equal(fixed, a.fixed):
			case *update:
				a.want, a.fixed = got.String(), fixed
				a.write(t)
			case got.String() != a.want:
				t.Errorf("got\n%s\nwant\n%s", got.String(), a.want)
			default:
				t.Errorf("the fixes make\n%s\nwant\n%s", fixed, a.fixed)
			}
		})
	}
}

func archives(tb testing.TB) (paths []string) {
	err := filepath.WalkDir(faultsDir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".txtar" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		tb.Fatal(err, paths)
	}
	return paths
}

// archive is a file in the txtar format.
type archive struct {
	path    string
	comment string
	files   []archived
	want    string
	fixed   []archived // the files that the certain fixes change, as they are then
}

type archived struct{ name, text string }

var marker = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func parseArchive(tb testing.TB, path string) archive {
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	at := marker.FindAllSubmatchIndex(text, -1)
	if len(at) == 0 {
		tb.Fatal("the archive is empty")
	}
	a := archive{path: path, comment: string(text[:at[0][0]])}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		a.files = append(a.files, archived{string(text[m[2]:m[3]]), string(text[m[1]:end])})
	}
	last := slices.IndexFunc(a.files, func(f archived) bool { return f.name == "want" })
	if last < 0 {
		tb.Fatal("no file of the archive is called want")
	}
	a.files, a.want, a.fixed = a.files[:last], a.files[last].text, a.files[last+1:]
	return a
}

func (a archive) write(tb testing.TB) {
	text := a.comment
	for _, f := range slices.Concat(a.files, []archived{{"want", a.want}}, a.fixed) {
		text += "-- " + f.name + " --\n" + f.text
	}
	if err := os.WriteFile(a.path, []byte(text), 0o666); err != nil {
		tb.Fatal(err)
	}
}

// sources gives the files of an archive, with site.yaml if it has none.
func (a archive) sources(site string) (all []*dsl.Source) {
	if !slices.ContainsFunc(a.files, func(f archived) bool { return f.name == "site.yaml" }) {
		all = append(all, dsl.NewSource("site.yaml", site))
	}
	for _, f := range a.files {
		if f.text != "<NONE>\n" {
			all = append(all, dsl.NewSource(f.name, expand(f.text)))
		}
	}
	slices.SortFunc(all, func(a, b *dsl.Source) int { return strings.Compare(a.Name, b.Name) })
	return all
}

var (
	named    = strings.NewReplacer("<TAB>", "\t", "<NUL>", "\x00", "<U+202E>", "\u202e", "<xE9>", "\xe9")
	repeated = regexp.MustCompile(`(?s)<(\d+)\*(.+?)>`)
)

// expand lets an archive hold what text cannot: <TAB> and the like, and <3*x>
// for xxx.
func expand(text string) string {
	return repeated.ReplaceAllStringFunc(named.Replace(text), func(m string) string {
		parts := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], n)
	})
}

func catalog() *flows.Catalog {
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		panic(err)
	}
	guards, err := policies.NewCatalog(policies.All()...)
	if err != nil {
		panic(err)
	}
	return &flows.Catalog{Steps: verbs, Policies: guards}
}

func check(files []*dsl.Source) []dsl.Diagnostic {
	env := map[string]string{"HOME_URL": "http://home.local", "API_KEY": "sk-live-0123456789", "BLANK": ""}
	var all flows.Files
	for _, f := range files {
		if strings.HasPrefix(f.Name, "api/") { // not a flow file: one that flow files refer to
			all.Documents = append(all.Documents, f)
		} else {
			all.Sources = append(all.Sources, f)
		}
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	draft := flows.Parse(&all)
	secrets := flows.SecretStore{Dir: "testdata/secrets", Env: lookup}
	_, faults := draft.Check(catalog(), flows.Environment{Env: lookup, Secrets: secrets.Read(draft.Secrets()), Notes: true})
	return faults
}

// jargon is what the libraries below and Go itself say, and no author should
// have to read.
var jargon = regexp.MustCompile(`yaml:|reflect|interface|nil|map\[|\[\]|Operator|(unexpected|any|unknown|invalid) token|EOF|unmarshal|func\(|float64|int64|[^"]types\.|goroutine|runtime|%!`)

// judge holds what every diagnostic owes its reader.
func judge(t *testing.T, d dsl.Diagnostic) {
	t.Helper()
	if !d.Span.Valid() && d.Code != "no-files" {
		t.Errorf("%q has no place", d.Message)
	}
	if d.Hint == "" {
		t.Errorf("%s: %q has no remedy", d.Span, d.Message)
	}
	for _, text := range []string{d.Message, d.Hint} {
		if found := jargon.FindString(text); found != "" {
			t.Errorf("%s: %q holds jargon: %s", d.Span, text, found)
		}
		if strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "...") {
			t.Errorf("%s: %q ends in a period", d.Span, text)
		}
	}
}
