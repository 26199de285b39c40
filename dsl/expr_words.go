package dsl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// expr-lang speaks of tokens, of Go's types and of its own parser. What it can
// say (version 1.17) is put here into the words of the language, with what to
// write instead.

// saying is one sentence of expr-lang's and what becomes of it.
type saying struct {
	theirs string
	ours   func(about words, m []string) (message, hint string)
}

// words are what a sentence is about.
type words struct {
	whole  string // the expression
	before string // what stands in front of the fault
	at     string // what stands at it and behind
}

// same gives a sentence in which $1 stands for a type and %1 for a text of
// theirs.
func same(message, hint string) func(words, []string) (string, string) {
	return func(_ words, m []string) (string, string) {
		var pairs []string
		for i, part := range m[1:] {
			pairs = append(pairs, fmt.Sprintf("$%d", i+1), typeWords(part), fmt.Sprintf("%%%d", i+1), part)
		}
		put := strings.NewReplacer(pairs...)
		return put.Replace(message), put.Replace(hint)
	}
}

// called gives a sentence about the call at hand. %0 is the function's name,
// and the hint is how it is used.
func called(message string) func(words, []string) (string, string) {
	return func(about words, m []string) (string, string) {
		name := leadingName(about.at)
		message, _ := same(message, "")(about, m)
		return strings.ReplaceAll(message, "%0", name), usageHint(name)
	}
}

const convert = "convert one of them with string(x), int(x) or float(x)"

