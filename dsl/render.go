package dsl

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// RenderOptions is how Render writes.
type RenderOptions struct {
	Color bool
	Limit int // how many diagnostics are written out, the rest being counted; 0 for all
}

const (
	lineWidth = 100 // cells of a source line that are shown around the fault
	tabWidth  = 4
)

// Render writes diagnostics as people read them: place, message and code, the
// source line, a line of carets below the fault, the remedy, and the other places
// that take part. Control characters of the sources are made visible.
func Render(w io.Writer, ds []Diagnostic, o RenderOptions) {
	p := painter{color: o.Color}
	for i, d := range ds {
		if o.Limit > 0 && i == o.Limit {
			fmt.Fprintf(&p, "and %d more\n", len(ds)-i)
			break
		}
		if i > 0 {
			p.WriteByte('\n')
		}
		p.diagnostic(d)
	}
	io.WriteString(w, p.String())
}

type painter struct {
	strings.Builder
	color bool
}

// The colours are those of compilers: the severity, the frame, the remedy.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[1;34m"
	green  = "\x1b[1;32m"
	reset  = "\x1b[0m"
)

func (p *painter) paint(color, text string) {
	if p.color {
		text = color + text + reset
	}
	p.WriteString(text)
}

func severityColor(s Severity) string {
	switch s {
	case Error:
		return red
	case Warning:
		return yellow
	default:
		return blue
	}
}

func (p *painter) diagnostic(d Diagnostic) {
	gutter := len(fmt.Sprint(d.Span.lastShown()))
	for _, r := range d.Related {
		gutter = max(gutter, len(fmt.Sprint(r.Span.lastShown())))
	}
	if place := d.Span.String(); place != "" {
		p.paint(bold, printable(place)+":")
		p.WriteByte(' ')
	}
	p.paint(severityColor(d.Severity), d.Severity.String()+":")
	p.WriteByte(' ')
	p.paint(bold, sentence(d.Message))
	if d.Code != "" {
		p.WriteString(" [" + printable(d.Code) + "]")
	}
	p.WriteByte('\n')
	p.excerpt(d.Span, gutter, '^', severityColor(d.Severity))
	if d.Hint != "" {
		p.WriteString(strings.Repeat(" ", gutter+2))
		p.paint(green, "help:")
		p.WriteString(" " + sentence(d.Hint) + "\n")
	}
	for _, r := range d.Related {
		p.WriteString(strings.Repeat(" ", gutter+2))
		p.paint(blue, "note:")
		p.WriteByte(' ')
		if place := r.Span.String(); place != "" {
			p.WriteString(printable(place) + ": ")
		}
		p.WriteString(sentence(r.Message) + "\n")
		p.excerpt(r.Span, gutter, '-', blue)
	}
}

func (s Span) lastShown() int {
	line, _ := s.Position()
	return line
}

// excerpt writes the span's first line and underlines the span in it.
func (p *painter) excerpt(s Span, gutter int, mark byte, color string) {
	if !s.Valid() {
		return
	}
	number, _ := s.Position()
	text, start := s.Source.line(number)
	from := min(max(s.Start-start, 0), len(text))
	to := min(max(s.End-start, from), len(text))
	line := clip(withoutLiterals(text), from, to)

	p.paint(blue, fmt.Sprintf(" %*d |", gutter, number))
	p.WriteString(strings.TrimRight(" "+line.text, " ") + "\n")
	p.paint(blue, fmt.Sprintf(" %*s |", gutter, ""))
	p.WriteString(" " + strings.Repeat(" ", line.before))
	p.paint(color, strings.Repeat(string(mark), line.under))
	p.WriteByte('\n')
}

// clipped is a printable stretch of a source line, and where the fault is in it,
// in terminal cells.
type clipped struct {
	text          string
	before, under int
}

// clip cuts a long line to what stands around text[from:to].
func clip(text string, from, to int) clipped {
	const lead = lineWidth / 3
	left, right := 0, len(text)
	if forth(text, 0, lineWidth) < len(text) {
		left = back(text, from, lead)
		right = forth(text, from, lineWidth-lead)
		if left == 0 {
			right = forth(text, 0, lineWidth)
		} else if right == len(text) {
			left = back(text, len(text), lineWidth)
		}
	}
	to = min(to, right)
	c := clipped{before: cells(text[left:from]), under: max(1, cells(text[from:to]))}
	c.text = printable(text[left:right])
	if left > 0 {
		c.text = "…" + c.text
		c.before++
	}
	if right < len(text) {
		c.text += "…"
	}
	return c
}

// back is the offset at most width cells before from.
func back(text string, from, width int) int {
	for from > 0 {
		_, size := utf8.DecodeLastRuneInString(text[:from])
		if width -= cells(text[from-size : from]); width < 0 {
			break
		}
		from -= size
	}
	return from
}

