package sim

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

var update = flag.Bool("update", false, "rewrite the tables of the guide that come from the simulation")

const guide = "../../docs/guide/resilience.md"

var writing sync.Mutex // of the guide

// table is figures with their heads. It is printed, and stands in the guide.
type table struct{ rows [][]string }

func (s *table) add(cells ...string) { s.rows = append(s.rows, cells) }

// published prints the table, and holds the one of the guide that has the same
// heads against it.
func (s *table) published(t *testing.T) {
	t.Helper()
	var lines []string
	var text strings.Builder
	aligned := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for i, row := range s.rows {
		lines = append(lines, "| "+strings.Join(row, " | ")+" |")
		if i == 0 {
			lines = append(lines, strings.Repeat("| --- ", len(row))+"|")
		}
		aligned.Write([]byte(strings.ReplaceAll(strings.Join(row, "\t"), "`", "") + "\n"))
	}
	aligned.Flush()
	t.Logf("\n%s", text.String())
	if runtime.GOARCH != "amd64" {
		return // logarithms of another processor may differ in their last bit, and then figures in theirs
	}
	writing.Lock()
	defer writing.Unlock()
	b, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(b), "\n")
	from := slices.Index(all, lines[0])
	if from < 0 {
		t.Fatalf("%s has no table with the heads\n%s", guide, lines[0])
	}
	to := from
	for to < len(all) && strings.HasPrefix(all[to], "|") {
		to++
	}
	switch {
	case slices.Equal(all[from:to], lines):
	case *update:
		if err := os.WriteFile(guide, []byte(strings.Join(slices.Replace(all, from, to, lines...), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has other figures; go test ./mesh/sim -update writes these:\n%s", guide, strings.Join(lines, "\n"))
	}
}
