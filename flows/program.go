package flows

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// Catalog is all that flow files can be written with.
type Catalog struct {
	Steps *dsl.Catalog[*engine.Compiler, engine.Step]
}

// Program is the checked content of flow files. It is immutable, but for its
// services, which Host.Apply opens.
type Program struct {
	Hash     string
	Flows    []*engine.Flow        // sorted by name
	Services []*connectors.Service // sorted by name
	Gateways []*Gateway            // sorted by name
	Env      func(name string) (value string, ok bool)
}

// Gateway is one listener with its routes.
type Gateway struct {
	Name    dsl.String
	Listen  string
	MaxBody int64 // bytes

	routes []gateway.Route
	router *gateway.Router
	at     dsl.Span // of listen
}

// Routes is how many routes the gateway serves.
func (g *Gateway) Routes() int { return len(g.routes) }

// Environment is what a check depends on besides the files.
type Environment struct {
	Env func(name string) (value string, ok bool) // such as os.LookupEnv
	Log *slog.Logger                              // for log steps
}

// Check compiles files to a Program. It opens nothing. The diagnostics hold
// every fault; if one of them is an error the Program is nil.
func Check(files *Files, catalog *Catalog, env Environment) (*Program, []dsl.Diagnostic) {
	c := &checker{catalog: catalog, env: env, defined: map[string]dsl.Span{}}
	c.program = &Program{Hash: files.Hash, Env: env.Env}
	for _, doc := range c.parse(files.Sources) {
		c.declare(doc)
	}
	if len(files.Sources) == 0 {
		c.ds.Report(dsl.Diagnostic{Code: "no-files", Message: "there are no .yaml or .yml files", Hint: "name a directory with flow files"})
	}
	c.compile()
	c.route()
	if c.ds.Failed() {
		return nil, c.ds.All()
	}
	return c.program, c.ds.All()
}

// checker is one check.
type checker struct {
	catalog *Catalog
	env     Environment
	program *Program
	ds      dsl.Diagnostics
	defined map[string]dsl.Span // "service users": where
}

// parse reads the sources, some at a time, and gives their documents in order.
func (c *checker) parse(sources []*dsl.Source) []*dsl.Node {
	docs := make([][]*dsl.Node, len(sources))
	c.spread(len(sources), func(i int, r dsl.Reporter) { docs[i] = dsl.Parse(sources[i], r) })
	return slices.Concat(docs...)
}

// spread runs fn for 0 to n-1 on all processors, each with a Reporter of its
// own. Diagnostics are sorted, so that the order does not matter.
func (c *checker) spread(n int, fn func(i int, r dsl.Reporter)) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			var ds dsl.Diagnostics
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					break
				}
				fn(i, &ds)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, d := range ds.All() {
				c.ds.Report(d)
			}
		})
	}
	wg.Wait()
}

// sections are the top-level keys of a document that is no flow.
var sections = []string{"services", "gateways"}

func (c *checker) declare(doc *dsl.Node) {
	if doc.Kind != dsl.Map {
		c.ds.Report(dsl.Diagnostic{Span: doc.Span, Code: "wrong-type", Message: "a document is a mapping, not a " + doc.Kind.String(),
			Hint: "start with flow: name, or with services: or gateways:"})
		return
	}
	if doc.Field("flow") != nil {
		c.declareFlow(doc)
		return
	}
	for _, f := range doc.Fields {
		switch f.Key.Text {
		case "services":
			c.entries(f.Value, "service", func(name dsl.String, n *dsl.Node) {
				if s, ok := connectors.ServiceKind.Compile(&c.ds, n); ok {
					s.Name = name
					c.program.Services = append(c.program.Services, s)
				} else {
					c.program.Services = append(c.program.Services, &connectors.Service{Name: name})
				}
			})
		case "gateways":
			c.entries(f.Value, "gateway", func(name dsl.String, n *dsl.Node) {
				g, ok := GatewayKind.Compile(&c.ds, n)
				if !ok {
					g = &Gateway{}
				}
				g.Name = name
				c.program.Gateways = append(c.program.Gateways, g)
			})
		default:
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown section %q", f.Key.Text), Hint: "a document holds a flow, or the sections " + strings.Join(sections, ", ")}
			if near, ok := dsl.Nearest(f.Key.Text, append(sections, "flow")); ok {
				d.Hint = fmt.Sprintf("did you mean %q?", near)
			} else if f.Key.Text == "steps" || f.Key.Text == "trigger" {
				d.Hint = "a flow starts with flow: name"
			}
			c.ds.Report(d)
		}
	}
}

func (c *checker) declareFlow(doc *dsl.Node) {
	f := engine.DeclareFlow(doc, &c.ds)
	if f != nil && c.unique("flow", f.Name) {
		c.program.Flows = append(c.program.Flows, f)
	}
}

// entries declares the named things of a section, with their expressions of
// the environment resolved.
func (c *checker) entries(section *dsl.Node, noun string, declare func(name dsl.String, n *dsl.Node)) {
	if section.Kind != dsl.Map {
		c.ds.Report(dsl.Diagnostic{Span: section.Span, Code: "wrong-type", Message: fmt.Sprintf("this section is a mapping of name to %s", noun), Hint: "write name: { ... }"})
		return
	}
	for _, f := range section.Fields {
		name := dsl.String{Value: f.Key.Text, Span: f.Key.Span}
		if c.unique(noun, name) {
			declare(name, dsl.Expand(f.Value, &c.ds, c.env.Env))
		}
	}
}

