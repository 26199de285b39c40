package flows

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type versionsConfig struct {
	Header  dsl.String               `yaml:"header" doc:"The header that says the version, such as X-Api-Version."`
	Query   dsl.String               `yaml:"query" doc:"The parameter of the query that says the version, such as version."`
	Path    dsl.String               `yaml:"path" doc:"What stands before the path of each route that is of a version, with {version} for the version, such as /v{version}."`
	Default dsl.String               `yaml:"default" doc:"The version of requests that say none. Default: they are refused where there are only routes of some version."`
	Known   map[string]versionConfig `yaml:"known" doc:"The versions that there are, by the names that callers say." required:"true"`
}

type versionConfig struct {
	Deprecated dsl.String `yaml:"deprecated" doc:"Since when, or from when, it should not be used any more: a date (2026-06-30) or a time (2026-06-30T12:00:00Z). Answers say so with Deprecation (RFC 9745)."`
	Sunset     dsl.String `yaml:"sunset" doc:"When it will be gone: a date or a time. Answers say so with Sunset (RFC 8594). It is served until the files say otherwise."`
	Link       dsl.String `yaml:"link" doc:"The URL of a page that says more, as Link of answers."`
}

func (cfg *versionsConfig) compile(r dsl.Reporter, at *dsl.Node) *gateway.Versions {
	v := &gateway.Versions{Default: cfg.Default.Value, Span: at.KeySpan()}
	fault := func(span dsl.Span, hint, format string, args ...any) {
		r.Report(dsl.Diagnostic{Span: span, Code: "bad-versions", Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	said := 0
	if cfg.Header.Value != "" {
		said++
		v.In, v.Name = gateway.InHeader, http.CanonicalHeaderKey(cfg.Header.Value)
		if message, hint := engine.HeaderFault(cfg.Header.Value); message != "" {
			fault(cfg.Header.Span, hint, "%s", message)
		}
	}
	if cfg.Query.Value != "" {
		said++
		v.In, v.Name = gateway.InQuery, cfg.Query.Value
	}
	if cfg.Path.Value != "" {
		said++
		v.Path = strings.TrimSuffix(cfg.Path.Value, "/")
		if strings.Count(v.Path, "{version}") != 1 || strings.Count(v.Path, "{") != 1 || !strings.HasPrefix(v.Path, "/") {
			fault(cfg.Path.Span, "write one such as /v{version}", "%q does not say where in the path the version is", cfg.Path.Value)
		}
	}
	if said != 1 {
		fault(at.KeySpan(), "add header, query or path, and no more than one of them", "versions are said by one of header, query and path")
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Known)) {
		n := at.Field("known").Field(name)
		if name == "" || strings.ContainsAny(name, " \t/{}?#%") {
			fault(n.KeySpan(), "write one such as 2 or 2026-01", "%q cannot be said as a version", name)
			continue
		}
		one := cfg.Known[name]
		out := &gateway.Version{Name: name, Deprecated: day(r, one.Deprecated), Sunset: day(r, one.Sunset), Link: one.Link.Value}
		if !out.Sunset.IsZero() && out.Sunset.Before(out.Deprecated) { // RFC 9745, section 4
			fault(one.Sunset.Span, "write a later sunset, or an earlier deprecated", "version %s goes before it is deprecated", name)
		}
		if u, err := url.Parse(one.Link.Value); one.Link.Value != "" && (err != nil || u.Scheme == "" || strings.ContainsAny(one.Link.Value, "<>\" ")) {
			fault(one.Link.Span, "write one such as https://shop.example/docs/v2", "%q is not a URL", one.Link.Value)
		}
		v.Add(out)
	}
	if len(cfg.Known) == 0 && !at.Field("known").Broken() {
		fault(at.Field("known").KeySpan(), "write known: { \"1\": {} }", "there are no versions")
	}
	if _, ok := cfg.Known[v.Default]; v.Default != "" && !ok {
		c := dsl.Diagnostic{Span: cfg.Default.Span, Code: "unknown-version", Message: fmt.Sprintf("there is no version %q", v.Default), Hint: "add it to known"}
		c.Suggest(v.Default, slices.Sorted(maps.Keys(cfg.Known)))
		r.Report(c)
	}
	return v
}

// day reads a date or a time. The zero time is none.
func day(r dsl.Reporter, s dsl.String) time.Time {
	if s.Value == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s.Value); err == nil {
			return t
		}
	}
	r.Report(dsl.Diagnostic{Span: s.Span, Code: "bad-versions", Message: fmt.Sprintf("%q is neither a date nor a time", s.Value), Hint: "write it as 2026-06-30, or as 2026-06-30T12:00:00Z"})
	return time.Time{}
}

// versioned are the routes of a flow: one for each of its versions.
func (c *checker) versioned(f *engine.Flow, g *Gateway, r gateway.Route) []gateway.Route {
	if len(f.Trigger.Versions) == 0 {
		return []gateway.Route{r}
	}
	if g.Versions == nil {
		c.ds.Report(dsl.Diagnostic{Span: f.Trigger.Versions[0].Span, Code: "unknown-version", Message: fmt.Sprintf("the gateway %s has no versions", g.Name.Value),
			Hint: "add versions to it, which says how callers name them, or remove them here", Related: []dsl.Related{{Span: g.Name.Span, Message: "the gateway"}}})
		return nil
	}
	var known, names []string
	for _, one := range g.Versions.Known {
		known = append(known, one.Name)
	}
	for _, v := range f.Trigger.Versions {
		d := dsl.Diagnostic{Span: v.Span, Code: "unknown-version", Related: []dsl.Related{{Span: g.Versions.Span, Message: "the versions of gateway " + g.Name.Value}}}
		switch {
		case slices.Contains(names, v.Value):
			d.Message, d.Hint = fmt.Sprintf("version %s is there twice", v.Value), "remove one of them"
		case g.Versions.Named(v.Value) == nil:
			d.Message, d.Hint = fmt.Sprintf("there is no version %q", v.Value), "it has "+strings.Join(known, ", ")
			d.Suggest(v.Value, known)
		default:
			names = append(names, v.Value)
			continue
		}
		c.ds.Report(d)
	}
	return g.Versions.Routes(r, names)
}

func conditions(all []engine.Match) (out []gateway.Condition) {
	for _, m := range all {
		c := gateway.Condition{Name: m.Name, Values: m.Is, Pattern: m.Pattern, Span: m.Span}
		if !m.Header {
			c.In = gateway.InQuery
		}
		if m.Present != nil {
			c.Present, c.Absent = *m.Present, !*m.Present
		}
		out = append(out, c)
	}
	return out
}
