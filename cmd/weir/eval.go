package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
)

// evaluation is one run of weir eval.
type evaluation struct {
	*process
	data     string
	vars     []string
	template bool
	raw      bool
}

func (p *process) evalCommand() *cobra.Command {
	e := &evaluation{process: p}
	cmd := &cobra.Command{
		Use:   "eval EXPR",
		Short: "Try an expression, or a shape, on a file of JSON",
		Long: `Evaluates an expression as a flow would, and prints its value as JSON.

The names are those of a flow, so that what works here works there: body is what
--data reads, and each --var gives one more, such as params or the id of a step.
With --template, EXPR is a shape: YAML with $(...) at its leaves.`,
		Example: `  weir eval 'sum(body.items, .price * .qty)' --data order.json
  curl -s http://127.0.0.1:8080/orders/7 | weir eval 'keys(body)' --data -
  weir eval --template '{ id: $(params.id), name: $(upper(user.first)) }' \
      --var params='{"id": "7"}' --var user='{"first": "Ada"}'
  weir eval 'formatTime(now(), "http")' --raw`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("needs one expression; put quotes around it")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&e.data, "data", "", "the `file` of JSON that is body; - is standard input")
	f.StringArrayVar(&e.vars, "var", nil, "one more name and its value, as `name=JSON`")
	f.BoolVar(&e.template, "template", false, "EXPR is a shape, which is YAML with $(...)")
	f.BoolVar(&e.raw, "raw", false, "print text without quotes")
	return cmd
}

func (e *evaluation) run(ctx context.Context, text string) error {
	names, err := e.names()
	if err != nil {
		return err
	}
	var ds dsl.Diagnostics
	value, err := e.evaluate(ctx, dsl.NewSource("EXPR", text), names, &ds)
	var fault *dsl.Fault
	if errors.As(err, &fault) && fault.Span.Valid() {
		ds.Report(dsl.Diagnostic{Span: fault.Span, Code: "failed", Message: fault.Message})
		err = nil
	}
	dsl.Render(e.stderr, ds.All(), dsl.RenderOptions{Color: e.color(e.stderr), Limit: mostFaults})
	switch {
	case err != nil:
		return err
	case ds.Failed():
		return errReported
	}
	return e.print(value)
}

// evaluate gives the value as JSON, unless it has reported faults.
func (e *evaluation) evaluate(ctx context.Context, src *dsl.Source, names *names, ds *dsl.Diagnostics) ([]byte, error) {
	x := dsl.NewExpressions(ds)
	defer x.Close()
	if !e.template {
		expr := x.Compile(&dsl.Node{Kind: dsl.Scalar, Type: dsl.Str, Text: src.Text, Span: dsl.Span{Source: src, End: len(src.Text)}}, names)
		if expr == nil {
			return nil, nil
		}
		return expr.AppendJSON(ctx, names, nil)
	}
	documents := dsl.Parse(src, ds)
	if ds.Failed() {
		return nil, nil
	}
	if len(documents) != 1 {
		return nil, usagef("a shape is one document of YAML, not %d", len(documents))
	}
	shape := x.Shape(documents[0], names)
	if shape == nil {
		return nil, nil
	}
	return shape.AppendJSON(ctx, names, nil)
}

func (e *evaluation) print(value []byte) error {
	if e.raw {
		var text string
		if json.Unmarshal(value, &text) == nil && value[0] == '"' {
			_, err := fmt.Fprintln(e.stdout, text)
			return err
		}
	}
	var out bytes.Buffer
	if err := json.Indent(&out, value, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(e.stdout)
	return err
}

// names reads what the flags name.
func (e *evaluation) names() (*names, error) {
	n := &names{values: map[string]any{}, declared: map[string]*dsl.Name{}}
	if e.data == "" {
		n.declared["body"] = &dsl.Name{Denied: &dsl.Denied{Message: "there is no body", Hint: "name a file of JSON with --data, or - for standard input"}}
	} else {
		text, err := e.read(e.data)
		if err != nil {
			return nil, err
		}
		value, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.data, err)
		}
		n.add("body", value)
	}
	n.declared["secret"] = &dsl.Name{Denied: &dsl.Denied{Message: "no secrets are looked for here", Hint: `give values that stand for them: --var secret='{"NAME": "..."}'`}}
	for _, v := range e.vars {
		name, text, ok := strings.Cut(v, "=")
		if !ok || !isName(name) {
			return nil, usagef("--var %s: write name=JSON", v)
		}
		value, err := decode(text)
		if err != nil {
			return nil, usagef("--var %s: %w (text needs quotes: --var %s='\"...\"')", v, err, name)
		}
		n.add(name, value)
	}
	return n, nil
}

func (e *evaluation) read(name string) (string, error) {
	if name == "-" {
		text, err := io.ReadAll(e.stdin)
		if err != nil {
			return "", fmt.Errorf("cannot read standard input: %w", err)
		}
		return string(text), nil
	}
	text, err := os.ReadFile(name)
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", name, err)
	}
	return string(text), nil
}

func decode(text string) (any, error) {
	if err := dsl.CheckJSON(text); err != nil {
		return nil, err
	}
	return dsl.DecodeBounded(text)
}

// isName reports whether expressions can read text as a name.
func isName(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && !('0' <= text[0] && text[0] <= '9')
}

// names is the scope of one expression and its values at once. It is not safe
// for concurrent use.
type names struct {
	values   map[string]any
	declared map[string]*dsl.Name
}

// Env is what dsl.Env asks for.
func (n *names) Env() {}

// Name is what dsl.Scope asks for.
func (n *names) Name(name string) (*dsl.Name, bool) {
	d, ok := n.declared[name]
	return d, ok
}

// Names is what dsl.Scope asks for.
func (n *names) Names() []string { return slices.Sorted(maps.Keys(n.declared)) }

// Loop is what dsl.Scope asks for. The values of all scopes are the same: names
// of loops around each other differ.
func (n *names) Loop(name string, _ dsl.Span, static *dsl.StaticType) (dsl.Scope, dsl.Var) {
	inner := &names{values: n.values, declared: maps.Clone(n.declared)}
	inner.add(name, nil)
	inner.declared[name].Static = static
	return inner, loopVar{n.values, name}
}

func (n *names) add(name string, value any) {
	n.values[name] = value
	n.declared[name] = &dsl.Name{Bind: func(path dsl.Path) dsl.Read { return lookup{n, name, path} }}
}

// loopVar is the variable of a loop.
type loopVar struct {
	values map[string]any
	name   string
}

// Set is what dsl.Var asks for.
func (v loopVar) Set(_ dsl.Env, value any) { v.values[v.name] = value }

// SetJSON is what dsl.Var asks for.
func (v loopVar) SetJSON(_ dsl.Env, text string) { v.values[v.name] = dsl.DecodeJSON(text) }

// lookup is what dsl.Name binds to read a value, or a part of it.
type lookup struct {
	names *names
	name  string
	path  dsl.Path
}

// Value is what dsl.Read asks for.
func (l lookup) Value(dsl.Env) (any, error) {
	v := l.names.values[l.name]
	for _, key := range l.path {
		var err error
		if v, err = dsl.Member(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// JSON is what dsl.Read asks for: nothing is at hand.
func (l lookup) JSON(dsl.Env) (string, bool, error) { return "", false, nil }
