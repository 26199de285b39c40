package codec_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/codec"
)

func TestReadCSV(t *testing.T) {
	for _, r := range []reading{
		{name: "objects by the header", document: "sku,qty\r\na-1,3\r\nb-2,007\r\n", json: `[{"sku":"a-1","qty":"3"},{"sku":"b-2","qty":"007"}]`},
		{name: "quotes", document: "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"two\nlines\", z \n", json: `[{"a":"x,y","b":"say \"hi\""},{"a":"two\nlines","b":" z "}]`},
		{name: "another delimiter", options: `delimiter: ";"`, document: "a;b\n1,5;2", json: `[{"a":"1,5","b":"2"}]`},
		{name: "lists without a header", options: "header: false", document: "1,2\n3,4\n", json: `[["1","2"],["3","4"]]`},
		{name: "named columns without a header", options: "header: false, columns: [a, b]", document: "1,2\n", json: `[{"a":"1","b":"2"}]`},
		{name: "named columns of a header", options: "columns: [c, a]", document: "a,b,c\n1,2,3\n", json: `[{"c":"3","a":"1"}]`},
		{name: "a column that is missing", options: "columns: [a, x]", document: "a,b\n1,2\n", fault: `line 1: the column "x" is missing`},
		{name: "types", options: "types: { n: integer, p: number, ok: boolean }", document: "n,p,ok,s\n1,2.50,true,3\n,,,\n", json: `[{"n":1,"p":2.50,"ok":true,"s":"3"},{"n":null,"p":null,"ok":null,"s":""}]`},
		{name: "a wrong type", options: "types: { n: integer }", document: "n\n1\n\"\n\"\nx\n", fault: `line 5: n: "x" is not of type integer`},
		{name: "a row that is too short", document: "a,b\n1,2\n\n3\n", fault: "line 4: there are 1 cells here, and 2 columns"},
		{name: "a row that is too long", document: "a,b\n1,2,3\n", fault: "line 2: there are 3 cells here, and 2 columns"},
		{name: "rows without names of different lengths", options: "header: false", document: "1,2\n3\n", fault: "line 2: there are 1 cells here, and 2 columns"},
		{name: "ragged rows", options: "ragged: true", document: "a,b\n1\n1,2,,\n", json: `[{"a":"1","b":null},{"a":"1","b":"2"}]`},
		{name: "a ragged row that would lose something", options: "ragged: true", document: "a,b\n1,2,3\n", fault: "line 2: there are 3 cells here, and 2 columns"},
		{name: "ragged lists", options: "ragged: true, header: false", document: "1,2\n3\n4,5,6\n", json: `[["1","2"],["3"],["4","5","6"]]`},
		{name: "a quote in a cell", document: "a,b\n1,2\nx\"y,3\n", fault: "line 3: a quote stands inside a cell that is not in quotes"},
		{name: "a quote in a cell, lax", options: "quotes: lax", document: "a,b\nx\"y,3\n", json: `[{"a":"x\"y","b":"3"}]`},
		{name: "a quote that does not end", document: "a,b\n1,\"2\n3,4\n", fault: "line 2: a cell in quotes does not end, or goes on behind its closing quote"},
		{name: "faults of rows, collected", options: "errors: collect, types: { n: integer }", document: "n,s\n1,a\nx,b\n2\n3,c\"d\n4,e\n", json: `{"rows":[{"n":1,"s":"a"},{"n":4,"s":"e"}],"lines":[2,6],"errors":[` +
			`{"line":3,"message":"n: \"x\" is not of type integer"},{"line":4,"message":"there are 1 cells here, and 2 columns"},{"line":5,"message":"a quote stands inside a cell that is not in quotes"}]}`},
		{name: "only a header", document: "a,b\n", json: `[]`},
		{name: "nothing", fault: "line 1: the header is missing"},
		{name: "nothing, and no header", options: "header: false", json: `[]`},
		{name: "two columns of one name", document: "a,b,a\n", fault: `line 1: two columns are named "a"`},
		{name: "a column without a name", document: "a,,b\n", fault: "line 1: column 2 has no name"},
		{name: "a byte order mark", document: "\xef\xbb\xbfa\n1\n", json: `[{"a":"1"}]`},
		{name: "a charset", document: "ort\nZ\xfcrich\n", media: "text/csv; charset=iso-8859-1; header=present", json: `[{"ort":"Zürich"}]`},
		{name: "a charset that only the flow knows", options: "charset: windows-1252", document: "ort\nZ\xfcrich\n", media: "text/csv", json: `[{"ort":"Zürich"}]`},
		{name: "invalid UTF-8", document: "a\nb\nZ\xfcrich\n", fault: "line 3: this is not UTF-8"},
		{name: "NUL", document: "a\nx\x00y\n", json: `[{"a":"x\u0000y"}]`},
	} {
		r.test(t, "csv")
	}
}

