package engine

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// scope is the set of names visible at one place of a flow. Scopes nest; inner
// names vanish with their scope, and no name is used twice.
type scope struct {
	parent *scope
	frame  *frame
	c      *Compiler
	names  map[string]*entry
	later  map[string]later // ids of steps that have not run
	torn   bool             // a step that may have had an id could not be read
	of     *expanding       // the template whose names these are, with no parent

	defaults bool // these are what defaults can read
}

type entry struct {
	*dsl.Name
	at   dsl.Span
	step *name // set if the entry is a step's result

	beside *dsl.Name // what stands beside the result; nil: nobody has asked yet
}

// global is a scope of what is known everywhere.
func (c *Compiler) global() *scope {
	s := &scope{frame: c.frame, c: c, names: map[string]*entry{"env": {Name: dsl.EnvName(c.lang.Env)}}}
	if c.lang.Secret != nil {
		s.names["secret"] = &entry{Name: c.lang.Secret}
	}
	return s
}

func (s *scope) inner() *scope {
	return &scope{parent: s, frame: s.frame, c: s.c, names: map[string]*entry{}}
}

func (s *scope) find(text string) (*entry, bool) {
	for ; s != nil; s = s.parent {
		if e, ok := s.names[text]; ok {
			return e, true
		}
	}
	return nil, false
}

// Name is what dsl.Scope asks for.
func (s *scope) Name(text string) (*dsl.Name, bool) {
	if text == "steps" {
		return s.steps(), true
	}
	if e, ok := s.find(text); ok {
		if e.step != nil {
			e.Static, e.Denied = e.step.static, e.step.denied // the members of a compose have names before they are compiled
		}
		return e.Name, true
	}
	if d := s.outOfReach(text); d != nil {
		return &dsl.Name{Denied: d}, true
	}
	return nil, false
}

// Names is what dsl.Scope asks for.
func (s *scope) Names() []string {
	list := []string{"steps"}
	for o := s; o != nil; o = o.parent {
		for text, e := range o.names {
			if e.Denied != Anonymous {
				list = append(list, text)
			}
		}
	}
	slices.Sort(list)
	return list
}

// Loop is what dsl.Scope asks for.
func (s *scope) Loop(text string, at dsl.Span, static *dsl.StaticType) (dsl.Scope, dsl.Var) {
	in := s.inner()
	n := s.c.name(s.frame, text)
	n.static, n.caller = static, true // the list is read beside it
	in.names[text] = &entry{Name: s.defined("variable", n, dsl.String{Value: text, Span: at}), at: at}
	return in, loopVar{n}
}

// note takes note of an expression that reads a name.
func (c *Compiler) note(n *name) {
	n.used = true
	c.log = append(c.log, n)
}

// bound lets expressions read a name's value.
func (s *scope) bound(n *name) *dsl.Name {
	return &dsl.Name{Static: n.static, Bind: func(path dsl.Path) dsl.Read {
		r := &read{name: n, id: -1, up: s.c.levels(n.frame)}
		n.read = true
		s.c.note(n)
		if len(path) > 0 {
			r.id = n.paths.add(path)
		}
		return r
	}}
}

// defined is bound for a name that the flow itself defines.
func (s *scope) defined(noun string, n *name, id dsl.String) *dsl.Name {
	if s.c.lang.Index != nil {
		s.c.lang.Index.Define(noun, id)
	}
	out := s.bound(n)
	out.At = id.Span
	return out
}

// beside lets expressions read what stands beside a step's result.
func (s *scope) beside(n *name, t dsl.ValueType, get func(o *outcome, path dsl.Path) any) *dsl.Name {
	return &dsl.Name{Type: t, Bind: func(path dsl.Path) dsl.Read {
		up := s.c.levels(n.frame)
		s.c.note(n)
		return field(func(x *Exchange) any { return get(&x.up(up).results[n.index], path) })
	}}
}

// steps are the fields of the name steps: what stands beside each result.
func (s *scope) steps() *dsl.Name {
	fields := map[string]*dsl.Name{}
	for o := s; o != nil; o = o.parent {
		for text, e := range o.names {
			if e.step == nil {
				continue
			}
			if e.beside == nil {
				e.beside = s.besides(text, e)
			}
			fields[text] = e.beside
		}
	}
	return &dsl.Name{Type: dsl.TypeObject, Fields: fields, Absent: func(field string) *dsl.Denied {
		if e, ok := s.find(field); ok {
			return e.Denied
		}
		return s.outOfReach(field)
	}}
}

