package suite

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// names is a scope of values that are there as a whole, beside the environment
// and the secrets of the test.
type names struct {
	lookup func(string) (string, bool) // of env
	secret *dsl.Name
	values []string
	types  map[string]*dsl.StaticType // what is known of some values
	params *dsl.Name                  // nil: any can be read, if params is among values
	denied *dsl.Denied                // why what is of a request is not there
}

// and is the scope with more values.
func (s names) and(values ...string) names {
	s.values = append(slices.Clip(s.values), values...)
	return s
}

// Name is what dsl.Scope asks for.
func (s names) Name(name string) (*dsl.Name, bool) {
	switch name {
	case "env":
		return dsl.EnvName(s.lookup), true
	case "secret":
		return s.secret, true
	}
	if s.denied != nil && slices.Contains(ofRequest, name) {
		return &dsl.Name{Denied: s.denied}, true
	}
	if !slices.Contains(s.values, name) {
		return nil, false
	}
	if name == "params" && s.params != nil {
		return s.params, true
	}
	return &dsl.Name{Static: s.types[name], Bind: func(p dsl.Path) dsl.Read { return read{name, p} }}, true
}

// ofRequest are the names of what the expressions of a mock see of a request.
var ofRequest = []string{"params", "request", "query", "headers", "body"}

// Names is what dsl.Scope asks for.
func (s names) Names() []string { return append([]string{"env", "secret"}, s.values...) }

// Loop is what dsl.Scope asks for.
func (s names) Loop(name string, _ dsl.Span, _ *dsl.StaticType) (dsl.Scope, dsl.Var) {
	return s.and(name), variable(name)
}

// values are the values of names, for one evaluation at a time.
type values map[string]any

// Env is what dsl.Env asks for.
func (values) Env() {}

// with is the values and one more.
func (v values) with(name string, value any) values {
	out := maps.Clone(v)
	if out == nil {
		out = values{}
	}
	out[name] = value
	return out
}

type read struct {
	name string
	path dsl.Path
}

// Value is what dsl.Read asks for.
func (r read) Value(env dsl.Env) (any, error) {
	v, path := env.(values)[r.name], r.path
	if h, ok := v.(http.Header); ok {
		v, path = headerValue(h, path)
	}
	for _, key := range path {
		var err error
		if v, err = dsl.Member(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// headerValue is one header, by its name in any case, or all of them.
func headerValue(h http.Header, path dsl.Path) (any, dsl.Path) {
	if len(path) == 0 || path[0].IsIndex {
		all := map[string]any{}
		for name, v := range h {
			all[name] = strings.Join(v, ", ")
		}
		return all, path
	}
	if v := h.Values(path[0].Name); len(v) > 0 {
		return strings.Join(v, ", "), path[1:]
	}
	return nil, path[1:]
}

// JSON is what dsl.Read asks for.
func (read) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

type variable string

// Set is what dsl.Var asks for.
func (v variable) Set(env dsl.Env, value any) { env.(values)[string(v)] = value }

// SetJSON is what dsl.Var asks for.
func (v variable) SetJSON(env dsl.Env, text string) { v.Set(env, dsl.DecodeJSON(text)) }
