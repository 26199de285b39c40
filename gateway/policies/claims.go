package policies

import (
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

type roles struct {
	claim    claimPath
	any, all []string
}

func (c *Compiler) roles(at *dsl.Node, cfg *rolesConfig) roles {
	if cfg == nil {
		return roles{}
	}
	if len(cfg.Any)+len(cfg.All) == 0 {
		c.Report(dsl.Diagnostic{Span: at.Field("roles").KeySpan(), Code: "empty-policy", Message: "roles asks for no role", Hint: "add any or all"})
	}
	return roles{claimPathOf(cfg.Claim), cfg.Any, cfg.All}
}

// hasScopes reads the claim scope as RFC 8693 section 4.2 has it, and scp, which
// is a list or a text of the same kind.
func hasScopes(claims map[string]any, wanted []string) bool {
	for _, scope := range wanted {
		if !hasWord(claims["scope"], scope) && !hasWord(claims["scp"], scope) {
			return false
		}
	}
	return true
}

func hasWord(v any, word string) bool {
	switch v := v.(type) {
	case string:
		for part := range strings.SplitSeq(v, " ") {
			if part == word {
				return true
			}
		}
	case []any:
		return slices.Contains(v, any(word))
	}
	return false
}

func (x *roles) held(claims map[string]any) bool {
	if len(x.any)+len(x.all) == 0 {
		return true
	}
	has := x.claim.in(claims)
	for _, role := range x.all {
		if !hasWord(has, role) {
			return false
		}
	}
	return len(x.any) == 0 || slices.ContainsFunc(x.any, func(role string) bool { return hasWord(has, role) })
}

// claimPath is the way to a claim.
type claimPath []string

// claimPathOf reads a way: names with dots between. Names that nobody else gives
// are URIs (RFC 7519 section 4.2), and are what they are.
func claimPathOf(text string) claimPath {
	if strings.ContainsAny(text, "/:") {
		return claimPath{text}
	}
	return strings.Split(text, ".")
}

func (p claimPath) in(claims map[string]any) (v any) {
	v = claims
	for _, name := range p {
		members, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = members[name]
	}
	return v
}

// textOf is a claim as the name of something: a text or a number.
func textOf(v any) string {
	switch v.(type) {
	case string, int, float64, dsl.Number:
		b, _ := dsl.AppendText(nil, v) // all of them have a text
		return string(b)
	}
	return ""
}
