package flows

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// madeUp are the keys of documents below which values are made up, or speak of
// values instead of being some.
var madeUp = []string{"tests", "input", "output", "schema", "summary", "doc"}

// literals warns of what looks like a secret in the text of a file.
func (c *checker) literals(key *dsl.Node, n *dsl.Node) {
	switch n.Kind {
	case dsl.List:
		for _, item := range n.Items {
			c.literals(key, item)
		}
	case dsl.Map:
		for _, f := range n.Fields {
			if !slices.Contains(madeUp, f.Key.Text) {
				c.literals(f.Key, f.Value)
			}
		}
	case dsl.Scalar:
		if n.Type != dsl.Str || n.Broken() {
			return
		}
		under := ""
		if key != nil {
			under = key.Text
		}
		if what, name, ok := dsl.LiteralSecret(under, n.Text); ok {
			c.ds.Report(dsl.Diagnostic{Span: n.KeySpan(), Severity: dsl.Warning, Code: "literal-secret", Message: fmt.Sprintf("this looks like %s, which all who read the file can use", what),
				Hint: fmt.Sprintf("write $(secret.%s), provide it where the files are run, and have it replaced if others have seen it", name)})
		}
	}
}
