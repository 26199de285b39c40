package codec

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/weir-run/weir/dsl"
)

// CSV is rows of cells (RFC 4180). In JSON a row is an object if its columns
// have names, and a list of its cells if not.
type CSV struct {
	Header    bool              `yaml:"header" doc:"The first row is the names of the columns." default:"true"`
	Columns   []string          `yaml:"columns" doc:"The names of the columns, in order. With a header, these are read and written and others left out; when reading they must all be there."`
	Delimiter string            `yaml:"delimiter" doc:"The character between cells." default:","`
	Types     map[string]string `yaml:"types" doc:"Types of columns by name; an empty cell is then null. What is not named stays text." enum:"integer|number|boolean"`
	Quotes    string            `yaml:"quotes" doc:"When writing, which cells stand in quotes: those that need them, or all. When reading, lax also takes quotes inside cells that do not stand in quotes." default:"needed" enum:"needed|all|lax"`
	Ragged    bool              `yaml:"ragged" doc:"Rows may have fewer cells than there are columns, which are then null, and empty cells beyond them."`
	Errors    string            `yaml:"errors" doc:"What a row that cannot be read means: fail lets the step fail; collect makes the result { rows, lines, errors }, where lines has the line of each row, and errors the line and the message of each that is none." default:"fail" enum:"fail|collect"`
	Charset   string            `yaml:"charset" doc:"How the text is encoded if neither its media type nor a byte order mark says it." default:"utf-8" enum:"utf-8|utf-16|iso-8859-1|iso-8859-2|iso-8859-15|windows-1250|windows-1251|windows-1252"`
}

// Check reports a delimiter that is none, and columns that cannot be told apart.
func (o *CSV) Check(report func(key, message, hint string)) {
	if r, size := utf8.DecodeRuneInString(o.Delimiter); size == 0 || size != len(o.Delimiter) || r == '"' || r == '\r' || r == '\n' || r == utf8.RuneError {
		report("delimiter", fmt.Sprintf("%q cannot stand between cells", o.Delimiter), `write one character, such as ";" or "\t"`)
	}
	for i, name := range o.Columns {
		if slices.Contains(o.Columns[:i], name) {
			report("columns", fmt.Sprintf("there are two columns %q", name), "give each a name of its own")
		}
	}
	if len(o.Columns) == 0 {
		return
	}
	for name := range o.Types {
		if !slices.Contains(o.Columns, name) {
			report("types", fmt.Sprintf("there is no column %q", name), "the columns are "+strings.Join(o.Columns, ", "))
		}
	}
}

// csvColumn is one column that is read.
type csvColumn struct {
	name string
	key  string // as JSON, with the colon; "" if the rows are lists
	cell int    // its place in the row
	kind string
}

// Decode gives a list of the rows.
func (o *CSV) Decode(document, mediaType string) (string, error) {
	document, err := toUTF8(document, charsetOf(mediaType, o.Charset))
	if err != nil {
		return "", err
	}
	r := csv.NewReader(strings.NewReader(document))
	r.Comma, _ = utf8.DecodeRuneInString(o.Delimiter)
	r.LazyQuotes, r.ReuseRecord, r.FieldsPerRecord = o.Quotes == "lax", true, -1
	width := len(o.Columns)
	columns, err := o.positional(), error(nil)
	if o.Header {
		if columns, width, err = o.header(r); err != nil {
			return "", err
		}
	}
	rows := newRows(o.Errors, len(document))
	for {
		row, err := r.Read()
		if err == io.EOF {
			return rows.json(), nil
		}
		line, message := 0, ""
		if err != nil {
			line, message = csvFault(err)
		} else {
			if line, _ = r.FieldPos(0); width == 0 {
				width = len(row)
			}
			from, lines := len(rows.buf), len(rows.lines)
			rows.next(line)
			if rows.buf, message = o.row(rows.buf, row, columns, width); message != "" {
				rows.back(from, lines)
			}
		}
		if message != "" {
			if err := rows.fault(line, message); err != nil {
				return "", err
			}
		}
		if len(rows.buf) > MaxBytes {
			return "", tooLarge()
		}
	}
}

func csvFault(err error) (line int, message string) {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return 0, err.Error()
	}
	switch p.Err {
	case csv.ErrQuote:
		return p.StartLine, "a cell in quotes does not end, or goes on behind its closing quote"
	case csv.ErrBareQuote:
		return p.StartLine, "a quote stands inside a cell that is not in quotes"
	}
	return p.StartLine, p.Err.Error()
}

// positional are the columns of a document without a header.
func (o *CSV) positional() []csvColumn {
	var list []csvColumn
	for i, name := range o.Columns {
		list = append(list, o.column(name, i))
	}
	return list
}

func (o *CSV) column(name string, cell int) csvColumn {
	return csvColumn{name, string(dsl.AppendJSONString(nil, name)) + ":", cell, o.Types[name]}
}

