package main

import (
	"slices"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway/policies"
)

// catalog lists everything that flow files can be written with. What is not
// here does not exist.
func catalog() (*flows.Catalog, error) {
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		return nil, err
	}
	guards, err := policies.NewCatalog(policies.All()...)
	if err != nil {
		return nil, err
	}
	return &flows.Catalog{Steps: verbs, Policies: guards}, nil
}