// unique reports a second thing of one name, showing both.
func (c *checker) unique(noun string, name dsl.String) bool {
	key := noun + " " + name.Value
	if at, taken := c.defined[key]; taken {
		c.ds.Report(dsl.Diagnostic{Span: name.Span, Code: "duplicate-" + noun, Message: fmt.Sprintf("there are two %ss named %q", noun, name.Value),
			Hint: "rename one of them", Related: []dsl.Related{{Span: at, Message: "the other one"}}})
		return false
	}
	c.defined[key] = name.Span
	return true
}

func (c *checker) compile() {
	p := c.program
	slices.SortFunc(p.Flows, func(a, b *engine.Flow) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	slices.SortFunc(p.Services, func(a, b *connectors.Service) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	slices.SortFunc(p.Gateways, func(a, b *Gateway) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	lang := &engine.Language{Steps: c.catalog.Steps, Resources: &engine.Resources{}, Env: c.env.Env}
	for _, s := range p.Services {
		engine.Provide(lang.Resources, "service", s.Name.Value, s)
	}
	for _, f := range p.Flows {
		engine.Provide(lang.Resources, "flow", f.Name.Value, f)
	}
	c.spread(len(p.Flows), func(i int, r dsl.Reporter) { p.Flows[i].Compile(lang, r) })
	engine.Recursion(p.Flows, &c.ds)
}

// route gives every gateway its router, and reports routes that contradict
// each other.
func (c *checker) route() {
	byName := map[string]*Gateway{}
	byAddress := map[string]*Gateway{}
	for _, g := range c.program.Gateways {
		byName[g.Name.Value] = g
		addr, err := gateway.Address(g.Listen)
		if other, taken := byAddress[addr]; taken && err == nil && !strings.HasSuffix(addr, ":0") {
			c.ds.Report(dsl.Diagnostic{Span: g.at, Code: "address-taken", Message: fmt.Sprintf("gateways %q and %q listen on the same address", other.Name.Value, g.Name.Value),
				Hint: "give each its own port", Related: []dsl.Related{{Span: other.at, Message: "the other one"}}})
		}
		byAddress[addr] = g
	}
	for _, f := range c.program.Flows {
		if f.Trigger != nil && f.Trigger.Sound() {
			if g := c.gatewayOf(f, byName); g != nil {
				g.routes = append(g.routes, c.routeOf(f, g))
			}
		}
	}
	for _, g := range c.program.Gateways {
		g.router = gateway.NewRouter(g.routes, &c.ds)
		if len(g.routes) == 0 {
			c.ds.Report(dsl.Diagnostic{Span: g.Name.Span, Severity: dsl.Warning, Code: "unused-gateway", Message: fmt.Sprintf("no flow uses gateway %q", g.Name.Value),
				Hint: "add trigger: { http: ..., gateway: " + g.Name.Value + " } to a flow, or remove it"})
		}
	}
}

func (c *checker) gatewayOf(f *engine.Flow, byName map[string]*Gateway) *Gateway {
	name := f.Trigger.Gateway
	if name.Value != "" {
		if g, ok := byName[name.Value]; ok {
			return g
		}
		d := dsl.Diagnostic{Span: name.Span, Code: "unknown-gateway", Message: fmt.Sprintf("there is no gateway %q", name.Value)}
		var names []string
		for _, g := range c.program.Gateways {
			names = append(names, g.Name.Value)
		}
		if near, ok := dsl.Nearest(name.Value, names); ok {
			d.Hint = fmt.Sprintf("did you mean %q?", near)
		} else {
			d.Hint = "define it: gateways: { " + name.Value + ": { listen: \":8080\" } }"
		}
		c.ds.Report(d)
		return nil
	}
	switch len(c.program.Gateways) {
	case 0:
		c.ds.Report(dsl.Diagnostic{Span: f.Trigger.Span, Code: "no-gateway", Message: "there is no gateway that could serve this route", Hint: "define one: gateways: { public: { listen: \":8080\" } }"})
		return nil
	case 1:
		return c.program.Gateways[0]
	}
	c.ds.Report(dsl.Diagnostic{Span: f.Trigger.Span, Code: "no-gateway", Message: "this trigger does not say which gateway serves it, and there are several", Hint: "add gateway: name"})
	return nil
}

func (c *checker) routeOf(f *engine.Flow, g *Gateway) gateway.Route {
	r := gateway.Route{
		Gateway: g.Name.Value, Method: f.Trigger.Method, Path: f.Trigger.Path, Span: f.Trigger.Span, Name: f.Name.Value,
		Deadline: f.Trigger.Deadline, MaxBody: f.Trigger.MaxBody, Handler: http.NotFoundHandler(),
	}
	if p := f.Program(); p != nil {
		r.Handler = gateway.FlowHandler(p, c.env.Log)
	}
	return r
}

type gatewayConfig struct {
	Listen  dsl.String `yaml:"listen" doc:"The address: HOST:PORT, or :PORT for all of the machine's addresses." required:"true"`
	MaxBody dsl.Size   `yaml:"max_body" doc:"How large the body of a request may be where the flow does not say." default:"10MB"`
}

// GatewayKind is the Kind of an entry of the gateways section.
var GatewayKind = dsl.Define("gateway", "An address that serves the routes of flows.",
	func(r dsl.Reporter, at *dsl.Node, cfg *gatewayConfig) *Gateway {
		if err := gateway.CheckAddress(cfg.Listen.Value); err != nil {
			r.Report(dsl.Diagnostic{Span: cfg.Listen.Span, Code: "bad-address", Message: err.Error(), Hint: "write HOST:PORT or :PORT"})
		}
		return &Gateway{Listen: cfg.Listen.Value, MaxBody: int64(cfg.MaxBody), at: cfg.Listen.Span}
	},
	dsl.Example{Name: "all addresses", YAML: `listen: ":8080"`})
