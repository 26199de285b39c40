package suite

import "github.com/weir-run/weir/dsl"

type testConfig struct {
	Test   dsl.String      `yaml:"test" doc:"What the test shows, in a few words. It is the test's name, and unique." required:"true"`
	Before []earlierConfig `yaml:"before" doc:"Requests that come first, one after the other, each when the one before it has its answer."`
	requestConfig
	Meanwhile []otherConfig                      `yaml:"meanwhile" doc:"Requests that are in progress when that of the test comes: each is as far as it gets in no time."`
	Run       dsl.String                         `yaml:"run" doc:"Instead of request: the flow that is run, one without a trigger."`
	With      map[string]dsl.Shape               `yaml:"with" doc:"The inputs of the flow that is run."`
	Env       map[string]string                  `yaml:"env" doc:"Variables that the flows and services read as env.NAME. Others are those of the environment."`
	Secrets   map[string]string                  `yaml:"secrets" doc:"What the flows and services read as secret.NAME. Tests see no others: a secret that is not given has a made-up value."`
	Now       dsl.String                         `yaml:"now" doc:"What the clock says when the first request comes: a time such as 2026-01-31T23:59:00Z. Default: the first moment of the year 2000, which is also the earliest."`
	Mock      map[string]dsl.Several[mockConfig] `yaml:"mock" doc:"What services answer, by name, and what steps give in place of their work, by steps.ID: a mock, or a list of mocks."`
	Expect    *expectConfig                      `yaml:"expect" doc:"What must come of it. Without it: an answer with a status below 400."`
}

// requestConfig is a request of a caller.
type requestConfig struct {
	Request dsl.String           `yaml:"request" doc:"The request that is sent: METHOD /path. The path can have a query."`
	Gateway dsl.String           `yaml:"gateway" doc:"The gateway that gets the request. Needed only if several take it."`
	Headers map[string]dsl.Shape `yaml:"headers" doc:"Headers of the request. A list gives one field for each item."`
	Query   map[string]dsl.Shape `yaml:"query" doc:"The query of the request. A list repeats its parameter."`
	Body    dsl.Shape            `yaml:"body" doc:"The body of the request: a shape becomes JSON, text stays text."`
	As      *callerConfig        `yaml:"as" doc:"Who sends the request. Policies that find out who calls take the test's word for it; what a caller may do they decide as always."`
}

// callerConfig is who sends a request.
type callerConfig struct {
	Name   dsl.String `yaml:"name" doc:"Its consumer.name. Default: its claim sub."`
	By     dsl.String `yaml:"by" doc:"The policy that knows it, such as jwt. Default: the first that finds out who calls."`
	Plan   string     `yaml:"plan" doc:"Its plan."`
	Claims dsl.Shape  `yaml:"claims" doc:"Its claims, a mapping."`
}

// otherConfig is a request beside that of the test.
type otherConfig struct {
	requestConfig
	Times  int           `yaml:"times" doc:"How often it comes." default:"1" min:"1" max:"1000"`
	Expect *answerConfig `yaml:"expect" doc:"What is answered, each time. Without it: an answer with a status below 400."`
}

// earlierConfig is a request that comes before that of the test.
type earlierConfig struct {
	otherConfig
	Wait dsl.Duration `yaml:"wait" doc:"How long after its answer the next request comes, in virtual time."`
}

// answerConfig is what must be answered.
type answerConfig struct {
	Status  dsl.Shape            `yaml:"status" doc:"The status of the answer. A flow that is run has the one it returned, 200 if that is none."`
	Headers map[string]dsl.Shape `yaml:"headers" doc:"Headers of the answer. There may be others. One that is null must be absent."`
	Body    dsl.Shape            `yaml:"body" doc:"The body of the answer. Its objects may have more fields."`
	Exact   bool                 `yaml:"exact" doc:"The objects of the body have no other fields." default:"false"`
}

type expectConfig struct {
	answerConfig
	Error *errorConfig         `yaml:"error" doc:"The failure that ended the steps of the flow, before its errors answered it."`
	Calls map[string]dsl.Shape `yaml:"calls" doc:"How many requests services got, with all retries, and how often mocked steps ran: by the names that mock has."`
	Order []dsl.String         `yaml:"order" doc:"Services, and mocked steps, in an order in which they were called. There may be other calls between and behind them."`
	Steps map[string]dsl.Shape `yaml:"steps" doc:"The results of steps of the flow, by id. Steps inside of a loop have none; the loop has."`
	Took  dsl.String           `yaml:"took" doc:"How long the answer took, in virtual time: a bound such as <2s or >=30s, or two of them: '>1s <2s'."`
}

