package engine

// Local is a value that a step and the steps inside of it share during one run:
// a name that expressions do not see. It belongs to the frame in which it was
// made.
type Local[T any] struct{ name *name }

// NewLocal makes a Local in the frame at hand.
func NewLocal[T any](c *Compiler) Local[T] { return Local[T]{c.name(c.frame, "")} }

// Set gives the Local its value. x is of the frame in which it was made, and
// nobody reads it yet.
func (l Local[T]) Set(x *Exchange, v T) { x.results[l.name.index].cell.set(Go(v)) }

// From is the Local as the steps of the place at hand, which may be in a frame
// further in, see it.
func (l Local[T]) From(c *Compiler) LocalView[T] {
	return LocalView[T]{index: l.name.index, up: c.levels(l.name.frame)}
}

// LocalView is a Local seen from one place.
type LocalView[T any] struct{ index, up int }

// In is the value that the Local has; the zero value if it has none.
func (v LocalView[T]) In(x *Exchange) T {
	t, _ := x.up(v.up).results[v.index].value.(T)
	return t
}
