package steps

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

// Requests that an aggregate brings together have nothing in common but the
// key: each has its own deadline, its own caller, and perhaps its own generation
// of the program. So a group belongs to none of them. It holds no more than the
// texts of its items; when it is complete, its steps run on a goroutine of their
// own and in time of their own, and the request that completed it waits for
// them, but does not take them along when it leaves.
//
// Two things live longer than a request:
//
//	groups   are the open groups. They are handed from each program to the next
//	         one that has the same step.
//	crew     runs the steps for complete groups. It is of one program, whose
//	         services the steps call, and ends with it.
//
// Who completes a group gives it to the crew of its own program; the clock gives
// it to the crew that came last. As groups is declared before crew, it is closed
// before it, and what is open then is still worked on.
//
// A group has a lock, which is held while an item comes: the condition of until
// is evaluated under it, and groups do not wait for each other. The lock of all
// groups is taken inside of it, for as long as it takes to count.

// completion is when a group is complete.
type completion struct {
	size      int
	idle, age time.Duration // idle 0: however long nothing comes
}

// groupBounds are the keys of how much an aggregate holds.
type groupBounds struct {
	Groups int      `yaml:"groups" doc:"How many groups there may be at a time. Who would begin one more fails as overloaded." default:"10000" min:"1" max:"1000000"`
	Memory dsl.Size `yaml:"memory" doc:"How much memory all groups may take, in about. Who would add more fails as overloaded." default:"64MB" min:"1KB"`
}

type groups struct {
	when completion
	most groupBounds

	mu     sync.Mutex
	byKey  map[string]*group // those that are open
	all    int               // with those that are complete, but not done
	items  int64
	bytes  int64
	crews  []*crew // the one that came last takes what the clock completes
	closed bool
}

// group is what came with one key.
type group struct {
	key  string
	home *groups

	mu       sync.Mutex
	complete bool // or given up: it takes no more
	items    []string
	bytes    int64
	last     *engine.Input // who came last
	trace    *trace.Trace  // of its steps, linked to all who came
	begun    time.Time
	touched  time.Time
	clock    *time.Timer

	// Set when it is complete.
	reason string
	done   chan struct{} // closed when its steps have run

	// Readable when done is closed.
	result engine.Value
	err    *engine.Error
}

// Why a group is complete.
const (
	bySize     = "size"
	byUntil    = "until"
	byIdle     = "max_idle"
	byAge      = "max_age"
	byShutdown = "shutdown"
)

func newGroups(when completion, most groupBounds) *groups {
	return &groups{when: when, most: most, byKey: map[string]*group{}}
}

// add puts an item into the group of its key, and gives the number of items
// that it has then. A group that is complete with it is given back: the caller
// has to give it to a crew. until, which can be nil, looks at the group with the
// new item; if it fails, the item has not come.
func (s *groups) add(in *engine.Input, key, item string, until func(key string, items []string) (bool, error)) (complete *group, count int, err error) {
	var g *group
	for {
		if g, err = s.at(key); err != nil {
			return nil, 0, err
		}
		g.mu.Lock()
		if !g.complete {
			break
		}
		g.mu.Unlock() // it has been completed in between
	}
	defer g.mu.Unlock()
	size := int64(len(item) + overheadOfItem)
	came := false
	defer func() {
		if !came && len(g.items) == 0 {
			s.mu.Lock()
			g.end()
			s.mu.Unlock()
			s.release(g)
		}
	}()
	if !s.reserve(size) {
		return nil, 0, full("memory", s.most.Memory)
	}
	defer func() {
		if !came {
			s.unreserve(size)
		}
	}()
	items, reason := append(g.items, item), ""
	if until != nil {
		enough, err := until(key, items)
		if err != nil {
			return nil, 0, err
		}
		if enough {
			reason = byUntil
		}
	}
	if len(items) >= s.when.size {
		reason = bySize
	}
	came = true
	g.trace = trace.Join(g.trace, in.Trace)
	in.Trace = nil // it would keep the request's memory
	g.items, g.bytes, g.last = items, g.bytes+size, in
	if reason == "" {
		g.wind()
		return nil, len(items), nil
	}
	g.finish(reason, false)
	return g, len(items), nil
}

// What a group and an item take beside their texts, in about and in bytes.
const (
	overheadOfGroup = 512
	overheadOfItem  = 16
)

// at is the open group of a key, perhaps a new one.
func (s *groups) at(key string) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byKey[key]
	if g != nil {
		return g, nil
	}
	size := int64(len(key) + overheadOfGroup)
	switch {
	case s.closed:
		return nil, &engine.Error{Kind: engine.KindOverloaded, Message: "the groups are closed"}
	case s.all >= s.most.Groups:
		return nil, full("groups", s.most.Groups)
	case s.bytes+size > int64(s.most.Memory):
		return nil, full("memory", s.most.Memory)
	}
	g = &group{key: key, home: s, bytes: size}
	s.byKey[key] = g
	s.all++
	s.bytes += size
	return g, nil
}

func full(key string, most any) error {
	return &engine.Error{Kind: engine.KindOverloaded, Message: fmt.Sprintf("there is no room for another item: %s is %v", key, most)}
}

// reserve takes room for an item.
func (s *groups) reserve(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+size > int64(s.most.Memory) {
		return false
	}
	s.bytes += size
	s.items++
	return true
}

func (s *groups) unreserve(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= size
	s.items--
}

// release gives back the room of a group that is no more.
func (s *groups) release(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	s.bytes -= g.bytes
	s.items -= int64(len(g.items))
}

