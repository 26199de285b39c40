package engine

import (
	"maps"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// matchConfig is what a trigger wants of requests beside their method and path.
type matchConfig struct {
	Headers map[string]matchValue `yaml:"headers" doc:"Headers, and what they must be. Of Content-Type it is the media type without parameters that is looked at, of Accept the media type that it prefers."`
	Query   map[string]matchValue `yaml:"query" doc:"Parameters of the query, and what they must be. One that is there more than once is there, and has no value."`
}

type matchValue struct {
	Span    dsl.Span `yaml:",span"`
	Is      []string `yaml:"is" doc:"The values that it may have."`
	Pattern string   `yaml:"pattern" doc:"A regular expression (RE2) that the whole value matches."`
	Present *bool    `yaml:"present" doc:"true: it is there, whatever its value. false: it is not there."`
}

// list is the conditions in an order of their own, and reports those that want
// nothing, or too much.
func (m *matchConfig) list(r dsl.Reporter) (all []Match) {
	if m == nil {
		return nil
	}
	add := func(header bool, values map[string]matchValue) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			v := values[name]
			said := 0
			for _, there := range []bool{len(v.Is) > 0, v.Pattern != "", v.Present != nil} {
				if there {
					said++
				}
			}
			if said != 1 {
				r.Report(dsl.Diagnostic{Span: v.Span, Code: "bad-match", Message: "a condition of match has one of is, pattern and present", Hint: "write one such as { is: [\"2\"] }, { pattern: \"[0-9]+\" } or { present: true }"})
				continue
			}
			all = append(all, Match{Header: header, Name: name, Span: v.Span, Is: v.Is, Pattern: v.Pattern, Present: v.Present})
		}
	}
	add(true, m.Headers)
	add(false, m.Query)
	return all
}
