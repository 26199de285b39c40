package engine

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// decoded is what encoding/json makes of checked text, with numbers by the
// rules of dsl.DecodeJSON.
func decoded(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return withNumbers(v)
}

var wholeText = regexp.MustCompile(`^-?[0-9]+$`)

func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		text := v.String()
		if n, err := v.Int64(); err == nil && wholeText.MatchString(text) && text != "-0" {
			return int(n)
		}
		if f, err := v.Float64(); err == nil && !wholeText.MatchString(text) {
			if again, err := json.Marshal(f); err == nil && string(again) == text {
				return f
			}
		}
		return dsl.Number(text)
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

// pathsOf reads paths, one a line, their keys apart by spaces: name, %20 in it
// for a space, #3 for an index, ? in front of either for an optional one.
func pathsOf(text string) (list []dsl.Path) {
	for line := range strings.Lines(text) {
		var path dsl.Path
		for word := range strings.FieldsSeq(line) {
			var key dsl.Key
			word, key.Optional = strings.CutPrefix(word, "?")
			if n, err := strconv.Atoi(strings.TrimPrefix(word, "#")); err == nil && strings.HasPrefix(word, "#") && n >= 0 {
				key.IsIndex, key.Index = true, n
			} else if name, err := url.PathUnescape(word); err == nil {
				key.Name = name
			} else {
				key.Name = word
			}
			path = append(path, key)
		}
		if len(path) > 0 && len(list) < 32 {
			list = append(list, path)
		}
	}
	return list
}

var pathSeeds = []struct{ body, paths string }{
	{`{"a":{"b":[1,{"c":1.10}]}}`, "a\na b\na b #1\na b #1 c\na b #2 c\na ?b #0 c\na b c\na #0"},
	{`{"a":1,"a":2}`, "a\na b\n?a b"},
	{`{"a":{"b":1},"a":{"c":2}}`, "a b\na c\na ?b c\na"},
	{`{"a":{"b":1},"a":null}`, "a b\n?a b\na ?b\na"},
	{`{"a":[{"b":1},{"b":2}],"a":[{"c":3}]}`, "a #0 b\na #0 c\na #1\na #1 b"},
	{`{"@this":1,"a.b":2,"a":{"b":3},"#":4,"*":5,"a|b":6,"a?":7,"!":8,"..0":9,"a\\b":10}`, "@this\na.b\na b\n#\n*\na|b\na?\n!\n..0\na%5Cb\n@reverse\n%23"},
	{`{"\u0061":1,"b\u002ec":{"\ud83d\ude00":2},"\ud800":3,"\ud800\u0041":4,"\"":5,"\/":6}`, "a\nb.c %F0%9F%98%80\n%EF%BF%BD\n%EF%BF%BDA\n%22\n/"},
	{`{"":{"":0},"0":"zero","#0":1}`, "0\n#0\n%230"},
	{` [ [ 1 , [ 2 ] ] , { "a" : [ ] } ] `, "#0 #1 #0\n#1 a\n#1 a #0\n#9223372036854775807\n#0 a\na"},
	{`"text"`, "a\n#0\n?a"},
	{`null`, "a\n?a\n?a b c\n#0"},
	{`12345678901234567890`, "a"},
	{`{"a":"{\"b\":1}","b":"]}"}`, "a b\nb\na"},
	{`{"n":[9007199254740993,1E5,-0,1.10,12345678901234567890]}`, "n #0\nn #1\nn #2\nn #3\nn #4\nn"},
	{`[{"a":1},{"a":2},{"a":3}]`, "#2 a\n#0 a\n#1"},
	{`{"a":{"a":{"a":{"a":1}}}}`, "a a a a\na a\na\na a a a a"},
	{"{\"a\":\t{\r\n\"b\" :\ttrue}\n}", "a b\na"},
	{`{"A":1,"a":2,"aa":3}`, "a\nA\naa\nb"},
}

// FuzzLookIntoBodies holds the lazy reads of all paths in one pass against
// decoding the whole and walking it.
func FuzzLookIntoBodies(f *testing.F) {
	for _, s := range pathSeeds {
		f.Add(s.body, s.paths)
	}
	f.Fuzz(func(t *testing.T, body, text string) {
		if dsl.CheckJSON(body) != nil {
			return
		}
		list := pathsOf(text)
		whole := decoded(t, body)
		for _, jsonFirst := range []bool{false, true} {
			var p paths
			ids := make([]int, len(list))
			for i, path := range list {
				ids[i] = p.add(path)
			}
			slots := make([]slot, len(p.list))
			var c cell
			c.set(JSON(body))
			for i, path := range list {
				want, wantErr := walk(whole, path)
				what := fmt.Sprintf("%v of %q", path, body)
				if jsonFirst {
					sameText(t, what, &c, &p, ids[i], slots, want, wantErr)
				}
				got, err := c.read(&p, ids[i], slots)
				if !reflect.DeepEqual(got, want) || !sameFault(err, wantErr) {
					t.Fatalf("%s: got %#v, %v; want %#v, %v", what, got, err, want, wantErr)
				}
				sameText(t, what, &c, &p, ids[i], slots, want, wantErr)
			}
			if got, err := c.whole(); err != nil || !reflect.DeepEqual(got, whole) {
				t.Fatalf("%q: got %#v, want %#v", body, got, whole)
			}
		}
	})
}

func sameText(t *testing.T, what string, c *cell, p *paths, id int, slots []slot, want any, wantErr error) {
	t.Helper()
	text, ok, err := c.readJSON(p, id, slots)
	if !ok || !sameFault(err, wantErr) {
		t.Fatalf("%s: JSON gives %v, %v; want %v", what, ok, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(decoded(t, text), want) {
		t.Fatalf("%s: JSON gives %s, want %#v", what, text, want)
	}
}

func sameFault(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}
