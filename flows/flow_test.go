package flows_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/mesh"
)

// statsOf are those of a service of the program that is served.
func statsOf(t *testing.T, w *flowtest.World, service string) mesh.Stats {
	t.Helper()
	for _, s := range w.Host.Program().Services {
		if s.Name.Value == service {
			return s.Client().Stats()
		}
	}
	t.Fatalf("there is no service %s", service)
	return mesh.Stats{}
}

// flowEvent is how often something has happened to runs of a flow, by the metrics.
func flowEvent(t *testing.T, w *flowtest.World, flow, event string) int {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Host.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "weir_flow_events_total" && l[0].GetValue() == event && l[1].GetValue() == flow {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}