var sayings = []saying{
	// types
	{`invalid operation: (\S+) \(mismatched types (.+) and (.+)\)`, mismatch},
	{`invalid operation: (\S+) ([^ ()]+) ([^ ()]+)`, func(about words, m []string) (string, string) {
		return mismatch(about, []string{"", m[2], m[1], m[3]}) // at run time: string + int
	}},
	{`invalid operation: (!|not) \(mismatched type (.+)\)`, same("%1 turns true into false and back; this is $2", "compare it with something, as in x != null")},
	{`invalid operation: (\S+) \(mismatched type (.+)\)`, same("%1 does not take $2", "convert it with int(x) or float(x)")},
	{`non-bool expression \(type (.+)\) used as condition`, same("what stands before ? is true or false; this is $1", "compare it with something, as in x != null ? a : b")},
	{`predicate should return boolean \(got (.+)\)`, same("true or false is wanted here for each element, not $1", "give a comparison, such as .price > 10")},
	{`array elements can only be selected using an integer \(got (.+)\)`, same("an element of a list has a whole number, not $1", "write list[0]; to look for one, write find(list, .id == 1)")},
	{`cannot use (.+) to get an element from (.+)`, same("$2 is not read by $1", "a list is read by a number, as in list[0], an object by a name, as in x.name or x[\"name\"]")},
	{`type (.+) has no (?:field|method) (.+)`, same("$1 has no field %2", "delete it, or call a function with the value, as in upper(x)")},
	{`type (.+)\[(.+)\] is undefined`, same("$1 is not read by $2", "write the value itself")},
	{`type (.+) does not support indexing`, same("$1 has no elements", "write the value itself")},
	{`unknown field (.+)`, same("there is no field %1 here", "delete it")},
	{`cannot slice (.+)`, same("[from:to] takes a part of a list or text, not of $1", "write the value itself")},
	{`non-integer slice index (.+)`, same("a place in a list is a whole number, not $1", "write list[0:10]")},
	{`.+ is not callable|.+ is nil; cannot call nil as function`, same("this is not a function", "delete the parentheses")},
	{`cannot use (.+) as type (.+) in (?:map key|array)`, same("this is $2, not $1", convert)},
	{`expected (.+), but got (.+)`, same("this is $1, not $2", convert)},
	// calls
	{`builtin (\w+) takes only array \(got (.+)\)`, func(about words, m []string) (string, string) {
		return m[1] + " takes a list, not " + typeWords(m[2]), usageHint(m[1])
	}},
	{`cannot use (.+) as argument \(type (.+)\)(?: to call (\w+) ?)?`, func(_ words, m []string) (string, string) {
		if m[3] == "" {
			return typeWords(m[2]) + " is needed here, not " + typeWords(m[1]), convert
		}
		return fmt.Sprintf("%s takes %s here, not %s", m[3], typeWords(m[2]), typeWords(m[1])), usageHint(m[3])
	}},
	{`invalid argument for (\w+) \((?:type|expected) (.+)\)`, func(_ words, m []string) (string, string) {
		return m[1] + " does not take " + typeWords(m[2]), usageHint(m[1])
	}},
	{`invalid number of arguments(?: for (\w+))? \(expected (.+), got (\d+)\)`, func(about words, m []string) (string, string) {
		name := m[1]
		if name == "" {
			name = leadingName(about.at)
		}
		noun := "arguments"
		if m[2] == "1" {
			noun = "argument"
		}
		return fmt.Sprintf("%s takes %s %s, not %s", name, m[2], noun, m[3]), usageHint(name)
	}},
	{`expected at least (\d+) arguments`, called("%0 needs more arguments")},
	{`(not enough|too many) arguments to call (\w+)`, func(_ words, m []string) (string, string) {
		return "there are " + m[1] + " arguments for " + m[2], usageHint(m[2])
	}},
	{`(\w+) does not take (\d+) arguments`, func(_ words, m []string) (string, string) {
		return "these are not the arguments that " + m[1] + " takes", usageHint(m[1])
	}},
	{`no matching overload for (\w+)`, func(_ words, m []string) (string, string) {
		return "these are not the arguments that " + m[1] + " takes", usageHint(m[1])
	}},
	{`cannot (?:get|take|transform|reverse|uniq|concat|flatten)\b.* (\S+)(?: elements| to pairs| from pairs)?`, called("%0 does not take $1")},
	{`sortBy order argument must be a string.*`, called("the order is asc or desc, as text")},
	{`predicate should has .*|wrap predicate with brackets.*`, called("%0 needs to be told what to do with each element")},
	{`cannot redeclare (?:builtin|function|variable)? ?(.+)`, same(`"%1" already has a meaning here`, "use another name after let")},
	{`cannot use pointer accessor outside predicate|unknown pointer .*|cannot use .+ as array`, same("# stands for the element at hand, and there is none here", "use it inside map, filter and the like, or write the name of the list")},
	// texts, numbers and patterns
	{`literal not terminated`, same("the quote is never closed", "close it with the quote that opens it")},
	{`unclosed comment`, same("the comment is never closed", "close it with */")},
	{`invalid char escape|unable to unescape.*|too large string`, same("the text holds an escape that is not known", `write \\ for a backslash`)},
	{`(?:invalid \w+ literal: .*parsing "(.*)": .*|(?:integer|float) literal is too large|bad number syntax: "(.*)")`, func(about words, m []string) (string, string) {
		number := m[1] + m[2]
		if strings.Contains(m[0], "too large") || strings.Contains(m[0], "out of range") {
			return "the number " + number + " is too large", "whole numbers have at most 64 bits; write larger ones as text"
		}
		return number + " is not a number", "write digits, such as 10, 0.5 or 1e6"
	}},
	{`error parsing regexp: (.*)`, same("the pattern is not a regular expression: %1", "check its brackets and escapes")},
	{`unrecognized character: U\+\S+ ?'?(.*?)'?`, same(`"%1" has no meaning in an expression`, "delete it, or put text in quotes")},
	// the parser
	{`unexpected token EOF|unexpected end of expression`, unfinished},
	{`unexpected token (\w+)(?:\((".*"|` + "`.*`" + `)\))?`, unexpected},
	{`a map key must be .*`, same("a key is a name, a text in quotes, or an expression in parentheses", `write {"key": value}`)},
	{`Operator \((.+)\) and coalesce expressions.*`, same("?? and %1 do not go together without parentheses", "write (a ?? b) %1 c")},
	{`unknown operator \((.+)\)`, same("%1 is no operator", "see the operators == != < > and or not + - * / % in matches ??")},
	{`expected name|empty sequence expression`, same("a name is missing here", "write it, or delete what stands before it")},
	{`compilation failed: expression exceeds.*`, same("the expression is too large", "split it over several set steps")},
	{`integer divide by zero|runtime error: integer divide by zero`, same("this divides by zero", "divide by something else")},
}

