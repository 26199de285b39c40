package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
)

type jsonObject = map[string]any

// TestAnEditorDrivesTheLanguageServer starts the command as an editor does, on a
// copy of the quickstart.
func TestAnEditorDrivesTheLanguageServer(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/quickstart")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "profile.yaml")
	document := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)

	cmd := exec.Command("weir", "lsp")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	faults := make(chan []string, 100) // of the document, whenever the server tells them
	editor := jrpc2.NewClient(channel.LSP(out, in), &jrpc2.ClientOptions{OnNotify: func(r *jrpc2.Request) {
		var p struct {
			URI         string
			Diagnostics []struct{ Code string }
		}
		if r.Method() != "textDocument/publishDiagnostics" || r.UnmarshalParams(&p) != nil || p.URI != document {
			return
		}
		codes := []string{}
		for _, d := range p.Diagnostics {
			codes = append(codes, d.Code)
		}
		faults <- codes
	}})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call := func(method string, params, result any) {
		t.Helper()
		r, err := editor.Call(ctx, method, params)
		if err == nil && result != nil {
			err = r.UnmarshalResult(result)
		}
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	notify := func(method string, params any) {
		t.Helper()
		if err := editor.Notify(ctx, method, params); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	told := func(code string) {
		t.Helper()
		for {
			select {
			case codes := <-faults:
				if got := strings.Join(codes, " "); strings.Contains(got, code) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("the server does not tell %q", code)
			}
		}
	}
	version := 1
	change := func(text string) {
		version++
		notify("textDocument/didChange", jsonObject{"textDocument": jsonObject{"uri": document, "version": version}, "contentChanges": []any{jsonObject{"text": text}}})
	}
	// at is the place behind a text of the file.
	at := func(text, behind string) jsonObject {
		before, _, ok := strings.Cut(text, behind)
		if !ok {
			t.Fatalf("no %q in the file", behind)
		}
		before += behind
		return jsonObject{"textDocument": jsonObject{"uri": document},
			"position": jsonObject{"line": strings.Count(before, "\n"), "character": len(before) - strings.LastIndexByte(before, '\n') - 1}}
	}

	call("initialize", jsonObject{"processId": os.Getpid(), "capabilities": jsonObject{},
		"workspaceFolders": []any{jsonObject{"uri": (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String(), "name": "quickstart"}}}, nil)
	notify("initialized", jsonObject{})
	bad := strings.Replace(good, "user.segment", "usr.segment", 1)
	notify("textDocument/didOpen", jsonObject{"textDocument": jsonObject{"uri": document, "languageId": "yaml", "version": version, "text": bad}})
	told("unknown-name")
	change(good)
	told("worst-case") // which is only a note

	half := strings.Replace(good, "timeout: 1s", "ti", 1)
	change(half)
	var items []struct{ Label, Detail string }
	call("textDocument/completion", at(half, " ti"), &items)
	found := false
	for _, i := range items {
		found = found || i.Label == "timeout" && strings.Contains(i.Detail, "duration")
	}
	if !found {
		t.Errorf("timeout is not among the completions: %v", items)
	}
	change(good)
	var hover struct{ Contents struct{ Value string } }
	call("textDocument/hover", at(good, "      off"), &hover)
	if !strings.Contains(hover.Contents.Value, "step **offers**") {
		t.Errorf("the hover is %q", hover.Contents.Value)
	}
	var places []struct {
		URI   string
		Range struct{ Start struct{ Line int } }
	}
	call("textDocument/definition", at(good, "GET use"), &places)
	if line := strings.Count(good[:strings.Index(good, "\n  users:")+1], "\n"); len(places) != 1 || places[0].URI != document || places[0].Range.Start.Line != line {
		t.Errorf("the service is defined at %v", places)
	}
	call("shutdown", nil, nil)
	notify("exit", nil)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("the server does not end")
		cmd.Process.Kill()
	}
	editor.Close()
}
