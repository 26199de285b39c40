package dsl

import (
	"strings"
	"sync"
)

// usages shows how each function is called. Below a list, .x is a field of the
// element at hand and # the element itself.
const usages = `
all(list, .price > 0)
none(list, .price > 0)
any(list, .price > 0)
one(list, .price > 0)
filter(list, .price > 0)
map(list, .price)
find(list, .id == 7)
findIndex(list, .id == 7)
findLast(list, .id == 7)
findLastIndex(list, .id == 7)
count(list, .price > 0)
sum(list) or sum(list, .price)
groupBy(list, .kind)
sortBy(list, .price) or sortBy(list, .price, "desc")
reduce(list, #acc + #.price, 0)
len(x), where x is text, a list or an object
type(x)
abs(number)
ceil(number)
floor(number)
round(number)
int(x)
float(x)
string(x)
trim(text) or trim(text, "/")
trimPrefix(text, "a")
trimSuffix(text, "a")
upper(text)
lower(text)
split(text, ",") or split(text, ",", 2)
splitAfter(text, ",") or splitAfter(text, ",", 2)
replace(text, "a", "b") or replace(text, "a", "b", 1)
repeat(text, 3)
join(list, ",")
indexOf(text, "a")
lastIndexOf(text, "a")
hasPrefix(text, "a")
hasSuffix(text, "a")
max(a, b) or max(list)
min(a, b) or min(list)
mean(list)
median(list)
toJSON(x)
fromJSON(text)
toBase64(text)
fromBase64(text)
now()
duration("1h30m")
date("2026-01-31") or date(text, layout)
timezone("Europe/Berlin")
first(list)
last(list)
get(x, "name") or get(list, 0)
take(list, 10)
keys(object)
values(object)
toPairs(object)
fromPairs([["key", value]])
reverse(list)
uniq(list)
concat(list, list)
flatten(list)
sort(list) or sort(list, "desc")
bitand(a, b)
bitor(a, b)
bitxor(a, b)
bitnand(a, b)
bitshl(a, b)
bitshr(a, b)
bitushr(a, b)
bitnot(a)
`

var usageOf = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(usages)) {
		name, _, _ := strings.Cut(line, "(")
		all[name] = strings.TrimSpace(line)
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
