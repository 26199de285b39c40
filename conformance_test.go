package weir_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/conformance.md")

const (
	conformance  = "docs/conformance.md"
	requirements = "testdata/conformance"
)

// A standard is a document that Weir follows, with what it asks of the part that
// Weir plays in it. A file of testdata/conformance has one:
//
//	RFC 9111: HTTP Caching
//	https://www.rfc-editor.org/rfc/rfc9111.html
//	The policy cache is a shared cache.
//
//	3 MUST NOT What has a request of a method that is not understood is not stored.
//	  = how a test of section 3 is named behind its section
//	  = 3.1: one of another section
//	  = RFC 9110 9.3.2: one of another standard
//	  = gateway/policies.TestCacheVary/a subtest that is named for what it does
//	5.2.2.11 MAY A requirement that is not met, or that is of others.
//	  not met: why, and what happens instead may be shown by a test, too
//	  does not apply: why
//
// What tests are named for a standard and stand for no requirement is listed
// behind them, so that a standard needs no file to be found here.
type standard struct {
	name, title, url, role string

	requirements []requirement
}

type requirement struct {
	line           string // of the file, for messages
	section, level string
	text           string
	shown          []string // references to tests
	not            []string // why it is not met, or not ours
}

var requirementLine = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)*|-) (MUST NOT|MUST|SHOULD NOT|SHOULD|MAY) (\S.*)$`)

func parseStandard(file, text string) (s standard, err error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) < 4 || lines[3] != "" {
		return s, fmt.Errorf("%s: begins with a name and a title, a URL, the part that Weir plays, and an empty line", file)
	}
	s.name, s.title, _ = strings.Cut(lines[0], ": ")
	s.url, s.role = lines[1], lines[2]
	for n, line := range lines[4:] {
		where := fmt.Sprintf("%s:%d", file, n+5)
		detail, indented := strings.CutPrefix(line, "  ")
		switch {
		case line == "":
		case !indented:
			m := requirementLine.FindStringSubmatch(line)
			if m == nil {
				return s, fmt.Errorf("%s: is no requirement: section, MUST, MUST NOT, SHOULD, SHOULD NOT or MAY, and what", where)
			}
			s.requirements = append(s.requirements, requirement{line: where, section: m[1], level: m[2], text: m[3]})
		case len(s.requirements) == 0:
			return s, fmt.Errorf("%s: belongs to no requirement", where)
		default:
			r := &s.requirements[len(s.requirements)-1]
			if test, ok := strings.CutPrefix(detail, "= "); ok {
				r.shown = append(r.shown, s.reference(r.section, test))
			} else if strings.HasPrefix(detail, "not met: ") || strings.HasPrefix(detail, "does not apply: ") {
				r.not = append(r.not, detail)
			} else {
				return s, fmt.Errorf("%s: is neither a test (=), nor not met:, nor does not apply:", where)
			}
		}
	}
	return s, nil
}

var sectioned = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*: `)

// reference is the whole name of a test that a requirement refers to in short.
func (s standard) reference(section, test string) string {
	switch {
	case claimed.MatchString(test), testPath.MatchString(test):
		return test
	case sectioned.MatchString(test):
		return s.name + " " + test
	case section == "-":
		return s.name + ": " + test
	}
	return s.name + " " + section + ": " + test
}

