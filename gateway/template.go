package gateway

import (
	"fmt"
	"regexp"
	"slices"
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
type templateError struct{ message, hint string }

func (e *templateError) Error() string {
	if e.hint == "" {
		return e.message
	}
	return e.message + ": " + e.hint
}

func templateErrorf(hint, format string, args ...any) *templateError {
	return &templateError{message: fmt.Sprintf(format, args...), hint: hint}
}

// PathVariables lists the variables of a path template in order. Its errors
// are those that [NewRouter] reports for the template.
func PathVariables(template string) ([]string, error) {
	segments, err := parseTemplate(template)
	if err != nil {
		return nil, err
	}
	return variableNames(segments), nil
}

func variableNames(segments []segment) (names []string) {
	for _, s := range segments {
		names = append(names, s.names...)
	}
	return names
}

// parseTemplate splits a path template at the slashes that stand outside
// braces. A trailing slash is an empty last segment.
func parseTemplate(template string) ([]segment, *templateError) {
	if !strings.HasPrefix(template, "/") {
		return nil, templateErrorf(fmt.Sprintf("write /%s", template), "path %q does not start with a slash", template)
	}
	var segments []segment
	seen := map[string]bool{}
	for texts, i := splitSegments(template[1:]), 0; i < len(texts); i++ {
		last := i == len(texts)-1
		s, err := parseSegment(texts[i], last)
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

func parseSegment(text string, last bool) (segment, *templateError) {
	if !strings.ContainsAny(text, "{}") {
		return parseLiteral(text, last)
	}
	parsed, names, err := parsePattern(text)
	if err != nil {
		return segment{}, err
	}
	if len(names) == 1 && strings.HasPrefix(text, "{"+names[0]) && strings.HasSuffix(text, "}") {
		parsed.whole = true
		switch strings.TrimSuffix(text[1+len(names[0]):], "}") {
		case "", ":[^/]+":
			return segment{kind: parameter, names: names}, nil
		case ":.+":
			parsed.kind = rest
		case ":.*":
			parsed.kind = restOrNil
		}
	}
	if parsed.kind >= rest && !last {
		return segment{}, templateErrorf(fmt.Sprintf("write {%s} for one segment", names[0]),
			"%s takes all that follows, so nothing can stand after it", text)
	}
	return parsed, nil
}

// parseLiteral also catches the notations of other routers.
func parseLiteral(text string, last bool) (segment, *templateError) {
	switch {
	case text == "" && !last:
		return segment{}, templateErrorf("remove one slash", "the path has an empty segment")
	case text == "*" || text == "**":
		return segment{}, templateErrorf("write {rest:.*}", "%s is not a wildcard here", text)
	case strings.HasPrefix(text, ":") && len(text) > 1:
		return segment{}, templateErrorf(fmt.Sprintf("write {%s}", text[1:]), "%s is not a variable here", text)
	case strings.Contains(text, "$("):
		return segment{}, templateErrorf("write {name} for a variable", "a route's path cannot hold an expression")
	case strings.ContainsAny(text, "?#"):
		return segment{}, templateErrorf("query parameters are read in the flow, as $(query.name)", "a route's path ends before ? and #")
	case strings.Contains(text, "%"):
		return segment{}, templateErrorf("write the character itself; clients may send it encoded", "%q holds a percent-encoding", text)
	case !soundPath("/" + text):
		return segment{}, templateErrorf("", "no request reaches %q: dot segments, backslashes and control characters are refused", text)
	}
	return segment{kind: literal, text: text}, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parsePattern has mux read a segment that holds variables: it knows the
// template syntax and turns the whole into one anchored expression. What mux
// would panic on, or silently never match, is refused here first.
func parsePattern(text string) (segment, []string, *templateError) {
	for inner := range braced(text) {
		name, pattern, constrained := strings.Cut(inner, ":")
		if !variableName.MatchString(name) {
			return segment{}, nil, templateErrorf("write a letter, then letters, digits and underscores",
				"%q is not a name for a path variable", name)
		}
		if !constrained {
			continue
		}
		re, err := regexp.Compile(pattern)
		switch {
		case pattern == "":
			return segment{}, nil, templateErrorf(fmt.Sprintf("write {%s}", name), "the pattern of {%s:} is empty", name)
		case err != nil:
			return segment{}, nil, templateErrorf("", "the pattern of {%s} is not a regular expression: %v", name, err)
		case re.NumSubexp() > 0:
			return segment{}, nil, templateErrorf("write (?:...) for a group", "the pattern of {%s} captures a group", name)
		case strings.HasPrefix(pattern, "^") || strings.HasSuffix(pattern, "$") && !strings.HasSuffix(pattern, `\$`):
			return segment{}, nil, templateErrorf("leave out ^ and $", "the pattern of {%s} is always matched from end to end", name)
		case strings.Contains(pattern, "/"):
			return segment{}, nil, templateErrorf("write {rest:.*} as the last segment to take several",
				"the pattern of {%s} holds a slash, but matches within one segment", name)
		}
	}
	route := new(mux.Route).Path("/" + text)
	if err := route.GetError(); err != nil {
		return segment{}, nil, templateErrorf("write {name} or {name:pattern}", "%q is not a path template", text)
	}
	names, err := route.GetVarNames()
	if err != nil {
		return segment{}, nil, templateErrorf("", "%q: %v", text, err)
	}
	expression, err := route.GetPathRegexp()
	if err != nil {
		return segment{}, nil, templateErrorf("", "%q: %v", text, err)
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return segment{}, nil, templateErrorf("", "%q: %v", text, err)
	}
	return segment{kind: patterned, text: expression, re: re, names: slices.Clone(names)}, names, nil
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
