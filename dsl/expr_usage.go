package dsl

import (
	"strings"
	"sync"
)

// native is a function of expr-lang's, with ours in place of some of them:
// how it is called, what it gives, and an example with its value as JSON.
type native struct{ usage, doc, example, value string }

// natives has the functions of expr-lang by topic. Below a list, .x is a field
// of the element at hand and # the element itself.
var natives = []struct {
	topic     string
	functions []native
}{
	{"Loops", []native{
		{"all(list, .price > 0)", "Whether it is true for all elements. Below a list, .price is a field of the element at hand, # the element itself, and #index its place.", "all([1, 2], # > 0)", "true"},
		{"none(list, .price > 0)", "Whether it is true for no element.", "none([1, 2], # > 2)", "true"},
		{"any(list, .price > 0)", "Whether it is true for an element.", "any([1, 2], # > 1)", "true"},
		{"one(list, .price > 0)", "Whether it is true for exactly one element.", "one([1, 2], # > 1)", "true"},
		{"filter(list, .price > 0)", "The elements for which it is true.", "filter([1, 2, 3], # > 1)", "[2,3]"},
		{"map(list, .price)", "What becomes of each element.", `map([{"price": 1.50}, {"price": 2}], .price)`, "[1.5,2]"},
		{"find(list, .id == 7)", "The first element for which it is true, or null.", `find([{"id": 6}, {"id": 7, "name": "Ada"}], .id == 7).name`, `"Ada"`},
		{"findIndex(list, .id == 7)", "The place of the first element for which it is true, from 0.", "findIndex([5, 6, 7], # > 5)", "1"},
		{"findLast(list, .id == 7)", "The last element for which it is true, or null.", "findLast([5, 6, 7], # > 5)", "7"},
		{"findLastIndex(list, .id == 7)", "The place of the last element for which it is true, from 0.", "findLastIndex([5, 6, 7], # > 5)", "2"},
		{"count(list, .price > 0)", "For how many elements it is true.", "count([1, 2, 3], # > 1)", "2"},
		{"sum(list) or sum(list, .price)", "The sum of the elements, or of what becomes of them.", `sum([{"price": 1.5, "qty": 2}, {"price": 1, "qty": 3}], .price * .qty)`, "6"},
		{"groupBy(list, .kind)", "An object with a list of elements for each value.", `groupBy([{"k": "a", "n": 1}, {"k": "b", "n": 2}, {"k": "a", "n": 3}], .k).a`, `[{"k":"a","n":1},{"k":"a","n":3}]`},
		{`sortBy(list, .price) or sortBy(list, .price, "desc")`, "The elements in the order of a value.", `map(sortBy([{"n": 2}, {"n": 3}, {"n": 1}], .n, "desc"), .n)`, "[3,2,1]"},
		{"reduce(list, #acc + #.price, 0)", "What comes of going through a list: #acc is the result so far, and the last argument what it begins with.", `reduce(["a", "b"], #acc + #, "-")`, `"-ab"`},
	}},
	{"Lists and objects", []native{
		{"len(x), where x is text, a list or an object", "How many characters, elements or fields there are.", `len("größe")`, "5"},
		{"first(list)", "The first element, or null.", "first([1, 2])", "1"},
		{"last(list)", "The last element, or null.", "last([1, 2])", "2"},
		{`get(x, "name") or get(list, 0)`, "A field or an element whose name is computed, or null.", `get({"a": 1}, lower("A"))`, "1"},
		{"take(list, 10)", "The first elements. list[10:20] takes others.", "take([1, 2, 3], 2)", "[1,2]"},
		{"keys(object)", "The names of the fields, sorted.", `keys({"b": 1, "a": 2})`, `["a","b"]`},
		{"values(object)", "The values of the fields, in the order of their names.", `values({"b": 1, "a": 2})`, "[2,1]"},
		{"toPairs(object)", "The fields as [name, value], in the order of their names.", `toPairs({"b": 1, "a": 2})`, `[["a",2],["b",1]]`},
		{`fromPairs([["key", value]])`, "The object that has these fields.", `fromPairs([["a", 1], ["b", 2]])`, `{"a":1,"b":2}`},
		{"reverse(list)", "The list from its end.", "reverse([1, 2, 3])", "[3,2,1]"},
		{"uniq(list)", "The first of equal elements.", "uniq([1, 2, 1])", "[1,2]"},
		{"concat(list, list)", "Lists behind each other.", "concat([1], [2, 3])", "[1,2,3]"},
		{"flatten(list)", "The elements, with those of the lists among them.", "flatten([1, [2, [3]]])", "[1,2,3]"},
		{`sort(list) or sort(list, "desc")`, "The elements in their order.", "sort([2, 3, 1])", "[1,2,3]"},
	}},
	{"Text", []native{
		{`trim(text) or trim(text, "/")`, "The text without the space, or without the characters, around it.", `trim("  a ")`, `"a"`},
		{`trimPrefix(text, "a")`, "The text without what it may begin with.", `trimPrefix("/a/b", "/a")`, `"/b"`},
		{`trimSuffix(text, "a")`, "The text without what it may end with.", `trimSuffix("a.txt", ".txt")`, `"a"`},
		{"upper(text)", "The text in upper case.", `upper("ada")`, `"ADA"`},
		{"lower(text)", "The text in lower case.", `lower("ADA")`, `"ada"`},
		{`split(text, ",") or split(text, ",", 2)`, "The parts between separators, at most so many.", `split("a,b,c", ",", 2)`, `["a","b,c"]`},
		{`splitAfter(text, ",") or splitAfter(text, ",", 2)`, "The parts, each with the separator behind it.", `splitAfter("a,b", ",")`, `["a,","b"]`},
		{`replace(text, "a", "b") or replace(text, "a", "b", 1)`, "The text with other parts in place of some, at most so many.", `replace("a-b-c", "-", "+")`, `"a+b+c"`},
		{"repeat(text, 3)", "The text so many times.", `repeat("ab", 2)`, `"abab"`},
		{`join(list, ",")`, "The texts of a list as one.", `join(["a", "b"], ", ")`, `"a, b"`},
		{`indexOf(text, "a")`, "Where a part begins, in bytes from 0, or -1.", `indexOf("banana", "an")`, "1"},
		{`lastIndexOf(text, "a")`, "Where a part begins for the last time, in bytes from 0, or -1.", `lastIndexOf("banana", "an")`, "3"},
		{`hasPrefix(text, "a")`, "Whether the text begins with a part.", `hasPrefix("banana", "ban")`, "true"},
		{`hasSuffix(text, "a")`, "Whether the text ends with a part.", `hasSuffix("banana", "na")`, "true"},
	}},
	{"Numbers", []native{
		{"abs(number)", "The number without its sign.", "abs(-3)", "3"},
		{"ceil(number)", "The next whole number that is not less.", "ceil(1.2)", "2"},
		{"floor(number)", "The next whole number that is not more.", "floor(1.8)", "1"},
		{"round(number)", "The nearest whole number.", "round(1.5)", "2"},
		{"max(a, b) or max(list)", "The largest.", "max([1, 3, 2])", "3"},
		{"min(a, b) or min(list)", "The smallest.", "min(2, 1)", "1"},
		{"mean(list)", "The arithmetic mean.", "mean([1, 2, 6])", "3"},
		{"median(list)", "The number in the middle.", "median([1, 2, 6])", "2"},
		{"bitand(a, b)", "The bits that both have.", "bitand(6, 3)", "2"},
		{"bitor(a, b)", "The bits that one of both has.", "bitor(6, 3)", "7"},
		{"bitxor(a, b)", "The bits that only one of both has.", "bitxor(6, 3)", "5"},
		{"bitnand(a, b)", "The bits of a that b does not have.", "bitnand(6, 3)", "4"},
		{"bitshl(a, b)", "The bits of a, moved up by b places.", "bitshl(1, 4)", "16"},
		{"bitshr(a, b)", "The bits of a, moved down by b places.", "bitshr(16, 2)", "4"},
		{"bitushr(a, b)", "The bits of a, moved down by b places with zeros behind them.", "bitushr(16, 2)", "4"},
		{"bitnot(a)", "All bits turned around.", "bitnot(0)", "-1"},
	}},
	{"Conversions", []native{
		{"type(x)", "The name of what x is: nil, bool, int, float, string, array or map.", "type([1])", `"array"`},
		{"int(x)", "A whole number, from text or another number, without its fraction.", `int("7") + int(1.9)`, "8"},
		{"float(x)", "A number, from text or another number.", `float("1.5")`, "1.5"},
		{"string(x)", "Text: numbers with the digits they came with, lists and objects as JSON.", `string(decimal("1.50"))`, `"1.50"`},
		{"toJSON(x)", "The JSON of a value as text.", `toJSON({"a": [1]})`, `"{\"a\":[1]}"`},
		{"fromJSON(text)", "The value that a text says in JSON.", `fromJSON("[1, 2]")`, "[1,2]"},
		{"toBase64(text)", "The bytes of a text in base64.", `toBase64("weir")`, `"d2Vpcg=="`},
		{"fromBase64(text)", "The text that base64 says.", `fromBase64("d2Vpcg==")`, `"weir"`},
	}},
	{"Times", []native{
		{"now()", "The time. Times can be compared; a time less a time is a duration. They have functions of their own, such as .Year(), .Month(), .Day(), .Hour() and .Weekday().", "now().Year() > 2020", "true"},
		{`duration("1h30m")`, "A length of time. It has .Hours(), .Minutes(), .Seconds() and .Milliseconds().", `duration("1h30m").Minutes()`, "90"},
		{`date("2026-01-31") or date(text, layout)`, "The time that a text says; parseTime says exactly which texts it takes.", `date("2026-01-31") + duration("36h")`, `"2026-02-01T12:00:00Z"`},
		{`timezone("Europe/Berlin")`, "A time zone.", `date("2026-01-31").In(timezone("Asia/Tokyo"))`, `"2026-01-31T09:00:00+09:00"`},
	}},
}

func nativeFunctions() []Function {
	var all []Function
	for _, t := range natives {
		for _, f := range t.functions {
			name, _, _ := strings.Cut(f.usage, "(")
			all = append(all, Function{name, t.topic, true, f.usage, f.doc, []FunctionExample{{f.example, f.value}}})
		}
	}
	return all
}

var usageOf = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, f := range nativeFunctions() {
		all[f.Name] = f.Usage
	}
	for name, f := range library {
		all[name] = f.hint()
	}
	return all
})

func usageHint(name string) string {
	if usage, ok := usageOf()[name]; ok {
		return "write " + usage
	}
	return "check its arguments"
}

// nearestFunction is the function that an unknown one was probably meant to be:
// the nearest by its letters, or one that begins like it, as len does like length.
func nearestFunction(name string, known []string) (string, bool) {
	if near, ok := Nearest(name, known); ok {
		return near, true
	}
	lower := strings.ToLower(strings.TrimPrefix(name, "to"))
	for _, k := range known {
		if len(k) > 2 && strings.HasPrefix(lower, strings.ToLower(k)) {
			return k, true
		}
	}
	return "", false
}
