package policies

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// CodeConcurrencyLimited is the code of requests of callers who have as many in
// progress as a policy concurrency lets them.
const CodeConcurrencyLimited = "concurrency-limited"

type concurrencyConfig struct {
	Limit int `yaml:"limit" doc:"How many requests may be in progress at a time, of all callers together. What is over it is answered with status 503." min:"1" max:"1000000"`
	Each  int `yaml:"each" doc:"How many of them may be of one caller. What is over it is answered with status 429." min:"1" max:"1000000"`
	byConfig
	Queue int          `yaml:"queue" doc:"How many requests may wait for their turn; of one caller no more than each. Without it, what is over a limit is refused at once." min:"1" max:"100000"`
	Wait  dsl.Duration `yaml:"wait" doc:"How long a request may wait in all. One that would then have too little time left is refused at once." default:"1s" min:"1ms" max:"1m"`
	priorityConfig
	Shadow bool `yaml:"shadow" doc:"Whether it only counts: nobody is refused, and nobody waits. The metric of refusals shows what would be without a queue." default:"false"`
}

// Concurrency is the Kind of the policy concurrency.
var Concurrency = Kind{
	Why:      "what a limit or a quota refuses does not wait for a place, and nothing further inside waits without one",
	Together: true,
	Kind: dsl.Define("concurrency", "Limits how many requests are in progress at a time, from here to the end of their answers: in all, and of each caller. What is beyond waits in a queue, by priority, or is refused. "+
		"Streams and WebSockets are in progress for as long as they are open. What is counted outlives reloads that leave the policy as it is.",
		func(c *Compiler, at *dsl.Node, cfg *concurrencyConfig) gateway.Middleware {
			p := &concurrency{callers: c.callers(cfg.byConfig), ranking: c.ranking(cfg.priorityConfig)}
			set := placesConfig{all: cfg.Limit, each: cfg.Each, queue: cfg.Queue, wait: time.Duration(cfg.Wait), shadow: cfg.Shadow}
			cfg.judge(c, at)
			c.Describe(cfg.describe())
			p.places = Keep(c, func() *places { return openPlaces(set) })
			return p.wrap
		},
		dsl.Example{Name: "in all, and of each consumer or address", YAML: "limit: 500\neach: 20"},
		dsl.Example{Name: "those who pay wait in front", YAML: "limit: 100\nqueue: 200\nwait: 500ms\npriority: '$(headers[\"X-Checked-Plan\"] == \"gold\" ? \"high\" : \"normal\")'"}),
}

// judge reports keys that do nothing.
func (cfg *concurrencyConfig) judge(c *Compiler, at *dsl.Node) {
	fault := func(key, message, hint string) {
		span := at.KeySpan()
		if n := at.Field(key); n != nil {
			span = n.KeySpan()
		}
		c.Report(dsl.Diagnostic{Span: span, Code: "bad-policy", Message: message, Hint: hint})
	}
	switch {
	case at.Field("limit") == nil && at.Field("each") == nil:
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "concurrency limits nothing", Hint: "add limit, for all callers together, or each, for one of them"})
		return
	case cfg.Limit > 0 && cfg.Each > cfg.Limit:
		fault("each", fmt.Sprintf("one caller may have %d requests in progress, and all together %d", cfg.Each, cfg.Limit), "write each: a smaller number, or leave it out")
	}
	if by := at.Field("by"); by != nil {
		switch {
		case at.Field("each") == nil:
			fault("by", "by says who one caller is, and nothing is limited for each", "add each, or remove by")
		case by.Text == together:
			fault("by", "each for all callers together is what limit says", "write limit, and remove by and each")
		}
	}
	if at.Field("queue") == nil {
		for _, key := range []string{"wait", "priority"} {
			if at.Field(key) != nil {
				fault(key, key+" needs a queue", "add queue: 100, or remove "+key)
			}
		}
	}
}

// describe tells in a few words what the limits are: 500, and 20 by consumer or
// address.
func (cfg *concurrencyConfig) describe() string {
	text := ""
	if cfg.Limit > 0 {
		text = fmt.Sprintf("%d at a time", cfg.Limit)
	}
	if cfg.Each > 0 {
		by := "consumer or address"
		if n := cfg.By.Node; n != nil {
			by = n.Text
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d by %s", cfg.Each, by)
	}
	if cfg.Queue > 0 {
		text += fmt.Sprintf("; %d may wait for %s", cfg.Queue, cfg.Wait)
	}
	if cfg.Shadow {
		text += "; refuses nothing"
	}
	return text
}

type concurrency struct {
	callers callers
	ranking ranking
	places  *engine.Kept[*places]
}

func (p *concurrency) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		q := gateway.FromContext(ctx)
		s := &stay{places: p.places.It()}
		if s.each > 0 {
			s.hash = maphash.Bytes(s.seed, p.callers.append(ctx, q, s.room[:0]))
		}
		rank := 0
		if s.queue > 0 {
			rank = p.ranking.of(ctx, q)
		}
		got := s.enter(ctx, rank)
		defer s.leave()
		if got != entered {
			s.refuse(w, r, q, got)
			return
		}
		if s.queue > 0 {
			s.began = time.Now()
			q.BeforeAnswer(s)
		}
		next.ServeHTTP(w, r)
	})
}

// statusClientGone is what nginx notes of callers that have left; none sees it.
const statusClientGone = 499

// refuse answers a request that found no place. Nobody can tell when there will be
// one, so that there is no Retry-After.
func (s *stay) refuse(w http.ResponseWriter, r *http.Request, q *gateway.Request, got entrance) {
	p := gateway.Problem{Status: http.StatusServiceUnavailable, Code: gateway.CodeOverloaded, Detail: "There is too much to do at the moment."}
	switch got {
	case gone:
		s.left.Add(1)
		q.Err = context.Canceled
		gateway.WriteProblem(w, r, gateway.Problem{Status: statusClientGone, Code: gateway.CodeClientGone})
		return
	case fullOwn:
		s.refusedOwn.Add(1)
		p = gateway.Problem{Status: http.StatusTooManyRequests, Code: CodeConcurrencyLimited, Detail: "There are as many requests of this caller in progress as it may have. There is room when one of them has ended."}
	default:
		s.refusedAll.Add(1)
	}
	gateway.Refuse(w, r, "concurrency", p)
}
