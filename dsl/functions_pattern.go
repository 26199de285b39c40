package dsl

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// patternFunctions work with regular expressions (RE2). matches, an operator of
// expr-lang, tells whether there is a match at all.
var patternFunctions = []definition{
	{
		"matchGroups(text text, pattern pattern) object or null",
		"What the groups of the first match hold, by their names, or by their numbers from 1 if they have none. A group that took no part is null, and so is the result if there is no match.",
		func(c call) (any, error) {
			p, text := argument[*pattern](c, 1), argument[string](c, 0)
			var groups map[string]any
			err := p.matches(c, text, func(loc []int) (bool, error) {
				groups = make(map[string]any, len(p.groups))
				for i, name := range p.groups {
					groups[name] = nil
					if from := loc[2*i+2]; from >= 0 {
						groups[name] = text[from:loc[2*i+3]]
					}
				}
				return false, nil
			})
			if groups == nil {
				return nil, err
			}
			return groups, err
		},
		[]FunctionExample{
			{`matchGroups("order A-17", "(?P<series>[A-Z])-(?P<number>\\d+)")`, `{"number":"17","series":"A"}`},
			{`matchGroups("2026-01", "(\\d+)-(\\d+)")["2"]`, `"01"`},
			{`matchGroups("none", "(\\d+)")`, `null`},
		},
	},
	{
		"matchAll(text text, pattern pattern) list",
		"All matches, as a list of texts.",
		func(c call) (any, error) {
			text, out := argument[string](c, 0), []any{}
			err := argument[*pattern](c, 1).matches(c, text, func(loc []int) (bool, error) {
				if len(out) >= maxExprBytes/32 {
					return false, errTooLarge
				}
				out = append(out, text[loc[0]:loc[1]])
				return true, nil
			})
			return out, err
		},
		[]FunctionExample{{`matchAll("a1, b22 and c3", "[a-z]\\d+")`, `["a1","b22","c3"]`}},
	},
	{
		"replaceRegex(text text, pattern pattern, replacement text) text",
		"The text with a replacement for each match. In it, $1 or ${name} is what a group holds, $0 the whole match, and $$ is a $.",
		func(c call) (any, error) {
			p, text := argument[*pattern](c, 1), argument[string](c, 0)
			with, err := p.replacement(argument[string](c, 2))
			if err != nil {
				return nil, err
			}
			var b strings.Builder
			last := 0
			err = p.matches(c, text, func(loc []int) (bool, error) {
				b.WriteString(text[last:loc[0]])
				for _, part := range with {
					if b.Len() > maxExprBytes {
						return false, errTooLarge
					}
					b.WriteString(part.text)
					if g := 2 * part.group; g >= 0 && loc[g] >= 0 {
						b.WriteString(text[loc[g]:loc[g+1]])
					}
				}
				last = loc[1]
				return true, nil
			})
			return b.String() + text[last:], err
		},
		[]FunctionExample{
			{`replaceRegex("+49 (0)30 123", "[^0-9+]", "")`, `"+49030123"`},
			{`replaceRegex("31.01.2026", "(\\d+)\\.(\\d+)\\.(\\d+)", "$3-$2-$1")`, `"2026-01-31"`},
		},
	},
	{
		"splitRegex(text text, pattern pattern) list",
		"The parts of the text between the matches.",
		func(c call) (any, error) {
			text, out, last := argument[string](c, 0), []any{}, 0
			err := argument[*pattern](c, 1).matches(c, text, func(loc []int) (bool, error) {
				if len(out) >= maxExprBytes/32 {
					return false, errTooLarge
				}
				if loc[1] > 0 && loc[0] < len(text) { // not before the first character, nor behind the last
					out = append(out, text[last:loc[0]])
					last = loc[1]
				}
				return true, nil
			})
			return append(out, text[last:]), err
		},
		[]FunctionExample{{`splitRegex("a, b;c", "[,;] *")`, `["a","b","c"]`}},
	},
}

