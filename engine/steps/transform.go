package steps

import (
	"context"
	"fmt"
	"mime"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/codec"
)

type transformConfig struct {
	Transform dsl.Shape `yaml:"transform" doc:"What to read: a document, such as $(body), or a value." required:"true"`

	From string `yaml:"from" doc:"The format that it is in. Default: what the media type of a document says; json for a value." enum:"json|xml|csv|form|multipart|ndjson|text|bytes"`
	To   string `yaml:"to" doc:"The format of the result. json gives a value, the others a document with its media type." default:"json" enum:"json|xml|csv|form|multipart|ndjson|text|bytes"`

	XML       codec.XML       `yaml:"xml" doc:"How XML is read and written."`
	CSV       codec.CSV       `yaml:"csv" doc:"How CSV is read and written."`
	Form      codec.Form      `yaml:"form" doc:"How a form (application/x-www-form-urlencoded) is read."`
	Multipart codec.Multipart `yaml:"multipart" doc:"How a multipart form is read."`
	NDJSON    codec.NDJSON    `yaml:"ndjson" doc:"How lines of JSON are read."`
	Text      codec.Text      `yaml:"text" doc:"How text is read."`
	Bytes     codec.Bytes     `yaml:"bytes" doc:"How bytes are written; in JSON they are text in Base64."`
}

// Transform turns documents into values and values into documents.
var Transform = dsl.Define("transform",
	"Turns a document of one format into another: XML, CSV, forms and lines of JSON into values and back. "+
		"A document that is not what it should be is the caller's fault (kind input, status 400), "+
		"or a backend's (kind malformed, status 502) if the result of a step is read; what set and transform make of the request alone counts as the request.",
	compileTransform,
	dsl.Example{Name: "XML that came in", YAML: `
id: order
transform: $(body)
from: xml
xml: { root: order, lists: [items/item], types: { qty: integer } }
`},
	dsl.Example{Name: "a value as XML for a backend", YAML: `
id: envelope
transform:
  soap:Envelope:
    soap:Body:
      GetPrice: { "@currency": EUR, Sku: $(body.sku) }
to: xml
xml: { namespaces: { soap: "http://schemas.xmlsoap.org/soap/envelope/", "": "urn:prices" } }
`},
	dsl.Example{Name: "a CSV file whose bad rows are told one by one", YAML: `
id: import
transform: $(body)
from: csv
csv: { columns: [sku, qty], types: { qty: integer }, errors: collect }
`},
	dsl.Example{Name: "a form for a backend", YAML: `
id: login
transform: { grant_type: client_credentials, scope: [read, write] }
to: form
`},
	dsl.Example{Name: "whatever the caller sent, by its media type", YAML: `
id: order
transform: $(body)
`})

type transform struct {
	shape    *dsl.ShapeTemplate
	formats  map[string]codec.Format
	from, to string
	foreign  bool // what is read is not only the caller's
	result   engine.Slot
}

func compileTransform(c *engine.Compiler, at *dsl.Node, cfg *transformConfig) engine.Step {
	n := cfg.Transform.Node
	if at.Field("id") == nil && !c.Member() {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "no-id", Message: "this transform has no id, so nothing can read its result", Hint: "add id: name"})
	}
	s := &transform{from: cfg.From, to: cfg.To, result: c.Result()}
	s.formats = map[string]codec.Format{
		"json": codec.JSON{}, "xml": &cfg.XML, "csv": &cfg.CSV, "form": &cfg.Form, "multipart": &cfg.Multipart,
		"ndjson": &cfg.NDJSON, "text": &cfg.Text, "bytes": &cfg.Bytes,
	}
	for name, format := range s.formats {
		options := at.Field(name)
		if options == nil {
			continue
		}
		if s.from != "" && s.from != name && s.to != name {
			c.Report(dsl.Diagnostic{Span: options.KeySpan(), Code: "unused-key", Message: fmt.Sprintf("this reads %s and writes %s, so %s says nothing", s.from, s.to, name),
				Hint: "delete it, or correct from or to"})
		}
		format.Check(func(key, message, hint string) {
			at := options.KeySpan()
			if value := options.Field(key); value != nil {
				at = value.Span
			}
			c.Report(dsl.Diagnostic{Span: at, Code: "bad-value", Message: message, Hint: hint})
		})
	}
	literal := n.Kind != dsl.Scalar
	if literal && s.from != "" && s.from != "json" {
		c.Report(dsl.Diagnostic{Span: at.Field("from").Span, Code: "wrong-type", Message: fmt.Sprintf("%s is read from a document, and this is a value", label(s.from)), Hint: "delete from"})
	}
	if fields := len(n.Fields); s.to == "xml" && cfg.XML.Root == "" && (n.Kind == dsl.List || n.Kind == dsl.Map && fields != 1) {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "no-root", Message: "a document has one root element, and this names none or several", Hint: "add xml: { root: name }"})
	}
	s.foreign = c.Derived(func() { s.shape = c.Shape(cfg.Transform) })
	s.result.Hold(c.Holding(known(cfg)))
	return s
}

