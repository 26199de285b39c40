package lsp

import (
	"bufio"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// program is the files of one program, and what was found in them last.
type program struct {
	paths    []string
	imported atomic.Pointer[map[string]bool] // the files that are part of it because others import them

	mu   sync.Mutex
	last *findings
}

// findings are what a check of a program's files has found.
type findings struct {
	changes  int // as many as there were
	files    *flows.Files
	faults   []dsl.Diagnostic
	sound    bool // there is no error
	index    *index
	repaired *index // of the files without what cannot be read; nil: nobody has asked
	err      error  // the files cannot be read
}

// unsaved is what the client has open, at one moment.
type unsaved struct {
	changes  int
	texts    map[string]string
	versions map[string]int
	uris     map[string]uri
	encoding encoding
}

func (s *server) unsaved() unsaved {
	u := unsaved{s.changes, map[string]string{}, map[string]int{}, map[string]uri{}, s.encoding}
	for path, d := range s.documents {
		if d.path != "" {
			u.texts[path], u.versions[path], u.uris[path] = d.string, d.version, d.uri
		}
	}
	return u
}

// uri is how the client calls a file.
func (u unsaved) uri(path string) uri {
	if known, ok := u.uris[path]; ok {
		return known
	}
	return fileURI(path)
}

// programOf gives the program of a file, or nil if the file is of none. s.mu is
// held.
func (s *server) programOf(path string) *program {
	paths := s.given()
	if p := importer(s.sorted(), path); p != nil {
		return p
	}
	if paths == nil {
		dir := s.home(path)
		if dir == "" {
			return nil
		}
		paths = []string{dir}
	}
	p := &program{paths: paths}
	if known := s.programs[p.key()]; known != nil {
		return known
	}
	s.programs[p.key()] = p
	return p
}

// sorted are the programs in an order.
func (s *server) sorted() (all []*program) {
	for _, key := range slices.Sorted(maps.Keys(s.programs)) {
		all = append(all, s.programs[key])
	}
	return all
}

// key is what a program is found by.
func (p *program) key() string { return strings.Join(p.paths, "\x00") }

// given are the paths of the program that the server was told to look at.
func (s *server) given() (paths []string) {
	for _, path := range s.Paths {
		if !filepath.IsAbs(path) && len(s.folders) > 0 {
			path = filepath.Join(s.folders[0], path)
		}
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		paths = append(paths, path)
	}
	return paths
}

// home is the directory of the program that a file is part of: the outermost,
// within its folder, in which a flow, a template or a gateway is.
func (s *server) home(path string) string {
	dir := filepath.Dir(path)
	if home, ok := s.homes[dir]; ok && home != "" {
		return home
	}
	folder := ""
	for _, f := range s.folders {
		if within(f, path) && len(f) > len(folder) {
			folder = f
		}
	}
	home := ""
	for at := dir; ; at = filepath.Dir(at) {
		if s.holdsFlows(at) {
			home = at
		}
		if at == folder || folder == "" || at == filepath.Dir(at) {
			break
		}
	}
	s.homes[dir] = home
	return home
}

// holdsFlows reports whether a file of a directory has a flow, a template or a
// gateway. Other sections do not tell: other tools have services, too.
func (s *server) holdsFlows(dir string) bool {
	for path, d := range s.documents {
		if filepath.Dir(path) == dir && hasFlow(bufio.NewScanner(strings.NewReader(d.string))) {
			return true
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() || ext != ".yaml" && ext != ".yml" {
			return false
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return false
		}
		defer f.Close()
		return hasFlow(bufio.NewScanner(f))
	})
}

func hasFlow(lines *bufio.Scanner) bool {
	for lines.Scan() {
		line := lines.Text()
		if slices.ContainsFunc([]string{"flow:", "template:", "gateways:"}, func(key string) bool { return strings.HasPrefix(line, key) }) {
			return true
		}
	}
	return false
}

// findings are those of a program as it is now.
func (s *server) findings(p *program) (*findings, unsaved) {
	s.mu.Lock()
	open := s.unsaved()
	s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || p.last.changes != open.changes {
		p.last = s.check(p.paths, open)
		p.imported.Store(p.last.imported())
	}
	return p.last, open
}

func (s *server) check(paths []string, open unsaved) *findings {
	f := &findings{changes: open.changes}
	if f.files, f.err = flows.LoadUnsaved(paths, open.texts); f.err != nil {
		return f
	}
	f.index = newIndex()
	f.faults, f.sound = s.look(f.files, f.index)
	return f
}

// imported are the files that others import.
func (f *findings) imported() *map[string]bool {
	all := map[string]bool{}
	if f.err == nil {
		for _, src := range f.files.Sources {
			all[src.Name] = true
		}
		for _, src := range f.files.Own() {
			delete(all, src.Name)
		}
	}
	return &all
}

// look checks files, and tells an index what is in them.
func (s *server) look(files *flows.Files, index dsl.Index) (faults []dsl.Diagnostic, sound bool) {
	tests, faults := suite.Check(flows.Parse(files), s.Catalog, flows.Environment{Env: s.Env, Log: slog.New(slog.DiscardHandler), Notes: true, Index: index})
	return faults, tests != nil
}

// publish checks the programs of what is open, and tells the client what is
// wrong in each of their files, and that nothing is in those where something was.
func (s *server) publish(ctx context.Context) {
	s.mu.Lock()
	open := map[*program][]string{} // the files of each that are
	if len(s.Paths) > 0 {
		open[s.programOf("")] = nil
	}
	for path, d := range s.documents {
		if d.path != "" {
			if p := s.programOf(path); p != nil {
				open[p] = append(open[p], path)
			}
		}
	}
	maps.DeleteFunc(s.programs, func(_ string, p *program) bool { _, live := open[p]; return !live })
	live := s.sorted()
	s.mu.Unlock()
	for _, p := range live {
		if ctx.Err() != nil {
			return
		}
		s.try(ctx, func() { s.findings(p) })
	}
	// What stands in a directory that others import is told with the program
	// that it is for, and not as one of its own.
	for i := 0; i < len(live); {
		others := slices.Delete(slices.Clone(live), i, i+1)
		alone := func(path string) bool { return importer(others, path) == nil }
		if paths := open[live[i]]; len(paths) > 0 && !slices.ContainsFunc(paths, alone) {
			live = others
		} else {
			i++
		}
	}
	s.try(ctx, func() { s.tell(ctx, live) })
}

// importer is the first program that a file is part of because others import it.
func importer(all []*program, path string) *program {
	for _, p := range all {
		if imported := p.imported.Load(); imported != nil && (*imported)[path] {
			return p
		}
	}
	return nil
}

// try has a fault of ours cost no more than what it keeps from being done.
func (s *server) try(ctx context.Context, fn func()) {
	defer func() {
		if v := recover(); v != nil {
			s.log(ctx, "a fault of Weir", v)
		}
	}()
	fn()
}

// tell tells what was found in programs.
func (s *server) tell(ctx context.Context, programs []*program) {
	lists := map[string][]diagnostic{}
	now := unsaved{}
	for _, p := range programs {
		found, open := s.findings(p)
		if found.err != nil {
			s.log(ctx, "the files cannot be read", found.err)
		}
		now = open
		if len(s.Paths) == 0 {
			found = found.ofPart()
		}
		for path, list := range found.diagnostics(open) {
			for _, d := range list {
				if !slices.ContainsFunc(lists[path], func(o diagnostic) bool { return reflect.DeepEqual(o, d) }) {
					lists[path] = append(lists[path], d)
				}
			}
		}
	}
	for path := range s.published {
		if lists[path] == nil {
			lists[path] = []diagnostic{}
		}
	}
	for path, list := range lists {
		msg := publishParams{URI: now.uri(path), Diagnostics: list}
		if v, ok := now.versions[path]; ok {
			msg.Version = &v
		}
		if s.published[path] = true; len(list) == 0 {
			delete(s.published, path)
		}
		_ = s.rpc.Notify(ctx, "textDocument/publishDiagnostics", msg) // a client that is gone needs none
	}
}

// log tells client and log of what has no place in a file.
func (s *server) log(ctx context.Context, message string, why any) {
	s.Log.Error(message, "error", why)
	const isError = 1
	_ = s.rpc.Notify(ctx, "window/logMessage", logParams{isError, message + ": " + slog.AnyValue(why).String()})
}

// severities are those of the protocol: error, warning, hint.
var severities = [...]int{dsl.Error: 1, dsl.Warning: 2, dsl.Note: 4}

// diagnostics are the faults that have a place, by their files.
func (f *findings) diagnostics(open unsaved) map[string][]diagnostic {
	lists := map[string][]diagnostic{}
	texts := &texts{encoding: open.encoding}
	for _, d := range f.faults {
		if d.Span.Valid() {
			path := d.Span.Source.Name
			lists[path] = append(lists[path], diagnosticOf(d, texts, open))
		}
	}
	return lists
}

func diagnosticOf(d dsl.Diagnostic, texts *texts, open unsaved) diagnostic {
	out := diagnostic{Range: texts.span(d.Span), Severity: severities[d.Severity], Code: d.Code, Source: "weir", Message: d.Message}
	if d.Hint != "" {
		out.Message += "\n" + d.Hint
	}
	if page := flows.Page(d.Code); page != "" {
		out.CodeDescription = &codeDescription{page}
	}
	if d.Code == "unset-variable" { // an editor does not run where the program does
		out.Severity = severities[dsl.Warning]
	}
	if d.Severity != dsl.Error && strings.HasPrefix(d.Code, "unused-") {
		out.Tags = []int{unnecessary}
	}
	for _, r := range d.Related {
		if r.Span.Valid() {
			out.Related = append(out.Related, related{location{open.uri(r.Span.Source.Name), texts.span(r.Span)}, r.Message})
		}
	}
	return out
}

// ofPart is what was found without what is said of a whole program, if there is
// no flow: these are files that others import, and what they are for is there.
func (f *findings) ofPart() *findings {
	if f.err != nil || len(f.index.names("flow")) > 0 {
		return f
	}
	return &findings{faults: slices.DeleteFunc(slices.Clone(f.faults), func(d dsl.Diagnostic) bool {
		return d.Severity != dsl.Error && (d.Code == "no-flows" || strings.HasPrefix(d.Code, "unused-"))
	})}
}

// texts find places in sources.
type texts struct {
	encoding encoding
	known    map[*dsl.Source]text
}

func (t *texts) span(at dsl.Span) span {
	if t.known == nil {
		t.known = map[*dsl.Source]text{}
	}
	lines, ok := t.known[at.Source]
	if !ok {
		lines = newText(at.Source.Text)
		t.known[at.Source] = lines
	}
	return lines.span(at.Start, at.End, t.encoding)
}