var compiledSayings = sync.OnceValue(func() []*regexp.Regexp {
	all := make([]*regexp.Regexp, len(sayings))
	for i, s := range sayings {
		all[i] = regexp.MustCompile(`(?s)^(?:` + s.theirs + `)$`)
	}
	return all
})

// inOurWords says what expr-lang says.
func inOurWords(theirs string, about words) (message, hint string) {
	theirs = strings.TrimSpace(theirs)
	for i, re := range compiledSayings() {
		if m := re.FindStringSubmatch(theirs); m != nil {
			return sayings[i].ours(about, m)
		}
	}
	return strings.TrimSuffix(goTypes.Replace(theirs), "."), "check the expression at this place"
}

// mismatch is about an operator between two types.
func mismatch(_ words, m []string) (string, string) {
	op, left, right := m[1], typeWords(m[2]), typeWords(m[3])
	switch op {
	case "==", "!=", "<", ">", "<=", ">=":
		return fmt.Sprintf("%s and %s cannot be compared", left, right), convert
	case "+":
		return fmt.Sprintf("%s and %s cannot be added", left, right), convert
	case "and", "or", "&&", "||":
		return fmt.Sprintf("%s joins two conditions; these are %s and %s", op, left, right), "compare each with something, as in x > 0 and y > 0"
	case "in":
		return fmt.Sprintf("in looks into a list or an object, not into %s", right), "write x in [1, 2]; for a part of a text write text contains x"
	case "matches", "contains", "startsWith", "endsWith":
		return fmt.Sprintf("%s is for two texts; these are %s and %s", op, left, right), "convert with string(x); whether a list holds x is written x in list"
	}
	return fmt.Sprintf("%s is not for %s and %s", op, left, right), convert
}

// unfinished is about an expression that ends too early.
func unfinished(about words, _ []string) (string, string) {
	const message = "the expression ends too early"
	text := strings.TrimSpace(about.whole)
	if open := openBracket(text); open != 0 {
		return message, "close the " + char(open)
	}
	switch {
	case strings.HasPrefix(text, "let "):
		return message, "write let name = value; and behind it what the expression gives"
	case strings.Contains(text, "?["):
		return message, `for a part of what may be absent write ?. before the bracket: a?.["b"]`
	case strings.Contains(strings.NewReplacer("??", "", "?.", "").Replace(text), "?"):
		return message, "a choice has three parts: condition ? a : b; for absence write a ?? b"
	}
	return message, "write what is missing at its end, or delete the last operator"
}

// openBracket is the innermost bracket that is not closed, or 0.
func openBracket(text string) byte {
	if at := openedAt(text); at >= 0 {
		return text[at]
	}
	return 0
}

// openedAt is where the innermost bracket stands that is not closed, or -1.
func openedAt(text string) int {
	var open []int
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"', '\'', '`':
			i = skipQuoted(text, i)
		case '(', '[', '{':
			open = append(open, i)
		case ')', ']', '}':
			open = open[:max(len(open)-1, 0)]
		}
	}
	if len(open) == 0 {
		return -1
	}
	return open[len(open)-1]
}

// slips are operators of other languages: what stands before the fault, at it,
// and what to write.
var slips = []struct{ before, at, message, hint string }{
	{"==", "=", "=== is no operator", "write =="},
	{"!=", "=", "!== is no operator", "write !="},
	{"<", ">", "<> is no operator", "write !="},
	{"", "#", "# stands for the element at hand, and there is none here", "use it inside map, filter and the like, or write the name of the list"},
	{"", "=>", "functions are not written with =>", "write what each element gives, as in map(list, .price)"},
	{"", "=~", "=~ is no operator", `write x matches "pattern"`},
	{"", "=", "= compares nothing", "write =="},
	{"", "&", "& is no operator", "write and"},
	{"", "|", "| is no operator", "write or; for absence write ??"},
	{"", "then", "a choice is not written with then", "write condition ? a : b"},
	{"..", "", "a range needs two ends", "write 1..10"},
}

