package gateway

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gorilla/mux"
)

// segmentKind is what a segment of a path template accepts. Smaller is more
// specific.
type segmentKind uint8

const (
	literal   segmentKind = iota // users
	patterned                    // {id:[0-9]+}, {name}.json
	parameter                    // {id}
	rest                         // {path:.+}: one character or more, up to the end
	restOrNil                    // {path:.*}: also nothing
)

// segment is one part of a path template.
type segment struct {
	kind  segmentKind
	text  string         // literal: the decoded text; patterned: the expression, free of variable names
	re    *regexp.Regexp // patterned: matches a slash and the segment, one group for each variable
	whole bool           // patterned: one variable, which is all of the segment
	names []string       // variables, in order
}

// templateError is a fault of a path template and its remedy.
type templateError struct {
	message, hint string
	typed, meant  string // what can be written in place of what, if that is certain
}

func templateErrorf(hint, format string, args ...any) *templateError {
	return &templateError{message: fmt.Sprintf(format, args...), hint: hint}
}

func variableNames(segments []segment) (names []string) {
	for _, s := range segments {
		names = append(names, s.names...)
	}
	return names
}

// patterns holds the segments with variables that were parsed before: routes
// share few of them, and each costs a compiled expression.
type patterns map[string]segment

// parse splits a path template at the slashes that stand outside braces. A
// trailing slash is an empty last segment.
func (ps patterns) parse(template string) ([]segment, *templateError) {
	if !strings.HasPrefix(template, "/") {
		return nil, templateErrorf(fmt.Sprintf("write /%s", template), "path %q does not start with a slash", template)
	}
	var segments []segment
	seen := map[string]bool{}
	texts := splitSegments(template[1:])
	for i, text := range texts {
		s, err := ps.parseSegment(text, i == len(texts)-1)
		if err != nil {
			return nil, err
		}
		for _, name := range s.names {
			if seen[name] {
				return nil, templateErrorf("give each variable its own name", "variable {%s} stands twice in %q", name, template)
			}
			seen[name] = true
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func splitSegments(path string) (segments []string) {
	depth, start := 0, 0
	for i := range len(path) {
		switch path[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth <= 0 {
				segments = append(segments, path[start:i])
				start = i + 1
			}
		}
	}
	return append(segments, path[start:])
}

func (ps patterns) parseSegment(text string, last bool) (segment, *templateError) {
	if !strings.ContainsAny(text, "{}") {
		return parseLiteral(text, last)
	}
	s, known := ps[text]
	if !known {
		var err *templateError
		if s, err = parsePattern(text); err != nil {
			return segment{}, err
		}
		ps[text] = s
	}
	if s.kind >= rest && !last {
		return segment{}, templateErrorf(fmt.Sprintf("write {%s} for one segment", s.names[0]),
			"%s takes all that follows, so nothing can stand after it", text)
	}
	return s, nil
}

// parseLiteral also catches the notations of other routers.
func parseLiteral(text string, last bool) (segment, *templateError) {
	switch {
	case text == "" && !last:
		return segment{}, templateErrorf("remove one slash", "the path has an empty segment")
	case text == "*" || text == "**":
		return segment{}, templateErrorf("write {rest:.*}", "%s is not a wildcard here", text)
	case strings.HasPrefix(text, ":") && len(text) > 1:
		err := templateErrorf(fmt.Sprintf("write {%s}", text[1:]), "%s is not a variable here", text)
		if variableName.MatchString(text[1:]) {
			err.typed, err.meant = text, "{"+text[1:]+"}"
		}
		return segment{}, err
	case strings.Contains(text, "$("):
		return segment{}, templateErrorf("write {name} for a variable", "a route's path cannot hold an expression")
	case strings.ContainsAny(text, "?#"):
		return segment{}, templateErrorf("query parameters are read in the flow, as $(query.name)", "a route's path ends before ? and #")
	case strings.Contains(text, "%"):
		return segment{}, templateErrorf("write the character itself; clients may send it encoded", "%q holds a percent-encoding", text)
	case !soundPath("/" + text):
		return segment{}, templateErrorf("write the path as clients send it, without . and .. segments, backslashes and control characters", "no request reaches %q", text)
	}
	return segment{kind: literal, text: text}, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parsePattern reads a segment that holds variables.
func parsePattern(text string) (segment, *templateError) {
	for inner := range braced(text) {
		if err := checkVariable(inner); err != nil {
			return segment{}, err
		}
	}
	s, err := expression(text)
	if err != nil {
		return segment{}, templateErrorf("write {name} or {name:pattern}", "%q is not a path template", text)
	}
	if len(s.names) > 1 || !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return s, nil
	}
	s.whole = true
	switch _, pattern, _ := strings.Cut(strings.TrimSuffix(text, "}"), ":"); pattern {
	case "", "[^/]+":
		s.kind = parameter
	case ".+":
		s.kind = rest
	case ".*":
		s.kind = restOrNil
	}
	return s, nil
}

// expression has mux turn a segment into one anchored expression, with a group
// for each variable and without their names.
func expression(text string) (segment, error) {
	route := new(mux.Route).Path("/" + text)
	names, err := route.GetVarNames()
	if err != nil {
		return segment{}, err
	}
	compiled, err := route.GetPathRegexp()
	if err != nil {
		return segment{}, err
	}
	re, err := regexp.Compile(compiled)
	return segment{kind: patterned, text: compiled, re: re, names: names}, err
}

// checkVariable refuses what mux would panic on or would silently never match.
func checkVariable(inner string) *templateError {
	name, pattern, constrained := strings.Cut(inner, ":")
	if !variableName.MatchString(name) {
		hint := "write a letter, then letters, digits and underscores"
		if strings.HasSuffix(name, "...") {
			hint = fmt.Sprintf("write {%s:.*} for all that follows", strings.TrimSuffix(name, "..."))
		}
		return templateErrorf(hint, "%q is not a name for a path variable", name)
	}
	if !constrained {
		return nil
	}
	re, err := regexp.Compile(pattern)
	switch {
	case pattern == "":
		return templateErrorf(fmt.Sprintf("write {%s}", name), "the pattern of {%s:} is empty", name)
	case err != nil:
		problem := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		return templateErrorf(fmt.Sprintf("write a pattern such as {%s:[0-9]+}", name), "the pattern of {%s} is not a regular expression: %s", name, problem)
	case re.NumSubexp() > 0:
		return templateErrorf("write (?:...) for a group", "the pattern of {%s} captures a group", name)
	case strings.HasPrefix(pattern, "^") || strings.HasSuffix(pattern, "$"):
		return templateErrorf("leave out ^ and $", "the pattern of {%s} is always matched from end to end", name)
	case strings.Contains(strings.ReplaceAll(pattern, "[^/", ""), "/"):
		return templateErrorf("write {rest:.*} as the last segment to take several",
			"the pattern of {%s} holds a slash, but matches within one segment", name)
	}
	return nil
}

// braced yields the contents of the outer braces of a segment.
func braced(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		depth, start := 0, 0
		for i := range len(text) {
			switch text[i] {
			case '{':
				if depth++; depth == 1 {
					start = i + 1
				}
			case '}':
				if depth--; depth == 0 && !yield(text[start:i]) {
					return
				}
			}
		}
	}
}
