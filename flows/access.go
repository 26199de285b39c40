package flows

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// accessLogConfig is how a gateway tells of its requests.
type accessLogConfig struct {
	Format   dsl.String   `yaml:"format" doc:"The form of a record, which is one line: an object of JSON, or name=value." default:"json" enum:"json|text"`
	Template dsl.Text     `yaml:"template" doc:"The form of a record in place of format: text with $(FIELD) for each value, and $(header.NAME) for a field of the request's header. What has no value is -."`
	Omit     []dsl.String `yaml:"omit" doc:"Fields that are left out."`
	Headers  []dsl.String `yaml:"headers" doc:"Fields of the request's header that are told, as header.NAME."`
	Query    bool         `yaml:"query" doc:"Whether the query is told."`
	Redact   []dsl.String `yaml:"redact" doc:"Names of header fields and of query parameters whose values are never told, beside those that usually carry credentials, such as Authorization, Cookie, token and code."`
	Sample   dsl.Percent  `yaml:"sample" doc:"The share of requests that are told. Those that end with a status of 500 or above, or are cut off, are told in any case." default:"100%"`
	File     dsl.String   `yaml:"file" doc:"The file that records go to, relative to this one. One that somebody moves away is begun anew. Default: the standard output."`
	OTLP     bool         `yaml:"otlp" doc:"Whether records go to the collector of OpenTelemetry that the process is told of, in place of a file or the standard output. They have attributes then, with the names that spans have, and no form. It needs OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_LOGS_EXPORTER=none for records that go nowhere."`
	MaxSize  dsl.Size     `yaml:"max_size" doc:"How large the file becomes before it gets a name with the time, and another is begun." default:"100MB" min:"1KB"`
	MaxAge   dsl.Duration `yaml:"max_age" doc:"How old it becomes before that. Default: without end." min:"1m"`
	Keep     int          `yaml:"keep" doc:"How many of the files before are kept; 0 is all of them." default:"7" min:"0" max:"10000"`
}

// accessLog is what a gateway tells of its requests, and where. It is comparable
// by where.
type accessLog struct {
	options gateway.AccessOptions
	to      gateway.LogFileConfig // the standard output, if it has no path
	otlp    bool                  // a collector, in place of that
}

func (cfg *accessLogConfig) compile(r dsl.Reporter, at *dsl.Node) *accessLog {
	out := &accessLog{options: gateway.AccessOptions{Sample: float64(cfg.Sample), Query: cfg.Query}}
	var omit, headers []string
	for _, name := range cfg.Omit {
		if omit = append(omit, name.Value); !slices.Contains(gateway.AccessFields(), name.Value) {
			r.Report(noField(name.Span, name.Value))
		}
	}
	for _, name := range cfg.Headers {
		if headers = append(headers, name.Value); !engine.IsHeaderName(name.Value) {
			r.Report(dsl.Diagnostic{Span: name.Span, Code: "bad-header", Message: fmt.Sprintf("%q is not the name of a header", name.Value), Hint: "use letters, digits and -"})
		}
	}
	for _, name := range cfg.Redact {
		out.options.Redact = append(out.options.Redact, name.Value)
	}
	if cfg.Format.Value == "text" {
		out.options.Layout = gateway.TextAccess(omit, headers)
	} else {
		out.options.Layout = gateway.JSONAccess(omit, headers)
	}
	if cfg.Template.Node != nil {
		cfg.template(r, at, out)
	}
	cfg.place(r, at, out)
	return out
}

// place says where records go.
func (cfg *accessLogConfig) place(r dsl.Reporter, at *dsl.Node, out *accessLog) {
	reject := func(why, remedy string, keys ...string) {
		for _, key := range keys {
			if n := at.Field(key); n != nil {
				r.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-log", Message: key + why, Hint: fmt.Sprintf(remedy, key)})
			}
		}
	}
	switch {
	case cfg.OTLP:
		out.otlp = true
		reject(" is about lines, and records go to a collector", "remove %s, or otlp", "file", "max_size", "max_age", "keep", "format", "template")
	case cfg.File.Value != "":
		out.to = gateway.LogFileConfig{Path: cfg.File.Path(), MaxSize: int64(cfg.MaxSize), MaxAge: time.Duration(cfg.MaxAge), Keep: cfg.Keep}
	default:
		reject(" is about a file, and records go to the standard output", "add file: access.log, or remove %s", "max_size", "max_age", "keep")
	}
}

func (cfg *accessLogConfig) template(r dsl.Reporter, at *dsl.Node, out *accessLog) {
	n := cfg.Template.Node
	for _, key := range []string{"format", "omit", "headers"} {
		if other := at.Field(key); other != nil {
			r.Report(dsl.Diagnostic{Span: other.KeySpan(), Code: "bad-log", Message: "template says what a record looks like, and so does " + key, Hint: "remove one of them"})
		}
	}
	var err error
	if out.options.Layout, err = gateway.TemplateAccess(n.Text); err == nil {
		return
	}
	var fault *gateway.TemplateError
	if errors.As(err, &fault) && fault.Name != "" {
		span := n.Span
		if found, ok := n.Span.Find(fault.Name); ok {
			span = found
		}
		r.Report(noField(span, fault.Name))
		return
	}
	r.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-log", Message: err.Error(), Hint: "write $(status)"})
}

func noField(at dsl.Span, name string) dsl.Diagnostic {
	d := dsl.Diagnostic{Span: at, Code: "bad-log", Message: fmt.Sprintf("a record has no field %q", name), Hint: "the reference of gateway lists them"}
	d.Suggest(name, gateway.AccessFields())
	return d
}

// accessSink is a sink and how many generations write to it.
type accessSink struct {
	*gateway.LogSink
	uses int
}

// openAccess opens where the gateways of p write to, or takes over what is open
// for others.
func (h *Host) openAccess(p *Program) (keys []gateway.LogFileConfig, err error) {
	for _, gw := range p.Gateways {
		if gw.access == nil {
			continue
		}
		if gw.access.otlp {
			if h.records == nil {
				h.dropAccess(keys)
				return nil, fmt.Errorf("gateway %s: access_log: there is no collector for otlp: set OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_LOGS_EXPORTER=none to go without", gw.Name.Value)
			}
			continue
		}
		key := gw.access.to
		s := h.access[key]
		if s == nil {
			w := h.stdout
			if key.Path != "" {
				if w, err = gateway.OpenLogFile(key); err != nil {
					h.dropAccess(keys)
					return nil, fmt.Errorf("gateway %s: access_log: %w", gw.Name.Value, err)
				}
			}
			s = &accessSink{LogSink: gateway.NewLogSink(w, h.redact, h.log)}
			h.access[key] = s
		}
		s.uses++
		keys = append(keys, key)
	}
	return keys, nil
}

// accessOf is the log of a gateway whose sink is open.
func (h *Host) accessOf(gw *Gateway) *gateway.AccessLog {
	if gw.access == nil {
		return nil
	}
	if gw.access.otlp {
		return gateway.NewAccessRecords(gw.access.options, h.records, h.redact)
	}
	return gateway.NewAccessLog(gw.access.options, h.access[gw.access.to].LogSink)
}

// dropAccess ends what no other generation writes to.
func (h *Host) dropAccess(keys []gateway.LogFileConfig) {
	for _, key := range keys {
		s := h.access[key]
		if s.uses--; s.uses == 0 {
			delete(h.access, key)
			s.Close()
		}
	}
}

// keptOpen is a writer that is not closed by those who use it.
type keptOpen struct{ io.Writer }
