package flows

import (
	"net/http"

	"github.com/weir-run/weir/gateway"
)

// RoutesHandler answers with what is served, as JSON: the gateways with their
// routes, what each of them runs, and where that is written.
func (h *Host) RoutesHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		state := routesState{Gateways: []gatewayState{}}
		if p := h.Program(); p != nil {
			state.Config = p.Revision()
			for _, g := range p.Gateways {
				state.Gateways = append(state.Gateways, gatewayStateOf(g))
			}
		}
		for i := range state.Gateways {
			g := &state.Gateways[i]
			if at := h.Addr(g.Gateway); at != nil {
				g.Address = at.String()
			}
		}
		writeState(w, state)
	})
}

type routesState struct {
	Config   string         `json:"config"` // the revision of the files
	Gateways []gatewayState `json:"gateways"`
}

type gatewayState struct {
	Gateway string       `json:"gateway"`
	Listen  string       `json:"listen"`
	Address string       `json:"address"`
	Routes  []routeState `json:"routes"`
}

type routeState struct {
	Route    string   `json:"route"`
	Method   string   `json:"method,omitempty"` // none: any
	Path     string   `json:"path"`
	Version  string   `json:"version,omitempty"`
	Flow     string   `json:"flow"`
	At       string   `json:"at"`
	Deadline string   `json:"deadline,omitempty"`
	Policies []string `json:"policies"`    // in the order in which requests go through them
	Config   string   `json:"flow_config"` // the revision of the flow
}

func gatewayStateOf(g *Gateway) gatewayState {
	out := gatewayState{Gateway: g.Name.Value, Listen: g.Listen, Routes: []routeState{}}
	for i := range g.routes {
		out.Routes = append(out.Routes, routeStateOf(&g.routes[i]))
	}
	return out
}

func routeStateOf(r *gateway.Route) routeState {
	out := routeState{Route: r.String(), Method: r.Method, Path: r.Path, Flow: r.Name, Config: r.Revision, At: r.Span.String(), Policies: []string{}}
	if r.Version != nil {
		out.Version = r.Version.Name
	}
	if r.Deadline > 0 {
		out.Deadline = r.Deadline.String()
	}
	for _, l := range r.Layers {
		out.Policies = append(out.Policies, l.Policy)
	}
	return out
}
