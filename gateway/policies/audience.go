package policies

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// audience is whom tokens are for.
type audience struct {
	anyone bool
	names  []string
}

// audience compiles the key of this name.
func (c *Compiler) audience(at, n *dsl.Node) (a audience) {
	if n == nil {
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "missing-key", Message: `the key "audience" is missing`,
			Hint: "add audience: and what the claim aud of the tokens says of this API; any takes tokens for others, too"})
		return a
	}
	if n.Kind == dsl.Scalar && n.Text == anyone {
		return audience{anyone: true}
	}
	n = dsl.Expand(n, c, c.lang.Env, nil, c.lang.Index)
	items := n.Items
	if n.Kind == dsl.Scalar {
		items = []*dsl.Node{n}
	}
	for _, item := range items {
		if item.Broken() {
			continue
		}
		if item.Kind != dsl.Scalar || item.Text == "" || item.Text == anyone && n.Kind != dsl.Scalar {
			c.Report(dsl.Diagnostic{Span: item.KeySpan(), Code: "wrong-type", Message: fmt.Sprintf("an audience is a text, not %s", item.Describe()), Hint: "write what the claim aud says, or any instead of the list"})
			continue
		}
		a.names = append(a.names, item.Text)
	}
	if len(a.names) == 0 && !n.Broken() && n.Kind != dsl.Scalar {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-policy", Message: "no token is for nobody", Hint: "write what the claim aud says, or any"})
	}
	return a
}

// has reports whether a token with these claims is for the audience.
func (a *audience) has(claims map[string]any) bool {
	if a.anyone {
		return true
	}
	texts, _ := textsIn(claims["aud"])
	return slices.ContainsFunc(texts, func(aud string) bool { return slices.Contains(a.names, aud) })
}