// besides is what stands beside the result of a step.
func (s *scope) besides(text string, e *entry) *dsl.Name {
	n := e.step
	took := s.beside(n, dsl.TypeDuration, func(o *outcome, _ dsl.Path) any { return o.took })
	bind := took.Bind
	took.Bind = func(p dsl.Path) dsl.Read { n.timed = true; return bind(p) }
	return &dsl.Name{At: e.at, Type: dsl.TypeObject, Fields: map[string]*dsl.Name{
		"status":  s.beside(n, dsl.TypeInt, func(o *outcome, _ dsl.Path) any { return o.status }),
		"headers": s.beside(n, dsl.TypeObject, func(o *outcome, p dsl.Path) any { return headerValue(o.header, p) }),
		"error":   s.failed(n),
		"took":    took,
	}, Absent: func(field string) *dsl.Denied {
		if field != "body" {
			return nil
		}
		return &dsl.Denied{Message: fmt.Sprintf("the body of %s is %s itself", text, text), Hint: "write " + text}
	}}
}

// together lets expressions read several values as the fields of one object.
func (s *scope) together(all []*name) func(dsl.Path) dsl.Read {
	return func(path dsl.Path) dsl.Read {
		if len(path) > 0 {
			return nil
		}
		for _, n := range all {
			n.read = true
			s.c.note(n)
		}
		return object{all, s.c.levels(s.frame)}
	}
}

// object is a look at several values.
type object struct {
	names []*name
	up    int
}

// Value is what dsl.Read asks for.
func (o object) Value(env dsl.Env) (any, error) {
	x := env.(*Exchange).up(o.up)
	all := make(map[string]any, len(o.names))
	for _, n := range o.names {
		v, err := x.results[n.index].whole()
		if err != nil {
			return nil, err
		}
		all[n.text] = v
	}
	return all, nil
}

// JSON is what dsl.Read asks for.
func (object) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// headerValue is the combined value of one header (RFC 9110 section 5.3), or
// of all.
func headerValue(h http.Header, path dsl.Path) any {
	if len(path) == 0 {
		all := map[string]any{}
		for k, v := range h {
			all[k] = strings.Join(v, ", ")
		}
		return all
	}
	if v := h.Values(path[0].Name); len(v) > 0 && len(path) == 1 {
		return strings.Join(v, ", ")
	}
	return nil
}

// stepIn is the name of the step that failed, for the steps of a template what
// they call it.
func (e *Error) stepIn(prefix string) string { return strings.TrimPrefix(e.Step, prefix) }

// summary is an error as one value.
func (e *Error) summary(prefix string) any {
	return map[string]any{"step": e.stepIn(prefix), "kind": string(e.Kind), "status": e.Status, "message": e.Message, "attempts": e.Attempts}
}

// within is what a path finds in a value, or nil.
func within(value any, path dsl.Path) any {
	v, fault := walk(value, path)
	if fault != nil {
		return nil
	}
	return v
}

// undone is the list of what could not be undone.
func (e *Error) undone(prefix string) any {
	list := make([]any, len(e.Undo))
	for i, u := range e.Undo {
		list[i] = u.summary(prefix)
	}
	return list
}

// violated is the list of what a value did not keep to.
func (e *Error) violated() any {
	list := make([]any, len(e.Violations))
	for i, v := range e.Violations {
		list[i] = map[string]any{"pointer": v.Pointer, "message": v.Message}
	}
	return list
}

var violationsType = dsl.ListOf(&dsl.StaticType{Kinds: dsl.IsObject, Fields: map[string]dsl.StaticField{
	"pointer": {Type: dsl.Static(dsl.IsText)}, "message": {Type: dsl.Static(dsl.IsText)},
}})

// handler opens the scope of a handler: error is the failure it handles.
func (s *scope) handler(at dsl.Span) (*scope, *name) {
	in := s.inner()
	n := s.c.name(s.frame, "error")
	fields := s.failure(n, func(t *dsl.StaticType) *dsl.StaticType { return t })
	fields["body"] = s.bound(n)
	in.names["error"] = &entry{at: at, Name: &dsl.Name{Type: dsl.TypeObject, Fields: fields}}
	return in, n
}

// failed is the failure of a step, or null.
func (s *scope) failed(n *name) *dsl.Name {
	prefix := s.c.prefix()
	whole := s.beside(n, dsl.TypeObject, func(o *outcome, _ dsl.Path) any {
		if o.err == nil {
			return nil
		}
		return o.err.summary(prefix)
	})
	whole.Fields = s.failure(n, (*dsl.StaticType).OrNull)
	whole.Absent = func(field string) *dsl.Denied {
		if field != "body" {
			return nil
		}
		return &dsl.Denied{Message: "the body of a failure is known to its handlers only", Hint: "read error.body in the fallback or catch of the step"}
	}
	return whole
}

