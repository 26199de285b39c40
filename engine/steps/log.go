package steps

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type logConfig struct {
	Log    dsl.Text             `yaml:"log" doc:"The message." required:"true"`
	Level  string               `yaml:"level" doc:"How much it matters." default:"info" enum:"debug|info|warn|error"`
	Fields map[string]dsl.Shape `yaml:"fields" doc:"Values beside the message."`
}

// Log writes a line to the log.
var Log = dsl.Define("log", "Writes a line to the log, with the flow and the request id beside it.", compileLog,
	dsl.Example{Name: "a line with a value", YAML: `
log: order $(body.id) came in
level: debug
fields: { items: $(len(body.items)) }
`})

type logStep struct {
	message *dsl.TextTemplate
	level   slog.Level
	flow    string
	fields  []logField
}

type logField struct {
	name  string
	shape *dsl.ShapeTemplate
}

func compileLog(c *engine.Compiler, at *dsl.Node, cfg *logConfig) engine.Step {
	s := &logStep{message: c.Text(cfg.Log.Node, dsl.PlainText), flow: c.Flow().Name.Value}
	s.level = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[cfg.Level]
	c.Shown(cfg.Log.Node, "the log")
	if fields := at.Field("fields"); fields != nil {
		for _, f := range fields.Fields {
			s.fields = append(s.fields, logField{f.Key.Text, c.Shape(cfg.Fields[f.Key.Text])})
		}
		c.Shown(fields, "the log")
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *logStep) Describe(p *engine.PlanStep) {
	names := make([]string, len(s.fields))
	for i := range s.fields {
		names[i] = s.fields[i].name
	}
	if len(names) > 0 {
		p.Detail = "with " + strings.Join(names, ", ")
	}
}

// Run is what engine.Step asks for.
func (s *logStep) Run(ctx context.Context, x *engine.Exchange) error {
	if !x.In.Log.Enabled(ctx, s.level) {
		return nil
	}
	message, err := s.message.String(ctx, x)
	if err != nil {
		return err
	}
	attrs := []slog.Attr{slog.String("flow", s.flow), slog.String("request_id", x.In.ID)}
	for i := range s.fields {
		v, err := engine.ValueOf(ctx, x, s.fields[i].shape)
		if err != nil {
			return err
		}
		attrs = append(attrs, slog.Any(s.fields[i].name, logged(v)))
	}
	x.In.Log.LogAttrs(ctx, s.level, message, attrs...)
	return nil
}

// logged gives a value to the log: lists and objects as JSON, which is bounded
// and keeps numbers as they came.
func logged(v engine.Value) any {
	if _, isText := v.Text(); !isText {
		if text := v.JSON(); text[0] == '{' || text[0] == '[' {
			return json.RawMessage(text)
		}
	}
	return v.Decoded()
}
