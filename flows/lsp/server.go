// Package lsp is a language server: what editors ask while flow files are
// written, answered by the same check that a program goes through before it is
// served. It speaks the Language Server Protocol 3.17 over two streams.
//
// What is wrong, what a name means, which names there are at a place and of what
// type they are, the checker tells (dsl.Index); which keys stand where, the Kinds
// (dsl.Grammar). The server itself only knows how to read text that is half
// written: see sketch.go for its structure, and repair.go for how such a text is
// made one that can be checked.
package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"

	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
)

// Options are what a server needs.
type Options struct {
	Catalog *flows.Catalog
	Env     func(name string) (value string, ok bool)
	Version string       // of Weir
	Log     *slog.Logger // for what no client is told
	// Paths are the directories and files of the one program that is looked at,
	// relative to the first folder of the client. None: the program of a file is
	// the outermost directory above it, within its folder, that holds a flow, a
	// template or a gateway itself.
	Paths []string
}

// Serve serves one client until it says exit, in ends, or ctx does. clean reports
// whether the client has taken its leave as it should.
func Serve(ctx context.Context, in io.Reader, out io.WriteCloser, o Options) (clean bool, err error) {
	s := newServer(o)
	s.rpc = jrpc2.NewServer(s.methods(), &jrpc2.ServerOptions{AllowPush: true, DisableBuiltin: true, Concurrency: concurrency})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.rpc.Stop)
	defer stop()
	s.rpc.Start(newFrames(in, out))
	var working sync.WaitGroup
	working.Go(func() { s.work(ctx) })
	err = s.rpc.Wait()
	cancel()
	working.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return s.stage == leaving, err
}

func newServer(o Options) *server {
	return &server{
		Options: o, grammar: newGrammar(language.Grammar(o.Catalog)), encoding: inUTF16,
		documents: map[string]*document{}, programs: map[string]*program{}, homes: map[string]string{}, wake: make(chan struct{}, 1), published: map[string]bool{},
	}
}

// concurrency bounds the requests that are worked on at a time: one that takes
// long must not keep its own cancellation waiting.
const concurrency = 8

// stage is how far a client has come.
type stage uint8

const (
	strange stage = iota // nothing was said yet
	greeted              // initialize was answered
	leaving              // shutdown was answered
)

// server is one client's.
type server struct {
	Options
	*grammar
	rpc  *jrpc2.Server
	wake chan struct{} // something has changed

	published map[string]bool // files that the client has diagnostics of; only work looks at it

	mu        sync.Mutex
	stage     stage
	encoding  encoding
	snippets  bool
	watches   bool                 // the client can be asked to watch files
	folders   []string             // paths
	documents map[string]*document // that are open, by path
	programs  map[string]*program  // by their paths
	homes     map[string]string    // the directories of programs, by those of their files
	changes   int                  // how many there were, of documents or files
}

// document is an open one.
type document struct {
	uri     uri
	path    string // "": it is no file
	version int
	text
}

// The codes of errors that LSP adds to those of JSON-RPC.
const (
	notInitialized   jrpc2.Code = -32002
	requestFailed    jrpc2.Code = -32803
	requestCancelled jrpc2.Code = -32800
)

// methods are the handlers of all methods, by their names.
type methods map[string]jrpc2.Handler

// Assign is what jrpc2.Assigner asks for.
func (m methods) Assign(_ context.Context, name string) jrpc2.Handler { return m[name] }

