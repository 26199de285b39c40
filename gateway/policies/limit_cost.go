package policies

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// maxCost is the most that one request may cost.
const maxCost = 1_000_000

type costConfig struct {
	Cost       dsl.Text          `yaml:"cost" doc:"What a request costs: a number, or an expression such as $(int(query.limit ?? \"10\") / 10). Fractions are rounded up; null is 1; a request for which it gives no number from 0 to 1000000 is refused with status 400. Default: 1. What costs more than there is room for is let in when nothing is used, and takes as long as it costs."`
	AnswerCost *answerCostConfig `yaml:"answer_cost" doc:"What a request turns out to cost, in place of cost, by its answer. It is counted, or given back, when the answer begins."`
}

type answerCostConfig struct {
	Header dsl.String     `yaml:"header" doc:"A header of the answer that says it, in digits."`
	Status map[string]int `yaml:"status" doc:"By status, such as 404, or class of status, such as 5xx, where no header says it." min:"0" max:"1000000"`
}

// cost is what requests cost.
type cost struct {
	fixed  int64
	asked  *dsl.Expr // nil: all cost the same
	answer *answerCost
}

type answerCost struct {
	header string
	status map[int]int64
	class  [6]int64 // by the first digit; -1: nothing is said
}

var statusOrClass = regexp.MustCompile(`^[1-5](xx|\d\d)$`)

// cost compiles what requests cost. at is the policy.
func (c *Compiler) cost(cfg costConfig, at *dsl.Node) cost {
	out := cost{fixed: 1}
	if text := c.Text(cfg.Cost, dsl.PlainText); text != nil {
		n := cfg.Cost.Node
		if e, ok := text.Whole(); ok {
			out.asked = e
		} else if static, ok := text.Static(); ok {
			f, err := strconv.ParseFloat(static, 64)
			if out.fixed, ok = costOf(f); err != nil || !ok {
				c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is nothing that a request can cost", static), Hint: "write a number from 0 to 1000000, or an expression such as $(int(query.limit))"})
			}
		} else {
			c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-policy", Message: "a cost is a number, and this is text with expressions in it", Hint: "write one expression, such as $(int(query.limit) * 2)"})
		}
	}
	if a := cfg.AnswerCost; a != nil {
		out.answer = c.answerCost(a, at.Field("answer_cost"))
	}
	return out
}

func (c *Compiler) answerCost(cfg *answerCostConfig, at *dsl.Node) *answerCost {
	a := &answerCost{header: http.CanonicalHeaderKey(cfg.Header.Value), status: map[int]int64{}, class: [6]int64{-1, -1, -1, -1, -1, -1}}
	if a.header == "" && len(cfg.Status) == 0 {
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "answer_cost names nothing of the answer", Hint: "add header or status"})
	}
	for text, n := range cfg.Status {
		switch {
		case !statusOrClass.MatchString(text):
			d := dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-policy", Message: fmt.Sprintf("%q is neither a status nor a class of them", text), Hint: "write one such as 404 or 5xx"}
			for _, f := range at.Field("status").Fields {
				if f.Key.Text == text {
					d.Span = f.Key.Span
				}
			}
			c.Report(d)
		case strings.HasSuffix(text, "xx"):
			a.class[text[0]-'0'] = int64(n)
		default:
			status, _ := strconv.Atoi(text) // it matches
			a.status[status] = int64(n)
		}
	}
	return a
}

// of is what a request costs before it is answered, or false if that cannot be
// told.
func (k cost) of(ctx context.Context, q *gateway.Request) (int64, bool) {
	if k.asked == nil {
		return k.fixed, true
	}
	v, err := k.asked.Eval(ctx, q)
	if err != nil {
		q.Err = err
		return 0, false
	}
	switch v := v.(type) {
	case nil:
		return 1, true
	case int:
		return costOf(float64(v))
	case int64:
		return costOf(float64(v))
	case float64:
		return costOf(v)
	case dsl.Number:
		return costOf(v.Float())
	}
	return 0, false
}

func costOf(f float64) (int64, bool) {
	f = math.Ceil(f)
	if !(f >= 0 && f <= maxCost) { // nor is it NaN
		return 1, false
	}
	return int64(f), true
}

// of is what a request turned out to cost, or asked if the answer does not tell.
func (a *answerCost) of(status int, h http.Header, asked int64) int64 {
	if a.header != "" {
		if values := h[a.header]; len(values) > 0 {
			if f, err := strconv.ParseFloat(strings.TrimSpace(values[0]), 64); err == nil {
				if n, ok := costOf(f); ok {
					return n
				}
			}
		}
	}
	if n, ok := a.status[status]; ok {
		return n
	}
	if class := status / 100; class < len(a.class) && a.class[class] >= 0 {
		return a.class[class]
	}
	return asked
}
