package dsl

// Scope resolves the names that an expression may use. It exists while a
// program is compiled; at run time the Reads that it bound look into an Env.
type Scope interface {
	// Name resolves one root name, such as params or the id of a step.
	Name(name string) (*Name, bool)
	// Names lists the visible names, for suggestions.
	Names() []string
	// Loop opens a scope with one more name, the variable of a repetition, of
	// whose values static is known. The returned Var sets it at run time.
	Loop(name string, at Span, static *StaticType) (Scope, Var)
}

// Env is the run-time state of one request. Only the package that made the
// Scope looks inside.
type Env interface{ Env() }

// ValueType is what is known of a value before any request is seen.
type ValueType uint8

// The types an expression is checked against.
const (
	TypeAny ValueType = iota
	TypeString
	TypeInt
	TypeBool
	TypeDuration
	// TypeObject has only the fields in Name.Fields, or any field if Fields is
	// nil. Reading one that is absent gives null.
	TypeObject
)

// Name is one name, or one field of a name, as expressions see it.
type Name struct {
	Type ValueType
	// Static is what else is known of the value, for faults only: the value
	// itself may be otherwise. nil: nothing.
	Static *StaticType
	// Fields are the fields of a TypeObject; nil means that any may be read.
	Fields map[string]*Name
	// Absent says why a field that is not among Fields cannot be read, or gives
	// nil if there is no more to say than that.
	Absent func(field string) *Denied
	// Bind prepares reading what path names below this name; an empty path
	// reads the whole. It gives nil where only fields can be read, one level
	// deep. Nil: there is no whole, only Fields can be read.
	Bind func(path Path) Read
	// At is where the name is defined, if it is a file that defines it.
	At Span
	// Denied, if set, says why the name exists but cannot be used here.
	Denied *Denied
	// Secret says that the value is a secret, which expressions are followed for.
	Secret bool
}

// Denied explains a name that is known but out of reach. Without a Message
// nothing is reported: the fault that makes the name unknown has been.
type Denied struct {
	Code          string // "" is name-out-of-reach
	Message, Hint string
	Related       []Related
}

// Path is a chain of constant keys below a name.
type Path []Key

// Key is one component of a Path.
type Key struct {
	Name     string
	Index    int
	IsIndex  bool
	Optional bool // written ?. : null where the value before it is null
	Span     Span // for the fault that going through null is
}

// Read is one prepared look into an Env. Implementations are immutable and
// safe for concurrent use with distinct or equal Envs. All forms agree: Value
// gives what decoding the text of JSON would.
type Read interface {
	// Value is the value as expressions see it: nil, bool, int, float64,
	// Number, string, []any, map[string]any or time.Duration. Callers must not
	// change it.
	Value(env Env) (any, error)
	// JSON is the value as JSON text if that is at hand without encoding it.
	JSON(env Env) (text string, ok bool, err error)
}

// Var is the variable of a repetition. Set and SetJSON must not be called
// concurrently for one Env.
type Var interface {
	Set(env Env, v any)
	SetJSON(env Env, text string)
}
