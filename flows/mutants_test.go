package flows_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inPlace is what mutants have in place of a value.
var inPlace = []string{"", "[]", "{}", "1", "-1s", `""`, "null", "$(x", "${x}", "$(query)", "- a", "a: b", "GET users /x", "*a"}

// TestMutantsAreJudged changes every line of the archived programs in turn. What
// comes of it need not be wrong; but if it is, its author must be told as of any
// other fault, and nothing may break over it.
func TestMutantsAreJudged(t *testing.T) {
	site, err := os.ReadFile(filepath.Join(faultsDir, "site.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range archives(t) {
		a := parseArchive(t, path)
		for i, f := range a.files {
			if repeated.MatchString(f.text) {
				continue // long, and no different
			}
			lines := strings.SplitAfter(f.text, "\n")
			for k := range lines {
				for _, mutant := range mutants(lines[k], i+k) {
					changed := slices.Clone(lines)
					changed[k] = mutant
					a.files[i].text = strings.Join(changed, "")
					sources := a.sources(string(site))
					faults := check(sources)
					for _, d := range faults {
						judge(t, d)
					}
					fixedFiles(t, sources, faults)
					if t.Failed() {
						t.Fatalf("%s, changed to\n%s", path, a.files[i].text)
					}
				}
			}
			a.files[i].text = f.text
		}
	}
}

// mutants are variants of a line: gone, or with another value behind its colon.
// Each line gets some of the values, and all of them come about.
func mutants(line string, turn int) []string {
	all := []string{""}
	if key, _, ok := strings.Cut(line, ": "); ok {
		for i := range 2 {
			all = append(all, key+": "+inPlace[(2*turn+i)%len(inPlace)]+"\n")
		}
	}
	return all
}
