package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThePatternCatalogue holds the index of the patterns against their pages,
// and the pages against the files of the flows: each pattern that the index does
// not say no to has a section, and each section a flow, as its file has it.
func TestThePatternCatalogue(t *testing.T) {
	const dir = root + "/docs/guide/patterns"
	index := read(t, dir+"/README.md")
	_, tables, _ := strings.Cut(index, "\n## ")
	sections := map[string]string{} // page#anchor: text
	linked := map[string]bool{}
	for _, path := range glob(t, "/docs/guide/patterns/*.md") {
		page := filepath.Base(path)
		if page == "README.md" {
			continue
		}
		for _, section := range strings.Split(read(t, path), "\n## ")[1:] {
			name, text, _ := strings.Cut(section, "\n")
			link := page + "#" + anchor(name)
			sections[link] = text
			if !strings.Contains(tables, "| ["+name+"]("+link+") |") {
				t.Errorf("the index does not list %s (%s)", name, link)
			}
			flow := regexp.MustCompile(`\n\[[a-z-]+\.yaml\]\((.*)\)\n\n` + "```yaml\n((?:flow|template): (?s:.*?))```\n").FindStringSubmatch(text)
			switch {
			case flow == nil:
				t.Errorf("%s links to no file that it shows", link)
			case !strings.HasPrefix(read(t, filepath.Join(dir, flow[1])), flow[2]+"---\n"):
				t.Errorf("%s shows another flow than %s begins with", link, flow[1])
			default:
				linked[filepath.Join(dir, flow[1])] = true
			}
		}
	}
	for _, path := range glob(t, "/docs/guide/patterns/*/*.yaml") {
		if !linked[filepath.Clean(path)] {
			t.Errorf("no page shows %s", path)
		}
	}
	var book, shown int
	table, _, _ := strings.Cut(tables, "\n## ")
	for _, row := range regexp.MustCompile(`(?m)^\| (.*) \| (.*) \|$`).FindAllStringSubmatch(table, -1)[2:] {
		book++
		link := regexp.MustCompile(`^\[.*\]\((.*)\)$`).FindStringSubmatch(row[1])
		switch {
		case link == nil && !strings.HasPrefix(row[2], "not: "):
			t.Errorf("%s has neither a page nor a reason", row[1])
		case link != nil && sections[link[1]] == "":
			t.Errorf("%s has no section", row[1])
		case link != nil:
			shown++
		}
	}
	if book != 65 || shown < 40 {
		t.Errorf("the index has %d patterns of the book, %d of them with a flow; want 65, and at least 40", book, shown)
	}
}

// anchor is how a heading is linked to.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}
