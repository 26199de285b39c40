package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// CodeRateLimited is the code of requests that come faster than a rate_limit
// lets them.
const CodeRateLimited = "rate-limited"

type rateLimitConfig struct {
	ratesConfig
	Plans map[string]ratesConfig `yaml:"plans" doc:"Other limits, by the plan of the consumer. Whose plan has none here has those above."`
	meterConfig
	Memory dsl.Size `yaml:"memory" doc:"How much the counters may take; plans have equal parts. It is taken as keys come: in about 32 bytes for each that is not idle, and 16 for each further limit. What has no room then takes that of the keys which have used least." default:"32MB" min:"64KB" max:"16GB"`
}

// ratesConfig is the limits that some callers have.
type ratesConfig struct {
	rateConfig
	Also []rateConfig `yaml:"also" doc:"Further limits. A request is let in, and counted, if all of them let it in."`
}

type rateConfig struct {
	Rate  dsl.Rate `yaml:"rate" doc:"How many requests, in the long run: a number for each second, minute or hour, such as 100/s, 90/m or 5000/h." required:"true"`
	Burst int      `yaml:"burst" doc:"How many may come at once, when none came before. Default: the number of the rate, 100 of 100/s; 1 keeps all apart by the same time." min:"1" max:"1000000"`
}

// RateLimit is the Kind of the policy rate_limit.
var RateLimit = Kind{
	Why:      "who calls is known, and what is refused has not cost anything behind it",
	Together: true,
	Kind: dsl.Define("rate_limit", "Limits how often each caller may send requests (GCRA): evenly in the long run, with a burst in between. What is over it is answered with status 429, and Retry-After tells when there is room. What the limits have counted outlives reloads that leave the policy as it is.",
		func(c *Compiler, at *dsl.Node, cfg *rateLimitConfig) gateway.Middleware {
			m := &meter{policy: c.Policy(), code: CodeRateLimited, shadow: cfg.Shadow, fields: cfg.Fields}
			m.callers, m.cost = c.callers(cfg.byConfig), c.cost(cfg.costConfig, at)
			var limits [][]bucket
			m.tariffs, m.plans = tariffsOf(c, cfg.ratesConfig, cfg.Plans, func(rates ratesConfig, at *dsl.Node) tariff {
				own, t := rates.compile(c, at)
				limits = append(limits, own)
				return t
			}, at)
			c.Describe(m.describe(cfg.By))
			memory := cfg.Memory / dsl.Size(len(limits))
			m.limiters = Keep(c, func() *limiters { return openBuckets(limits, memory) })
			return m.wrap
		},
		dsl.Example{Name: "by consumer, or address", YAML: "rate: 100/s\nburst: 200"},
		dsl.Example{Name: "two limits, and what is dear costs more", YAML: "rate: 20/s\nalso: [{ rate: 5000/h }]\ncost: '$(request.method == \"GET\" ? 1 : 5)'"},
		dsl.Example{Name: "for each host that is asked for, and failures are free", YAML: "rate: 90/m\nby: $(request.host)\nanswer_cost: { status: { 5xx: 0 } }"}),
}

// compile reads the limits of some callers, which stand at at.
func (cfg ratesConfig) compile(c *Compiler, at *dsl.Node) (limits []bucket, t tariff) {
	var fields []string
	add := func(r rateConfig, at *dsl.Node) {
		if r.Rate.Count == 0 {
			return // a fault was reported
		}
		l := bucket{interval: int64(r.Rate.Interval()), burst: int64(r.Burst)}
		if l.burst == 0 {
			l.burst = min(r.Rate.Count, maxCost)
		}
		name := r.Rate.String()
		switch {
		case l.depth() > maxDebt:
			c.Report(dsl.Diagnostic{Span: at.Field("burst").Span, Code: "bad-policy", Message: fmt.Sprintf("at %s it takes more than a year until %d more may come at once", name, l.burst), Hint: "write a smaller burst"})
		case slices.Contains(t.limits, name):
			c.Report(dsl.Diagnostic{Span: at.Field("rate").Span, Code: "bad-policy", Message: fmt.Sprintf("there is a limit of %s already", name), Hint: "remove one of them: that with the smaller burst decides"})
		}
		limits, t.limits = append(limits, l), append(t.limits, name)
		field := `"` + name + `";q=` + strconv.FormatInt(r.Rate.Count, 10) + ";w=" + strconv.FormatInt(int64(r.Rate.Per/time.Second), 10)
		if l.burst != r.Rate.Count {
			field += ";weir-burst=" + strconv.FormatInt(l.burst, 10)
		}
		fields = append(fields, field)
	}
	add(cfg.rateConfig, at)
	for i, r := range cfg.Also {
		add(r, at.Field("also").Items[i])
	}
	t.policy = []string{strings.Join(fields, ", ")}
	return limits, t
}

func openBuckets(limits [][]bucket, memory dsl.Size) *limiters {
	var tables []*buckets
	l := &limiters{close: func() {}}
	for _, own := range limits {
		b := newBuckets(own, memory)
		tables, l.all = append(tables, b), append(l.all, engine.Limiter(b))
	}
	l.observe = func(show func(name string, total bool, value int64)) {
		var sum tally
		for _, b := range tables {
			sum.count(b.table)
		}
		sum.show(show)
	}
	return l
}
