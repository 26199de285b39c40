// Package language describes all that flow files can be written with, as the
// Kinds say it: to the formatter and to editors as a grammar, to readers as the
// pages of the reference.
package language

import (
	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// Grammar is what a catalog says about the form of files.
func Grammar(c *flows.Catalog) *dsl.Grammar {
	g := &dsl.Grammar{
		Flow:     engine.FlowSchema(),
		Template: engine.TemplateSchema(),
		Sections: map[string]*dsl.Schema{
			"services": {Type: dsl.MapType, Doc: "What flows call, by name.", Expands: true, Elem: connectors.ServiceKind.Schema()},
			"gateways": {Type: dsl.MapType, Doc: "Where flows are served, by name.", Expands: true, Elem: flows.GatewayKind.Schema()},
			"policies": {Type: dsl.MapType, Doc: "Bundles of policies, by name.", Elem: c.Policies.Schema()},
			"tests":    {Type: dsl.ListType, Doc: "What flows are held against.", Elem: suite.TestKind.Schema()},
			"imports":  {Type: dsl.ListType, Doc: "Files and directories that are part of the program, too, relative to this file.", Elem: &dsl.Schema{Type: dsl.TextType}},
		},
		Verbs:     map[string]*dsl.Schema{},
		Modifiers: engine.ModifierSchema(),
		Policies:  c.Policies.Schema(),
	}
	for _, k := range c.Steps.All() {
		g.Verbs[k.Name] = k.Schema()
	}
	return g
}
