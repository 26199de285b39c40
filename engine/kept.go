package engine

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
)

// A Keeper is something of a step that outlives requests: a store, a queue,
// counters. It is safe for concurrent use. Close ends it when no program needs
// it any more and no request uses it.
type Keeper interface{ Close() }

// An Observed Keeper has numbers to show: show is called with the name of each,
// and whether it only grows.
type Observed interface {
	Keeper
	Observe(show func(name string, total bool, value int64))
}

// Kept is the place of a Keeper in a program. The steps are compiled with the
// place; who serves the program puts the Keeper into it: the one of the program
// before, if its configuration is equal, or a new one.
type Kept[T Keeper] struct {
	key        string
	flow, step string
	open       func() T
	it         T
}

// Place is a Kept of any type.
type Place interface {
	// Key is equal for places of which one can take over the Keeper of another.
	// An empty key is equal to none.
	Key() string
	// Step tells whose it is.
	Step() (flow, step string)
	// Open fills the place, with the Keeper of an equal place if there is one,
	// and gives what is in it.
	Open(from Keeper) Keeper
	// Keeper is what is in it.
	Keeper() Keeper
}

// Keep declares a Keeper of the step at hand. Places of one key share it, in one
// program and from each program to the next; one without a key has its own.
func Keep[T Keeper](c *Compiler, key string, open func() T) *Kept[T] {
	k := &Kept[T]{flow: c.flow.Name.Value, step: c.called(), open: open}
	if key != "" {
		k.key = fmt.Sprintf("%T %s", *new(T), key)
	}
	c.flow.places = append(c.flow.places, k)
	return k
}

// KeepFor declares a Keeper of what is no step: part of whose, as Place tells.
// Places of one key share it; the key is the declarer's own. One without a key
// has its own.
func KeepFor[T Keeper](whose, part, key string, open func() T) *Kept[T] {
	if key != "" {
		key = fmt.Sprintf("%T %s", *new(T), key)
	}
	return &Kept[T]{key: key, flow: whose, step: part, open: open}
}

// StepKey is a key for what is carried over for as long as the step at hand is
// the same: by its place in the flow, or its id, and by its text.
func (c *Compiler) StepKey() string {
	return fmt.Sprintf("%s/%s %x", c.flow.Name.Value, c.called(), c.textKey())
}

// textKey is a hash of all texts that the step at hand is made from.
func (c *Compiler) textKey() uint64 {
	var around uint64
	if c.use != nil {
		around = c.use.key
	}
	return hashed(around, c.at.Span.Text())
}

func hashed(seed uint64, text string) uint64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, seed)
	_, _ = io.WriteString(h, text)
	return h.Sum64()
}

// called is what the step at hand is called in keys and metrics: its id or verb,
// with a number behind it where the flow has several of that name.
func (c *Compiler) called() string {
	name := c.slot.name.text
	if id := c.at.Field("id"); id != nil && id.Kind == dsl.Scalar {
		name = id.Text
	}
	name = c.prefix() + name
	if c.keepers == nil {
		c.keepers = map[string][]Slot{}
	}
	i := slices.Index(c.keepers[name], c.slot)
	if i < 0 {
		i = len(c.keepers[name])
		c.keepers[name] = append(c.keepers[name], c.slot)
	}
	if i == 0 {
		return name
	}
	return name + "#" + strconv.Itoa(i+1)
}

// Key is what Place asks for.
func (k *Kept[T]) Key() string { return k.key }

// Step is what Place asks for.
func (k *Kept[T]) Step() (flow, step string) { return k.flow, k.step }

// Open is what Place asks for.
func (k *Kept[T]) Open(from Keeper) Keeper {
	var same bool
	if k.it, same = from.(T); !same {
		k.it = k.open()
	}
	return k.it
}

// Keeper is what Place asks for.
func (k *Kept[T]) Keeper() Keeper { return k.it }

// It is the Keeper, once the program is served.
func (k *Kept[T]) It() T { return k.it }

// Places are what the flow needs for longer than a request.
func (f *Flow) Places() []Place { return f.places }

// Tally counts what happened to a step since the process began, by names that
// are known when it is made.
type Tally struct {
	names  []string
	counts []atomic.Int64
}

// Tally declares counters of the step at hand, which live as long as it is
// there, whatever its configuration.
func (c *Compiler) Tally(names ...string) *Kept[*Tally] {
	key := fmt.Sprint(c.flow.Name.Value, "/", c.called(), names)
	return Keep(c, key, func() *Tally { return newTally(names) })
}

func newTally(names []string) *Tally {
	return &Tally{names: names, counts: make([]atomic.Int64, len(names))}
}

// Add counts one event.
func (t *Tally) Add(name string) {
	if i := slices.Index(t.names, name); i >= 0 {
		t.counts[i].Add(1)
	}
}

// Observe is what Observed asks for.
func (t *Tally) Observe(show func(name string, total bool, value int64)) {
	for i, name := range t.names {
		show(name, true, t.counts[i].Load())
	}
}

// Close is what Keeper asks for.
func (t *Tally) Close() {}