func (s *server) methods() methods {
	return methods{
		"initialize":                          method(s, strange, s.initialize),
		"initialized":                         method(s, greeted, s.initialized),
		"shutdown":                            method(s, greeted, s.shutdown),
		"exit":                                method(s, strange, func(context.Context, *struct{}) (any, error) { return nil, nil }), // frames ends behind it
		"$/cancelRequest":                     method(s, greeted, s.cancel),
		"$/setTrace":                          method(s, greeted, func(context.Context, *struct{}) (any, error) { return nil, nil }),
		"textDocument/didOpen":                method(s, greeted, s.didOpen),
		"textDocument/didChange":              method(s, greeted, s.didChange),
		"textDocument/didSave":                method(s, greeted, s.didSave),
		"textDocument/didClose":               method(s, greeted, s.didClose),
		"workspace/didChangeWatchedFiles":     method(s, greeted, s.changed),
		"workspace/didChangeConfiguration":    method(s, greeted, s.changed),
		"workspace/didChangeWorkspaceFolders": method(s, greeted, s.didChangeFolders),
		"textDocument/completion":             method(s, greeted, s.completion),
		"textDocument/hover":                  method(s, greeted, s.hover),
		"textDocument/definition":             method(s, greeted, s.definition),
		"textDocument/references":             method(s, greeted, s.references),
		"textDocument/prepareRename":          method(s, greeted, s.prepareRename),
		"textDocument/rename":                 method(s, greeted, s.rename),
		"textDocument/documentSymbol":         method(s, greeted, s.symbols),
		"textDocument/formatting":             method(s, greeted, s.formatting),
		"textDocument/codeAction":             method(s, greeted, s.codeActions),
	}
}

// method is a handler that decodes its parameters, keeps to the order of the
// protocol, and survives whatever is wrong with us.
func method[P, R any](s *server, from stage, fn func(context.Context, *P) (R, error)) jrpc2.Handler {
	return func(ctx context.Context, req *jrpc2.Request) (result any, err error) {
		defer func() {
			if v := recover(); v != nil {
				s.Log.Error("a fault of Weir", "method", req.Method(), "panic", v, "stack", string(debug.Stack()))
				err = jrpc2.Errorf(jrpc2.InternalError, "a fault of Weir: %v", v)
			}
		}()
		switch at := s.at(); {
		case at == strange && from > strange:
			return nil, jrpc2.Errorf(notInitialized, "initialize comes first")
		case at == leaving && req.Method() != "exit", at == greeted && req.Method() == "initialize":
			return nil, jrpc2.Errorf(jrpc2.InvalidRequest, "%s has no place here", req.Method())
		}
		p := new(P)
		if err := req.UnmarshalParams(p); err != nil {
			return nil, err
		}
		result, err = fn(ctx, p)
		if ctx.Err() != nil {
			return nil, jrpc2.Errorf(requestCancelled, "the request was cancelled")
		}
		return result, err
	}
}

func (s *server) at() stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage
}

func (s *server) initialize(_ context.Context, p *initializeParams) (*initializeResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage = greeted
	if slices.Contains(p.Capabilities.General.PositionEncodings, inUTF8) {
		s.encoding = inUTF8
	}
	s.snippets = p.Capabilities.TextDocument.Completion.CompletionItem.SnippetSupport
	s.watches = p.Capabilities.Workspace.DidChangeWatchedFiles.DynamicRegistration
	if p.Folders == nil && p.RootURI != "" {
		p.Folders = []folder{{p.RootURI}}
	}
	s.addFolders(p.Folders)
	r := &initializeResult{ServerInfo: serverInfo{"weir", s.Version}}
	c := &r.Capabilities
	c.PositionEncoding = s.encoding
	c.TextDocumentSync = syncOptions{OpenClose: true, Change: incremental, Save: true}
	c.Completion.Triggers = []string{" ", ".", "(", "/", "-"}
	c.Hover, c.Definition, c.References, c.DocumentSymbol, c.DocumentFormatting = true, true, true, true, true
	c.CodeAction.Kinds = []string{quickFix, fixAll}
	c.Rename.Prepare = true
	c.Workspace.Folders.Supported, c.Workspace.Folders.Changes = true, true
	return r, nil
}