func TestWriteCSV(t *testing.T) {
	for _, w := range []writing{
		{name: "the columns of all objects", json: `[{"a":1.50,"b":"x"},{"b":null,"c":true}]`, document: "a,b,c\r\n1.50,x,\r\n,,true\r\n"},
		{name: "chosen columns", options: "columns: [c, a]", json: `[{"a":1,"b":2},{"c":3}]`, document: "c,a\r\n,1\r\n3,\r\n"},
		{name: "no header", options: "header: false", json: `[{"a":1,"b":2}]`, document: "1,2\r\n"},
		{name: "lists", json: `[[1,"x"],[]  ,[null]]`, fault: "row 2 has no cells"},
		{name: "lists with empty cells", json: `[[1,"x"],[null],["",""]]`, document: "1,x\r\n\"\"\r\n,\r\n"},
		{name: "lists with a header", options: "columns: [a, b]", json: `[[1,2]]`, document: "a,b\r\n1,2\r\n"},
		{name: "quotes where needed", json: `[["a,b","say \"hi\"","two\r\nlines"," x","y ","'"]]`, document: "\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\",\" x\",\"y \",'\r\n"},
		{name: "quotes everywhere", options: "quotes: all", json: `[{"a":1}]`, document: "\"a\"\r\n\"1\"\r\n"},
		{name: "another delimiter", options: `delimiter: ";"`, json: `[["a;b","a,b"]]`, document: "\"a;b\";a,b\r\n"},
		{name: "no rows", json: `[]`},
		{name: "no rows of known columns", options: "columns: [a]", json: `[]`, document: "a\r\n"},
		{name: "the last of two fields counts", json: `[{"a":1,"a":2}]`, document: "a\r\n2\r\n"},
		{name: "a list in a cell", json: `[{"a":1,"b":[]}]`, fault: "row 1 has a list in cell 2, and a cell holds only text"},
		{name: "no row", json: `[[1],2]`, fault: "row 2 is a number; a row is an object or a list"},
		{name: "no list", json: `{"a":1}`, fault: "CSV is written from a list of rows, not from an object"},
	} {
		w.test(t, "csv")
	}
}

// A header says a name once, a result once for each row.
func TestNamesOfColumnsDoNotMultiplyWithoutBounds(t *testing.T) {
	document := strings.Repeat("a", 1<<20) + "\n" + strings.Repeat("1\n", 1<<20)
	reading{name: "reading", document: document, fault: "this would become larger than 64 MiB"}.test(t, "csv")
	var rows []map[string]int
	for i := range 4000 {
		rows = append(rows, map[string]int{strings.Repeat("k", i%200) + string(rune('0'+i)): 1})
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	writing{name: "writing", options: "quotes: all, delimiter: 🌊", json: string(b), fault: "this would become larger than 64 MiB"}.test(t, "csv")
}

func TestOneLargeCell(t *testing.T) {
	cell := strings.Repeat("x", 10<<20)
	reading{name: "CSV", document: "a\n" + cell, json: `[{"a":"` + cell + `"}]`}.test(t, "csv")
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a\n\"x\"\"y\"\n", "a\n\"\n", "a,b\n1\n1,2,3\n", "\"a\r\nb\"\n1", "\xef\xbb\xbfa\n1", "a\n\x00\n", "a;b\n1;2", "\xff", `[{"a":1,"b":"x\ny"}]`, `[["",""],[""]]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		for _, o := range []codec.CSV{
			{Header: true, Delimiter: ",", Errors: "fail"},
			{Delimiter: ";", Errors: "fail", Ragged: true},
			{Delimiter: ",", Errors: "fail", Quotes: "lax"},
		} {
			if read, _ := o.Decode(document, ""); read != "[]" { // of which the header is lost
				settles(t, &o, document, "")
			}
			if o.Ragged { // as lists may be
				readable(t, &o, document)
			}
		}
		o := codec.CSV{Header: true, Delimiter: ",", Errors: "collect", Types: map[string]string{"a": "integer", "b": "boolean"}}
		if read, err := o.Decode(document, ""); err == nil && dsl.CheckJSON(read) != nil {
			t.Fatalf("%q", read)
		}
	})
}

// Rows of any cells survive.
func TestCellsSurviveCSV(t *testing.T) {
	pieces := []string{"", " ", "a", `"`, ",", ";", "\n", "\r", "\t", "'", "ü", "\ufeff", "\\.", "=1+1", "#"}
	o := &codec.CSV{Delimiter: ",", Errors: "fail", Ragged: true}
	for _, a := range pieces {
		for _, b := range pieces {
			for _, c := range pieces {
				row := []string{a + b, c, b + c}
				if slices.ContainsFunc(row, func(s string) bool { return strings.Contains(s, "\r\n") }) {
					continue // a line end inside a cell reads as \n
				}
				b, err := json.Marshal([][]string{row, row})
				if err != nil {
					t.Fatal(err)
				}
				document, _, err := o.Encode(string(b))
				if err != nil {
					t.Fatal(err)
				}
				got, err := o.Decode(document, "")
				if err != nil || !same(got, string(b)) {
					t.Fatalf("%s became %q and %s, %v", b, document, got, err)
				}
			}
		}
	}
}
