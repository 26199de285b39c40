package connectors

import (
	"context"
	"log/slog"

	"github.com/weir-run/weir/mesh"
)

// logs writes what changes of services: what is for the worse as a warning, with
// its reason, and the rest as information.
func logs(log *slog.Logger) func(mesh.Change) {
	return func(c mesh.Change) {
		level := slog.LevelInfo
		if c.Worse() {
			level = slog.LevelWarn
		}
		attrs := []slog.Attr{slog.String("service", c.Service)}
		if c.Endpoint != "" {
			attrs = append(attrs, slog.String("endpoint", c.Endpoint))
		}
		if c.Source != "" {
			attrs = append(attrs, slog.String("source", c.Source), slog.Int("endpoints", c.Targets))
		}
		if c.Because != "" {
			attrs = append(attrs, slog.String("reason", c.Because))
		}
		if !c.Until.IsZero() {
			attrs = append(attrs, slog.Time("until", c.Until))
		}
		if c.Omitted > 0 {
			attrs = append(attrs, slog.Int("omitted", c.Omitted))
		}
		log.LogAttrs(context.Background(), level, c.What, attrs...)
	}
}
