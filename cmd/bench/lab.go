package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// lab holds what all measurements share: the programs, the cores, the backend, a directory for files.
type lab struct {
	options
	self    string // this program
	weir    string // Weir's binary; empty when no target needs it
	base    string // that of the build it is compared with
	dir     string
	cores   cores
	backend string
	keys    string   // file
	process *process // the backend's
	sites   int
}

// openLab builds Weir where a target needs it, confines this process to its core and starts the backend.
func openLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir}
	if err := l.open(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) open(ctx context.Context) (err error) {
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	if l.wants("weir") {
		if l.weir, err = l.build(ctx, "weir", l.options.weir); err != nil {
			return err
		}
	}
	if l.wants("base") {
		if l.base, err = l.build(ctx, "base", l.options.base); err != nil {
			return err
		}
	}
	l.keys = filepath.Join(l.dir, "keys.json")
	if err := newSigner().keys().save(l.keys); err != nil {
		return err
	}
	if l.cores, err = pin(); err != nil {
		return err
	}
	if l.backend, err = freeAddress(); err != nil {
		return err
	}
	if l.process, err = launch(l.cores, otherCore, l.dir, []string{l.self, "backend", "-listen", l.backend}); err != nil {
		return err
	}
	return l.process.ready(ctx, 10*time.Second, time.Millisecond, func() error { return knock(l.backend) })
}

// build gives the binary of a Weir: a directory is built as a package, a file is taken as it is.
func (l *lab) build(ctx context.Context, name, from string) (string, error) {
	info, err := os.Stat(from)
	if err != nil {
		return "", fmt.Errorf("weir to measure: %w (-weir names another package directory or binary, -target floor does without)", err)
	}
	if !info.IsDir() {
		return filepath.Abs(from)
	}
	binary := filepath.Join(l.dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = from
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", from, err, out)
	}
	return binary, nil
}

// close stops the backend and removes the files.
func (l *lab) close() {
	if l.process != nil {
		l.process.stop()
	}
	os.RemoveAll(l.dir)
}

// server is a program under test that runs.
type server struct {
	*process
	listen, admin string
}

// start runs a target with the given flows (which only Weir reads). It does not wait.
func (l *lab) start(target string, flows []string, where placement) (*server, error) {
	s := &server{}
	var err error
	if s.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	for s.admin == "" || s.admin == s.listen {
		if s.admin, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	argv := []string{l.self, target, "-listen", s.listen, "-admin", s.admin, "-upstream", l.backend, "-keys", l.keys}
	if binary, ok := map[string]string{"weir": l.weir, "base": l.base}[target]; ok {
		dir, err := l.site(flows, s.listen)
		if err != nil {
			return nil, err
		}
		argv = []string{binary, "run", dir, "--admin", s.admin}
	}
	s.process, err = launch(l.cores, where, l.dir, argv)
	return s, err
}

// site is a new directory of flow files.
func (l *lab) site(flows []string, listen string) (string, error) {
	l.sites++
	dir := filepath.Join(l.dir, "site-"+strconv.Itoa(l.sites))
	return dir, writeFlows(dir, flows, listen, l.backend)
}

// serving waits until the server says that it is ready.
func (s *server) serving(ctx context.Context) error {
	return s.ready(ctx, time.Minute, 10*time.Millisecond, func() error {
		_, err := fetch("http://" + s.admin + "/readyz")
		return err
	})
}

func knock(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
