package flows

import (
	"fmt"

	"github.com/weir-run/weir/dsl"
)

// tests keeps what a tests section holds for those who run it. Those of files
// that are imported run where these are at home.
func (c *checker) tests(section dsl.Field) {
	v := section.Value
	switch {
	case c.program.Imported(section.Key.Span):
	case v.Kind == dsl.List:
		if c.env.Probe != nil {
			c.program.Tests = append(c.program.Tests, v.Items...)
		}
	case !v.Broken():
		c.ds.Report(dsl.Diagnostic{Span: section.Key.Span, Code: "wrong-type", Message: "tests is a list of tests, not " + v.Describe(),
			Hint: "write each test below it, with a dash and a space: - test: what it shows"})
	}
}

// testsOnly takes the tests of a document in a file that holds nothing else.
func (c *checker) testsOnly(doc *dsl.Node) {
	if doc.Broken() {
		return
	}
	if doc.Kind != dsl.Map {
		c.ds.Report(dsl.Diagnostic{Span: doc.KeySpan(), Code: "wrong-type", Message: "a document is a mapping, not " + doc.Describe(), Hint: "begin it with tests:"})
		return
	}
	for _, f := range doc.Fields {
		if f.Key.Text == "tests" {
			c.tests(f)
			continue
		}
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "not-a-test", Message: fmt.Sprintf("%s has no place in a file of tests", f.Key.Text),
			Hint: "put it into a file whose name does not end in .test.yaml, or remove it"}
		d.SuggestWord(f.Key.Text, []string{"tests"})
		c.ds.Report(d)
	}
}
