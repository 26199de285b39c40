package steps

import (
	"context"
	"errors"
	"fmt"
	html "html/template"
	"io"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type templateConfig struct {
	Template  *dsl.Node  `yaml:"template" doc:"The text, in the notation of Go's text/template: {{ .name }}, {{ range .items }}. Written as a block, behind |." required:"true"`
	Data      dsl.Shape  `yaml:"data" doc:"What the template sees as its dot." required:"true"`
	MediaType dsl.String `yaml:"media_type" doc:"What the text is. In text/html, values are escaped for their place." default:"text/plain; charset=utf-8"`
}

// Template writes a text.
var Template = dsl.Define("template",
	"Fills a text with values. The result is the text, with its media type, for the body of a call or an answer. "+
		"Null gives nothing; a field that the data does not have is a failure. Beside the functions of text/template there are default, join, upper, lower and trim.",
	compileTemplate,
	dsl.Example{Name: "a mail", YAML: `
id: mail
template: |
  Dear {{ .name }}, your order has {{ len .items }} items:
  {{- range .items }}
  - {{ .qty }} of {{ .sku }}
  {{- end }}
data: { name: $(body.name), items: $(body.items) }
`})

type templateStep struct {
	text      executable
	data      *dsl.ShapeTemplate
	span      dsl.Span
	mediaType string
	result    engine.Slot
}

// executable is a template of text/template or of html/template.
type executable interface {
	Execute(w io.Writer, data any) error
}

// functions take the place of those of text/template that could be made to
// write much by a value: a width of printf that comes from the data.
var functions = map[string]any{
	"printf": func(format string, args ...any) (string, error) {
		if strings.Contains(format, "*") || wide.MatchString(format) {
			return "", errors.New("printf takes no width of more than two digits, and none from the data")
		}
		return fmt.Sprintf(format, args...), nil
	},
	"default": func(otherwise, value any) any {
		if value == nil || value == "" {
			return otherwise
		}
		return value
	},
	"join": func(separator string, list []any) string {
		texts := make([]string, len(list))
		for i := range list {
			texts[i] = fmt.Sprint(list[i])
		}
		return strings.Join(texts, separator)
	},
	"upper": strings.ToUpper, "lower": strings.ToLower, "trim": strings.TrimSpace,
}

var wide = regexp.MustCompile(`%[^a-zA-Z%]*[0-9]{3}`)

func compileTemplate(c *engine.Compiler, at *dsl.Node, cfg *templateConfig) engine.Step {
	s := &templateStep{span: cfg.Template.Span, mediaType: cfg.MediaType.Value, result: c.Result()}
	if at.Field("id") == nil && !c.Member() {
		c.Report(dsl.Diagnostic{Span: cfg.Template.KeySpan(), Code: "no-result", Message: "this template has no id, so nothing can read its text", Hint: "add id: NAME"})
	}
	s.data = c.Shape(cfg.Data)
	if n := cfg.Template; n.Kind != dsl.Scalar {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: `"template" is text here, not ` + n.Describe(), Hint: "write | behind the colon, and the text below it"})
		return nil
	}
	if !cfg.MediaType.Span.Valid() {
		return nil // it was reported
	}
	media, _, err := mime.ParseMediaType(s.mediaType)
	if err != nil || !strings.Contains(media, "/") {
		c.Report(dsl.Diagnostic{Span: cfg.MediaType.Span, Code: "bad-value", Message: fmt.Sprintf("%q is not a media type", s.mediaType), Hint: "write for example text/html; charset=utf-8"})
		return nil
	}
	text, tree, err := parseTemplate(cfg.Template.Text, media == "text/html")
	switch {
	case err != nil:
		c.Report(templateFault(cfg.Template, err))
		return nil
	case tree != nil && calls(tree.Root):
		c.Report(dsl.Diagnostic{Span: cfg.Template.KeySpan(), Code: "bad-template", Message: "a template does not call others: they could call each other without end",
			Hint: "write the text where it is needed, or make it with another step"})
		return nil
	}
	// How values are escaped html/template finds out when it runs for the first time.
	var unsafe *html.Error
	if err := text.Execute(io.Discard, nil); errors.As(err, &unsafe) {
		c.Report(templateFault(cfg.Template, unsafe))
		return nil
	}
	s.text = text
	return s
}

func parseTemplate(text string, markup bool) (executable, *parse.Tree, error) {
	if markup {
		t, err := html.New("").Option("missingkey=error").Funcs(functions).Parse(text)
		if err != nil {
			return nil, nil, err
		}
		return t, t.Tree, nil
	}
	t, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, nil, err
	}
	return t, t.Tree, nil
}

// calls reports whether a template calls one: {{ template }} or {{ block }}.
func calls(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, calls)
	case *parse.IfNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.RangeNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.WithNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.TemplateNode:
		return true
	}
	return false
}

// says is the text of an error of text/template: its line and what is wrong.
var says = regexp.MustCompile(`^(?:html/)?template: ?:(\d+)(?::\d+)?: ?(?:executing "" at )?(.*)$`)

// templateFault gives an error of a template its place in the file.
func templateFault(n *dsl.Node, err error) dsl.Diagnostic {
	d := dsl.Diagnostic{Span: n.Span, Code: "bad-template", Message: err.Error(), Hint: "see the documentation of Go's text/template for its notation"}
	m := says.FindStringSubmatch(err.Error())
	if m == nil {
		return d
	}
	line, _ := strconv.Atoi(m[1])
	from := 0
	for range line - 1 {
		from += strings.IndexByte(n.Text[from:], '\n') + 1
	}
	to := len(n.Text)
	if end := strings.IndexByte(n.Text[from:], '\n'); end >= 0 {
		to = from + end
	}
	what, _, _ := strings.Cut(m[2], ": {") // what html/template knows of the place
	d.Span, d.Message = n.At(from, to), "the template cannot be read: "+strings.ReplaceAll(what, "EOF", "the end of the text")
	return d
}

// Describe is what engine.Describer asks for.
func (s *templateStep) Describe(p *engine.PlanStep) {
	p.Pure = true
	if _, escapes := s.text.(*html.Template); escapes {
		p.Detail = "values are escaped for their place"
	}
}

// Run is what engine.Step asks for.
func (s *templateStep) Run(ctx context.Context, x *engine.Exchange) error {
	data, err := engine.ValueOf(ctx, x, s.data)
	if err != nil {
		return err
	}
	values, err := data.DecodeBounded()
	if err != nil {
		return &dsl.Fault{Span: s.data.Span(), Message: err.Error(), Err: err}
	}
	out := bounded{ctx: ctx}
	if err := s.text.Execute(&out, shown(values)); err != nil {
		if ended := engine.Interrupted(ctx); ended != nil {
			return ended
		}
		message := err.Error()
		if m := says.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("in line %s of the template: %s", m[1], m[2])
		}
		return &dsl.Fault{Span: s.span, Message: message, Err: err}
	}
	x.Set(s.result, engine.Result{Value: engine.Bytes(out.text.String(), s.mediaType)})
	return nil
}

// shown is a value as templates see it: null is an empty text.
func shown(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = shown(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key := range v {
			object[key] = shown(v[key])
		}
		return object
	}
	return v
}

// bounded is a text that has a largest size, and ends with a context.
type bounded struct {
	ctx  context.Context
	text strings.Builder
}

func (b *bounded) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.text.Len()+len(p) > dsl.MaxSize {
		return 0, dsl.ErrSize
	}
	return b.text.Write(p)
}
