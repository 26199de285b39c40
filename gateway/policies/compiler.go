package policies

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
)

// Kind is one policy: its configuration and how it is compiled.
type Kind struct {
	dsl.Kind[*Compiler, gateway.Middleware]
	// Why says why the policy stands where it stands among the others.
	Why string
	// Together says that those of the gateway, of bundles and of the route apply
	// one behind the other; of other policies only the nearest does.
	Together bool
	// Identifies says that the policy finds out who calls.
	Identifies bool
	// Preflight says that a preflight of CORS goes as far as this policy.
	Preflight bool
}

// Language is what policies are written in.
type Language struct {
	Env       func(name string) (value string, ok bool)
	Secret    *dsl.Name         // what the name secret stands for; nil: there are none
	Documents *schema.Documents // the files that flow files refer to; nil: none
	Index     dsl.Index         // nil but for editors
	Resolver  Resolver          // finds the names of addresses; nil: the system's
	Log       *slog.Logger      // where operators hear of what policies keep; nil: nowhere
	// MadeUp says that secrets do not have their own values: nothing can be said
	// of those that they have.
	MadeUp bool

	kept map[string]dsl.Span // the files that policies keep something in
	// Service finds a service by its name, or makes one of the origin of a URL,
	// or reports what is wrong. The client is there once the program is served.
	Service func(name dsl.String, r dsl.Reporter) (client func() http.RoundTripper, ok bool)
}

// Compiler compiles the policies of one bundle. Kinds work with it; it is not
// safe for concurrent use.
type Compiler struct {
	dsl.Reporter
	lang    *Language
	catalog Catalog
	exprs   *dsl.Expressions
	scope   scope
	bundle  *Bundle
	entry   *entry // at hand
	ways    *[]way // of any_of, inside of it; nil: elsewhere
}

// Cond compiles a condition. All compile methods give nil after reporting.
func (c *Compiler) Cond(cond dsl.Cond) *Cond {
	if e := c.exprs.Condition(cond.Node, c.scope); e != nil {
		return &Cond{e}
	}
	return nil
}

// Text compiles text with expressions inside, escaped for its place. It gives
// nil for a text that is not written, too.
func (c *Compiler) Text(t dsl.Text, place dsl.Place) *dsl.TextTemplate {
	if t.Node == nil {
		return nil
	}
	return c.exprs.Text(t.Node, place, c.scope)
}

// Service finds a service by its name, or reports that there is none. Requests
// to it have URLs of which only the path and the query count.
func (c *Compiler) Service(name dsl.String) (client func() http.RoundTripper, ok bool) {
	return c.lang.Service(name, c)
}

// Fetch finds the client for a URL (http or https), and gives the URL: what is
// fetched has the timeouts, retries and breakers of a service like any other.
func (c *Compiler) Fetch(at dsl.String) (client func() http.RoundTripper, u *url.URL, ok bool) {
	if u, ok = c.fetchable(at); !ok {
		return nil, nil, false
	}
	client, ok = c.lang.Service(dsl.String{Value: u.Scheme + "://" + u.Host, Span: at.Span}, c)
	return client, u, ok
}

func (c *Compiler) fetchable(at dsl.String) (u *url.URL, ok bool) {
	u, err := url.Parse(at.Value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		c.Report(dsl.Diagnostic{Span: at.Span, Code: "bad-url", Message: fmt.Sprintf("%q is not a URL that something can be fetched from", at.Value), Hint: "write one such as https://id.example/keys"})
		return nil, false
	}
	return u, true
}

// Documents are the files that flow files refer to.
func (c *Compiler) Documents() *schema.Documents { return c.lang.Documents }

// Describe says in a few words what the policy at hand does as it is set.
func (c *Compiler) Describe(text string) { c.entry.detail = text }

// Review has the policy at hand look at each route that it applies to, when the
// program is checked. own says that the policy stands at the route.
func (c *Compiler) Review(review func(route *gateway.Route, own bool, r dsl.Reporter)) {
	c.entry.review = review
}

