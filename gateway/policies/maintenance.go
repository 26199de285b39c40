package policies

import (
	"math"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/lookout"
)

// CodeMaintenance is that of requests that come while there is maintenance.
const CodeMaintenance = "maintenance"

// maintenanceLook is how often it is looked for the file at most.
const maintenanceLook = time.Second

type maintenanceConfig struct {
	On         *bool        `yaml:"on" doc:"Whether there is maintenance. Default: true, unless file says when."`
	File       dsl.String   `yaml:"file" doc:"A file, relative to this one: there is maintenance while it is there. It is looked for once a second, and no program is loaded for it."`
	RetryAfter dsl.Duration `yaml:"retry_after" doc:"When clients may try again, as Retry-After." default:"5m" min:"1s"`
	Message    string       `yaml:"message" doc:"What they are told." default:"The service is being maintained. Try again later."`
	Allow      []dsl.String `yaml:"allow" doc:"Addresses and networks (CIDR) that come in all the same."`
	Unless     dsl.Cond     `yaml:"unless" doc:"Requests that come in all the same: an expression over request, headers and query. One that cannot be evaluated lets nobody in."`
}

// Maintenance is the Kind of the policy maintenance.
var Maintenance = Kind{
	Why:      "nothing further inside may be there; and pages of other origins can read why",
	Together: true,
	Kind: dsl.Define("maintenance", "Answers with status 503 and Retry-After instead of the flow, for as long as it is written, or a file is there.",
		func(c *Compiler, at *dsl.Node, cfg *maintenanceConfig) gateway.Middleware {
			p := &maintenance{
				allow: Networks(c, cfg.Allow), message: cfg.Message,
				retryAfter: []string{strconv.Itoa(int(math.Ceil(time.Duration(cfg.RetryAfter).Seconds())))},
			}
			if cfg.Unless.Node != nil {
				p.unless = c.Cond(cfg.Unless)
			}
			p.on.Store(cfg.File.Value == "" && (cfg.On == nil || *cfg.On))
			if cfg.File.Value != "" {
				p.file = cfg.File.Path()
				if cfg.On != nil {
					c.Report(dsl.Diagnostic{Span: at.Field("on").KeySpan(), Code: "bad-policy", Message: "both on and file say when there is maintenance", Hint: "leave out one of them"})
				}
			}
			return p.wrap
		},
		dsl.Example{Name: "while a file is there, but not for those who do the work", YAML: "file: /run/weir/maintenance\nretry_after: 10m\nallow: [10.0.0.0/8]"},
		dsl.Example{Name: "by a variable, but not for who sends a header", YAML: "on: $(env.MAINTENANCE ?? \"false\")\nunless: headers[\"X-Probe\"] == \"deploy\""}),
}

type maintenance struct {
	file       string // "": on does not change
	looked     lookout.Lookout
	on         atomic.Bool
	allow      []netip.Prefix
	unless     *Cond
	message    string
	retryAfter []string
}

func (p *maintenance) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.now() || p.excepts(r) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header()["Retry-After"] = p.retryAfter
		gateway.Refuse(w, r, "maintenance", gateway.Problem{Status: http.StatusServiceUnavailable, Code: CodeMaintenance, Detail: p.message})
	})
}

// now reports whether there is maintenance. A file that cannot be looked at may
// be there.
func (p *maintenance) now() bool {
	if p.file != "" {
		p.looked.Visit(maintenanceLook, func(time.Time) {
			_, err := os.Stat(p.file)
			p.on.Store(!os.IsNotExist(err))
		})
	}
	return p.on.Load()
}

func (p *maintenance) excepts(r *http.Request) bool {
	q := gateway.FromContext(r.Context())
	if a, ok := sender(q.Input().Remote); ok && holds(p.allow, a) {
		return true
	}
	if p.unless == nil {
		return false
	}
	ok, err := p.unless.Holds(r.Context())
	if err != nil {
		q.Err = err
	}
	return ok && err == nil
}
