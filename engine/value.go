package engine

import (
	"fmt"
	"mime"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
	"github.com/weir-run/weir/dsl"
)

// A Value is one body: of a request, an answer or a step's result. It stays
// the bytes it came as until someone looks. It is immutable.
type Value struct {
	form        form
	text        string // formJSON: checked JSON; formBytes: anything
	contentType string // formBytes
	value       any    // formGo; formJSON: the text as it came, if space stood around it
}

// A cell holds the Value of one name for one request. All paths that a flow
// reads of a name are known when the flow is compiled, so the first look finds
// them all in one pass over the bytes; what is found is decoded when an
// expression asks for it, and spliced as it stands where it is only passed on.
//
// A cell is set once, before anyone can read it, and may then be read by any
// number of goroutines.
type cell struct {
	Value

	mu      sync.Mutex // guards what follows, and the slots
	decoded bool
	looked  bool
	all     any // the decoded whole of formJSON
}

type form uint8

const (
	formNull form = iota
	formJSON
	formBytes
	formGo
)

// JSON is a value from JSON text that dsl.CheckJSON accepts.
func JSON(text string) Value { return Value{form: formJSON, text: text} }

// Bytes is a value that is no JSON. In expressions it is text.
func Bytes(text, contentType string) Value {
	return Value{form: formBytes, text: text, contentType: contentType}
}

// Go is a value that an expression gave.
func Go(v any) Value {
	if v == nil {
		return Value{}
	}
	return Value{form: formGo, value: v}
}

// Body is a value from the bytes of a message and its Content-Type. Bytes that
// claim to be JSON and are not give an error; bytes that claim nothing are JSON
// if they can be. No bytes are null.
func Body(text, contentType string) (Value, error) {
	if text == "" {
		return Value{}, nil
	}
	if contentType == "" {
		if dsl.CheckJSON(text) == nil {
			return JSON(text), nil
		}
		return Bytes(text, "application/octet-stream"), nil
	}
	if !isJSON(contentType) {
		return Bytes(text, contentType), nil
	}
	if err := dsl.CheckJSON(text); err != nil {
		return Value{}, err
	}
	v := JSON(strings.Trim(text, " \t\r\n"))
	if len(v.text) < len(text) {
		v.value = text
	}
	return v, nil
}

// Source is the text of JSON as it came, to the last space: what signatures are
// about.
func (v Value) Source() (text string, ok bool) {
	if v.form != formJSON {
		return "", false
	}
	if s, ok := v.value.(string); ok {
		return s, true
	}
	return v.text, true
}

// isJSON reports whether a media type is JSON (RFC 8259, RFC 6839).
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// Null reports whether there is nothing.
func (v Value) Null() bool { return v.form == formNull || v.form == formJSON && v.text == "null" }

// Raw gives the text and media type of a value that is no JSON.
func (v Value) Raw() (text, contentType string, ok bool) {
	return v.text, v.contentType, v.form == formBytes
}

// set gives a cell its value. It must not have been read yet.
func (c *cell) set(v Value) {
	c.Value = v
	c.decoded, c.looked, c.all = false, false, nil
}

// whole is the value as expressions see it.
func (c *cell) whole() (v any, err error) {
	switch c.form {
	case formBytes:
		return c.text, nil
	case formGo:
		return c.value, nil
	case formJSON:
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.decoded {
			if c.all, err = dsl.DecodeBounded(c.text); err != nil {
				return nil, err
			}
			c.decoded = true
		}
		return c.all, nil
	}
	return nil, nil
}

// slot holds what one path found in one value.
type slot struct {
	state slotState
	raw   string // slotRaw and slotDecoded: the JSON text
	value any    // slotDecoded
	err   error  // slotAbsent: nil if the path gives null
}

type slotState uint8

const (
	slotUnknown slotState = iota
	slotRaw
	slotDecoded
	slotAbsent
)

