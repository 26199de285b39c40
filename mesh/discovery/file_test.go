package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w, _ := watch(t, mustParse(t, "file:targets.json").Open(Options{Dir: dir}))
		want := func(found, failure string) {
			t.Helper()
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			if w.last() != found || !strings.Contains(w.failure(), failure) {
				t.Errorf("found %q, failed %q", w.last(), w.failure())
			}
		}
		want("", "no such file")
		put("targets.json", `["http://10.0.0.1:8080"]`)
		want("http://10.0.0.1:8080", "")
		put("targets.json", `["http://10.0.0.1:8080", {"url": "http://10.0.0.2:80`) // half written
		want("http://10.0.0.1:8080", "targets.json: line 1: unexpected end of JSON input")
		_, before := w.counts()
		time.Sleep(time.Minute)
		if _, after := w.counts(); after != before {
			t.Error("the same failure is told more than once")
		}
		put("targets.json", `["http://10.0.0.1:8080", {"url": "http://10.0.0.2:80", "host": "a.b", "weight": 3, "zone": "z", "priority": 1, "version": "v2", "draining": true}]`)
		want("http://10.0.0.1:8080\nhttp://10.0.0.2:80 host=a.b weight=3 zone=z priority=1 version=v2 draining=true", "")
		put("targets.json", `[]`)
		want("", "")

		// A ConfigMap is swapped by a link.
		put("v1.json", `["http://10.0.0.1"]`)
		put("v2.json", `["http://10.0.0.2"]`)
		for _, v := range []string{"v1.json", "v2.json"} {
			link := filepath.Join(dir, "link")
			if err := os.Symlink(v, link); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(link, filepath.Join(dir, "targets.json")); err != nil {
				t.Fatal(err)
			}
			want("http://10.0.0."+v[1:2], "")
		}
	})
}

func TestFaultsOfFilesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "line 1: unexpected end",
		"[\n1\n]":                           "cannot unmarshal number",
		"[\n\"http://a\",\n]":               "line 3: invalid character ']'",
		`{"targets": []}`:                   "cannot unmarshal object",
		"- http://a":                        `it is not JSON: write ["http://`,
		"http://a\nhttp://b":                `it is not JSON: write ["http://`,
		`[{}]`:                              "item 1 has no url",
		`["http://a", ""]`:                  "item 2 has no url",
		`[{"url":"http://a","wait":1}]`:     `unknown field "wait"`,
		`[{"url":"http://a","weight":-1}]`:  "cannot be negative",
		`[{"url":"http://a","host":"a/b"}]`: `"a/b" is not a host name`,
		`[{"url":"http://a","weight":"1"}]`: "cannot unmarshal string",
		`[null]`:                            "item 1 has no url",
	} {
		if _, err := parseTargets([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add([]byte(`["http://a", {"url": "http://b", "weight": 2, "zone": "x"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		targets, err := parseTargets(text)
		for _, target := range targets {
			if err != nil || target.URL == "" || target.Weight < 0 {
				t.Errorf("%+v, %v", target, err)
			}
		}
	})
}

func FuzzLocation(f *testing.F) {
	for _, s := range schemes {
		f.Add(s.example + "?host=a&server=10.0.0.1")
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			if fault := err.(*Fault); fault.Message == "" || fault.Hint == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !Is(text) || l.String() != text || l.Named("x") == "" {
			t.Errorf("%q: %+v", text, l)
		}
		l.Open(Options{})
	})
}
