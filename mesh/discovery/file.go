package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file reads targets from a JSON file: a list whose items are base URLs, or
// objects that say more.
//
// It looks every second whether the file is another one. That costs a system
// call, and sees what events of a file system do not: links that are swapped
// (as Kubernetes mounts a ConfigMap), files that come later, network mounts.
type file struct{ path string }

const (
	fileInterval = time.Second
	maxFile      = 8 << 20
)

func newFile(l Location, o Options) *file {
	path := filepath.FromSlash(l.name)
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.Dir, path)
	}
	return &file{path}
}

// Watch is what [Source] asks for. A file that cannot be read is a failure; an
// empty list is an answer: someone wrote it.
func (f *file) Watch(ctx context.Context, found func([]Target), failed func(error)) {
	var seen os.FileInfo
	var targets []Target
	var complaint string
	complain := func(err error) {
		if text := err.Error(); text != complaint { // once, not every second
			complaint = text
			failed(err)
		}
	}
	for {
		info, err := os.Stat(f.path)
		switch {
		case err != nil:
			seen = nil
			complain(err)
		case seen == nil || !os.SameFile(seen, info) || seen.ModTime() != info.ModTime() || seen.Size() != info.Size():
			seen = info
			if targets, err = f.read(); err != nil {
				complain(err)
			} else {
				complaint = ""
				found(targets)
			}
		case complaint == "":
			found(targets)
		}
		if !sleep(ctx, fileInterval) {
			return
		}
	}
}

func (f *file) read() ([]Target, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MB", f.path, maxFile>>20)
	}
	targets, err := parseTargets(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return targets, nil
}

// listed is a target as a file has it.
type listed struct {
	URL      string `json:"url"`
	Host     string `json:"host"`
	Weight   int    `json:"weight"`
	Zone     string `json:"zone"`
	Priority int    `json:"priority"`
	Version  string `json:"version"`
	Draining bool   `json:"draining"`
}

func (t *listed) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &t.URL)
	}
	type plain listed
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(t))
}

func parseTargets(text []byte) ([]Target, error) {
	var list []listed
	if err := json.Unmarshal(text, &list); err != nil {
		if bytes.HasPrefix(bytes.TrimSpace(text), []byte("http")) || bytes.HasPrefix(bytes.TrimSpace(text), []byte("-")) {
			return nil, errors.New(`it is not JSON: write ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]`)
		}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	targets := make([]Target, len(list))
	for i, t := range list {
		switch {
		case t.URL == "":
			return nil, fmt.Errorf("item %d has no url", i+1)
		case t.Weight < 0 || t.Priority < 0:
			return nil, fmt.Errorf("item %d: a weight and a priority cannot be negative", i+1)
		case t.Host != "" && !validHost(t.Host):
			return nil, fmt.Errorf("item %d: %q is not a host name", i+1, t.Host)
		}
		targets[i] = Target(t)
	}
	return targets, nil
}
