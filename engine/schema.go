package engine

import "github.com/weir-run/weir/dsl"

// FlowSchema describes a flow as it is written; what its steps may be is told
// by their Kinds.
func FlowSchema() *dsl.Schema { return dsl.SchemaOf[flowConfig]() }

// ModifierSchema describes the keys that every step may have beside those of
// its verb.
func ModifierSchema() *dsl.Schema { return dsl.SchemaOf[modifiers]() }
