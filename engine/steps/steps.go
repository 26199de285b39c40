// Package steps holds the verbs of the language that need nothing but the
// engine: one file each, named by its key.
package steps

import "github.com/weir-run/weir/engine"

// All are the verbs of this package.
func All() []engine.StepKind {
	return []engine.StepKind{
		Compose, Each, Set, Transform, Validate, Switch, Try, Run, Use, Return, Fail, Log,
		First, Wait, While, Saga, Lock, Limit, Idempotent, Cache, Aggregate, Batch, Filter, Sample, Tap, Template,
	}
}
