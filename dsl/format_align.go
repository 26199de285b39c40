package dsl

import "strings"

// align puts the comments behind lines into columns: two spaces behind the
// longest line of those that belong together. These are neighbours, and those
// whose comments the author has aligned across lines without one. Empty lines
// and the ends of documents divide.
//
// To align what is aligned changes nothing: comments that have come to the same
// column by chance are joined the next time, in that column.
func align(lines []line) {
	for len(lines) > 0 {
		end := 1
		for end < len(lines) && !lines[end].blank && lines[end].text != "---" {
			end++
		}
		alignParagraph(lines[:end])
		lines = lines[end:]
	}
}

func alignParagraph(lines []line) {
	group := make([]int, len(lines)) // a line of the same group that stands above, or the line itself
	first := func(i int) int {
		for group[i] != i {
			group[i] = group[group[i]]
			i = group[i]
		}
		return i
	}
	columns := map[int]int{} // a line whose comment stands in the column
	for i, l := range lines {
		group[i] = i
		if l.note == nil {
			continue
		}
		if i > 0 && lines[i-1].note != nil {
			group[i] = first(i - 1)
		}
		if k, taken := columns[l.note.column]; taken {
			group[first(i)] = first(k)
		} else {
			columns[l.note.column] = i
		}
	}
	longest := make([]int, len(lines))
	for i, l := range lines {
		if l.note != nil {
			k := first(i)
			longest[k] = max(longest[k], cells(l.text))
		}
	}
	for i := range lines {
		if l := &lines[i]; l.note != nil {
			l.text += strings.Repeat(" ", longest[first(i)]+2-cells(l.text))
		}
	}
}
