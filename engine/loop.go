package engine

import (
	"context"
	"fmt"

	"github.com/tidwall/gjson"
	"github.com/weir-run/weir/dsl"
)

// Loop is the body of a repetition: each round has an Exchange of its own,
// with the variables and the results of the steps inside.
type Loop struct {
	frame *frame
	item  *name
	index *name // nil: the rounds are not counted

	seat    Local[Seat] // in the frame of the rounds
	gathers bool
}

// Loop compiles what body compiles in a frame of its own, in which item (and
// index, if it has a name) stand for the element at hand and its place. inside
// is what faults call the loop.
func (c *Compiler) Loop(item, index dsl.String, inside string, body func()) *Loop {
	return c.LoopOver(nil, item, index, inside, body)
}

// LoopOver is Loop for elements of which something is known.
func (c *Compiler) LoopOver(elem *dsl.StaticType, item, index dsl.String, inside string, body func()) *Loop {
	return c.loopOver(elem, item, index, inside, true, body)
}

// Rounds is Loop for rounds whose item the step at hand makes itself.
func (c *Compiler) Rounds(item dsl.String, inside string, body func()) *Loop {
	return c.loopOver(c.Holding(nil), item, dsl.String{}, inside, false, body)
}

func (c *Compiler) loopOver(elem *dsl.StaticType, item, index dsl.String, inside string, caller bool, body func()) *Loop {
	l := &Loop{frame: c.pushFrame()}
	l.seat = NewLocal[Seat](c)
	outer := c.loop
	c.loop = l
	defer func() { c.loop = outer }()
	s := &scope{parent: c.scope, frame: l.frame, c: c, names: map[string]*entry{}}
	c.within(s, func() {
		variable := func(v dsl.String, static *dsl.StaticType) *name {
			n := c.name(l.frame, v.Value)
			n.static, n.caller = static, caller // as far as is known here
			if !c.free(v) {
				return n
			}
			s.names[v.Value] = &entry{Name: s.defined("variable", n, v), at: v.Span}
			return n
		}
		l.item = variable(item, elem)
		if index.Value != "" {
			l.index = variable(index, dsl.Static(dsl.IsInt))
		}
		c.Inside(inside, body)
	})
	c.frame = l.frame.parent
	return l
}

// Round runs fn with the Exchange of one round.
func (l *Loop) Round(x *Exchange, item Value, i int, fn func(x *Exchange) error) error {
	in := l.frame.exchange(x.In, x)
	defer in.release()
	in.results[l.item.index].cell.set(item)
	if l.index != nil {
		in.results[l.index.index].cell.set(Go(i))
	}
	return fn(in)
}

// maxItems bounds the rounds of a loop: each takes room before it begins.
const maxItems = 1 << 18

// Items gives the elements of the list that an expression stands for, still as
// JSON where they are. What is no list, or too long for a loop, is a *dsl.Fault.
func Items(ctx context.Context, x *Exchange, e *dsl.Expr) ([]Value, error) {
	text, ok, err := e.JSON(x)
	if err != nil {
		return nil, err
	}
	if ok {
		list := gjson.Parse(text)
		if !list.IsArray() {
			return nil, dsl.NotListJSON(e.Span(), text)
		}
		var items []Value
		list.ForEach(func(_, item gjson.Result) bool {
			items = append(items, part(item.Raw))
			return len(items) <= maxItems
		})
		return items, tooMany(e, len(items))
	}
	v, err := e.Eval(ctx, x)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, dsl.NotList(e.Span(), v)
	}
	if err := tooMany(e, len(list)); err != nil {
		return nil, err
	}
	items := make([]Value, len(list))
	for i := range list {
		items[i] = Go(list[i])
	}
	return items, nil
}

func tooMany(e *dsl.Expr, n int) error {
	if n <= maxItems {
		return nil
	}
	return &dsl.Fault{Span: e.Span(), Message: fmt.Sprintf("the list has more than %d elements, which is more than a loop takes", maxItems)}
}
