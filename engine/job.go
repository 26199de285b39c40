package engine

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/dsl"
)

// Job are steps that run for no request in particular. They know one value,
// the environment and the secrets, and nothing of what is around them: so they can run when
// those who had a part in them have gone, and under another program that has the
// same steps.
type Job struct{ loop *Loop }

// Job compiles what body compiles as a Job of the step at hand. item stands for
// the value, static is what is known of it. inside is what faults call the job,
// and hint tells who reads more than the value what to do instead.
func (c *Compiler) Job(static *dsl.StaticType, item dsl.String, inside, hint string, body func()) *Job {
	outer := c.scope
	c.scope = outer.apart(inside, hint)
	defer func() { c.scope = outer }()
	j := &Job{}
	c.Lasting(func() { j.loop = c.loopOver(static, item, dsl.String{}, inside, false, body) })
	return j
}

// apart is a scope of its own at the same place, in which the names of s are
// taken, and none but env and secret can be read.
func (s *scope) apart(inside, hint string) *scope {
	in := &scope{frame: s.frame, c: s.c, names: map[string]*entry{}, later: map[string]later{}}
	for o := s; o != nil; o = o.parent {
		in.torn = in.torn || o.torn
		for text, step := range o.later {
			if _, nearer := in.later[text]; !nearer {
				in.later[text] = step
			}
		}
		for text, e := range o.names {
			if _, shadowed := in.names[text]; shadowed {
				continue
			}
			if text == "env" || text == "secret" {
				in.names[text] = e
				continue
			}
			d := &dsl.Denied{Message: fmt.Sprintf("%s is of one request, and the steps of %s run for several", text, inside), Hint: hint}
			if e.at.Valid() {
				d.Related = []dsl.Related{{Span: e.at, Message: "it stands here"}}
			}
			in.names[text] = &entry{at: e.at, Name: &dsl.Name{Denied: d}}
		}
	}
	return in
}

// Run runs fn, which runs what was compiled, with the value. in is what the
// steps know of who they run for: an ID and a Log. Panics become errors.
func (j *Job) Run(ctx context.Context, in *Input, value Value, fn func(ctx context.Context, x *Exchange) error) *Error {
	x := j.loop.frame.exchange(in, nil)
	defer x.release()
	x.results[j.loop.item.index].cell.set(value)
	if err := safely(ctx, StepFunc(fn), x); err != nil {
		return failure(ctx, err)
	}
	return nil
}
