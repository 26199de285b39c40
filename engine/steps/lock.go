package steps

import (
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type lockConfig struct {
	Lock  dsl.Text `yaml:"lock" doc:"The key: text, as a rule with an expression. All locks of a program that have the same key exclude each other." required:"true"`
	Queue int      `yaml:"queue" doc:"How many may wait for one key. Who comes when so many wait fails at once." default:"100" min:"0" max:"100000"`
	blockConfig
}

// Lock lets one request at a time do something.
var Lock = dsl.Define("lock",
	"Runs steps while nobody else in this process holds the same key. Who waits gets the key in the order of coming, and waits at most as long as there is time. "+
		"Other processes do not know of the lock.",
	compileLock,
	dsl.Example{Name: "one change of an account at a time", YAML: `
id: balance
lock: account/$(params.id)
steps:
  - id: account
    call: GET users /accounts/$(params.id)
  - call: PUT users /accounts/$(params.id)
    body: { balance: $(account.balance + body.amount) }
yield: $(account.balance + body.amount)
`})

func compileLock(c *engine.Compiler, at *dsl.Node, cfg *lockConfig) engine.Step {
	if outer, step := c.Around("lock"); step != nil {
		c.Report(dsl.Diagnostic{Span: cfg.Lock.Node.KeySpan(), Severity: dsl.Warning, Code: "nested-lock", Message: "a lock inside a lock: two requests can wait for each other until their time is up",
			Hint: "take one lock, with a key for both", Related: []dsl.Related{{Span: outer, Message: "the lock around it"}}})
	}
	s := &gated{most: 1, queue: cfg.Queue, at: cfg.Lock.Node.Span, result: c.Result()}
	s.key = c.Text(cfg.Lock.Node, dsl.PlainText)
	s.block = compileBlock(c, at, "lock", &cfg.blockConfig)
	s.gates = engine.Keep(c, "lock", newGates)
	return s
}
