package engine

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func TestBodyIsWhatItsMediaTypeSays(t *testing.T) {
	for _, c := range []struct {
		name, text, contentType string
		want                    Value
		fails                   bool
	}{
		{"no bytes", "", "application/json", Value{}, false},
		{"JSON", `{"a":1}`, "application/json", JSON(`{"a":1}`), false},
		{"JSON with parameters", `1`, "Application/JSON; charset=utf-8", JSON(`1`), false},
		{"JSON of a kind", `1`, "application/problem+json", JSON(`1`), false},
		{"JSON with white space", " null\r\n", "application/json", Value{form: formJSON, text: "null", value: " null\r\n"}, false},
		{"no JSON", `{`, "application/json", Value{}, true},
		{"white space alone", " ", "application/json", Value{}, true},
		{"JSON that says nothing", `[1]`, "", JSON(`[1]`), false},
		{"bytes that say nothing", "\xff", "", Bytes("\xff", "application/octet-stream"), false},
		{"a bomb that says nothing", strings.Repeat("[", 1000), "", Bytes(strings.Repeat("[", 1000), "application/octet-stream"), false},
		{"text", `{"a":1}`, "text/plain", Bytes(`{"a":1}`, "text/plain"), false},
		{"a media type that is none", `1`, ";", Bytes(`1`, ";"), false},
		{"JSON among others", `1`, "text/json+x", Bytes(`1`, "text/json+x"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Body(c.text, c.contentType)
			if !reflect.DeepEqual(got, c.want) || (err != nil) != c.fails {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	if v, _ := Body(" null ", "application/json"); !v.Null() {
		t.Error("null with white space around it is not null")
	}
}

func TestFaultsOfLooksSayTheSameAsOfDecodedValues(t *testing.T) {
	for _, body := range []string{`{"a":{"b":1}}`, `{"a":[1]}`, `{"a":"x"}`, `{"a":1.10}`, `{"a":true}`, `{"a":null}`, `[]`, `"x"`, `null`} {
		for _, text := range []string{"a", "a b", "a b c", "a #0", "a #0 x", "#0", "?a b", "a ?b"} {
			path := pathsOf(text)[0]
			var p paths
			id := p.add(path)
			var c cell
			c.set(JSON(body))
			got, err := c.read(&p, id, make([]slot, 1))
			want, wantErr := walk(decoded(t, body), path)
			if !reflect.DeepEqual(got, want) || !sameFault(err, wantErr) {
				t.Errorf("%s of %s: got %v, %v; want %v, %v", text, body, got, err, want, wantErr)
			}
		}
	}
}

// All readers of one name share what the first of them finds.
func TestReadersCanLookAtTheSameTime(t *testing.T) {
	var p paths
	list := pathsOf("a\na b\na b #0\nc\nc d\nmissing\nmissing x")
	for _, path := range list {
		p.add(path)
	}
	const body = `{"a":{"b":[1.10]},"c":{"d":"e"},"a":{"b":[2.20]}}`
	whole := decoded(t, body)
	for range 20 {
		var c cell
		c.set(JSON(body))
		slots := make([]slot, len(p.list))
		var readers sync.WaitGroup
		for i := range 8 {
			readers.Go(func() {
				for k := range list {
					id := (i + k) % len(list)
					want, wantErr := walk(whole, list[id])
					if got, err := c.read(&p, id, slots); !reflect.DeepEqual(got, want) || !sameFault(err, wantErr) {
						t.Errorf("%v: got %v, %v", list[id], got, err)
					}
					if _, _, err := c.readJSON(&p, id, slots); !sameFault(err, wantErr) {
						t.Errorf("%v: got %v", list[id], err)
					}
				}
				if got, err := c.whole(); err != nil || !reflect.DeepEqual(got, whole) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		readers.Wait()
	}
}

func TestValuesThatTakeTooMuchMemoryAreNotTakenApart(t *testing.T) {
	body := `{"small":1,"list":[` + strings.Repeat(`{"a":1},`, 1<<20) + `1]}`
	var p paths
	list := pathsOf("small\nlist\nlist #3 a")
	for _, path := range list {
		p.add(path)
	}
	var c cell
	c.set(JSON(body))
	slots := make([]slot, len(p.list))
	if v, err := c.read(&p, 0, slots); v != 1 || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
	if _, err := c.read(&p, 1, slots); !errors.Is(err, dsl.ErrMemory) {
		t.Errorf("got %v", err)
	}
	if v, err := c.read(&p, 2, slots); v != 1 || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
	if text, ok, err := c.readJSON(&p, 1, slots); !ok || err != nil || len(text) < 8<<20 {
		t.Errorf("the text that is only passed on: %v, %v", ok, err)
	}
	if _, err := c.whole(); !errors.Is(err, dsl.ErrMemory) {
		t.Errorf("got %v", err)
	}
}

func TestTextsOfAValueAreBounded(t *testing.T) {
	for _, v := range []Value{Go(strings.Repeat("x", 2<<20)), JSON(`"` + strings.Repeat("x", 2<<20) + `"`), JSON("[" + strings.Repeat(`"xxxxxxxx",`, 1<<18) + "1]")} {
		if texts, err := v.Texts(); err == nil {
			t.Errorf("got %d texts", len(texts))
		}
	}
	if texts, err := JSON(`["a",null,1.10,{"b":1E5}]`).Texts(); err != nil || !reflect.DeepEqual(texts, []string{"a", "1.10", `{"b":1E5}`}) {
		t.Errorf("got %q, %v", texts, err)
	}
}
