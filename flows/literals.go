package flows

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

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
		name := ""
		if key != nil {
			name = key.Text
		}
		if what, ok := dsl.LiteralSecret(name, n.Text); ok {
			c.ds.Report(dsl.Diagnostic{Span: n.KeySpan(), Severity: dsl.Warning, Code: "literal-secret", Message: fmt.Sprintf("this looks like %s, which all who read the file can use", what),
				Hint: fmt.Sprintf("write $(secret.%s), provide it where the files are run, and have it replaced if others have seen it", secretNamed(name))})
		}
	}
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// secretNamed is a name for the secret that is the value of a key.
func secretNamed(key string) string {
	name := strings.Trim(strings.ToUpper(notInNames.ReplaceAllString(key, "_")), "_")
	if name == "" || name == "SECRET" || '0' <= name[0] && name[0] <= '9' {
		return "NAME"
	}
	return name
}
