package engine

import (
	"github.com/weir-run/weir/dsl"
)

// Consumer is who sends a request, as a policy has found out. It is immutable:
// requests share it.
type Consumer struct {
	Name   string         // the subject of a token, the owner of a key; unique among those of By
	By     string         // the policy that knows: jwt, api_key
	Plan   string         // of limits; "" for none
	Claims map[string]any // what is said of the consumer, with exact numbers; nil for nothing
}

// Anonymous says why the names claims and consumer cannot be read where nothing
// finds out who sends a request.
var Anonymous = &dsl.Denied{
	Code: "nobody-known", Message: "no policy of this route finds out who calls",
	Hint: "add one that does, such as jwt or api_key, to the policies of the route or of its gateway",
}

// RequestNames are the names by which expressions read a request: headers,
// query, request, claims and consumer. in finds the Input in an Env.
func RequestNames(in func(dsl.Env) *Input) map[string]*dsl.Name {
	whole := func(t dsl.ValueType, get func(in *Input) any) *dsl.Name {
		return &dsl.Name{Type: t, Bind: func(dsl.Path) dsl.Read {
			return ofInput{in, func(in *Input, _ dsl.Path) any { return get(in) }, nil}
		}}
	}
	byKey := func(get func(in *Input, path dsl.Path) any) *dsl.Name {
		return &dsl.Name{Type: dsl.TypeObject, Bind: func(p dsl.Path) dsl.Read { return ofInput{in, get, p} }}
	}
	return map[string]*dsl.Name{
		"query":   byKey(func(in *Input, p dsl.Path) any { return queryValue(in.Query(), p) }),
		"headers": byKey(func(in *Input, p dsl.Path) any { return headerValue(in.Request.Header, p) }),
		"request": {Type: dsl.TypeObject, Fields: map[string]*dsl.Name{
			"method": whole(dsl.TypeString, func(in *Input) any { return in.Request.Method }),
			"path":   whole(dsl.TypeString, func(in *Input) any { return in.Request.URL.Path }),
			"host":   whole(dsl.TypeString, func(in *Input) any { return in.Request.Host }),
			"remote": whole(dsl.TypeString, func(in *Input) any { return in.Remote }),
			"id":     whole(dsl.TypeString, func(in *Input) any { return in.ID }),
			"version": whole(dsl.TypeAny, func(in *Input) any {
				if in.Version == "" {
					return nil
				}
				return in.Version
			}),
		}},
		"claims": {Bind: func(p dsl.Path) dsl.Read { return claimsRead{in, p} }},
		"consumer": {Type: dsl.TypeObject, Fields: map[string]*dsl.Name{
			"name": whole(dsl.TypeAny, ofConsumer(func(c *Consumer) string { return c.Name })),
			"by":   whole(dsl.TypeAny, ofConsumer(func(c *Consumer) string { return c.By })),
			"plan": whole(dsl.TypeAny, ofConsumer(func(c *Consumer) string { return c.Plan })),
		}},
	}
}

// ofConsumer is null where nobody is known, and where nothing is.
func ofConsumer(get func(c *Consumer) string) func(in *Input) any {
	return func(in *Input) any {
		if in.Consumer == nil || get(in.Consumer) == "" {
			return nil
		}
		return get(in.Consumer)
	}
}

// ofInput is a look at something of a request.
type ofInput struct {
	in   func(dsl.Env) *Input
	get  func(in *Input, path dsl.Path) any
	path dsl.Path
}

// Value is what dsl.Read asks for.
func (o ofInput) Value(env dsl.Env) (any, error) { return o.get(o.in(env), o.path), nil }

// JSON is what dsl.Read asks for.
func (ofInput) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// claimsRead is a look into the claims, at any depth. What has none has no
// claim.
type claimsRead struct {
	in   func(dsl.Env) *Input
	path dsl.Path
}

// Value is what dsl.Read asks for.
func (r claimsRead) Value(env dsl.Env) (any, error) {
	claims := map[string]any{}
	if c := r.in(env).Consumer; c != nil && c.Claims != nil {
		claims = c.Claims
	}
	return walk(claims, r.path)
}

// JSON is what dsl.Read asks for.
func (claimsRead) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// called adds the names of a request to those of a flow with a trigger.
func (s *scope) called(f *Flow) {
	all := RequestNames(func(env dsl.Env) *Input { return env.(*Exchange).In })
	if !f.Trigger.Identified {
		for _, text := range []string{"claims", "consumer"} {
			all[text] = &dsl.Name{Denied: Anonymous}
		}
	}
	for text, n := range all {
		s.names[text] = &entry{Name: n}
	}
}
