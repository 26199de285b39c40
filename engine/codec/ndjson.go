package codec

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// NDJSON is one JSON value in each line.
type NDJSON struct {
	Errors string `yaml:"errors" doc:"What a line that is not JSON means: fail lets the step fail; collect makes the result { rows, lines, errors }, where lines has the line of each row, and errors the line and the message of each that is none." default:"fail" enum:"fail|collect"`
}

// Decode gives a list of the values. Empty lines are taken for nothing.
func (o *NDJSON) Decode(document, mediaType string) (string, error) {
	document, err := toUTF8(document, charsetOf(mediaType, ""))
	if err != nil {
		return "", err
	}
	rows := newRows(o.Errors, len(document))
	line := 0
	for text := range strings.Lines(document) {
		line++
		if text = trim(text); text == "" {
			continue
		}
		err := dsl.CheckJSON(text)
		if err == nil && depth(text) > dsl.MaxDepth-rowDepth {
			err = dsl.ErrDepth
		}
		if err != nil {
			if err := rows.fault(line, err.Error()); err != nil {
				return "", err
			}
			continue
		}
		rows.next(line)
		rows.buf = append(rows.buf, text...)
		if len(rows.buf) > MaxBytes {
			return "", tooLarge()
		}
	}
	return rows.json(), nil
}

// depth is how deeply checked JSON nests.
func depth(text string) int {
	deepest, at := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			at++
			deepest = max(deepest, at)
		case '}', ']':
			at--
		}
	}
	return deepest
}

// Encode writes each element of a list in a line, or a value that is no list in
// one.
func (o *NDJSON) Encode(text string) (string, string, error) {
	var b bytes.Buffer
	for _, raw := range values(trim(text)) {
		if err := json.Compact(&b, []byte(raw)); err != nil {
			return "", "", faultf(0, "%v", err)
		}
		b.WriteByte('\n')
	}
	return b.String(), "application/x-ndjson", nil
}

// Check has nothing to report.
func (o *NDJSON) Check(func(key, message, hint string)) {}

// rowDepth is how much deeper a row nests in a result than on its own.
const rowDepth = 2

// rows is the result of a format that has rows: their list, or beside it their
// lines and the rows with faults.
type rows struct {
	buf    []byte
	none   int    // the length of buf without any row
	lines  []byte // of the rows; nil: they are not told
	faults []byte // nil: the first fault ends everything
}

func newRows(errors string, size int) *rows {
	r := &rows{buf: make([]byte, 0, size+size/4+32)}
	if errors == "collect" {
		r.buf = append(r.buf, `{"rows":`...)
		r.lines = append(r.lines, `,"lines":[`...)
		r.faults = append(r.faults, `,"errors":[`...)
	}
	r.buf = append(r.buf, '[')
	r.none = len(r.buf)
	return r
}

// next prepares buf for the row of a line.
func (r *rows) next(line int) {
	if len(r.buf) > r.none {
		r.buf = append(r.buf, ',')
	}
	if r.lines == nil {
		return
	}
	if r.lines[len(r.lines)-1] != '[' {
		r.lines = append(r.lines, ',')
	}
	r.lines = strconv.AppendInt(r.lines, int64(line), 10)
}

// back takes a row away that buf had from there on.
func (r *rows) back(from, lines int) { r.buf, r.lines = r.buf[:from], r.lines[:lines] }

// fault records a row that cannot be read, or gives what ends everything.
func (r *rows) fault(line int, message string) error {
	f := &Fault{Line: line, Message: message}
	if r.faults == nil {
		return f
	}
	if r.faults[len(r.faults)-1] == '}' {
		r.faults = append(r.faults, ',')
	}
	r.faults = strconv.AppendInt(append(r.faults, `{"line":`...), int64(line), 10)
	r.faults = dsl.AppendJSONString(append(r.faults, `,"message":`...), message)
	r.faults = append(r.faults, '}')
	if len(r.faults) > MaxBytes {
		return tooLarge()
	}
	return nil
}

func (r *rows) json() string {
	r.buf = append(r.buf, ']')
	if r.faults != nil {
		r.buf = append(append(r.buf, r.lines...), ']')
		r.buf = append(append(append(r.buf, r.faults...), ']'), '}')
	}
	return string(r.buf)
}
