package dsl

import "unicode"

// Nearest is the name among the given ones that name most likely meant: the
// fewest edits away (insert, delete, replace, swap two neighbours; case does not
// count), at most one edit for every three letters. The first of equals wins.
func Nearest(name string, among []string) (string, bool) {
	typed := folded(name)
	bound := max(1, len(typed)/3)
	if len(typed) < 2 {
		bound = 0
	}
	best, found := "", false
	for _, candidate := range among {
		if d := distance(typed, folded(candidate), bound); d <= bound {
			best, found, bound = candidate, true, d-1
		}
	}
	return best, found
}

// folded cuts off at a length no name has, to bound the work.
func folded(name string) []rune {
	runes := []rune(name[:min(len(name), 256)])
	for i, r := range runes {
		runes[i] = unicode.ToLower(r)
	}
	return runes
}

// distance is the Damerau-Levenshtein distance in its "optimal string alignment"
// form, or anything above bound once it must be above it.
func distance(a, b []rune, bound int) int {
	if d := len(a) - len(b); d > bound || -d > bound {
		return bound + 1
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		lowest := i
		for j := 1; j <= len(b); j++ {
			replaced := old[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(old[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
			lowest = min(lowest, row[j])
		}
		if lowest > bound {
			return bound + 1
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