type errorConfig struct {
	Kind   string     `yaml:"kind" doc:"What error.kind says." enum:"status|timeout|deadline|connect|reset|breaker_open|overloaded|no_credentials|malformed|too_large|input|expression|fail|canceled|internal"`
	Step   dsl.String `yaml:"step" doc:"The step that failed: its id, or its verb if it has none."`
	Status dsl.Shape  `yaml:"status" doc:"The status that the backend gave, or the fail step."`
	Code   dsl.Shape  `yaml:"code" doc:"The code that a fail step gave."`
}

type mockConfig struct {
	When         dsl.String           `yaml:"when" doc:"Which requests this answers: METHOD /path as in a trigger, with {name} for a segment, or a condition about request, query, headers and body. Of several mocks the first that fits answers; a last one without when answers the rest."`
	Sent         *sentConfig          `yaml:"sent" doc:"What the request must be; the test fails if it is something else."`
	Status       int                  `yaml:"status" doc:"The status of the answer. Of a mocked step one from 400 is a failure." default:"200" min:"200" max:"599"`
	Headers      map[string]dsl.Shape `yaml:"headers" doc:"Headers of the answer."`
	Body         dsl.Shape            `yaml:"body" doc:"The body of the answer: a shape becomes JSON, text stays text. Expressions see the request as params (of when), request, query, headers and body."`
	Delay        dsl.Duration         `yaml:"delay" doc:"How long the answer takes, in virtual time."`
	Optional     bool                 `yaml:"optional" doc:"The test passes, too, if nothing asks for this mock. Others must be asked: a mock that is not shows that the flow does something else than the test says."`
	Undocumented bool                 `yaml:"undocumented" doc:"The answer may be none that the OpenAPI document of the service has: for tests of what a flow does when a service breaks its contract."`
	Fail         string               `yaml:"fail" doc:"Instead of an answer: the connection is refused (connect), nothing comes (timeout), the connection breaks (reset), or what comes is not what it says it is (malformed)." enum:"connect|timeout|reset|malformed"`
}

type sentConfig struct {
	Method  dsl.Shape            `yaml:"method" doc:"The method of the request."`
	Path    dsl.Shape            `yaml:"path" doc:"The path of the request, decoded."`
	Query   map[string]dsl.Shape `yaml:"query" doc:"Parameters of the query. There may be others."`
	Headers map[string]dsl.Shape `yaml:"headers" doc:"Headers of the request. There may be others."`
	Body    dsl.Shape            `yaml:"body" doc:"The body of the request. Its objects may have more fields."`
	Exact   bool                 `yaml:"exact" doc:"The objects of the body have no other fields." default:"false"`
}

// TestKind is the Kind of an entry of a tests section.
var TestKind = dsl.Define("test",
	"A request to a flow, or a run of one, with what services answer and what must come of it. "+
		"An expected value is that value, or a condition about it, in which it is the value that came: $(it > 3).",
	compileTest,
	dsl.Example{Name: "a request", YAML: `
test: a profile without orders when those are down
request: GET /customers/7
mock:
  users: { body: { first: Ada, last: Lovelace } }
  orders: { status: 503 }
expect:
  status: 200
  body: { name: Ada Lovelace, orders: [] }
  calls: { users: 1 }
`},
	dsl.Example{Name: "a flow without a trigger", YAML: `
test: two lamps cost twice as much
run: price-of
with: { sku: lamp, qty: 2 }
mock:
  stock: { body: { price: 20.25 } }
expect: { body: $(it == 40.5) }
`},
	dsl.Example{Name: "a request after others", YAML: `
test: users who always fail are left alone
before:
  - request: GET /customers/7
    times: 5
    expect: { status: 502 }
request: GET /customers/7
mock:
  users: { status: 500 }
expect: { status: 503, calls: { users: 5 } }
`})

// MockKind is the Kind of what stands for a service or a step.
var MockKind = dsl.Define("mock",
	"What a service answers, or a step gives. A list of mocks without when answers one request after the other, the last all that follow; "+
		"of a list with when the first that fits answers. What is called and has no mock fails the test.",
	compileMock,
	dsl.Example{Name: "answers by request", YAML: `
when: GET /items/{sku}
body: { sku: $(params.sku), left: 3 }
`},
	dsl.Example{Name: "what the flow must send", YAML: `
sent:
  method: POST
  headers: { Idempotency-Key: $(it != null) }
  body: { total: 40.50 }
status: 201
body: { id: 1 }
`},
	dsl.Example{Name: "a service that hangs", YAML: `fail: timeout`})