// Policy is the key of the policy at hand.
func (c *Compiler) Policy() string { return c.entry.kind.Name }

// Log is where operators hear of what the policy at hand keeps: that its state
// has changed, and nothing with each request. Nothing is told while it is compiled.
func (c *Compiler) Log() *slog.Logger {
	if c.lang.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.lang.Log.With(slog.String("policy", c.Policy()), slog.String("of", c.bundle.Whose))
}

// Keep declares something of the policy at hand that outlives requests. It is
// carried over from program to program for as long as the policy is written
// where it is, with the same text, and the variables and secrets in it have the
// same values. The clients of services are those of one program: a Keeper is
// given them by the requests that it works for.
func Keep[T engine.Keeper](c *Compiler, open func() T) *engine.Kept[T] {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(c.entry.at.Span.Text())
	hashValues(&h, c.entry.value)
	key := fmt.Sprintf("%s/%s#%d %x", c.bundle.Whose, c.entry.kind.Name, len(c.bundle.Places), h.Sum64())
	k := engine.KeepFor(c.bundle.Whose, c.entry.kind.Name, key, open)
	c.bundle.Places = append(c.bundle.Places, k)
	return k
}

// seed keeps secrets from being known by the keys that they are part of.
var seed = maphash.MakeSeed()

func hashValues(h *maphash.Hash, n *dsl.Node) {
	if n.Kind == dsl.Scalar {
		_, _ = h.WriteString(n.Text)
		_ = h.WriteByte(0)
	}
	for _, item := range n.Items {
		hashValues(h, item)
	}
	for _, f := range n.Fields {
		hashValues(h, f.Value)
	}
}

// Own declares something of the policy at hand that outlives requests, but not
// the program: it is closed when the last request of the program has ended.
func Own[T engine.Keeper](c *Compiler, open func() T) *engine.Kept[T] {
	k := engine.KeepFor(c.bundle.Whose, c.entry.kind.Name, "", open)
	c.bundle.Places = append(c.bundle.Places, k)
	return k
}

// Cond is a condition on requests.
type Cond struct{ expr *dsl.Expr }

// Holds evaluates the condition for a request of a gateway.
func (c *Cond) Holds(ctx context.Context) (bool, error) {
	return c.expr.Bool(ctx, gateway.FromContext(ctx))
}

// scope is what the expressions of policies can name.
type scope struct {
	names map[string]*dsl.Name
	asks  *bool // set when an expression reads who calls
}

func newScope(lang *Language, params []string, noParams *dsl.Denied, asks *bool) scope {
	input := func(env dsl.Env) *engine.Input { return env.(*gateway.Request).Input() }
	names := engine.RequestNames(input)
	names["env"] = dsl.EnvName(lang.Env)
	if lang.Secret != nil {
		names["secret"] = lang.Secret
	}
	names["params"] = &dsl.Name{Denied: noParams}
	if noParams == nil {
		fields := map[string]*dsl.Name{}
		for _, name := range params {
			fields[name] = &dsl.Name{Type: dsl.TypeString, Bind: func(dsl.Path) dsl.Read { return param(name) }}
		}
		names["params"] = &dsl.Name{Type: dsl.TypeObject, Fields: fields}
	}
	return scope{names, asks}
}

// param is a look at a variable of the path.
type param string

// Value is what dsl.Read asks for.
func (p param) Value(env dsl.Env) (any, error) {
	value, _ := env.(*gateway.Request).Var(string(p))
	return value, nil
}

// JSON is what dsl.Read asks for.
func (param) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// Name is what dsl.Scope asks for.
func (s scope) Name(text string) (*dsl.Name, bool) {
	n, ok := s.names[text]
	if text == "claims" || text == "consumer" {
		*s.asks = true
	}
	return n, ok
}

// Names is what dsl.Scope asks for.
func (s scope) Names() []string {
	var all []string
	for name := range s.names {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Loop is what dsl.Scope asks for. Policies have texts and conditions, which have
// no loops.
func (s scope) Loop(string, dsl.Span, *dsl.StaticType) (dsl.Scope, dsl.Var) { return s, nil }
