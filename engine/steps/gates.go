package steps

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// gates let a number of requests at a time hold a key. The others wait for it,
// each key on its own, in the order in which they came. A key that nobody holds
// takes no memory.
type gates struct {
	mu      sync.Mutex
	byKey   map[string]*gate
	waiting int64
	refused int64
}

// gate is a key that is held. Nobody waits at it as long as it could be entered.
type gate struct {
	held  int
	queue list.List // of chan struct{}, closed when its owner holds the key
}

func newGates() *gates { return &gates{byKey: map[string]*gate{}} }

// enter waits until the key is held, at most as long as ctx goes on. If so many
// wait already it does not. What is entered must be left.
func (g *gates) enter(ctx context.Context, key string, most, queue int) *engine.Error {
	g.mu.Lock()
	k := g.byKey[key]
	if k == nil {
		k = &gate{}
		g.byKey[key] = k
	}
	if k.held < most {
		k.held++
		g.mu.Unlock()
		return nil
	}
	if k.queue.Len() >= queue {
		g.refused++
		n := k.queue.Len()
		g.mu.Unlock()
		return &engine.Error{Kind: engine.KindOverloaded, Message: fmt.Sprintf("the key is taken, and %d wait for it", n)}
	}
	turn := make(chan struct{})
	place := k.queue.PushBack(turn)
	g.waiting++
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // in the same moment
		g.pass(key, k)
	default:
		k.queue.Remove(place)
		g.waiting--
	}
	return engine.Interrupted(ctx)
}

// leave gives a key back.
func (g *gates) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass(key, g.byKey[key])
}

// pass hands the key on to who has waited longest.
func (g *gates) pass(key string, k *gate) {
	if next := k.queue.Front(); next != nil {
		k.queue.Remove(next)
		g.waiting--
		close(next.Value.(chan struct{}))
		return
	}
	if k.held--; k.held == 0 {
		delete(g.byKey, key)
	}
}

// Observe is what engine.Observed asks for.
func (g *gates) Observe(show func(name string, total bool, value int64)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	show("refused", true, g.refused)
	show("waiting", false, g.waiting)
	show("keys", false, int64(len(g.byKey)))
}

// Close is what engine.Keeper asks for.
func (g *gates) Close() {}

// keyText gives the text of a key for one request. A key that is empty would
// have all requests share what each should have for itself.
func keyText(ctx context.Context, x *engine.Exchange, key *dsl.TextTemplate, at dsl.Span) (string, error) {
	text, err := key.String(ctx, x)
	if err == nil && text == "" {
		err = &dsl.Fault{Span: at, Message: "the key is empty"}
	}
	return text, err
}

// distinctKey compiles a key that is to set requests apart, and so cannot be the
// same for all of them; so is what would come of that.
func distinctKey(c *engine.Compiler, n *dsl.Node, so, hint string) *dsl.TextTemplate {
	key := c.Text(n, dsl.PlainText)
	if key == nil {
		return nil
	}
	if _, static := key.Static(); static {
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "same-key", Message: "this key is the same for all requests: " + so, Hint: hint})
	}
	return key
}

// gated is a block that only holders of a key enter.
type gated struct {
	gates  *engine.Kept[*gates]
	key    *dsl.TextTemplate // nil: one for all
	at     dsl.Span          // of the key
	most   int
	queue  int
	block  block
	result engine.Slot
}

// Describe is what engine.Describer asks for.
func (s *gated) Describe(p *engine.PlanStep) {
	p.Sure, p.Waiting = true, true
	p.Detail = fmt.Sprintf("%d at a time", s.most)
	if s.key == nil {
		return
	}
	if _, static := s.key.Static(); !static {
		p.Detail += " for each " + s.at.Text()
	}
}

// Run is what engine.Step asks for.
func (s *gated) Run(ctx context.Context, x *engine.Exchange) error {
	key := ""
	if s.key != nil {
		var err error
		if key, err = keyText(ctx, x, s.key, s.at); err != nil {
			return err
		}
	}
	g := s.gates.It()
	if e := g.enter(ctx, key, s.most, s.queue); e != nil {
		return e
	}
	defer g.leave(key)
	return s.block.into(ctx, x, s.result)
}