// initialized asks the client to tell of files that change on disk.
func (s *server) initialized(ctx context.Context, _ *struct{}) (any, error) {
	s.mu.Lock()
	watches := s.watches
	s.mu.Unlock()
	if !watches {
		return nil, nil
	}
	ask := map[string]any{"registrations": []registration{{
		ID: "files", Method: "workspace/didChangeWatchedFiles",
		Options: map[string]any{"watchers": []any{map[string]string{"globPattern": "**/*.{yaml,yml,json}"}}},
	}}}
	go func() { // the answer is read behind this notification
		_, err := s.rpc.Callback(context.WithoutCancel(ctx), "client/registerCapability", ask)
		if err != nil && !errors.Is(err, jrpc2.ErrConnClosed) && !errors.Is(err, context.Canceled) {
			s.Log.Debug("files are not watched", "error", err)
		}
	}()
	return nil, nil
}

func (s *server) shutdown(context.Context, *struct{}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage = leaving
	return nil, nil
}

func (s *server) cancel(_ context.Context, p *cancelParams) (any, error) {
	s.rpc.CancelRequest(string(p.ID))
	return nil, nil
}

func (s *server) didOpen(_ context.Context, p *didOpenParams) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &document{uri: p.TextDocument.URI, path: p.TextDocument.URI.path(), version: p.TextDocument.Version, text: newText(p.TextDocument.Text)}
	s.documents[d.key()] = d
	s.dirty()
	return nil, nil
}

// key is what a document is found by: two ways to write a URI mean one file.
func (d *document) key() string {
	if d.path == "" {
		return string(d.uri)
	}
	return d.path
}

func (s *server) find(u uri) *document {
	if path := u.path(); path != "" {
		return s.documents[path]
	}
	return s.documents[string(u)]
}

func (s *server) didChange(_ context.Context, p *didChangeParams) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.find(p.TextDocument.URI)
	if old == nil {
		return nil, nil
	}
	d := *old // who works on the old text keeps it
	d.version = p.TextDocument.Version
	for _, c := range p.Changes {
		if c.Range == nil {
			d.text = newText(c.Text)
			continue
		}
		from, to := d.offset(c.Range.Start, s.encoding), d.offset(c.Range.End, s.encoding)
		d.text = newText(d.string[:from] + c.Text + d.string[max(from, to):])
	}
	s.documents[d.key()] = &d
	s.dirty()
	return nil, nil
}

func (s *server) didSave(_ context.Context, p *documentParams) (any, error) {
	return s.changed(context.Background(), nil)
}

func (s *server) didClose(_ context.Context, p *documentParams) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.find(p.TextDocument.URI); d != nil {
		delete(s.documents, d.key())
		s.dirty()
	}
	return nil, nil
}

// changed is told of files on disk. A check reads them all, so that it does not
// matter which.
func (s *server) changed(context.Context, *json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.homes)
	s.dirty()
	return nil, nil
}

func (s *server) didChangeFolders(_ context.Context, p *foldersParams) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range p.Event.Removed {
		path := f.URI.path()
		s.folders = slices.DeleteFunc(s.folders, func(f string) bool { return f == path })
	}
	s.addFolders(p.Event.Added)
	clear(s.homes)
	s.dirty()
	return nil, nil
}

func (s *server) addFolders(all []folder) {
	for _, f := range all {
		if path := f.URI.path(); path != "" && !slices.Contains(s.folders, path) {
			s.folders = append(s.folders, path)
		}
	}
}

// dirty has the programs checked when nothing changes any more.
func (s *server) dirty() {
	s.changes++
	select {
	case s.wake <- struct{}{}:
	default: // it is known already
	}
}

// quiet is how long nothing must change before programs are checked.
const quiet = 150 * time.Millisecond

// work checks programs until ctx ends.
func (s *server) work(ctx context.Context) {
	timer := time.NewTimer(quiet)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			timer.Reset(quiet)
		case <-timer.C:
			s.publish(ctx)
		}
	}
}

// within reports whether a path is that of a folder, or lies below it.
func within(folder, path string) bool {
	below, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(below)
}

// failed is the answer to a request that cannot be done, with the reason.
func failed(format string, args ...any) error {
	return jrpc2.Errorf(requestFailed, "%s", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
