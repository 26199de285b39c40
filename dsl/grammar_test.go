package dsl

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestStepsHaveOneVerb(t *testing.T) {
	for keys, want := range map[string]string{
		"":                 "",
		"id when":          "",
		"id call":          "call",
		"call each":        "",
		"limit":            "limit",
		"limit each steps": "each",
		"limit each call":  "",
		"limit call":       "",
	} {
		if got := testGrammar.Verb(strings.Fields(keys)); got != want {
			t.Errorf("a step with %s: the verb is %q, want %q", keys, got, want)
		}
	}
}

func TestGrammarAsJSONSchema(t *testing.T) {
	schema := compiled(t, testGrammar.JSONSchema())
	for text, want := range map[string]bool{
		"flow: a":                                     true,
		"flow: a\nsummary: b\ntrigger: {}":            true,
		"flow: a\nservices: {}":                       false,
		"summary: a":                                  true, // this flow needs no name
		"services: { a: { url: b } }":                 true,
		"services: { a: { ulr: b } }":                 false,
		"services: { a: }":                            false,
		"servces: {}":                                 false,
		"just text":                                   false,
		"[]":                                          false,
		"flow: a\nsteps: []":                          true,
		"flow: a\nsteps: {}":                          false,
		"flow: a\nsteps: [x]":                         false,
		"flow: a\nsteps: [{}]":                        false,
		"flow: a\nsteps: [{ id: a }]":                 false,
		"flow: a\nsteps: [{ cal: a }]":                false,
		"flow: a\nsteps: [{ call: a }]":               true,
		"template: a\nsteps: []\nyield: 1":            true,
		"template: a\nflow: b":                        false,
		"template: a\nsummary: b":                     false,
		"steps: []\nyield: 1":                         false,
		"template: a\nsteps: [{ limit: $(input.n) }]": true,
		"template: a\nsteps: [{ limit: $(n) }]":       false,
		"template: a\nsteps: [{ call: b, timeout: $( input.t ) }]":                               true,
		"template: a\nsteps: [{ call: b, query: $(input.query) }]":                               true,
		"template: a\nsteps: [{ call: b, query: text }]":                                         false,
		"template: a\nsteps: [{ each: b, limit: $(input.a), steps: text }]":                      false,
		"flow: a\nsteps: [{ call: true }]":                                                       true, // text without quotes
		"flow: a\nsteps: [{ call: [] }]":                                                         false,
		"flow: a\nsteps: [{ call: a, each: b }]":                                                 false,
		"flow: a\nsteps: [{ limit: 1 }]":                                                         true,
		"flow: a\nsteps: [{ limit: x }]":                                                         false,
		"flow: a\nsteps: [{ each: b, limit: 1 }]":                                                true,
		"flow: a\nsteps: [{ call: b, limit: 1 }]":                                                false,
		"flow: a\nsteps: [{ call: b, timeout: 1s, id: c, when: x > 1, fallback: [1] }]":          true,
		"flow: a\nsteps: [{ call: b, timeout: 1 }]":                                              false,
		"flow: a\nsteps: [{ call: b, when: $(x) }]":                                              false,
		"flow: a\nsteps: [{ group: { b: { call: c } } }]":                                        true,
		"flow: a\nsteps: [{ group: { b: { call: c, x: 1 } } }]":                                  false,
		"flow: a\nsteps: [{ race: [{ call: c }] }]":                                              true,
		"flow: a\nsteps: [{ race: { b: { call: c } } }]":                                         true,
		"flow: a\nsteps: [{ race: { b: { x: c } } }]":                                            false,
		"flow: a\nsteps: [{ race: [{ x: c }] }]":                                                 false,
		"flow: a\nsteps: [{ race: c }]":                                                          false,
		"services: { a: { answers: { status: 1 } } }":                                            true,
		"services: { a: { answers: [{ status: 1 }] } }":                                          true,
		"services: { a: { answers: [{ status: x }] } }":                                          false,
		"services: { a: { answers: { status: x } } }":                                            false,
		"services: { a: { answers: 1 } }":                                                        false,
		"services: { a: { retry: { attempts: $(env.N) } } }":                                     false,
		"settings: { a: { n: $(env.N), d: $(env.D), s: x$(env.S)B, b: $(env.B), e: $(env.E) } }": true,
		"settings: { a: { n: x } }":                                                              false,
		"settings: { a: { d: x } }":                                                              false,
		"settings: { a: { s: 1 } }":                                                              false,
		"settings: { a: { b: x } }":                                                              false,
		"settings: { a: { e: z } }":                                                              false,
		"settings: { a: { n: 1, d: 1s, s: 1B, b: true, e: x } }":                                 true,
	} {
		var faults Diagnostics
		raw, err := json.Marshal(Parse(NewSource("t.yaml", text), &faults)[0].plainValue())
		if err != nil || faults.Failed() {
			t.Fatal(err, faults.All())
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != want {
			t.Errorf("%s\nis taken: %t, %v", text, err == nil, err)
		}
	}
}