// look finds all paths of names in the value, at the first call. The slots are
// those of names, in order. c.mu is held.
func (c *cell) look(p *paths, slots []slot) {
	if c.looked {
		return
	}
	c.looked = true
	for i := range slots {
		slots[i] = slot{}
	}
	p.tree.extract(c.text, slots)
}

// read gives the value at a path.
func (c *cell) read(p *paths, id int, slots []slot) (any, error) {
	if c.form != formJSON {
		whole, _ := c.whole() // what is no JSON text is decoded
		return walk(whole, p.list[id])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look(p, slots)
	s := &slots[id]
	switch s.state {
	case slotRaw:
		v, err := dsl.DecodeBounded(s.raw)
		if err != nil {
			path := p.list[id]
			return nil, &dsl.Fault{Span: path[len(path)-1].Span, Message: err.Error(), Err: err}
		}
		s.value, s.state = v, slotDecoded
	case slotUnknown:
		s.err, s.state = absent(c.text, p.list[id]), slotAbsent
	}
	return s.value, s.err
}

// readJSON gives the JSON text at a path, if the value is still JSON.
func (c *cell) readJSON(p *paths, id int, slots []slot) (string, bool, error) {
	if c.form != formJSON {
		return "", false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look(p, slots)
	s := &slots[id]
	if s.state == slotUnknown {
		s.err, s.state = absent(c.text, p.list[id]), slotAbsent
	}
	if s.state == slotAbsent {
		return "null", true, s.err
	}
	return s.raw, true, nil
}

// walk reads a path of a decoded value.
func walk(v any, path dsl.Path) (any, error) {
	var err error
	for _, key := range path {
		if v, err = dsl.Member(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// absent says why a path found nothing: nil if it gives null, the fault if it
// goes through something that has no such field.
func absent(text string, path dsl.Path) error {
	for _, key := range path {
		next, ok := child(text, key)
		if ok {
			text = next
			continue
		}
		v := gjson.Parse(text)
		switch {
		case v.IsObject() && !key.IsIndex, v.IsArray() && key.IsIndex:
			text = "null"
		case v.IsObject() || v.IsArray():
			// The kinds do not fit; an empty one says so as well as a full one.
			var empty any = map[string]any{}
			if v.IsArray() {
				empty = []any{}
			}
			_, err := dsl.Member(empty, key)
			return err
		default:
			if _, err := dsl.Member(dsl.DecodeJSON(text), key); err != nil {
				return err
			}
		}
	}
	return nil
}

// child gives the text of one field or element. Of a key written twice the
// last counts.
func child(text string, key dsl.Key) (found string, ok bool) {
	v := gjson.Parse(text)
	i := 0
	switch {
	case v.IsObject() && !key.IsIndex:
		v.ForEach(func(k, v gjson.Result) bool {
			if k.Str == key.Name {
				found, ok = v.Raw, true
			}
			return true
		})
	case v.IsArray() && key.IsIndex:
		v.ForEach(func(_, v gjson.Result) bool {
			if i == key.Index {
				found, ok = v.Raw, true
			}
			i++
			return !ok
		})
	}
	return found, ok
}

// paths are all paths that a flow reads of one name.
type paths struct {
	list []dsl.Path
	ids  map[string]int
	tree tree
}

// add gives the id of a path. Paths differ if their keys or their ?. do.
func (p *paths) add(path dsl.Path) int {
	var b strings.Builder
	for _, key := range path {
		fmt.Fprintf(&b, "%t %t %d %q ", key.Optional, key.IsIndex, key.Index, key.Name)
	}
	if id, ok := p.ids[b.String()]; ok {
		return id
	}
	if p.ids == nil {
		p.ids = map[string]int{}
	}
	id := len(p.list)
	p.ids[b.String()] = id
	p.list = append(p.list, path)
	p.tree.insert(path, id)
	return id
}

// tree is the set of paths by their first keys.
type tree struct {
	ids      []int // the paths that end here
	branches []branch
	last     int // the highest index among the branches
}

type branch struct {
	key  dsl.Key
	tree *tree
}

func (t *tree) insert(path dsl.Path, id int) {
	if len(path) == 0 {
		t.ids = append(t.ids, id)
		return
	}
	key := path[0]
	for _, b := range t.branches {
		if b.key.IsIndex == key.IsIndex && b.key.Index == key.Index && b.key.Name == key.Name {
			b.tree.insert(path[1:], id)
			return
		}
	}
	b := branch{key: key, tree: &tree{}}
	t.branches = append(t.branches, b)
	t.last = max(t.last, key.Index)
	b.tree.insert(path[1:], id)
}

// extract puts the text at each path into the slots.
func (t *tree) extract(text string, slots []slot) {
	v := gjson.Parse(text)
	switch {
	case v.IsObject():
		v.ForEach(func(key, v gjson.Result) bool {
			for i := range t.branches {
				if b := &t.branches[i]; !b.key.IsIndex && b.key.Name == key.Str {
					b.tree.found(v.Raw, slots)
					break
				}
			}
			return true // the last of equal keys counts
		})
	case v.IsArray():
		i := 0
		v.ForEach(func(_, v gjson.Result) bool {
			for j := range t.branches {
				if b := &t.branches[j]; b.key.IsIndex && b.key.Index == i {
					b.tree.found(v.Raw, slots)
					break
				}
			}
			i++
			return i <= t.last
		})
	}
}

func (t *tree) found(raw string, slots []slot) {
	for _, id := range t.ids {
		slots[id] = slot{state: slotRaw, raw: raw}
	}
	if len(t.branches) == 0 {
		return
	}
	t.forget(slots)
	t.extract(raw, slots)
}

// forget clears what an earlier value of the same key had below it.
func (t *tree) forget(slots []slot) {
	for i := range t.branches {
		b := t.branches[i].tree
		for _, id := range b.ids {
			slots[id] = slot{}
		}
		b.forget(slots)
	}
}

// Stored is the value as a text that holds on to nothing else, from which
// Restored makes it again. What an expression gave becomes what its JSON says.
func (v Value) Stored() string {
	if s, ok := v.Text(); ok {
		return storedText + s
	}
	switch {
	case v.form == formBytes:
		return storedBytes + v.contentType + "\n" + v.text
	case v.Null():
		return ""
	}
	return storedJSON + v.JSON()
}

// The first letters of what Stored gives.
const (
	storedJSON  = "j"
	storedText  = "t"
	storedBytes = "b" // and the media type on a line of its own
)

// Restored is the value of which Stored gave the text. ok is false if it is not
// such a text.
func Restored(text string) (v Value, ok bool) {
	if text == "" {
		return Value{}, true
	}
	switch rest := text[1:]; text[:1] {
	case storedJSON:
		return JSON(rest), true
	case storedText:
		return Go(rest), true
	case storedBytes:
		contentType, rest, ok := strings.Cut(rest, "\n")
		return Bytes(rest, contentType), ok
	}
	return Value{}, false
}

// Clone is the value with texts of its own, for when those it has are given
// back.
func (v Value) Clone() Value {
	v.text = strings.Clone(v.text)
	if s, ok := v.value.(string); ok && v.form == formJSON {
		v.value = strings.Clone(s)
	}
	return v
}

// Decoded is the value as expressions see it.
func (v Value) Decoded() any {
	switch v.form {
	case formJSON:
		return dsl.DecodeJSON(v.text)
	case formBytes:
		return v.text
	}
	return v.value
}

// DecodeBounded is Decoded, or an error if that would take more memory than an
// expression may.
func (v Value) DecodeBounded() (any, error) {
	if v.form == formJSON {
		return dsl.DecodeBounded(v.text)
	}
	return v.Decoded(), nil
}

// JSON is the value as JSON text.
func (v Value) JSON() string {
	if v.form == formJSON {
		return v.text
	}
	b, err := v.AppendJSON(nil)
	if err != nil {
		return "null" // every place that makes a value has checked it
	}
	return string(b)
}

// Text gives a value that is text.
func (v Value) Text() (string, bool) {
	s, ok := v.value.(string)
	return s, ok && v.form == formGo
}