func standards(t *testing.T) (all []standard) {
	files, err := filepath.Glob(requirements + "/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no requirements", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseStandard(filepath.ToSlash(file), string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// bySection orders sections as numbers, not as text.
func bySection(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		m, _ := strconv.Atoi(as[i])
		n, _ := strconv.Atoi(bs[i])
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// byStandard puts the RFCs first, by number, and the others behind them.
func byStandard(a, b string) int {
	number := func(name string) int {
		if rest, ok := strings.CutPrefix(name, "RFC "); ok {
			n, _ := strconv.Atoi(rest)
			return n
		}
		return 1 << 30
	}
	return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b))
}

// TestConformance holds every requirement against the tests that show it, and
// docs/conformance.md against both.
func TestConformance(t *testing.T) {
	tests := findTests(t)
	all := standards(t)
	known := map[string]*standard{}
	for i := range all {
		s := &all[i]
		known[s.name] = s
		for _, r := range s.requirements {
			if len(r.shown)+len(r.not) == 0 {
				t.Errorf("%s: needs tests that show it, or a reason why there are none", r.line)
			}
			for _, name := range r.shown {
				if len(tests.find(name)) == 0 {
					t.Errorf("%s: there is no test %q", r.line, name)
				}
			}
		}
	}
	for _, c := range tests.claims {
		if known[c.standard] == nil {
			s := standard{name: c.standard, title: "text"}
			if number, ok := strings.CutPrefix(c.standard, "RFC "); ok {
				s.url = "https://www.rfc-editor.org/rfc/rfc" + number + ".html"
			}
			all = append(all, s)
			known[c.standard] = &standard{}
		}
	}
	slices.SortStableFunc(all, func(a, b standard) int { return byStandard(a.name, b.name) })
	want := conformancePage(all, tests)
	got, _ := os.ReadFile(conformance)
	if string(got) == want {
		return
	}
	if !*update {
		t.Errorf("%s is not what the tests are named: make generate", conformance)
		return
	}
	if err := os.WriteFile(conformance, []byte(want), 0o666); err != nil {
		t.Fatal(err)
	}
}

func conformancePage(all []standard, tests *found) string {
	var b strings.Builder
	b.WriteString(`<!-- Written by make generate, from the names of the tests and ` + requirements + `. -->

# Conformance

What the standards ask of the part that Weir plays, in our words, and the test that shows that it is so. What is not met, and
what does not concern Weir, says why. Tests that are named for a section of a standard and show more than it asks for, or
what no list here has, stand behind its table.

| standard | what it is of |
| --- | --- |
`)
	for _, s := range all {
		title := s.title
		if s.url != "" {
			title = "[" + s.title + "](" + s.url + ")"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", s.name, strings.ToLower(strings.ReplaceAll(s.name, " ", "-")), title)
	}
	for _, s := range all {
		fmt.Fprintf(&b, "\n## %s\n", s.name)
		if s.role != "" {
			fmt.Fprintf(&b, "\n%s\n", s.role)
		}
		told := map[string]bool{}
		if len(s.requirements) > 0 {
			b.WriteString("\n| section | what must hold | shown by |\n| --- | --- | --- |\n")
		}
		for _, r := range s.requirements {
			var shown []claim
			for _, name := range r.shown {
				shown = append(shown, tests.find(name)...)
				told[name] = true
			}
			by := cited(shown)
			for _, why := range r.not {
				by = append(by, "*"+strings.Replace(why, ": ", "*: ", 1))
			}
			fmt.Fprintf(&b, "| %s | **%s** %s | %s |\n", strings.Trim(r.section, "-"), r.level, cell(r.text), strings.Join(by, "<br>"))
		}
		bySections := map[string][]claim{}
		for _, c := range tests.claims {
			if c.standard == s.name && !told[c.full()] {
				bySections[c.section] = append(bySections[c.section], c)
			}
		}
		if len(bySections) == 0 {
			continue
		}
		sections := make([]string, 0, len(bySections))
		for section := range bySections {
			sections = append(sections, section)
		}
		slices.SortFunc(sections, bySection)
		heading := "further tests"
		if len(s.requirements) == 0 {
			heading = "tests"
		}
		fmt.Fprintf(&b, "\n| section | %s |\n| --- | --- |\n", heading)
		for _, section := range sections {
			fmt.Fprintf(&b, "| %s | %s |\n", section, strings.Join(cited(bySections[section]), "<br>"))
		}
	}
	return b.String()
}

// cited names tests, those of one function together.
func cited(claims []claim) (out []string) {
	type key struct{ dir, file, test string }
	at := map[key]int{}
	for _, c := range claims {
		k := key{c.dir, c.file, c.test}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, fmt.Sprintf("%s [%s](../%s)", c.dir, c.test, path.Join(c.dir, c.file)))
		}
		if c.text != "" {
			sep := "; "
			if !ok {
				sep = ": "
			}
			out[i] += sep + cell(c.text)
		}
	}
	return out
}

// cell is text in a table of Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}