// wind sets the clock of a group to which an item came. g.mu is held.
func (g *group) wind() {
	g.touched = time.Now()
	if g.clock == nil {
		g.begun = g.touched
		at, _ := g.due()
		g.clock = time.AfterFunc(time.Until(at), g.strike)
	} else if g.home.when.idle > 0 {
		at, _ := g.due()
		g.clock.Reset(time.Until(at))
	}
}

// due is when the time of a group is up, and why then. g.mu is held.
func (g *group) due() (at time.Time, reason string) {
	at, reason = g.begun.Add(g.home.when.age), byAge
	if idle := g.home.when.idle; idle > 0 {
		if earlier := g.touched.Add(idle); earlier.Before(at) {
			return earlier, byIdle
		}
	}
	return at, reason
}

// strike completes a group whose time is up.
func (g *group) strike() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.complete {
		return
	}
	at, reason := g.due()
	if time.Now().Before(at) {
		return // something came in the same moment, and has wound the clock again
	}
	g.finish(reason, true)
}

// finish completes a group. If nobody waits for it, the crew that came last
// takes it in the same moment: there is one as long as a group is open, because
// groups is closed before the last crew. g.mu is held.
func (g *group) finish(reason string, alone bool) {
	g.reason, g.done = reason, make(chan struct{})
	s := g.home
	s.mu.Lock()
	defer s.mu.Unlock()
	g.end()
	if alone {
		s.crews[len(s.crews)-1].take(g)
	}
}

// end has a group take no more. Its lock and that of all groups are held.
func (g *group) end() {
	g.complete = true
	if g.clock != nil {
		g.clock.Stop()
	}
	delete(g.home.byKey, g.key)
}

// Observe is what engine.Observed asks for.
func (s *groups) Observe(show func(name string, total bool, value int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	show("groups", false, int64(s.all))
	show("items", false, s.items)
	show("bytes", false, s.bytes)
}

// Close completes all groups.
func (s *groups) Close() {
	s.mu.Lock()
	s.closed = true
	open := make([]*group, 0, len(s.byKey))
	for _, g := range s.byKey {
		open = append(open, g)
	}
	s.mu.Unlock()
	for _, g := range open {
		g.mu.Lock()
		if !g.complete {
			g.finish(byShutdown, true)
		}
		g.mu.Unlock()
	}
}

// crew runs the steps of one program for groups that are complete.
type crew struct {
	step  *aggregate
	home  *groups
	spool *spool
}

// newCrew makes a crew that works on so many groups at a time. How many wait for
// it needs no bound of its own: they take room until they are done.
func newCrew(step *aggregate, atOnce int) *crew {
	c := &crew{step: step, home: step.groups.It(), spool: newSpool(atOnce, math.MaxInt, step.within)}
	c.home.mu.Lock()
	defer c.home.mu.Unlock()
	c.home.crews = append(c.home.crews, c)
	return c
}

// What an aggregate counts.
const (
	itemAdded   = "item_added"
	itemRefused = "item_refused"
	groupBegins = "group_" // and the reason why a group is complete
	groupFailed = "group_failed"
	groupLost   = "group_lost"
)

func aggregateEvents() []string {
	events := []string{itemAdded, itemRefused, groupFailed, groupLost}
	for _, reason := range []string{bySize, byUntil, byIdle, byAge, byShutdown} {
		events = append(events, groupBegins+reason)
	}
	return events
}

// take has the steps run for a group that is complete.
func (c *crew) take(g *group) {
	tally := c.step.tally.It()
	tally.Add(groupBegins + g.reason)
	taken := c.spool.add(func(ctx context.Context) {
		defer c.finished(g)
		if g.result, g.err = c.step.work(ctx, g.input(), groupValue(g.key, g.reason, g.items)); g.err != nil {
			tally.Add(groupFailed)
			c.log(g, "the steps of an aggregate failed: its items are not worked on", slog.String("step", g.err.Step), slog.String("error", g.err.Error()))
		}
	})
	if !taken {
		g.err = &engine.Error{Kind: engine.KindOverloaded, Message: "the program that would run the steps has ended"}
		tally.Add(groupLost)
		c.log(g, "a group of an aggregate is lost: the program has ended")
		go c.finished(g) // the lock of all groups can be held here
	}
}

// input is what the steps know of who they run for.
func (g *group) input() *engine.Input {
	return &engine.Input{ID: g.last.ID, Log: g.last.Log, Trace: g.trace}
}

func (c *crew) finished(g *group) {
	c.home.release(g)
	close(g.done)
}

func (c *crew) log(g *group, message string, more ...slog.Attr) {
	g.last.Log.LogAttrs(context.Background(), slog.LevelError, message, append(more,
		slog.String("flow", c.step.flow), slog.String("request_id", g.last.ID), slog.Int("items", len(g.items)), slog.String("reason", g.reason))...)
}

// groupValue is a group as expressions see it. An open one has no reason.
func groupValue(key, reason string, items []string) engine.Value {
	size := len(key) + 64
	for _, item := range items {
		size += len(item) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"key":`...)
	b = dsl.AppendJSONString(b, key)
	b = fmt.Appendf(b, `,"count":%d`, len(items))
	if reason != "" {
		b = fmt.Appendf(b, `,"reason":%q`, reason)
	}
	b = append(b, `,"items":[`...)
	b = append(b, strings.Join(items, ",")...)
	return engine.JSON(string(append(b, "]}"...)))
}

// Observe is what engine.Observed asks for.
func (c *crew) Observe(show func(name string, total bool, value int64)) { c.spool.Observe(show) }

// Close ends the crew when it has done what it took.
func (c *crew) Close() {
	c.home.mu.Lock()
	for i, other := range c.home.crews {
		if other == c {
			c.home.crews = append(c.home.crews[:i:i], c.home.crews[i+1:]...)
			break
		}
	}
	c.home.mu.Unlock()
	c.spool.Close()
}
