package dsl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A secret is followed from where it is read through everything that is made of
// it: the static type of an expression says which secret its value may hold, and
// where that was read. What a flow shows to others (an answer, a log line) asks
// what it holds. What runs knows nothing of it.
//
// Followed is what hands a value on: joining texts, choosing between values,
// lists and objects and their parts, functions. Not followed is what only looks
// at a value: comparisons and everything else that gives true or false, and what
// runs because of it. Functions that are one-way end it, and so does mask, by
// which an author says how much may be seen.

// Held is a secret that a value may hold.
type Held struct {
	Name string // as it is written: secret.API_KEY
	Span Span   // where it is read
}

// oneWay are the functions that give nothing away of what they are given.
var oneWay = map[string]bool{
	"hmac": true, "sha256": true, "sha512": true, "sha1": true, "md5": true, "mask": true, "type": true,
}

// Holding is the type of a value that is of type t, and in all of its parts may
// hold a secret; nil holds none. What is only true or false holds none, either.
func (t *StaticType) Holding(h *Held) *StaticType {
	if h == nil || t != nil && t.Kinds != 0 && t.Kinds&^(IsBool|IsNull) == 0 {
		return t
	}
	out := StaticType{Kinds: IsBool | IsNumber | IsText | IsList | IsObject | IsTime | IsDuration, Open: true}
	if t != nil && !isNothing(t) {
		out = *t
	}
	out.Holds, out.throughout = h, true
	return &out
}

// Held is the secret that a value of the type may hold, or nil.
func (t *StaticType) Held() *Held {
	if t == nil {
		return nil
	}
	return t.Holds
}

// part is the type of a part of t that is of type p, as far as that is known.
func (t *StaticType) part(p *StaticType, known bool) *StaticType {
	if t.Held() != nil && (t.throughout || !known) {
		return p.Holding(t.Holds)
	}
	return p
}

func firstHeld(a, b *Held) *Held {
	if a != nil {
		return a
	}
	return b
}

// HeldAt is a place at which a shape or a text gives a value that holds a secret.
type HeldAt struct {
	Span Span // of the expression
	Held *Held
}

// Held gives the places of a shape or text, which has been compiled, whose values
// hold secrets. What it only repeats over, or decides by, is none.
func (x *Expressions) Held(n *Node) (places []HeldAt) {
	if n == nil {
		return nil
	}
	places = append(places, x.held[n]...)
	for _, item := range n.Items {
		places = append(places, x.Held(item)...)
	}
	for _, f := range n.Fields {
		if f.Key.Text != "$each" && f.Key.Text != "$if" {
			places = append(places, x.Held(f.Value)...)
		}
	}
	return places
}

// hold notes that an expression of a scalar holds a secret.
func (x *Expressions) hold(n *Node, e *Expr) {
	h := x.types[e].Held()
	if h == nil {
		return
	}
	x.held[n] = append(x.held[n], HeldAt{e.Span(), h})
	if x.OnHeld != nil {
		x.OnHeld(h)
	}
}

// heldText is the secret that a text with expressions inside may hold.
func (x *Expressions) heldText(n *Node) *Held {
	for _, p := range x.held[n] {
		return p.Held
	}
	return nil
}

// SecretValue is a secret as a program is compiled with it.
type SecretValue struct {
	Name string // its segments, with / between
	Text string
	// Unknown says that nobody has looked for it: the program can be checked, but
	// to read it is a fault.
	Unknown bool
	Denied  *Denied // why there is none
}

// SecretName is the name secret: secret.NAME is the text of one, and a segment
// below another is a field of it. Expressions are followed for those that they
// read, or else they are like any other text.
func SecretName(all []SecretValue, followed bool) *Name {
	byName := func() *Name {
		return &Name{Type: TypeObject, Fields: map[string]*Name{}, Absent: Misnamed, Bind: func(Path) Read { return nil }}
	}
	root := byName()
	sorted := slices.SortedFunc(slices.Values(all), func(a, b SecretValue) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range sorted { // what another stands below comes before it
		at, segments := root, strings.Split(s.Name, "/")
		for _, segment := range segments[:len(segments)-1] {
			below := at.Fields[segment]
			if below == nil || below.Denied != nil {
				below = byName()
				at.Fields[segment] = below
			}
			if at = below; at.Fields == nil {
				break // a text has nothing below it
			}
		}
		if at.Fields != nil {
			at.Fields[segments[len(segments)-1]] = &Name{Type: TypeString, Secret: followed, Denied: s.Denied, Bind: func(Path) Read { return secretRead{s} }}
		}
	}
	return root
}

// Misnamed says that a text cannot be the name of a secret.
func Misnamed(name string) *Denied {
	return &Denied{Code: "no-secret", Message: fmt.Sprintf("%q cannot be the name of a secret", name),
		Hint: `write secret.NAME, or secret["NAME"], with letters, digits, _, - and dots that are not at the beginning`}
}

type secretRead struct{ SecretValue }

// errUnknownSecret is that of reading a secret that nobody has looked for.
var errUnknownSecret = errors.New("this secret was not looked for")

// Value is what Read asks for.
func (r secretRead) Value(Env) (any, error) {
	if r.Unknown {
		return nil, errUnknownSecret
	}
	return r.Text, nil
}

// JSON is what Read asks for.
func (secretRead) JSON(Env) (string, bool, error) { return "", false, nil }

// Secret is a text of a configuration that may hold a secret. No way of printing
// it shows it.
type Secret struct {
	Span Span
	text string
}

// Reveal is the text.
func (s Secret) Reveal() string { return s.text }

const concealed = "[secret]"

// Format is what fmt.Formatter asks for.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(concealed)) }

// MarshalText is what encoding.TextMarshaler asks for.
func (s Secret) MarshalText() ([]byte, error) { return []byte(concealed), nil }

// heldIn is the secret that was put into a node or below it, or nil.
func heldIn(n *Node) *Held {
	if n.held != nil {
		return n.held
	}
	for _, item := range n.Items {
		if h := heldIn(item); h != nil {
			return h
		}
	}
	for _, f := range n.Fields {
		if h := heldIn(f.Value); h != nil {
			return h
		}
	}
	return nil
}
