package lsp

import (
	"net/url"
	"path/filepath"
	"strings"
)

// uri is the name of a document, as the client writes it.
type uri string

// path is the clean path of a file, or "" for a document that is none, such as
// one that has not been saved yet.
func (u uri) path() string {
	parsed, err := url.Parse(string(u))
	if err != nil || parsed.Scheme != "file" || parsed.Path == "" || strings.ContainsRune(parsed.Path, 0) {
		return ""
	}
	path := parsed.Path
	if len(path) > 2 && path[0] == '/' && path[2] == ':' { // /C:/x
		path = path[1:]
	}
	return filepath.Clean(filepath.FromSlash(path))
}

// fileURI names a file that the client has not named.
func fileURI(path string) uri {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return uri((&url.URL{Scheme: "file", Path: path}).String())
}