// header reads the names of the columns, and how many there are.
func (o *CSV) header(r *csv.Reader) ([]csvColumn, int, error) {
	row, err := r.Read()
	if err == io.EOF {
		return nil, 0, faultf(1, "the header is missing")
	}
	if err != nil {
		line, message := csvFault(err)
		return nil, 0, &Fault{line, message}
	}
	line, _ := r.FieldPos(0)
	var known names
	for i, name := range row {
		if name == "" {
			return nil, 0, faultf(line, "column %d has no name", i+1)
		}
		if _, fresh := known.add(strings.Clone(name)); !fresh {
			return nil, 0, faultf(line, "two columns are named %s", excerpt(name))
		}
	}
	wanted := o.Columns
	if len(wanted) == 0 {
		wanted = known.list
	}
	var list []csvColumn
	for _, name := range wanted {
		i, ok := known.find(name)
		if !ok {
			return nil, 0, faultf(line, "the column %q is missing", name)
		}
		list = append(list, o.column(name, i))
	}
	return list, len(row), nil
}

// row appends one row. message says what is wrong with it.
func (o *CSV) row(dst []byte, row []string, columns []csvColumn, width int) (out []byte, message string) {
	if len(row) != width && !o.Ragged {
		return dst, fmt.Sprintf("there are %d cells here, and %d columns", len(row), width)
	}
	if columns == nil {
		dst = append(dst, '[')
		for i, cell := range row {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = dsl.AppendJSONString(dst, cell)
		}
		return append(dst, ']'), ""
	}
	for _, cell := range row[min(width, len(row)):] {
		if cell != "" {
			return dst, fmt.Sprintf("there are %d cells here, and %d columns", len(row), width)
		}
	}
	dst = append(dst, '{')
	for i := range columns {
		c := &columns[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c.key...)
		if c.cell >= len(row) {
			dst = append(dst, "null"...)
			continue
		}
		var ok bool
		if dst, ok = appendTyped(dst, c.kind, row[c.cell]); !ok {
			return dst, fmt.Sprintf("%s: %s is not of type %s", c.name, excerpt(row[c.cell]), c.kind)
		}
		if len(dst) > MaxBytes {
			break // the caller sees it
		}
	}
	return append(dst, '}'), ""
}

// Encode writes a list of objects or of lists. The columns of objects are those
// of all of them, in the order in which they first come.
func (o *CSV) Encode(json string) (string, string, error) {
	json = trim(json)
	if json[0] != '[' {
		return "", "", faultf(0, "CSV is written from a list of rows, not from %s", kindOf(json))
	}
	columns := names{}
	for _, name := range o.Columns {
		columns.add(name)
	}
	if len(o.Columns) == 0 {
		gjson.Parse(json).ForEach(func(_, row gjson.Result) bool {
			if row.IsObject() {
				row.ForEach(func(key, _ gjson.Result) bool { columns.add(unquoted(key.Raw)); return true })
			}
			return true
		})
	}
	w := csvWriter{o: o, buf: make([]byte, 0, len(json))}
	if o.Header && len(columns.list) > 0 {
		w.row(columns.list)
	}
	n := 0
	var fault *Fault
	gjson.Parse(json).ForEach(func(_, row gjson.Result) bool {
		n++
		if fault = w.value(row.Raw, &columns); fault == nil && len(w.buf) > MaxBytes {
			fault = tooLarge()
		} else if fault != nil {
			fault.Message = fmt.Sprintf("row %d %s", n, fault.Message)
		}
		return fault == nil
	})
	if fault != nil {
		return "", "", fault
	}
	return string(w.buf), "text/csv; charset=utf-8", nil
}

type csvWriter struct {
	o     *CSV
	buf   []byte
	cells []string
}

// value writes one row. Messages go on from "row 1".
func (w *csvWriter) value(raw string, columns *names) *Fault {
	w.cells = w.cells[:0]
	put := func(i int, raw string) *Fault {
		text, ok := scalar(raw)
		if !ok {
			return faultf(0, "has %s in cell %d, and a cell holds only text", kindOf(raw), i+1)
		}
		w.cells[i] = text
		return nil
	}
	switch raw[0] {
	case '{':
		w.cells = append(w.cells, make([]string, len(columns.list))...)
		for _, f := range fields(raw) {
			i, ok := columns.find(f.key)
			if !ok {
				continue
			}
			if err := put(i, f.raw); err != nil {
				return err
			}
		}
	case '[':
		for i, cell := range elements(raw) {
			w.cells = append(w.cells, "")
			if err := put(i, cell); err != nil {
				return err
			}
		}
	default:
		return faultf(0, "is %s; a row is an object or a list", kindOf(raw))
	}
	if len(w.cells) == 0 {
		return faultf(0, "has no cells")
	}
	w.row(w.cells)
	return nil
}

func (w *csvWriter) row(cells []string) {
	for i, cell := range cells {
		if i > 0 {
			w.buf = append(w.buf, w.o.Delimiter...)
		}
		if w.o.Quotes != "all" && !w.quoted(cell, len(cells)) {
			w.buf = append(w.buf, cell...)
			continue
		}
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, strings.ReplaceAll(cell, `"`, `""`)...)
		w.buf = append(w.buf, '"')
	}
	w.buf = append(w.buf, '\r', '\n')
}

// quoted reports whether a cell needs quotes: to be one cell, to keep the space
// at its ends, not to be taken for a byte order mark, or not to leave its row an
// empty line, which is no row.
func (w *csvWriter) quoted(cell string, ofCells int) bool {
	if cell == "" {
		return ofCells == 1
	}
	return strings.ContainsAny(cell, "\"\r\n") || strings.Contains(cell, w.o.Delimiter) ||
		strings.HasPrefix(cell, " ") || strings.HasSuffix(cell, " ") || strings.HasPrefix(cell, markUTF8)
}
