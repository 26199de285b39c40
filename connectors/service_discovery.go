package connectors

import (
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// discoveryOf says how endpoints are found. A relative path of a file starts at
// the directory of the flow file that has it.
func discoveryOf(endpoints []dsl.String) (d mesh.Discovery) {
	for _, e := range endpoints {
		if strings.HasPrefix(e.Value, "file:") && e.Span.Source != nil {
			d.Dir = filepath.Dir(e.Span.Source.Name)
		}
	}
	return d
}

// logs writes what is told of where the service runs.
func (s *Service) logs(log *slog.Logger) func(mesh.SourceStats) {
	log = log.With("service", s.Name.Value)
	return func(found mesh.SourceStats) {
		if found.Failure != nil {
			log.Warn("endpoints cannot be looked for", "source", found.Source, "endpoints", found.Targets, "error", found.Failure)
			return
		}
		log.Info("endpoints found", "source", found.Source, "endpoints", found.Targets)
	}
}

// LookedFor says what is looked at to find an endpoint, in words; it is empty
// for one that is written.
func LookedFor(endpoint string) string { return mesh.LookedFor(endpoint) }
