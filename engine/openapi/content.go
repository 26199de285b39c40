package openapi

import (
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Content is one form that a body can have, and what is checked of it. It is
// immutable and safe for concurrent use.
type Content struct {
	pattern string // application/json, text/*, */*
	schema  *schema.Schema
	form    *dsl.StaticType // of the fields of an HTML form; nil: it is none
}

func (o *Operation) contents(content place, r dsl.Reporter) (all []Content) {
	if content.node == nil {
		return nil
	}
	for _, f := range content.node.Fields {
		c := Content{pattern: plain(f.Key.Text)}
		s := place{f.Value, content.root}.field("schema")
		switch {
		case c.pattern == "application/x-www-form-urlencoded":
			if c.form = o.document.docs.Type(s.node, s.root); c.form == nil {
				c.form = dsl.Static(dsl.IsObject)
			}
			c.schema = o.schema(s, r)
		case isJSON(c.pattern) || strings.HasPrefix(c.pattern, "text/") || strings.HasSuffix(c.pattern, "*"):
			c.schema = o.schema(s, r)
		}
		all = append(all, c)
	}
	return all
}

// contentFor is the content of a media type: the one that names it, before those
// for several.
func contentFor(all []Content, contentType string) *Content {
	got, ok := mediaType(contentType)
	if !ok {
		return nil
	}
	if i := slices.IndexFunc(all, func(c Content) bool { return c.pattern == got }); i >= 0 {
		return &all[i]
	}
	best := -1
	for i := range all {
		if covers(all[i].pattern, got) && (best < 0 || len(all[i].pattern) > len(all[best].pattern)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return &all[best]
}

// plain is a media type without parameters, in lower case.
func plain(media string) string {
	media, _, _ = strings.Cut(media, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func mediaType(contentType string) (string, bool) {
	got, _, err := mime.ParseMediaType(contentType)
	return got, err == nil && got != ""
}

// covers reports whether a pattern of a document, such as text/*, is for a media
// type.
func covers(pattern, media string) bool {
	family, all := strings.CutSuffix(pattern, "*")
	return pattern == media || pattern == "*/*" || all && strings.HasPrefix(media, family)
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// JSON is content that is JSON and fits a schema.
func JSON(s *schema.Schema) *Content { return &Content{pattern: "application/json", schema: s} }

// IsJSON reports whether a Content-Type is that of JSON.
func IsJSON(contentType string) bool {
	media, _ := mediaType(contentType)
	return isJSON(media)
}

// Looks reports whether a body is looked into: if not, it need not be read.
func (c *Content) Looks(contentType string) bool {
	media, _ := mediaType(contentType)
	return isJSON(media) || c.schema != nil && (c.form != nil || strings.HasPrefix(media, "text/"))
}

// Check gives what a body does not keep to. Pointers are those into the body. What
// is no JSON, or has a key twice, is told, too.
func (c *Content) Check(contentType, text string) []schema.Violation {
	media, _ := mediaType(contentType)
	switch {
	case isJSON(media):
		if err := dsl.CheckJSON(text); err != nil {
			return []schema.Violation{{Message: "cannot be read: " + err.Error()}}
		}
		v, twice, err := dsl.DecodeOnce(text)
		switch {
		case err != nil:
			return []schema.Violation{{Message: err.Error()}}
		case twice != "":
			return []schema.Violation{{Message: "has an object with the same key twice"}}
		case c.schema == nil:
			return nil
		}
		return c.schema.Check(v)
	case c.schema == nil:
		return nil
	case c.form != nil:
		values, err := url.ParseQuery(text)
		if err != nil {
			return []schema.Violation{{Message: "cannot be read as a form"}}
		}
		object := make(map[string]any, len(values))
		for name, texts := range values {
			object[name] = field(c.form, name, texts)
		}
		return c.schema.Check(object)
	default:
		return c.schema.Check(text)
	}
}

// field reads the texts of a field of an object. Several of one that is no list are
// a list all the same, which does not fit: of two readers each could take another.
func field(of *dsl.StaticType, name string, texts []string) any {
	t := fieldOf(of, name)
	if len(texts) > 1 && t.Kinds&dsl.IsList == 0 {
		t = dsl.ListOf(t)
	}
	return schema.FromTexts(texts, t)
}

// fieldOf is the type of a field of an object, text where it is not known.
func fieldOf(t *dsl.StaticType, name string) *dsl.StaticType {
	if t != nil {
		if f, ok := t.Fields[name]; ok && f.Type != nil {
			return f.Type
		}
		if t.Rest != nil {
			return t.Rest
		}
	}
	return dsl.Static(dsl.IsText)
}
