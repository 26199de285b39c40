package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/explain"
	"github.com/weir-run/weir/gateway"
)

func (p *process) explainCommand() *cobra.Command {
	format := &choice{value: "text", allowed: []string{"text", "json"}}
	var header []string
	request, live := "", false
	var process adminClient
	cmd := &cobra.Command{
		Use:   "explain FLOW [DIR...]",
		Short: "Say what a flow does, who gets a request, or how services are now",
		Long: `Says what was made of a flow: what runs together and what waits for what; how
long it can take at worst, and how many requests each service can get; every
timeout, retry and limit, and whether it is written or a default; which bodies
are held in memory, and why; what becomes of failures.

With --request it says which gateway and route get a request, with the variables
of its path, and why the routes that are nearest to it do not. Routes can be told
apart by headers: --header gives the request some.

With --live it asks a running process, at --admin, how its services are: which
breakers are open, since when and why, which endpoints are left out, what failed.
With a FLOW it is those that the flow calls, below the explanation;
without one it is all of them.

Without a DIR it is the directory at hand. Nothing else is opened.`,
		Example: `  weir explain customer-profile examples/quickstart
  weir explain customer-profile flows/ --format json | jq .services
  weir explain --request "GET /customers/7" flows/
  weir explain --request "GET /orders/7" --header "X-Version: 2" flows/
  weir explain --live
  weir explain customer-profile flows/ --live --admin https://10.0.0.7:9900 --admin-token /run/secrets/ADMIN_TOKEN`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(header) > 0 && request == "":
				return usagef("--header is a header of the request: add --request")
			case request != "" && live:
				return usagef("--request is about files, and --live about a process: use one of them")
			case request == "" && !live && len(args) == 0:
				return usagef("needs the name of a flow, --request or --live")
			}
			return nil
		},
		ValidArgsFunction: p.flowNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if request != "" {
				return p.explainRequest(request, header, args, format.value)
			}
			var state *explain.Live
			if live {
				var err error
				if state, err = readLive(cmd.Context(), &process); err != nil {
					return err
				}
				if len(args) == 0 {
					return p.explained(state, format.value)
				}
			}
			program, c, flow, err := p.flow(args[0], args[1:])
			if err != nil {
				return err
			}
			about := explain.Explain(program, c, flow)
			if state != nil {
				return p.explained(about.With(state), format.value)
			}
			return p.explained(about, format.value)
		},
	}
	cmd.Flags().Var(format, "format", "how to print it")
	cmd.Flags().StringVar(&request, "request", "", "the `request` that is looked for, METHOD /path")
	cmd.Flags().StringArrayVar(&header, "header", nil, "a `header` of that request, NAME: VALUE, as often as needed")
	cmd.Flags().BoolVar(&live, "live", false, "ask a running process how its services are")
	process.add(cmd.Flags())
	return cmd
}

// readLive asks a running process for the state of its services.
func readLive(ctx context.Context, process *adminClient) (state *explain.Live, err error) {
	if err := process.open(); err != nil {
		return nil, err
	}
	err = process.get(ctx, "/services", func(r io.Reader) error {
		state, err = explain.ReadLive(r, time.Now())
		return err
	})
	return state, err
}

type explained interface{ Text(w io.Writer) error }

func (p *process) explained(what explained, format string) error {
	if format == "text" {
		return what.Text(p.stdout)
	}
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(what)
}

func (p *process) explainRequest(request string, header, dirs []string, format string) error {
	method, target, ok := strings.Cut(request, " ")
	u, err := url.ParseRequestURI(strings.TrimSpace(target))
	if !ok || err != nil || !strings.HasPrefix(u.Path, "/") {
		return usagef("--request: %q is not METHOD /path, such as GET /customers/7", request)
	}
	a := gateway.Asked{Method: strings.ToUpper(method), URL: u, Header: http.Header{}}
	for _, h := range header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || !engine.IsHeaderName(name) {
			return usagef("--header: %q is not NAME: VALUE, such as X-Version: 2", h)
		}
		a.Header.Add(name, strings.TrimSpace(value))
	}
	host := u.Host
	if h := a.Header.Get("Host"); h != "" {
		host = h
	}
	program, _, err := p.program(dirs)
	if err != nil {
		return err
	}
	return p.explained(explain.Ask(program, host, a), format)
}

// program checks the files of directories, those of the one at hand if there
// are none. Faults are printed.
func (p *process) program(dirs []string) (*flows.Program, *flows.Catalog, error) {
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	c, err := catalog()
	if err != nil {
		return nil, nil, err
	}
	files, err := flows.Load(dirs)
	if err != nil {
		return nil, nil, err
	}
	program, ds := flows.Check(files, c, flows.Environment{Env: p.env, Log: slog.New(slog.DiscardHandler), Plans: true})
	if program == nil {
		ds = slices.DeleteFunc(ds, func(d dsl.Diagnostic) bool { return d.Severity != dsl.Error })
		dsl.Render(p.stderr, ds, dsl.RenderOptions{Color: p.color(p.stderr), Limit: mostFaults})
		return nil, nil, errReported
	}
	return program, c, nil
}

// flow is program with one of its flows.
func (p *process) flow(name string, dirs []string) (*flows.Program, *flows.Catalog, *engine.Flow, error) {
	program, c, err := p.program(dirs)
	if err != nil {
		return nil, nil, nil, err
	}
	var names []string
	for _, f := range program.Flows {
		if f.Name.Value == name {
			return program, c, f, nil
		}
		names = append(names, f.Name.Value)
	}
	return nil, nil, nil, fmt.Errorf("there is no flow %q%s", name, cmp.Or(nearest(name, names, ""), "; there are "+strings.Join(names, ", ")))
}
