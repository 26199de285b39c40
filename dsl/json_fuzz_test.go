package dsl

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// reference decodes with encoding/json, by the rules for numbers as they are
// documented: int where it fits, float64 where its own text is the same, and
// Number otherwise.
func reference(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, err
	}
	return referenceNumbers(v), nil
}

var wholeText = regexp.MustCompile(`^-?[0-9]+$`)

func referenceNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		text := v.String()
		if wholeText.MatchString(text) {
			if n, err := v.Int64(); err == nil && text != "-0" {
				return int(n)
			}
			return Number(text)
		}
		if f, err := v.Float64(); err == nil {
			if again, err := json.Marshal(f); err == nil && string(again) == text {
				return f
			}
		}
		return Number(text)
	case []any:
		for i := range v {
			v[i] = referenceNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = referenceNumbers(v[k])
		}
	}
	return v
}

// depthOf is how deep a valid JSON text nests.
func depthOf(text string) int {
	d := json.NewDecoder(strings.NewReader(text))
	depth, deepest := 0, 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		deepest = max(deepest, depth)
	}
}

var jsonSeeds = []string{
	``, ` `, `null`, `true`, `-`, `-0`, `-0.0`, `01`, `1.`, `.5`, `1e`, `1E5`, `1e+5`, `1e-7`, `1e21`, `1e999999`, `1.10`, `0.1`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `9007199254740993`, `12345678901234567890`,
	strings.Repeat("9", 400), `"\u0000"`, "\"\x00\"", `"\ud800"`, `"\ud800\u0041"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"\ud800\ud800\udc00"`,
	"\"\xff\"", "\"\xed\xa0\x80\"", `"\/\b\f\n\r\t\"\\"`, `"\x"`, `"\u12"`, `"a`, "\"a\nb\"", "\"\u007f\u2028\"",
	`{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2}}`, `{"\u0061":1,"a":2}`, `{"":0}`, `{a:1}`, `{"a":1,}`, `[1,]`, `[,]`, `[1 2]`, `{"a" 1}`,
	"\ufeff{}", `{} {}`, `nul`, `nulll`, `[[[[]]]]`, strings.Repeat("[", 128) + strings.Repeat("]", 128),
	strings.Repeat("[", 129) + strings.Repeat("]", 129), strings.Repeat(`{"a":`, 128) + "1" + strings.Repeat("}", 128), strings.Repeat("[", 10000),
	`["[[[[[["]`, `"\\"`, `["\\\"",[]]`, " \t\r\n[ 1 , 2 ] ", "\v1", `{"a":[{"b":"]"}]}`, `NaN`, `Infinity`, `'a'`, `/* */1`, `[1]//`,
}

func FuzzCheckAndDecodeJSON(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := CheckJSON(text)
		if valid := json.Valid([]byte(text)) && utf8.ValidString(text) && depthOf(text) <= MaxDepth; valid != (err == nil) {
			t.Fatalf("%q: valid is %v, CheckJSON says %v", text, valid, err)
		}
		if err != nil {
			if len(err.Error()) > 200 {
				t.Fatalf("the message has %d bytes", len(err.Error()))
			}
			return
		}
		want, err := reference(text)
		if err != nil {
			t.Fatal(err)
		}
		got := DecodeJSON(text)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", text, got, want)
		}
		again, err := AppendJSON(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(again) || !reflect.DeepEqual(DecodeJSON(string(again)), got) {
			t.Fatalf("%q became %q", text, again)
		}
	})
}

func FuzzAppendJSONString(f *testing.F) {
	for _, seed := range append(jsonSeeds, "\xff\xfe", "\u2028\u2029", "\x7f\x80", "a\xf0\x9f\x98", "<script>&") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendJSONString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != toRunes(s) {
			t.Fatalf("%q became %s: %q %v", s, got, back, err)
		}
		if bytes.ContainsAny(got, "\n\r") || bytes.Contains(got, []byte("\u2028")) || !utf8.Valid(got) {
			t.Fatalf("%q became %s", s, got)
		}
		if unquoted := DecodeJSON(string(got)); unquoted != back {
			t.Fatalf("%s reads as %q, want %q", got, unquoted, back)
		}
	})
}

// toRunes replaces each byte that is no UTF-8 by U+FFFD, as encoding/json does.
func toRunes(s string) string { return string([]rune(s)) }

func FuzzNumbers(f *testing.F) {
	for _, seed := range []float64{0, math.Copysign(0, -1), 0.1 + 0.2, 1e-6, 9.99e-7, 1e21, 9.99e20, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1e5} {
		f.Add(math.Float64bits(seed))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := math.Float64frombits(bits)
		got, err := AppendJSON(nil, v)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			if err == nil {
				t.Fatalf("%v became %s", v, got)
			}
			return
		}
		if want, _ := json.Marshal(v); err != nil || string(got) != string(want) {
			t.Fatalf("got %s (%v), want %s", got, err, want)
		}
		n := int(bits)
		if text := strconv.Itoa(n); DecodeJSON(text) != n {
			t.Fatalf("%s became %v", text, DecodeJSON(text))
		}
	})
}
