package dsl

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestCheckJSONSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "not JSON at byte 0"},
		{"a word", "nope", "not JSON at byte 2"},
		{"a trailing comma", `{"a":1,}`, "not JSON at byte 8"},
		{"NUL", "\"a\x00\"", "invalid character"},
		{"invalid UTF-8", "\"\xff\"", "not UTF-8"},
		{"a BOM", "\ufeff{}", "byte order mark"},
		{"eight million brackets", strings.Repeat("[", 8<<20), "deeper than 128"},
		{"brackets behind a quote that is not closed", `"` + strings.Repeat("[", 1000), "not JSON"},
		{"brackets behind an escaped quote", `"\"` + strings.Repeat("[", 1000) + `"`, ""},
		{"an object 129 deep", strings.Repeat(`{"a":`, 129) + "1" + strings.Repeat("}", 129), "deeper than 128"},
		{"128 deep", strings.Repeat(`[`, 128) + strings.Repeat("]", 128), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckJSON(c.text)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAppendJSONRefusesWhatJSONCannotSay(t *testing.T) {
	shared := any([]any{"x"})
	for range 25 {
		shared = []any{shared, shared}
	}
	deep := any(1)
	for range MaxDepth + 1 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"NaN": math.NaN(), "an infinity": []any{math.Inf(-1)}, "too deep": deep, "two to the 25th": shared,
		"a function": func() {}, "a place on earth": time.UTC, "two groups of one name": map[any][]any{1: nil, "1": nil},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := AppendJSON(nil, v); err == nil {
				t.Errorf("gave %d bytes", len(text))
			}
		})
	}
}

func TestAppendJSONWritesWhatExpressionsMake(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{map[string]any{"b": 1, "a": Number("1.10")}, `{"a":1.10,"b":1}`},
		{map[any][]any{2: {1}, "x": nil, true: {}}, `{"2":[1],"true":[],"x":[]}`},
		{90 * time.Second, `"1m30s"`},
		{time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC), `"2024-02-29T01:02:03.000000004Z"`},
		{time.February, `2`},
		{[]any{nil, true, "\u2028\x01\xff", 1e21, math.Copysign(0, -1)}, `[null,true,"\u2028\u0001` + "\ufffd" + `",1e+21,-0]`},
	} {
		if got, err := AppendJSON(nil, c.v); err != nil || string(got) != c.want {
			t.Errorf("got %s (%v), want %s", got, err, c.want)
		}
	}
}

// A list of small objects takes fifty times the room of its text.
func TestDecodingIsBoundedByTheMemoryItTakes(t *testing.T) {
	if _, err := DecodeBounded("[" + strings.Repeat(`{"a":1},`, 1<<20) + "1]"); !errors.Is(err, ErrMemory) {
		t.Errorf("got %v", err)
	}
	record := `{"id":12345,"name":"a name of some length","address":{"street":"a street","city":"a city"},"tags":["one","two"],"price":19.99},`
	text := "[" + strings.Repeat(record, 10<<20/len(record)) + "1]"
	if v, err := DecodeBounded(text); err != nil || len(v.([]any)) < 80000 {
		t.Errorf("%d bytes of records: %v", len(text), err)
	}
}
