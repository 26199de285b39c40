package steps

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type firstConfig struct {
	First dsl.Branches `yaml:"first" doc:"The steps: a list, or a map of name to step. All start at once." required:"true"`
}

// First races steps.
var First = dsl.Define("first",
	"Runs several steps at the same time. The first that succeeds gives the result, and the others are cancelled. "+
		"The step fails if all of them do, with a failure that tells of each. Steps whose when is false do not take part.",
	compileFirst,
	dsl.Example{Name: "whoever has a quote", YAML: `
id: quote
first:
  carrier: { call: GET carrier /quote }
  house:
    call: GET offers /quote
    timeout: 1s
`},
	dsl.Example{Name: "a second chance, if the first call takes long", YAML: `
id: user
first:
  - call: GET users /users/$(params.id)
  - switch:
      - steps:
          - wait: 200ms
          - id: copy
            call: GET users /copies/$(params.id)
        yield: $(copy)
`})

type first struct {
	branches []*engine.Branch
}

func compileFirst(c *engine.Compiler, at *dsl.Node, cfg *firstConfig) engine.Step {
	s := &first{}
	add := func(n *dsl.Node, name string) {
		if b := c.Branch(n, name); b != nil {
			s.branches = append(s.branches, b)
		}
	}
	n := cfg.First.Node
	count := 0
	c.Inside("first", func() {
		switch n.Kind {
		case dsl.List:
			count = len(n.Items)
			for _, item := range n.Items {
				add(item, "")
			}
		case dsl.Map:
			count = len(n.Fields)
			for _, f := range n.Fields {
				add(f.Value, f.Key.Text)
			}
		}
	})
	switch count {
	case 1:
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "lone-branch", Message: "a race of one step is no race", Hint: "add another step, or write the step alone"})
	case 0:
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "empty-steps", Message: "this first has no steps", Hint: "write at least two"})
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *first) Describe(p *engine.PlanStep) { p.Order = engine.Race }

// Run is what engine.Step asks for. It returns when all branches have ended,
// those that were beaten, too: nothing goes on behind the back of the flow.
func (s *first) Run(ctx context.Context, x *engine.Exchange) error {
	var racing []*engine.Branch
	for _, b := range s.branches {
		applies, err := b.Applies(ctx, x)
		if err != nil {
			return err
		}
		if applies {
			racing = append(racing, b)
		}
	}
	if len(racing) == 0 {
		return nil
	}
	race, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		winner = -1
		failed = make([]*engine.Error, len(racing))
	)
	run := func(i int) {
		failed[i] = racing[i].Run(race, x)
		mu.Lock()
		defer mu.Unlock()
		if failed[i] == nil && winner < 0 {
			winner = i
			cancel(engine.ErrOutrun)
		}
	}
	last := len(racing) - 1
	for i := range last {
		wg.Go(func() { run(i) })
	}
	run(last)
	wg.Wait()
	if winner < 0 {
		return s.lost(ctx, x, racing, failed)
	}
	beaten := &engine.Error{Kind: engine.KindCanceled, Message: fmt.Sprintf("%s was first", racing[winner].Name()), Err: engine.ErrOutrun}
	for i, b := range racing {
		if i != winner {
			b.Lose(ctx, x, beaten) // what is left of it is logged and counted
		}
	}
	racing[winner].Win(x)
	return nil
}

// lost gives the failure of all branches.
func (s *first) lost(ctx context.Context, x *engine.Exchange, racing []*engine.Branch, failed []*engine.Error) error {
	names := make([]string, len(racing))
	for i, b := range racing {
		b.Keep(x)
		names[i] = b.Name()
	}
	if e := engine.Interrupted(ctx); e != nil {
		return e
	}
	if len(racing) == 1 {
		return failed[0]
	}
	return engine.Together("all "+strconv.Itoa(len(racing))+" steps failed", names, failed)
}
