package connectors

import (
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

// LookedFor says what is looked at to find an endpoint, in words; it is empty
// for one that is written.
func LookedFor(endpoint string) string { return mesh.LookedFor(endpoint) }