// spelt are operators that are words elsewhere.
var spelt = map[string]string{
	"AND": "and", "OR": "or", "IN": "in", "eq": "==", "is": "==", "IS": "==", "ne": "!=", "gt": ">", "ge": ">=", "gte": ">=", "lt": "<", "le": "<=", "lte": "<=",
	"mod": "%", "div": "/", "LIKE": "contains, startsWith, endsWith or matches", "like": "contains, startsWith, endsWith or matches",
}

// valuesElsewhere are words for values in other languages, and what to write.
var valuesElsewhere = map[string]string{
	"True": "true", "TRUE": "true", "False": "false", "FALSE": "false", "None": "null", "NULL": "null", "Null": "null", "undefined": "null",
}

// infix are operators that are functions elsewhere.
var infix = []string{"contains", "startsWith", "endsWith", "matches"}

// unexpected is about a token that cannot stand where it stands.
func unexpected(about words, m []string) (string, string) {
	before := strings.TrimRight(about.before, " ")
	for _, s := range slips {
		if strings.HasSuffix(before, s.before) && strings.HasPrefix(about.at, s.at) {
			return s.message, s.hint
		}
	}
	if strings.HasPrefix(about.at, ".") && strings.Contains(before, "|") {
		return "| hands a value to a function", "write or; for absence write ??"
	}
	token := strings.Trim(m[2], "\"`")
	switch m[1] {
	case "Identifier", "Number", "String", "Bytes":
		if strings.HasSuffix(before, "NOT") {
			return `"NOT" is no operator`, "write not"
		}
		if own := spelt[token]; own != "" && m[1] == "Identifier" {
			return fmt.Sprintf("%q is no operator", token), "write " + own
		}
		if strings.HasSuffix(before, ".") {
			return fmt.Sprintf("%q is not a name that can stand behind a dot", token), fmt.Sprintf("write [%s] instead of .%s", token, token)
		}
		return fmt.Sprintf("an operator is missing before %q", token), "write one, such as == or +, or a comma between two arguments"
	}
	switch {
	case m[1] == "Operator" && slices.Contains(infix, token) && strings.HasPrefix(about.at[min(len(token), len(about.at)):], "("):
		return fmt.Sprintf("%q is an operator, and stands between its two values", token), fmt.Sprintf("write x %s y", token)
	case before == "" || strings.ContainsAny(before[len(before)-1:], "([{,+-*/%=<>!&|?:"):
		return fmt.Sprintf("a value is missing before %q", token), "write it, or delete what is too much"
	case strings.HasSuffix(before, "."):
		return fmt.Sprintf("a field is missing before %q", token), "write the name of a field behind the dot"
	}
	if open := openedAt(before); token == ":" && open > 0 && before[open] == '{' && strings.HasSuffix(strings.TrimRight(before[:open], " "), ",") {
		return "the { } of a predicate are not those of an object", `put the object in parentheses: map(list, ({"id": .id}))`
	}
	return fmt.Sprintf("%q cannot stand here", token), "check the brackets, commas and operators around it"
}

func leadingName(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') })
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return "this"
	}
	return text[:end]
}

// typeWords is how authors call what Go calls name. What is no type is given
// back.
func typeWords(name string) string {
	name = strings.TrimSpace(name)
	switch {
	case name == "string":
		return "text"
	case name == "bool", name == "boolean":
		return "true or false"
	case name == "nil", name == "<nil>":
		return "null"
	case name == "unknown", name == "any", strings.HasPrefix(name, "interface"):
		return "a value"
	case strings.HasPrefix(name, "float"), strings.HasSuffix(name, "Number"):
		return "a number"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "[]"), name == "array", name == "slice":
		return "a list"
	case strings.HasPrefix(name, "map["), strings.HasPrefix(name, "types.Map"), name == "map":
		return "an object"
	case strings.HasSuffix(name, "time.Time"):
		return "a time"
	case strings.HasSuffix(name, "time.Duration"):
		return "a duration"
	case strings.HasPrefix(name, "func"):
		return "a function"
	}
	return name
}

// goTypes is for sentences that are not known.
var goTypes = strings.NewReplacer("<nil>", "null", "[]interface {}", "a list", "[]any", "a list",
	"map[string]interface {}", "an object", "map[string]any", "an object", "float64", "number", "interface {}", "any")
