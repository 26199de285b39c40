package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
)

// logFlags are the flags of commands that log.
type logFlags struct {
	format choice
	level  choice
}

func (f *logFlags) add(cmd *cobra.Command) {
	f.format = choice{allowed: []string{"json", "text"}}
	f.level = choice{value: "info", allowed: []string{"debug", "info", "warn", "error"}}
	cmd.Flags().Var(&f.format, "log-format", "how to log (default text on a terminal, json elsewhere)")
	cmd.Flags().Var(&f.level, "log-level", "the least that is logged")
}

// journal is where a running command tells what happens.
type journal struct {
	*slog.Logger
	level *slog.LevelVar
	w     io.Writer
	json  bool
	color bool
}

func (p *process) journal(f *logFlags) *journal {
	j := &journal{w: p.stderr, color: p.color(p.stderr)}
	j.json = f.format.value == "json" || f.format.value == "" && !p.terminal(p.stderr)
	level := new(slog.LevelVar)
	j.level = level
	_ = level.UnmarshalText([]byte(f.level.value)) // one of the allowed words
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withUnits}
	if j.json {
		j.Logger = slog.New(slog.NewJSONHandler(j.w, options))
	} else {
		j.Logger = slog.New(slog.NewTextHandler(j.w, options))
	}
	return j
}

// withUnits writes durations as flow files do: 1.5s, where JSON would have a
// number of nanoseconds.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// diagnostics tells faults of files: to people as they are rendered everywhere,
// to programs as one record for each.
func (j *journal) diagnostics(ds []dsl.Diagnostic) {
	if !j.json {
		dsl.Render(j.w, ds, dsl.RenderOptions{Color: j.color, Limit: mostFaults})
		return
	}
	levels := map[dsl.Severity]slog.Level{dsl.Error: slog.LevelError, dsl.Warning: slog.LevelWarn, dsl.Note: slog.LevelInfo}
	for _, d := range ds {
		j.LogAttrs(context.Background(), levels[d.Severity], d.Message,
			slog.String("place", d.Span.String()), slog.String("code", d.Code), slog.String("hint", d.Hint))
	}
}
