package dsl

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Redactor takes secrets out of what others get to see, where nobody could see
// before that they would be in it: a service says in its answer what it was sent,
// an error quotes a header. It puts [secret.NAME] in their place. It knows them
// by their values, also as they stand in JSON, URLs, XML, hex and Base64, at
// whatever offset. What was a secret once stays one: it may be in use until all
// have the next.
//
// It is safe for concurrent use. As long as it knows of no secret, and if it is
// nil, it costs nothing.
type Redactor struct {
	mu    sync.Mutex
	known map[string]string // secret to name
	order []string          // secrets, the oldest first
	with  atomic.Pointer[strings.Replacer]
}

const (
	// ShortestSecret is how many bytes a text must have to be told apart from
	// others in which it stands by chance.
	ShortestSecret = 4

	mostRedacted = 4096 // secrets that are known at a time
	longLine     = 20   // bytes of a line that is a secret by itself
)

// Add makes secrets known, each by a name such as secret.API_KEY. What is too
// short to be told apart is left out.
func (r *Redactor) Add(secrets map[string]string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]string{}
	}
	before := len(r.order)
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		secret := secrets[name]
		if _, known := r.known[secret]; !known && len(secret) >= ShortestSecret {
			r.known[secret] = name
			r.order = append(r.order, secret)
		}
	}
	if len(r.order) == before {
		return
	}
	for ; len(r.order) > mostRedacted; r.order = r.order[1:] {
		delete(r.known, r.order[0])
	}
	r.with.Store(replacer(r.known))
}

// replacer puts names in the place of secrets, in all their forms.
func replacer(known map[string]string) *strings.Replacer {
	type pair struct{ form, name string }
	var pairs []pair
	for secret, name := range known {
		for _, form := range formsOf(secret) {
			pairs = append(pairs, pair{form, "[" + name + "]"})
		}
	}
	// At one place the first that fits is taken: a longer one holds more of it.
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(len(b.form), len(a.form)), cmp.Compare(a.form, b.form), cmp.Compare(a.name, b.name))
	})
	flat := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		flat = append(flat, p.form, p.name)
	}
	return strings.NewReplacer(flat...)
}

// formsOf are the texts by which a secret can be told.
func formsOf(secret string) []string {
	forms := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), unquoted(string(AppendJSONString(nil, secret))), unquoted(strconv.Quote(secret)),
		html.EscapeString(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	if b, err := json.Marshal(secret); err == nil {
		forms = append(forms, unquoted(string(b)))
	}
	var escaped bytes.Buffer
	if xml.EscapeText(&escaped, []byte(secret)) == nil {
		forms = append(forms, escaped.String())
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, encoding.EncodeToString([]byte(secret)))
		for offset := range 3 {
			forms = append(forms, inside(encoding, secret, offset))
		}
	}
	if lines := strings.Split(secret, "\n"); len(lines) > 1 { // a key is also shown line by line
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= longLine && !strings.HasPrefix(line, "-----") {
				forms = append(forms, line)
			}
		}
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	return slices.DeleteFunc(forms, func(form string) bool { return len(form) < ShortestSecret })
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// inside is what Base64 makes of a secret that stands so many bytes behind a
// multiple of three, without the characters in which its neighbours have a part.
func inside(encoding *base64.Encoding, secret string, offset int) string {
	text := encoding.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, offset), secret...))
	from, to := (8*offset+5)/6, 8*(offset+len(secret))/6
	return text[from:to]
}

// String is a text without secrets.
func (r *Redactor) String(s string) string {
	if r == nil {
		return s
	}
	if with := r.with.Load(); with != nil {
		return with.Replace(s)
	}
	return s
}

// Empty reports whether it knows of no secret.
func (r *Redactor) Empty() bool { return r == nil || r.with.Load() == nil }

// Bytes is String for bytes, which it leaves as they are.
func (r *Redactor) Bytes(b []byte) []byte {
	if r.Empty() {
		return b
	}
	return []byte(r.String(unsafe.String(unsafe.SliceData(b), len(b))))
}

// Found gives the names of the secrets in a text, sorted.
func (r *Redactor) Found(text string) (names []string) {
	if r.Empty() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	redacted := r.String(text)
	for _, name := range slices.Sorted(maps.Values(r.known)) {
		if mark := "[" + name + "]"; strings.Count(redacted, mark) > strings.Count(text, mark) {
			names = append(names, name)
		}
	}
	return slices.Compact(names)
}

// Writer is w without secrets, as far as each stands in the bytes of one Write.
func (r *Redactor) Writer(w io.Writer) io.Writer { return &redactingWriter{r, w} }

type redactingWriter struct {
	r *Redactor
	w io.Writer
}

// Write is what io.Writer asks for.
func (w *redactingWriter) Write(p []byte) (int, error) {
	if _, err := w.w.Write(w.r.Bytes(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap is the writer behind it.
func (w *redactingWriter) Unwrap() io.Writer { return w.w }
