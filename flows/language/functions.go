package language

import (
	"strings"

	"github.com/weir-run/weir/dsl"
)

// functionsPage renders the table of functions. The tests of dsl run its
// examples.
func functionsPage() *page {
	p := newPage("Functions", `What expressions compute with. A signature names each parameter and what it takes, in brackets those that may be left
out, and behind them what the function gives. An argument that is null is a failure: `+"`??`"+` says what absence means.
Numbers keep their digits as long as nothing computes with them; the functions for [decimals](#decimals) keep them even then.

Documents of other formats, such as XML, CSV and forms, are read and written by the step [`+"`transform`"+`](steps.md#transform).
`+"`weir eval`"+` tries an expression on a file of JSON.`)
	topic := ""
	for _, f := range dsl.Functions() {
		if f.Native {
			continue
		}
		if f.Topic != topic {
			topic = f.Topic
			p.line("\n## %s", topic)
		}
		p.line("\n### %s\n\n```text\n%s\n```\n\n%s\n\n```text", f.Name, f.Usage, f.Doc)
		for _, x := range f.Examples {
			p.line("%s  // %s", x.Expr, x.Result)
		}
		p.line("```")
	}
	p.section("Kinds of parameters", "What the parameters take whose texts stand for something else. Where such a text is written in the expression, it is checked when the flow is loaded.")
	p.line("\n| kind | what to write |\n| --- | --- |")
	for _, k := range dsl.ParameterKinds() {
		p.line("| %s | %s |", k.Name, cell(k.Doc))
	}
	p.section("Functions of expr", "The language of expressions is [expr](https://expr-lang.org/docs/language-definition), which has these functions.")
	topic = ""
	for _, f := range dsl.Functions() {
		if !f.Native {
			continue
		}
		if f.Topic != topic {
			topic = f.Topic
			p.line("\n### %s: expr\n\n| function | what it gives | example |\n| --- | --- | --- |", topic)
		}
		x := f.Examples[0]
		p.line("| %s | %s | %s gives %s |", calls(f.Usage), cell(f.Doc), code(x.Expr), code(x.Result))
	}
	return p
}

// calls shows the calls of a usage as code, and what stands between them as text.
func calls(usage string) string {
	call, where, _ := strings.Cut(usage, ", where")
	out := strings.Join(strings.Split(code(call), " or "), "` or `")
	if where != "" {
		out += ", where" + where
	}
	return out
}

func code(text string) string { return "`" + cell(text) + "`" }
