package dsl

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/builtin"
)

func TestExamplesOfFunctionsGiveWhatTheySay(t *testing.T) {
	for _, f := range Functions() {
		for _, x := range f.Examples {
			t.Run(x.Expr, func(t *testing.T) {
				got, err := evalText(t, testScope(`{}`), x.Expr)
				if err != nil {
					t.Fatal(err)
				}
				text, err := AppendJSON(nil, got)
				if err != nil || string(text) != x.Result {
					t.Errorf("got %s (%v), want %s", text, err, x.Result)
				}
			})
		}
	}
}

func TestFunctionsAreDocumented(t *testing.T) {
	known := map[string]bool{}
	for _, f := range Functions() {
		if known[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		known[f.Name] = true
		if !strings.HasSuffix(f.Doc, ".") || len(f.Examples) == 0 || !strings.HasPrefix(f.Usage, f.Name+"(") {
			t.Errorf("%s lacks a sentence or an example", f.Name)
		}
	}
	for _, name := range builtin.Names {
		if !known[name] {
			t.Errorf("%s of expr-lang is not documented", name)
		}
	}
	for name, f := range library {
		if _, replaced := builtin.Index[name]; replaced {
			t.Errorf("%s stands for a function of expr-lang", name)
		}
		if f.result == nil {
			t.Errorf("%s: the kind of the result is not known", name)
		}
		for _, p := range f.params {
			if p.kind == nil {
				t.Errorf("%s: the kind of %s is not known", name, p.name)
			}
		}
	}
}

func TestFunctionsFailClearly(t *testing.T) {
	body := `{"n": 7, "half": 1.5, "text": "abc", "none": null, "list": [1], "object": {"a": 1}, "price": 1.10, "huge": 1e5000}`
	for _, c := range []struct{ expr, says string }{
		{`sha256(body.n)`, "sha256: text is a number, not text"},
		{`sha256(body.price)`, "sha256: text is a number, not text"},
		{`sha256(body.none)`, "sha256: text is null (write ?? to say what absence means)"},
		{`padStart(body.text, body.half)`, "padStart: length is not a whole number of 64 bits"},
		{`padStart(body.text, 3, body.text[0:0])`, "fill is empty"},
		{`padStart(body.text, 1000000000000)`, "makes more than"},
		{`truncate(body.text, -1)`, "truncate: length is -1"},
		{`formatTime(body.text)`, `formatTime: time is wrong: "abc" is not a time`},
		{`parseTime(body.text, "date")`, `parseTime: "abc" is not a time in the layout date`},
		{`parseTime("2026-01-31", body.text)`, `parseTime: layout is wrong: "abc" is not a layout`},
		{`inZone(now(), body.text)`, `"abc" is not a time zone`},
		{`addTime(now(), body.text)`, `"abc" is not an amount of time`},
		{`addTime("9999-12-31", "1y")`, "addTime: the time is out of range"},
		{`fromUnix(body.huge)`, "number is wrong: the number has more than 1000 digits"},
		{`fromUnix(1e20)`, "the time is out of range"},
		{`unix("2500-01-01", "ns")`, "the time is out of range"},
		{`decimalDiv(1, body.n - 7, 2)`, "decimalDiv: this divides by zero"},
		{`decimalDiv(1, 3, 100000)`, "scale is 100000"},
		{`decimalRound(1, body.n, body.text)`, `"abc" is not a way to round`},
		{`decimalAdd(body.text, 1)`, `decimalAdd: a is wrong: "abc" is not a number`},
		{`decimalAdd(body.list, 1)`, "decimalAdd: a is a list, not a number"},
		{`decimalSum([1, body.none])`, "decimalSum: element 1 is null"},
		{`reduce(1..20, decimalMul(#acc, #acc), "1234567890")`, "more than 1000 digits"},
		{`hmac(body.text, "k", body.text)`, `hmac: algorithm is wrong: "abc" is not an algorithm`},
		{`fromHex("abc")`, `fromHex: "abc" is not hex`},
		{`fromBase64URL("a*")`, "is not base64url"},
		{`unescapeQuery("100%")`, "two digits of hex"},
		{`pointer(body, "a")`, "it begins with /"},
		{`pointer(body, "/a~2")`, "behind ~ stands 0 or 1"},
		{`merge(body.object, body.list)`, "merge: b is a list, not an object"},
		{`pick(body.object, [1])`, "element 0 of keys is a number, not text"},
		{`keyBy([{"id": null}], "id")`, `field "id" of element 0 is null`},
		{`chunk(body.list, 0)`, "chunk: size is 0"},
		{`compareVersions("1.2", "1.02")`, `"1.02" is not a version`},
		{`parseSize(body.text)`, "parseSize: "},
		{`replaceRegex(body.text, "(b)", "$2")`, `the pattern has no group "2"`},
	} {
		t.Run(c.expr, func(t *testing.T) {
			_, err := evalText(t, testScope(body), c.expr)
			var f *Fault
			if !errors.As(err, &f) || !strings.Contains(f.Message, c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCallsOfFunctionsAreCheckedAtLoad(t *testing.T) {
	for _, c := range []struct{ expr, at, says, hint string }{
		{`sha256()`, "sha256()", "sha256 takes 1 or 2 arguments, not 0", "write sha256(text) or sha256(text, encoding)"},
		{`uuid(1)`, "uuid(1)", "uuid takes no arguments, not 1", "write uuid()"},
		{`sha256(1)`, "1)", "sha256 takes text here, not a whole number", "sha256(text)"},
		{`sha256(null)`, "null)", "sha256 takes text here, not null", "sha256(text)"},
		{`formatTime([1])`, "[1]", "formatTime takes a time here, not a list", "formatTime(time)"},
		{`sha256(len("a"))`, "sha256(", "sha256 takes text here, not a whole number", "sha256(text)"},
		{`formatTime("yesterday")`, `"yesterday"`, `"yesterday" is not a time`, "parseTime"},
		{`formatTime(now(), "dat")`, `"dat"`, `"dat" is not a layout of times`, `did you mean "date"?`},
		{`formatTime(now(), "YYYY-MM-DD")`, `"YYYY-MM-DD"`, "is not a layout of times", "2006-01-02"},
		{`formatTime(now(), "15:04 MST")`, `"15:04 MST"`, "abbreviations of zones", "-07:00"},
		{`inZone(now(), "Europe/Berln")`, `"Europe/Berln"`, "is not a time zone", "Europe/Berlin"},
		{`truncateTime(now(), "months")`, `"months"`, "is not a unit of time", `did you mean "month"?`},
		{`addTime(now(), "1 month")`, `"1 month"`, "is not an amount of time", "1mo"},
		{`hmac("a", "b", "sha3")`, `"sha3"`, "is not an algorithm", `did you mean`},
		{`decimalRound("1.x", 2)`, `"1.x"`, "is not a number", "digits"},
		{`matchAll(body.text, "(")`, `"("`, "the pattern is not a regular expression", "brackets"},
		{`matchAll(body.text, body.pattern)`, `pattern`, "a pattern is text that is written here", "contains"},
		{`matchAll(body.text, "` + strings.Repeat("a", 1001) + `")`, `"a`, "the limit is 1000", "several"},
		{`slg(body.text)`, "slg", `unknown function "slg"`, `did you mean "slug"? write slug(text)`},
		{`uuid`, "uuid", `unknown name "uuid"`, "uuid is a function: write uuid()"},
		{`truncate("a", 1) + 1`, "+", "text and a whole number cannot be added", "convert"},
	} {
		t.Run(c.expr[:min(len(c.expr), 40)], func(t *testing.T) {
			var ds Diagnostics
			if e := NewExpressions(&ds).Compile(scalar(t, c.expr), testScope(`{}`)); e != nil {
				t.Fatal("compiled")
			}
			d := ds.All()[0]
			if !strings.Contains(d.Message, c.says) || !strings.Contains(d.Hint, c.hint) {
				t.Errorf("got %q, help %q", d.Message, d.Hint)
			}
			if !strings.HasPrefix(d.Span.Source.Text[d.Span.Start:], c.at) {
				t.Errorf("place is %q", d.Span.Text())
			}
		})
	}
}

func TestFunctionsKeepNumbersExact(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`merge(body, {"x": 1}).price`, `1.10`},
		{`pick(body, ["price"])`, `{"price":1.10}`},
		{`zip([body.price], [body.id])`, `[[1.10,9007199254740993]]`},
		{`findAll(body, "price")`, `[1.50,10,1.10]`},
		{`decimalAdd(body.price, body.big)`, `12345678901234567891.10`},
		{`decimalAdd(body.price, 1) * 2`, `4.2`},
		{`merge(params, {"b": 2})`, `{"a":"1","b":2}`},
		{`keyBy(body.items, "price")["1.50"].sku`, `"x"`},
		{`chunk(body.items, 1)[1][0].sku`, `"y"`},
		{`keys(merge(groupBy(body.items, .sku), {"z": 1}))`, `["x","y","z"]`},
		{`padStart(body.name, int(body.n) + 2, "x")`, `"xxAda"`},
		{`sum(map(body.items, unix("1970-01-01T00:00:01Z")))`, `2`},
		{`body.missing ?? capitalize("x")`, `"X"`},
		{`parseTime(body.at).Year() + 1`, `2027`},
		{`parseTime(body.at) - parseTime("2026-01-31", "date") > duration("1h")`, `true`},
	} {
		t.Run(c.expr, func(t *testing.T) {
			scope := testScope(strings.Replace(exprBody, "{", `{"at": "2026-01-31T08:00:00Z",`, 1))
			scope.add("params", TypeAny, map[string]string{"a": "1"})
			got, err := evalText(t, scope, c.expr)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := AppendJSON(nil, got); err != nil || string(text) != c.want {
				t.Errorf("got %s (%v), want %s", text, err, c.want)
			}
		})
	}
}

func TestPatternsMatchAsRegexpDoes(t *testing.T) {
	texts := []string{"", "a", "aaa", "abab", "a b\nc d", "größe ñ", "x\xffy\xff", "aab b aab"}
	for _, expr := range []string{"", "a", "a*", "a*b|a", `\b`, `^`, `(?m)^`, `$`, `(?m)$`, `\w+`, `(?i)A(b)?`, `.`, `[^a]*?`, `(?s).`, `\Bb`, `\Qa`} {
		p, err := compilePattern(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			var got [][]int
			err := p.matches(call{machine: &machine{ctx: context.Background()}}, text, func(loc []int) (bool, error) {
				got = append(got, slices.Clone(loc))
				return true, nil
			})
			want := regexp.MustCompile(expr).FindAllStringSubmatchIndex(text, -1)
			if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%q in %q: got %v, want %v (%v)", expr, text, got, want, err)
			}
		}
	}
}

func TestSearchesForAllMatchesStopWhenTimeIsUp(t *testing.T) {
	scope := testScope(`{}`)
	scope.add("long", TypeString, strings.Repeat("a", 1<<20))
	cause := errors.New("out of time")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	var ds Diagnostics
	for _, expr := range []string{`matchAll(long, "a*b|a")`, `splitRegex(long, "a*b|a")`, `len(replaceRegex(long, "a*b|a", ""))`} {
		e := NewExpressions(&ds).Compile(scalar(t, expr), scope)
		if _, err := e.Eval(ctx, scope); !errors.Is(err, cause) {
			t.Errorf("%s: got %v", expr, err)
		}
	}
}

func TestFunctionsAreBoundedOnUntrustedValues(t *testing.T) {
	scope := testScope(`{}`)
	scope.add("large", TypeString, strings.Repeat("a", 8<<20))
	for _, expr := range []string{
		`replaceRegex(large[0:1000000], "a{10}", "$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0")`,
		`matchAll(large, "a{100}")`,
		`map(1..20, toHex(large))`,
		`reduce(1..40, merge({"a": #acc}, {"c": #acc}), {}) | findAll("b")`,
		`reduce(1..40, [#acc, #acc], 1) | findAll("b")`,
		`mergePatch({}, reduce(1..2000, {{"a": #acc}}, {}))`,
	} {
		t.Run(expr[:min(len(expr), 40)], func(t *testing.T) {
			if v, err := evalText(t, scope, expr); err == nil {
				t.Errorf("gave %.100v", v)
			}
		})
	}
}

func TestRounding(t *testing.T) {
	modes := []string{"half_up", "half_even", "half_down", "up", "down", "ceiling", "floor"}
	for value, want := range map[string][]string{
		"2.5":  {"3", "2", "2", "3", "2", "3", "2"},
		"3.5":  {"4", "4", "3", "4", "3", "4", "3"},
		"2.4":  {"2", "2", "2", "3", "2", "3", "2"},
		"2.51": {"3", "3", "3", "3", "2", "3", "2"},
		"-2.5": {"-3", "-2", "-2", "-3", "-2", "-2", "-3"},
		"-0.4": {"0", "0", "0", "-1", "0", "0", "-1"},
		"7":    {"7", "7", "7", "7", "7", "7", "7"},
	} {
		for i, mode := range modes {
			got, err := evalText(t, testScope(`{}`), `string(decimalRound("`+value+`", 0, "`+mode+`"))`)
			if err != nil || got != want[i] {
				t.Errorf("%s %s: got %v (%v), want %s", value, mode, got, err, want[i])
			}
		}
	}
}

func TestVersionsAreOrderedAsSemanticVersioningSays(t *testing.T) {
	ordered := []string{"0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2", "1.10.0", "v99999999999999999999.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			x, err := parseVersion(a)
			y, err2 := parseVersion(b)
			if got, want := x.compare(y), min(max(i-j, -1), 1); got != want || err != nil || err2 != nil {
				t.Errorf("%s and %s: got %d, want %d (%v, %v)", a, b, got, want, err, err2)
			}
		}
	}
	for _, bad := range []string{"", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.x", "version 1", "-1"} {
		if _, err := parseVersion(bad); err == nil {
			t.Errorf("%q is a version", bad)
		}
	}
}

// TestMergePatchDoesWhatItsRFCShows has the cases of RFC 7386, appendix A.
func TestMergePatchDoesWhatItsRFCShows(t *testing.T) {
	for _, c := range []struct{ value, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`}, {`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`}, {`{"a":"b"}`, `["c"]`, `["c"]`}, {`{"a":"foo"}`, `null`, `null`}, {`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`}, {`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		value := DecodeJSON(c.value)
		got, err := AppendJSON(nil, (&walker{}).mergePatch(value, DecodeJSON(c.patch), 0))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s: got %s (%v), want %s", c.value, c.patch, got, err, c.want)
		}
		if after, _ := AppendJSON(nil, value); string(after) != c.value {
			t.Errorf("%s was changed to %s", c.value, after)
		}
	}
}

func TestAmountsOfTime(t *testing.T) {
	for text, want := range map[string]amount{
		"1y2mo3w4d5h6m": {14, 25, 5*time.Hour + 6*time.Minute}, "5m": {clock: 5 * time.Minute}, "5mo": {months: 5}, "1.5h": {clock: 90 * time.Minute},
		"-1mo": {months: -1}, "P1Y2M3W4DT5H6M7.5S": {14, 25, 5*time.Hour + 6*time.Minute + 7500*time.Millisecond}, "PT1M": {clock: time.Minute}, "-P1D": {days: -1},
	} {
		if got, err := parseAmount(text); err != nil || *got != want {
			t.Errorf("%s: got %v (%v)", text, got, err)
		}
	}
	for _, bad := range []string{"", "-", "P", "PT", "P1", "P1DT", "1", "1d1y", "1dd", "P1H", "PT1D", "1x", "9999999y", "--1d", "P-1D", "pt1h"} {
		if got, err := parseAmount(bad); err == nil {
			t.Errorf("%q is %v", bad, *got)
		}
	}
}

func TestIdentifiersSortByTime(t *testing.T) {
	start := time.Date(2026, 1, 31, 8, 0, 0, 999_500_000, time.UTC)
	for _, next := range []time.Duration{time.Millisecond, time.Second} {
		for i := range 100 {
			at := start.Add(time.Duration(i) * next)
			if a, b := ulid(at), ulid(at.Add(next)); a >= b {
				t.Errorf("%s comes before %s", b, a)
			}
			if a, b := uuid7(at), uuid7(at.Add(next/1000)); a >= b {
				t.Errorf("%s comes before %s", b, a)
			}
		}
	}
	if id := ulid(time.UnixMilli(1469918176385)); !strings.HasPrefix(id, "01ARYZ6S41") { // from the specification
		t.Error(id)
	}
}
