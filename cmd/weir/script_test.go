package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"weir": main, "curl": curl})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": start, "signal": signalTo, "end": end, "logged": logged, "http": request, "occupy": occupy, "exits": exits,
		},
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
	})
}

// patience is how long tests wait for what must happen: long, because it is
// only spent when a test fails.
const patience = 20 * time.Second

// background is a weir process that a test started.
type background struct {
	cmd  *exec.Cmd
	log  transcript
	done chan struct{} // closed when it has ended
}

// launch starts the weir of this test binary.
func launch(dir string, env []string, args ...string) (*background, error) {
	b := &background{cmd: exec.Command("weir", args...), done: make(chan struct{})}
	b.cmd.Dir, b.cmd.Env = dir, env
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = b.cmd.Wait() // the state says how it ended
		close(b.done)
	}()
	return b, nil
}

// kill ends the process, however it is.
func (b *background) kill() {
	_ = b.cmd.Process.Kill() // it may have ended by itself
	<-b.done
}

// await waits until done, or for as long as the process lives.
func (b *background) await(what string, done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-b.done:
			if !done() {
				return fmt.Errorf("%s: the process has ended; it logged:\n%s", what, b.log.String())
			}
			return nil
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v; the process logged:\n%s", what, patience, b.log.String())
		}
	}
	return nil
}

// serving is the record that tells where a process listens.
type serving struct {
	Msg      string
	Gateways map[string]struct{ Address string }
	Admin    string
}

func (b *background) serving() (serving, error) {
	var s serving
	err := b.await("serving", func() bool {
		for _, line := range strings.Split(b.log.String(), "\n") {
			if json.Unmarshal([]byte(line), &s) == nil && s.Msg == "serving" {
				return true
			}
		}
		return false
	})
	return s, err
}

// transcript is a buffer for several writers and readers.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// The commands of scripts. A script has one process at a time.

var processes sync.Map // of *testscript.TestScript to *background

func running(ts *testscript.TestScript) *background {
	b, ok := processes.Load(ts)
	if !ok {
		ts.Fatalf("nothing was started")
	}
	return b.(*background)
}

// start runs "weir ARGS" in the background and waits until it serves. The
// addresses of its gateways become $GATEWAY in upper case, that of the admin
// endpoints $ADMIN.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[0] != "weir" {
		ts.Fatalf("usage: start weir ARGS")
	}
	env := []string{"PATH=" + ts.Getenv("PATH")}
	for _, name := range []string{"WEIR_ADMIN", "WEIR_LOG_LEVEL", "WEIR_POLL", "WEIR_SECRETS"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	b, err := launch(ts.MkAbs("."), env, args[1:]...)
	ts.Check(err)
	ts.Defer(b.kill)
	processes.Store(ts, b)
	s, err := b.serving()
	ts.Check(err)
	for name, g := range s.Gateways {
		ts.Setenv(strings.ToUpper(name), g.Address)
	}
	ts.Setenv("ADMIN", s.Admin)
}

var signalNames = map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": os.Interrupt, "TERM": syscall.SIGTERM}

// signalTo sends a signal to the process.
func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || signalNames[args[0]] == nil {
		ts.Fatalf("usage: signal HUP|INT|TERM")
	}
	ts.Check(running(ts).cmd.Process.Signal(signalNames[args[0]]))
}

// end sends a signal and waits for the exit code. What the process logged
// becomes the standard output.
func end(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: end SIGNAL CODE")
	}
	signalTo(ts, false, args[:1])
	b := running(ts)
	ts.Check(b.await("the end", func() bool { return closed(b.done) }))
	if code := strconv.Itoa(b.cmd.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("exit code %s, want %s; it logged:\n%s", code, args[1], b.log.String())
	}
	fmt.Fprint(ts.Stdout(), b.log.String())
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// logged waits until the process has logged a line that matches.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] logged PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	b := running(ts)
	if neg {
		if pattern.MatchString(b.log.String()) {
			ts.Fatalf("%s is logged:\n%s", args[0], b.log.String())
		}
		return
	}
	ts.Check(b.await("a line "+args[0], func() bool { return pattern.MatchString(b.log.String()) }))
}

// request asks for a URL, with a body if one is given, until the answer has the
// status and its body matches the pattern. The body becomes the standard output.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 5 {
		ts.Fatalf("usage: http METHOD URL STATUS [PATTERN [BODY]]")
	}
	args = append(args, "", "")
	pattern, err := regexp.Compile("(?m)" + args[3])
	ts.Check(err)
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequest(args[0], args[1], strings.NewReader(args[4]))
		ts.Check(err)
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if last = string(body); strconv.Itoa(resp.StatusCode) == args[2] && pattern.MatchString(last) {
			fmt.Fprint(ts.Stdout(), last)
			return
		}
		last = resp.Status + "\n" + last
	}
	ts.Fatalf("the last answer was %s", last)
}

// occupy listens on a port of the system's choice and puts the address into a
// variable.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// exits runs a command and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = strconv.Itoa(exit.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}
