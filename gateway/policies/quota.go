package policies

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// CodeQuotaExceeded is the code of requests of callers who have used what they
// have for a time.
const CodeQuotaExceeded = "quota-exceeded"

type quotaConfig struct {
	quotasConfig
	Plans map[string]quotasConfig `yaml:"plans" doc:"Other quotas, by the plan of the consumer. Whose plan has none here has those above."`
	meterConfig
	Zone    dsl.String `yaml:"zone" doc:"The time zone of the calendar, such as Europe/Berlin." default:"UTC"`
	Sliding bool       `yaml:"sliding" doc:"Whether the time is the last hour, the last 24 hours or the last 30 days at every moment, and not that of the calendar: what was used in the period before counts by the share that is still in it." default:"false"`
	File    dsl.String `yaml:"file" doc:"Where it is kept what was used, beyond the end of the process: a file of this quota alone, relative to the file that names it. It is written every ten seconds and at the end; a crash, or a change of this policy, forgets what came since. One that is damaged is put aside, as FILE.broken. Without it, a restart begins anew."`
	Memory  dsl.Size   `yaml:"memory" doc:"How much the counters may take; plans have equal parts. It is taken as keys come: in about 64 bytes for each. What has no room then takes that of the keys which have used least." default:"32MB" min:"64KB" max:"16GB"`
}

// quotasConfig is the quotas that some callers have.
type quotasConfig struct {
	limitConfig
	Also []limitConfig `yaml:"also" doc:"Further quotas. A request is let in, and counted, if all of them let it in."`
}

type limitConfig struct {
	Limit int    `yaml:"limit" doc:"How many requests, or how much cost, in that time." required:"true" min:"1" max:"1000000000000"`
	Per   string `yaml:"per" doc:"The time." required:"true" enum:"hour|day|month"`
}

// Quota is the Kind of the policy quota.
var Quota = Kind{
	Why:      "what comes too fast uses nothing of it, nor what may not come at all",
	Together: true,
	Kind: dsl.Define("quota", "Limits how much each caller may use in an hour, a day or a month. What is over it is answered with status 429, and Retry-After tells when there is more. It can be kept in a file beyond the end of the process.",
		func(c *Compiler, at *dsl.Node, cfg *quotaConfig) gateway.Middleware {
			m := &meter{policy: c.Policy(), code: CodeQuotaExceeded, shadow: cfg.Shadow, fields: cfg.Fields}
			m.callers, m.cost = c.callers(cfg.byConfig), c.cost(cfg.costConfig, at)
			zone, err := time.LoadLocation(cfg.Zone.Value)
			if err != nil || cfg.Zone.Value == "Local" {
				c.Report(dsl.Diagnostic{Span: cfg.Zone.Span, Code: "bad-policy", Message: fmt.Sprintf("there is no time zone %q", cfg.Zone.Value), Hint: "write one such as UTC or Europe/Berlin"})
				zone = time.UTC
			}
			var plans []quotaPlan
			m.tariffs, m.plans = tariffsOf(c, cfg.quotasConfig, cfg.Plans, func(quotas quotasConfig, at *dsl.Node) tariff {
				plan, t := quotas.compile(c, zone, cfg.Sliding, at)
				plans = append(plans, plan)
				return t
			}, at)
			for name, i := range m.plans {
				plans[i].label = name + ": " + plans[i].label
			}
			c.Describe(m.describe(cfg.By))
			path, memory, log := c.stateFile(cfg.File), cfg.Memory/dsl.Size(len(plans)), c.Log()
			m.limiters = Keep(c, func() *limiters { return openQuota(log, path, plans, memory) })
			return m.wrap
		},
		dsl.Example{Name: "a day's, that a restart does not give back", YAML: "limit: 10000\nper: day\nzone: Europe/Berlin\nfile: state/daily.quota"},
		dsl.Example{Name: "a month's and an hour's, whatever the calendar says", YAML: "limit: 100000\nper: month\nalso: [{ limit: 2000, per: hour }]\nsliding: true"}),
}

// stateFile is where something is kept beyond the end of the process. Nobody
// else may write there, and in tests nothing is kept.
func (c *Compiler) stateFile(file dsl.String) string {
	path := file.Path()
	if path == "" {
		return ""
	}
	if other, taken := c.lang.kept[path]; taken {
		c.Report(dsl.Diagnostic{Span: file.Span, Code: "bad-policy", Message: "this file is that of another policy", Hint: "write a file for each", Related: []dsl.Related{{Span: other, Message: "the other one"}}})
	}
	if c.lang.kept == nil {
		c.lang.kept = map[string]dsl.Span{}
	}
	c.lang.kept[path] = file.Span
	if c.lang.MadeUp {
		return ""
	}
	return path
}

// longest are times as clients are told them: no month is longer.
var longest = map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "month": 31 * 24 * time.Hour}

func (cfg quotasConfig) compile(c *Compiler, zone *time.Location, sliding bool, at *dsl.Node) (plan quotaPlan, t tariff) {
	var periods, fields []string
	add := func(q limitConfig, at *dsl.Node) {
		if q.Limit == 0 || q.Per == "" {
			return // a fault was reported
		}
		name := fmt.Sprintf("%d/%s", q.Limit, q.Per)
		for _, other := range periods {
			if other == q.Per {
				c.Report(dsl.Diagnostic{Span: at.Field("per").Span, Code: "bad-policy", Message: "there is a quota per " + q.Per + " already", Hint: "remove one of them: the smaller decides"})
			}
		}
		plan.limits = append(plan.limits, allowance{most: int64(q.Limit), per: q.Per, zone: zone, sliding: sliding})
		periods, t.limits = append(periods, q.Per), append(t.limits, name)
		length := longest[q.Per]
		if sliding && q.Per == "month" {
			length = 30 * 24 * time.Hour
		}
		fields = append(fields, `"`+name+`";q=`+strconv.Itoa(q.Limit)+";w="+strconv.FormatInt(int64(length/time.Second), 10))
	}
	add(cfg.limitConfig, at)
	for i, q := range cfg.Also {
		add(q, at.Field("also").Items[i])
	}
	plan.label = strings.Join(periods, ", ")
	t.policy = []string{strings.Join(fields, ", ")}
	return plan, t
}
