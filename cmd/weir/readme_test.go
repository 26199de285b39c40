package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-run/weir/engine"
)

const root = "../.."

// TestReadmes does what the documents tell a reader to do. Of their fenced
// blocks,
//
//   - console holds commands after "$ " and below each what it prints;
//   - text is what the server has printed;
//   - yaml is a part of a file of an example, of the guide, or of deploy;
//   - json is JSON;
//   - sh is not executed, but its make targets exist.
//
// "…" stands for what differs each time. A command that starts a server or a
// loop runs on while the others are executed; "^C" at the head of a block ends
// the servers that run.
func TestReadmes(t *testing.T) {
	for _, path := range slices.Concat([]string{root + "/README.md"}, glob(t, "/examples/*/README.md"), glob(t, "/docs/guide/*.md"), glob(t, "/docs/guide/*/*.md")) {
		name, _ := filepath.Rel(root, path)
		if name == "docs/guide/formats.md" {
			continue // package steps reads it
		}
		t.Run(name, func(t *testing.T) {
			newReader(t).follow(path)
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(root + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("there is no %s (%v)", pattern, err)
	}
	return paths
}

// shown are the directories of flows that documents show: the examples, and the
// flows of the guide. Each is one program.
func shown(t *testing.T) []string {
	t.Helper()
	dirs := []string{root + "/docs/guide/language", root + "/docs/guide/patterns", root + "/docs/guide/resilience", root + "/docs/guide/connections", root + "/docs/guide/observability", root + "/docs/guide/policies", root + "/docs/guide/gateways"}
	for _, readme := range glob(t, "/examples/*/README.md") {
		dirs = append(dirs, filepath.Dir(readme))
	}
	return dirs
}

// shownFiles are the files in them, by path, and those that this build refuses.
func shownFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, dir := range append(shown(t), root+"/docs/guide/http3") {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".yaml" {
				files[path] = read(t, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// follow does all that a document says.
func (r *reader) follow(path string) {
	r.t.Helper()
	text := read(r.t, path)
	for _, b := range blocks(text) {
		switch b.language {
		case "console":
			r.console(b.text)
		case "text":
			r.printed(b.text)
		case "yaml":
			r.partOfFile(b.text)
		case "json":
			if !json.Valid([]byte(b.text)) {
				r.t.Errorf("this is no JSON:\n%s", b.text)
			}
		case "sh":
			makeTargets(r.t, b.text)
		default:
			r.t.Errorf("a block of %q, which nobody checks", b.language)
		}
	}
	r.metrics(text)
	r.finish()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```(\\S*)\n(.*?)^```$")

func blocks(text string) (all []block) {
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

// reader is someone who follows a document, with ports of their own.
type reader struct {
	t       *testing.T
	dir     string
	files   map[string]string // shownFiles, if they were asked for
	env     []string
	there   *strings.Replacer // from the document's ports to the reader's
	back    *strings.Replacer
	admin   string
	servers []*background
	loop    *background
	loopCmd string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir()}
	var there, back []string
	names := []string{":8080", ":8081", ":9001", ":9002", ":9900", ":9901"}
	for i, port := range freePorts(t, len(names)) {
		name := names[i]
		there = append(there, name, port)
		back = append(back, port, name)
	}
	r.there, r.back = strings.NewReplacer(there...), strings.NewReplacer(back...)
	r.admin = "127.0.0.1" + r.there.Replace(":9900")
	r.env = append(os.Environ(), "WEIR_ADMIN="+r.admin, "WEIR_LOG_FORMAT=text", "WEIR_POLL=50ms")
	for _, dir := range []string{"/examples", "/docs/guide"} {
		if err := os.CopyFS(r.dir+dir, os.DirFS(root+dir)); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".sh" {
			return err
		}
		return os.WriteFile(path, []byte(r.there.Replace(read(t, path))), 0o666)
	})
	if err != nil {
		t.Fatal(err)
	}
	weir, err := exec.LookPath("weir") // this test binary
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.dir+"/bin", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(weir, r.dir+"/bin/weir"); err != nil {
		t.Fatal(err)
	}
	return r
}

// freePorts are ":PORT" of ports that were free a moment ago.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, fmt.Sprintf(":%d", l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// serves is a command that starts a server, with variables in front of it.
var serves = regexp.MustCompile(`^((?:[A-Z_]+=\S+ )*)(?:bin/)?weir run (.+)$`)

// console executes the commands of a block.
func (r *reader) console(text string) {
	r.t.Helper()
	parts := strings.Split("\n"+text, "\n$ ")
	if strings.TrimSpace(parts[0]) == "^C" {
		r.interrupt()
	}
	for _, part := range parts[1:] {
		command, want, _ := strings.Cut(part, "\n")
		want = strings.TrimRight(want, "\n")
		switch {
		case command == "make run":
			if !strings.Contains(read(r.t, root+"/Makefile"), "exec bin/weir run examples/quickstart\n") {
				r.t.Error("make run is something else")
			}
			r.serve("examples/quickstart")
		case serves.MatchString(command):
			m := serves.FindStringSubmatch(command)
			r.env = append(r.env, strings.Fields(m[1])...)
			r.serve(strings.Fields(r.there.Replace(m[2]))...)
		case strings.HasPrefix(command, "while "):
			r.repeat(command)
		default:
			r.execute(command, want)
		}
	}
}

// serve runs weir until the reader finishes.
func (r *reader) serve(dirs ...string) {
	r.t.Helper()
	r.env = append(r.env, "PWD="+r.dir)
	b, err := launch(r.dir, r.env, append([]string{"run"}, dirs...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(b.kill)
	r.servers = append(r.servers, b)
	if err := b.await("serving", func() bool { return strings.Contains(b.log.String(), "msg=serving") }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) shell(command string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", r.there.Replace(command))
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

// repeat runs a loop that must not end by itself.
func (r *reader) repeat(command string) {
	r.t.Helper()
	b := &background{cmd: r.shell("exec 2>&1; " + command), done: make(chan struct{})}
	b.cmd.Stdout = &b.log
	if err := b.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait() // finish looks whether it has ended
		close(b.done)
	}()
	r.t.Cleanup(b.kill)
	r.loop, r.loopCmd = b, command
}

// execute compares what a command prints. What asks the server is asked again
// until it has seen the change before.
func (r *reader) execute(command, want string) {
	r.t.Helper()
	pattern := like(want)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, _ := r.shell(command).CombinedOutput() // what fails says so in what it prints
		got := r.back.Replace(strings.TrimRight(string(out), "\n"))
		if pattern.MatchString(got) {
			return
		}
		if !strings.HasPrefix(command, "curl ") || time.Now().After(deadline) {
			r.t.Fatalf("$ %s\n%s\nthe document says\n%s", command, got, want)
		}
	}
}

// like matches a text in which "…" stands for anything within a line.
func like(text string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*") + "$")
}

// printed waits for lines of the server's log, or keeps them in mind until the
// server has reason to print them.
func (r *reader) printed(text string) {
	r.t.Helper()
	pattern := regexp.MustCompile("(?m)" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(text)), "…", ".*"))
	server := r.servers[len(r.servers)-1]
	r.t.Cleanup(func() {
		if !pattern.MatchString(r.back.Replace(server.log.String())) {
			r.t.Errorf("the server has not printed\n%s\nbut\n%s", text, server.log.String())
		}
	})
}

func (r *reader) partOfFile(text string) {
	r.t.Helper()
	if r.files == nil {
		r.files = shownFiles(r.t)
		for _, path := range glob(r.t, "/deploy/*.yaml") { // for other tools
			r.files[path] = read(r.t, path)
		}
	}
	for _, file := range r.files {
		if strings.Contains(file, text) {
			return
		}
	}
	r.t.Errorf("no file has\n%s", text)
}

// metrics looks for the metrics that a document names among those that the
// server has.
func (r *reader) metrics(text string) {
	r.t.Helper()
	names := regexp.MustCompile("`(weir_[a-z_]+)`").FindAllStringSubmatch(text, -1)
	if len(names) == 0 {
		return
	}
	if got := status("127.0.0.1"+r.there.Replace(":8080"), "/no/such/route"); got != http.StatusNotFound {
		r.t.Errorf("an unknown route answers %d", got) // and is counted as unrouted
	}
	out, err := r.shell("curl -s " + r.admin + "/metrics").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range names {
		if !strings.Contains(string(out), "# TYPE "+m[1]) && !strings.Contains(string(out), "# TYPE "+strings.TrimSuffix(m[1], "_total")) {
			r.t.Errorf("there is no metric %s", m[1])
		}
	}
}

// finish ends what runs, as a reader would.
func (r *reader) finish() {
	r.t.Helper()
	if r.loop != nil {
		if closed(r.loop.done) {
			r.t.Errorf("a request failed: $ %s\n%s", r.loopCmd, r.loop.log.String())
		}
		r.loop.kill()
	}
	r.interrupt()
}

// interrupt ends the servers.
func (r *reader) interrupt() {
	r.t.Helper()
	for _, server := range r.servers {
		if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
			r.t.Fatal(err)
		}
		if err := server.await("the end", func() bool { return closed(server.done) }); err != nil {
			r.t.Error(err)
		}
		if code := server.cmd.ProcessState.ExitCode(); code != exitOK {
			r.t.Errorf("a server ends with %d:\n%s", code, server.log.String())
		}
	}
	r.servers = nil
}

func makeTargets(t *testing.T, text string) {
	t.Helper()
	makefile := read(t, root+"/Makefile")
	for _, m := range regexp.MustCompile(`(?m)^make ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("there is no make %s", m[1])
		}
	}
}

// TestReadmeNamesAllOfTheLanguage compares the tables of verbs and modifiers,
// and of the flags, with what there is.
func TestReadmeNamesAllOfTheLanguage(t *testing.T) {
	kinds, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	var modifiers []string
	for _, f := range engine.ModifierSchema().Fields {
		modifiers = append(modifiers, f.Key)
	}
	var flags []string
	run := (&process{}).runCommand()
	run.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
	text := read(t, root+"/README.md")
	for heading, want := range map[string][]string{
		"verb": kinds.Steps.Names(), "modifier": modifiers, "flag of `weir run`": flags,
	} {
		if got := firstCells(text, heading); !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("the README's table of %ss has %v, the code %v", heading, got, want)
		}
	}
}

// firstCells are the names in the first column of the table with a heading.
func firstCells(text, heading string) (cells []string) {
	_, table, _ := strings.Cut(text, "\n| "+heading+" |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		cells = append(cells, m[1])
	}
	return cells
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func TestAllExamplesAreListed(t *testing.T) {
	list := read(t, root+"/examples/README.md")
	for _, readme := range glob(t, "/examples/*/README.md") {
		if name := filepath.Base(filepath.Dir(readme)); !strings.Contains(list, "]("+name+")") {
			t.Errorf("examples/README.md does not name %s", name)
		}
	}
}

// TestLinksLeadSomewhere follows the links of all documents that stay within
// the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"/*.md", "/docs/*.md", "/docs/*/*.md", "/docs/*/*/*.md", "/examples/*.md", "/examples/*/*.md"} {
		found, _ := filepath.Glob(root + pattern)
		documents = append(documents, found...)
	}
	for _, path := range documents {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}