// failure are the fields of the failure that n has; as says how what is known
// of each is known.
func (s *scope) failure(n *name, as func(t *dsl.StaticType) *dsl.StaticType) map[string]*dsl.Name {
	fields, prefix := map[string]*dsl.Name{}, s.c.prefix()
	add := func(field string, t *dsl.StaticType, get func(e *Error) any) {
		fields[field] = s.beside(n, dsl.TypeAny, func(o *outcome, path dsl.Path) any {
			if o.err == nil {
				return nil
			}
			return within(get(o.err), path)
		})
		fields[field].Static = as(t)
	}
	text, number := dsl.Static(dsl.IsText), dsl.Static(dsl.IsInt)
	add("step", text, func(e *Error) any { return e.stepIn(prefix) })
	add("kind", &dsl.StaticType{Kinds: dsl.IsText, Values: kinds}, func(e *Error) any { return string(e.Kind) })
	add("code", text, func(e *Error) any { return e.Code })
	add("status", number, func(e *Error) any { return e.Status })
	add("message", text, func(e *Error) any { return e.Message })
	add("detail", text.OrNull(), (*Error).told)
	add("attempts", number, func(e *Error) any { return e.Attempts })
	add("violations", violationsType, (*Error).violated)
	add("undo", nil, func(e *Error) any { return e.undone(prefix) })
	return fields
}

func (x *Exchange) setError(n *name, err *Error) {
	o := &x.results[n.index]
	o.cell.set(err.Body)
	o.err = err
}

// requestNames are the names of a flow that a gateway triggers.
func (s *scope) requestNames(f *Flow, r *requestSchema) {
	params := f.params
	whole := func(t dsl.ValueType, get func(x *Exchange) any) *dsl.Name {
		return &dsl.Name{Type: t, Bind: func(dsl.Path) dsl.Read { return field(get) }}
	}
	s.called(f)
	fields := map[string]*dsl.Name{}
	for text, at := range params {
		fields[text] = whole(dsl.TypeString, func(x *Exchange) any { return x.In.param(text) })
		if t := r.of("params"); t != nil {
			if declared, ok := t.Static.Fields[text]; ok {
				fields[text] = typedName(declared.Type, func(x *Exchange) any { return x.In.typed.params[text] })
			}
		}
		fields[text].At = at
	}
	s.names["params"] = &entry{Name: &dsl.Name{Type: dsl.TypeObject, Fields: fields, Absent: f.noParam, Bind: func(dsl.Path) dsl.Read {
		return field(func(x *Exchange) any {
			all := map[string]any{}
			for text := range params {
				all[text] = x.In.param(text)
			}
			if t := x.In.typed; t != nil {
				maps.Copy(all, t.params)
			}
			return all
		})
	}}}
	if t := r.of("query"); t != nil {
		s.names["query"] = &entry{Name: typedName(t.Static, func(x *Exchange) any { return x.In.typed.query })}
	}
	if t := r.of("headers"); t != nil {
		s.names["headers"] = &entry{Name: &dsl.Name{Type: dsl.TypeObject, Static: t.Static, Bind: func(p dsl.Path) dsl.Read {
			return field(func(x *Exchange) any { return typedHeader(x.In, p) })
		}}}
	}
}

// typedName lets expressions read a value that a schema describes, and what is
// below it.
func typedName(static *dsl.StaticType, get func(x *Exchange) any) *dsl.Name {
	return &dsl.Name{Static: static, Bind: func(p dsl.Path) dsl.Read { return below{get, p} }}
}

// below is a look below a value that is at hand.
type below struct {
	get  func(x *Exchange) any
	path dsl.Path
}

// Value is what dsl.Read asks for.
func (b below) Value(env dsl.Env) (any, error) { return walk(b.get(env.(*Exchange)), b.path) }

// JSON is what dsl.Read asks for.
func (b below) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// typedHeader is a header as its schema reads it, or as it came.
func typedHeader(in *Input, path dsl.Path) any {
	if len(path) == 0 {
		all, _ := headerValue(in.Request.Header, path).(map[string]any)
		maps.Copy(all, in.typed.headers)
		return all
	}
	if v, ok := in.typed.headers[textproto.CanonicalMIMEHeaderKey(path[0].Name)]; ok && len(path) == 1 {
		return v
	}
	return headerValue(in.Request.Header, path)
}

// queryValue is the first value of one query parameter, or of all.
func queryValue(q url.Values, path dsl.Path) any {
	if len(path) == 0 {
		all := map[string]any{}
		for k, v := range q {
			all[k] = v[0]
		}
		return all
	}
	if v := q[path[0].Name]; len(v) > 0 && len(path) == 1 {
		return v[0]
	}
	return nil
}