// known is what is known of the result before any document came.
func known(cfg *transformConfig) *dsl.StaticType {
	switch {
	case cfg.To != "json":
		return dsl.Static(dsl.IsText)
	case cfg.From == "csv" && cfg.CSV.Errors == "fail", cfg.From == "ndjson" && cfg.NDJSON.Errors == "fail":
		return dsl.Static(dsl.IsList)
	case cfg.From == "form", cfg.From == "multipart":
		return dsl.Static(dsl.IsObject)
	case cfg.From == "text", cfg.From == "bytes":
		return dsl.Static(dsl.IsText)
	}
	return nil
}

// label is what messages call a format.
func label(format string) string {
	switch format {
	case "json", "xml", "csv", "ndjson":
		return strings.ToUpper(format)
	case "multipart":
		return "a multipart form"
	case "form":
		return "a form"
	}
	return format
}

// Describe is what engine.Describer asks for.
func (s *transform) Describe(p *engine.PlanStep) {
	p.Pure = true
	if s.from == "" {
		p.Detail = "from what the media type says"
	}
}

// Run is what engine.Step asks for.
func (s *transform) Run(ctx context.Context, x *engine.Exchange) error {
	v, err := engine.ValueOf(ctx, x, s.shape)
	if err != nil {
		return err
	}
	json, err := s.read(v)
	if err != nil {
		return s.failure(engine.KindMalformed, err)
	}
	if s.to == "json" {
		x.Set(s.result, engine.Result{Value: engine.JSON(json)})
		return nil
	}
	document, media, err := s.formats[s.to].Encode(json)
	if err != nil {
		return s.failure(engine.KindExpression, fmt.Errorf("this cannot be written as %s: %w", label(s.to), err))
	}
	x.Set(s.result, engine.Result{Value: engine.Bytes(document, media)})
	return nil
}

// failure is the caller's if all that was read is, and is then told to the
// caller: faults tell nothing but what stands in the document.
func (s *transform) failure(kind engine.Kind, err error) error {
	e := &engine.Error{Kind: kind, Message: err.Error(), Err: err, Span: s.shape.Span()}
	if !s.foreign {
		e.Kind, e.Detail = engine.KindInput, strings.ToUpper(e.Message[:1])+e.Message[1:]+"."
	}
	return e
}

// read gives what a value or document says as JSON.
func (s *transform) read(v engine.Value) (string, error) {
	document, media, ok := v.Raw()
	from := s.from
	if from == "" {
		if from = "json"; ok {
			if from = formatOf(media); from == "" {
				return "", fmt.Errorf("the media type %q is none of a format that can be read", media)
			}
		}
	}
	if !ok {
		b, err := v.AppendJSON(nil)
		if err != nil {
			return "", err
		}
		json := string(b)
		// A text in a value is a document only for those who say so.
		if document, ok = text(json); !ok || s.from == "" {
			switch {
			case from == "json":
				return json, nil
			case v.Null():
				return "", fmt.Errorf("%s is needed here, and there is nothing", label(from))
			}
			source, ok := v.Source()
			if ok && (from == "text" || from == "bytes") {
				return s.formats[from].Decode(source, "")
			}
			return "", fmt.Errorf("%s is read from a document, and this is a value", label(from))
		}
	}
	json, err := s.formats[from].Decode(document, media)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", label(from), err)
	}
	return json, nil
}

// text gives JSON that is text.
func text(json string) (string, bool) {
	if json = strings.TrimLeft(json, " \t\r\n"); json[0] != '"' {
		return "", false
	}
	s, ok := dsl.DecodeJSON(json).(string)
	return s, ok
}

// formatOf is the format that a media type stands for, or "".
func formatOf(media string) string {
	media, _, err := mime.ParseMediaType(media)
	switch {
	case err != nil:
		return ""
	case media == "application/xml" || media == "text/xml" || strings.HasSuffix(media, "+xml"):
		return "xml"
	case media == "text/csv":
		return "csv"
	case media == "application/x-www-form-urlencoded":
		return "form"
	case media == "multipart/form-data":
		return "multipart"
	case media == "application/x-ndjson" || media == "application/ndjson" || media == "application/jsonl":
		return "ndjson"
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return "json"
	case strings.HasPrefix(media, "text/"):
		return "text"
	}
	return ""
}