// forth is the offset at most width cells behind from.
func forth(text string, from, width int) int {
	for from < len(text) {
		_, size := utf8.DecodeRuneInString(text[from:])
		if width -= cells(text[from : from+size]); width < 0 {
			break
		}
		from += size
	}
	return from
}

// sentence is a printable message, cut where it quotes something endless.
func sentence(text string) string {
	const limit = 4 * lineWidth
	if end := forth(text, 0, limit); end < len(text) {
		return printable(text[:end]) + "…"
	}
	return printable(text)
}

// printable makes everything visible that a terminal would obey.
func printable(text string) string {
	plain := true
	for i := 0; i < len(text) && plain; i++ {
		plain = ' ' <= text[i] && text[i] < 0x7f
	}
	if plain {
		return text
	}
	var b strings.Builder
	eachRune(text, func(shown string, _ int) { b.WriteString(shown) })
	return b.String()
}

// cells is the width of printable(text) on a terminal.
func cells(text string) int {
	n := 0
	eachRune(text, func(_ string, width int) { n += width })
	return n
}

func eachRune(text string, show func(shown string, width int)) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			show(fmt.Sprintf(`\x%02x`, text[i]), 4)
		case r == '\t':
			show(strings.Repeat(" ", tabWidth), tabWidth)
		case invisible(r):
			v := visible(r)
			show(v, len(v))
		default:
			show(text[i:i+size], width(r))
		}
		i += size
	}
}

// invisible reports characters that a reader does not see but a terminal or a
// parser obeys: controls, line separators, the byte order mark, and those that
// turn the direction of text.
func invisible(r rune) bool {
	switch {
	case r < ' ', 0x7f <= r && r <= 0x9f, r == '\u2028', r == '\u2029', r == '\ufeff', r == '\ufffe', r == '\uffff':
		return true
	case '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\u061c':
		return true
	}
	return false
}

// visible is the escape of a character in double quotes.
func visible(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// width is the number of cells a character takes, after UAX #11 in outline: the
// scripts of East Asia and emoji take two, marks take none.
func width(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case 0x1100 <= r && r <= 0x115f, 0x2e80 <= r && r <= 0xa4cf && r != 0x303f, 0xac00 <= r && r <= 0xd7a3,
		0xf900 <= r && r <= 0xfaff, 0xfe30 <= r && r <= 0xfe6f, 0xff00 <= r && r <= 0xff60, 0xffe0 <= r && r <= 0xffe6,
		0x1f300 <= r && r <= 0x1f64f, 0x1f680 <= r && r <= 0x1f6ff, 0x1f900 <= r && r <= 0x1f9ff, 0x20000 <= r && r <= 0x3fffd:
		return 2
	}
	return 1
}

type placeJSON struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
}

type relatedJSON struct {
	placeJSON
	Message string `json:"message"`
}

type diagnosticJSON struct {
	placeJSON
	Severity string        `json:"severity"`
	Code     string        `json:"code"`
	Page     string        `json:"page,omitempty"`
	Message  string        `json:"message"`
	Hint     string        `json:"hint,omitempty"`
	Related  []relatedJSON `json:"related,omitempty"`
	Fixes    []fixJSON     `json:"fixes,omitempty"`
}

type fixJSON struct {
	Title   string     `json:"title"`
	Certain bool       `json:"certain"`
	Edits   []editJSON `json:"edits"`
}

type editJSON struct {
	placeJSON
	New string `json:"new"`
}

func (s Span) json() placeJSON {
	line, column := s.Position()
	endLine, endColumn := s.EndPosition()
	return placeJSON{s.file(), line, column, endLine, endColumn}
}

// RenderJSON writes diagnostics as one JSON array. Lines and columns are 1-based,
// columns count runes, the end is exclusive; all are 0 without an address. page
// gives the address of what explains a code, or "".
func RenderJSON(w io.Writer, ds []Diagnostic, page func(code string) string) error {
	all := make([]diagnosticJSON, len(ds))
	for i, d := range ds {
		all[i] = diagnosticJSON{
			placeJSON: d.Span.json(), Severity: d.Severity.String(), Code: d.Code, Page: page(d.Code), Message: d.Message, Hint: d.Hint,
		}
		for _, r := range d.Related {
			all[i].Related = append(all[i].Related, relatedJSON{r.Span.json(), r.Message})
		}
		for _, f := range d.Fixes {
			fix := fixJSON{Title: f.Title, Certain: f.Certain}
			for _, e := range f.Edits {
				fix.Edits = append(fix.Edits, editJSON{e.Span.json(), e.New})
			}
			all[i].Fixes = append(all[i].Fixes, fix)
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}
