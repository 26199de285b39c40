package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

type anyOfConfig struct {
	Of dsl.Bundles `yaml:"of" doc:"The ways: a list of mappings, each of one policy that finds out who calls. The first for which a request carries credentials decides, whether they hold or not." required:"true"`
	optionalConfig
}

// AnyOf is the Kind of the policy any_of.
var AnyOf = Kind{
	Why:        "all further inside may ask who calls",
	Identifies: true,
	Kind: dsl.Define("any_of", "Finds out who calls in one of several ways. Answers with status 401 name all of them.",
		func(c *Compiler, at *dsl.Node, cfg *anyOfConfig) gateway.Middleware {
			ways := c.alternatives(cfg.Of.Items)
			if len(cfg.Of.Items) < 2 {
				c.Report(dsl.Diagnostic{Span: at.Field("of").KeySpan(), Code: "bad-policy", Message: "any_of has no choice", Hint: "write two ways or more; one is written as the policy itself"})
			}
			return c.authentication(ways, cfg.optionalConfig)
		},
		dsl.Example{Name: "people by a token, programs by a key", YAML: `
of:
  - jwt: { issuer: "https://id.example", audience: shop }
  - api_key: { file: partners.keys }
`}),
}

// alternatives compiles policies of which one is to find out who calls.
func (c *Compiler) alternatives(items []*dsl.Node) (ways []way) {
	outer, around := c.entry, c.ways
	defer func() { c.entry, c.ways = outer, around }()
	var names []string
	for _, k := range c.catalog.kinds {
		if k.Identifies && k.Name != outer.kind.Name {
			names = append(names, k.Name)
		}
	}
	for _, n := range items {
		if n.Broken() {
			continue
		}
		if n.Kind != dsl.Map || len(n.Fields) != 1 {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a way is a mapping of one policy, not " + n.Describe(), Hint: "write one of " + strings.Join(names, ", ") + " with a colon, and its settings below it"})
			continue
		}
		f := n.Fields[0]
		if !slices.Contains(names, f.Key.Text) {
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-policy", Message: fmt.Sprintf("%s finds out of nobody who calls", f.Key.Text), Hint: "the policies that do are " + strings.Join(names, ", ")}
			d.Suggest(f.Key.Text, names)
			c.Report(d)
			continue
		}
		if own := f.Value.Field("optional"); own != nil {
			c.Report(dsl.Diagnostic{Span: own.KeySpan(), Code: "bad-policy", Message: "one of several ways cannot be optional by itself", Hint: "write optional: true beside of"})
		}
		kind := c.catalog.kinds[c.catalog.place(f.Key.Text)]
		c.entry = &entry{kind: kind, key: f.Key, at: f.Value}
		c.entry.value = kind.Expand(f.Value, c, c.lang.Env, c.lang.Secret, c.lang.Index)
		c.ways = &ways
		kind.Compile(c, c.entry.value)
		outer.paths = append(outer.paths, c.entry.paths...)
		if c.entry.certificate.Source != nil {
			outer.certificate, outer.proxied = c.entry.certificate, c.entry.proxied
		}
	}
	return ways
}