// pattern is a compiled regular expression.
//
// One search takes time in proportion to the text and to the pattern, which
// bounds the text. But to find all matches can take one search, to the end of
// the text, for each of them (a*b|a in aaaaa does), so the deadline is looked at
// between two searches. regexp does not offer that: a search that goes on where
// the last match ended must still see the character before it, if the pattern
// has \b, ^ and the like. next is such a pattern behind one character.
type pattern struct {
	first   *regexp.Regexp
	next    *regexp.Regexp // nil: the pattern does not look at what stands before it
	groups  []string       // their names or numbers, from group 1 on
	longest int            // bytes of text
}

const (
	maxPattern     = 1000       // bytes
	maxPatternWork = 50_000_000 // bytes of text times instructions of the pattern: about a second at worst
)

var patternKind = func() *paramKind {
	k := prepared[*pattern]("a pattern", "a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) that is written in the expression, at most 1000 bytes long", func(text string) (any, error) { return compilePattern(text) })
	k.literal = true
	return k
}()

func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, &remedy{fmt.Sprintf("the pattern is %d bytes long; the limit is %d", len(text), maxPattern), "use several patterns"}
	}
	first, err := regexp.Compile(text)
	if err != nil {
		return nil, &remedy{"the pattern is not a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "), "check its brackets and escapes"}
	}
	p := &pattern{first: first}
	for i, name := range first.SubexpNames()[1:] {
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		p.groups = append(p.groups, name)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(program.Inst, func(i syntax.Inst) bool { return i.Op == syntax.InstEmptyWidth }) {
		if p.next, err = regexp.Compile(`\A(?s:.)(?s:.*?)(` + tree.String() + `)`); err != nil {
			return nil, &remedy{"the pattern is too complex", "use several patterns"}
		}
	}
	p.longest = maxPatternWork / len(program.Inst)
	return p, nil
}

// matches calls found with the places of each match and its groups, as regexp
// gives them, as long as it wants more.
func (p *pattern) matches(c call, text string, found func(loc []int) (more bool, err error)) error {
	if len(text) > p.longest {
		return fmt.Errorf("the text is longer than the %d bytes that this pattern takes", p.longest)
	}
	for at, last := 0, -1; at <= len(text); {
		loc := p.from(text, at)
		if loc == nil {
			break
		}
		c.work(ticksPerCheck)
		counts := loc[1] != at || loc[0] != last // where a match ended there is no empty one
		if last = loc[1]; last == at {
			_, size := utf8.DecodeRuneInString(text[at:])
			at += max(size, 1)
		} else {
			at = last
		}
		if !counts {
			continue
		}
		if more, err := found(loc); !more || err != nil {
			return err
		}
	}
	return nil
}

// from gives the first match that begins at i or behind.
func (p *pattern) from(text string, i int) []int {
	if i == 0 {
		return p.first.FindStringSubmatchIndex(text)
	}
	var loc []int
	if p.next == nil {
		loc = p.first.FindStringSubmatchIndex(text[i:])
	} else {
		_, size := utf8.DecodeLastRuneInString(text[:i])
		i -= size
		if loc = p.next.FindStringSubmatchIndex(text[i:]); loc != nil {
			loc = loc[2:]
		}
	}
	for g := range loc {
		if loc[g] >= 0 {
			loc[g] += i
		}
	}
	return loc
}

// replacementPart is text and the group behind it, or -1.
type replacementPart struct {
	text  string
	group int
}

// replacement takes apart what is written for matches.
func (p *pattern) replacement(text string) ([]replacementPart, error) {
	var parts []replacementPart
	literal := ""
	for {
		before, rest, ok := strings.Cut(text, "$")
		literal += before
		if !ok {
			return append(parts, replacementPart{literal, -1}), nil
		}
		name := rest[:digits(rest, 0)]
		after := rest[len(name):]
		if inside, ok := strings.CutPrefix(rest, "{"); ok {
			name, after, _ = strings.Cut(inside, "}")
		} else if strings.HasPrefix(rest, "$") {
			literal, text = literal+"$", rest[1:]
			continue
		}
		group := -1
		if name == "0" {
			group = 0
		}
		for i, known := range p.groups {
			if name == known || name == strconv.Itoa(i+1) {
				group = i + 1
			}
		}
		if group < 0 {
			return nil, fmt.Errorf("the pattern has no group %s (write $$ for a $)", excerpt(name))
		}
		parts = append(parts, replacementPart{literal, group})
		literal, text = "", after
	}
}
