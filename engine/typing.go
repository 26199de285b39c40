package engine

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// The members of a compose may be written in any order, but what is known of a
// result is known only when its step is compiled. So they are compiled in the
// order of their data, as far as their texts show it: a name that stands where
// an expression can stand. To take too much for a name changes the order and
// nothing else, and a circle is broken anywhere: what is not known is not
// checked.

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// bare are the keys whose values are expressions without $( ).
var bare = []string{"when", "each", "$each", "$if", "until", "while"}

// typingOrder gives the members of a compose such that each follows those that
// it seems to refer to.
func typingOrder(fields []dsl.Field) []int {
	index := make(map[string]int, len(fields))
	for i, f := range fields {
		index[f.Key.Text] = i
	}
	order := make([]int, 0, len(fields))
	seen := make([]bool, len(fields))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		words(fields[i].Value, false, func(w string) {
			if j, ok := index[w]; ok {
				visit(j)
			}
		})
		order = append(order, i)
	}
	for i := range fields {
		visit(i)
	}
	return order
}

// words gives the words of all expressions below a node.
func words(n *dsl.Node, isBare bool, found func(string)) {
	for _, item := range n.Items {
		words(item, false, found)
	}
	for _, f := range n.Fields {
		words(f.Value, slices.Contains(bare, f.Key.Text), found)
	}
	text := n.Text
	if !isBare {
		_, text, _ = strings.Cut(text, "$(")
	}
	for _, w := range word.FindAllString(text, -1) {
		found(w)
	}
}
