// Bench measures what Weir costs, as a ratio to a service written by hand for the same job.
//
// How to read the numbers. The main table is CPU time per request of the server process (user and system), divided by
// that of the floor: a service on net/http, httputil.ReverseProxy with a tuned transport, and encoding/json structs.
// 1.00 is as costly as the floor, 0.50 half as costly. Only ratios of one run mean anything, and those to about 15 %:
// a machine's speed drifts by more than that within a minute. In every round all servers therefore take ten short turns
// each, their time in a round is divided by the floor's in the same round, and the median and the range of these ratios
// are printed. Times in microseconds are there for orientation and must not be compared between runs.
//
// The server under test has one core to itself and GOMAXPROCS=1; the load (raw keep-alive connections, a closed loop)
// and the backend (canned answers on raw connections) have another. Every answer is compared with the expected one
// before timing starts, and its status and length while timing. `-target floor` measures the floor against itself,
// which shows what the machine is good for today: the ratio should be 1.00. `-target weir,hybrid` adds the fastest
// hand-written service that keeps net/http's server, which shows how much room is left. `-target weir,base -base FILE`
// compares two builds of Weir turn by turn, which shows differences that two runs would not.
//
// What separates Weir from the hybrid is in docs/performance.md; -profile DIRECTORY makes the profiles to see it in.
//
// Start and memory are measured with both cores free. Memory per request is what the server's heap counters grew by.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// options are the driver's flags.
type options struct {
	weir, base  string
	targets     []string
	jobs        []string
	rounds      int
	requests    int
	connections int
	json        string
	profile     string
	gate        bool
}

func (o options) wants(target string) bool { return slices.Contains(o.targets, target) }

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && roles[args[0]] != nil {
		return play(args[0], args[1:], stderr)
	}
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := drive(ctx, o, stderr)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	err = errors.Join(err, r.write(stdout))
	if o.json != "" {
		err = errors.Join(err, r.save(o.json))
	}
	if n := r.missed(); o.gate && n > 0 {
		err = errors.Join(err, fmt.Errorf("%d gates missed", n))
	}
	return err
}

// allJobs are the jobs under load, then what the policies of a service cost, then the two that look at a process's life.
func allJobs() []string {
	var names []string
	for _, j := range jobs() {
		names = append(names, j.name)
	}
	return append(names, "overhead", "start", "flows")
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.weir, "weir", "./cmd/weir", "package `directory` of Weir, which is built, or a ready binary")
	set.StringVar(&o.base, "base", "", "another `directory or binary` of Weir, for the target base")
	targets := set.String("target", "weir", "what to compare with the floor: any of weir,base,hybrid,floor")
	names := set.String("jobs", strings.Join(allJobs(), ","), "which jobs to run")
	set.IntVar(&o.rounds, "rounds", 5, "rounds per server and job")
	set.IntVar(&o.requests, "requests", 0, "requests per round; 0 is a number fit for each job")
	set.IntVar(&o.connections, "connections", 16, "connections of the load; large answers take 4 at most")
	set.StringVar(&o.json, "json", "", "also write all numbers to this `file`")
	set.StringVar(&o.profile, "profile", "", "have perf write profiles of the servers to this `directory`")
	set.BoolVar(&o.gate, "gate", false, "fail when a gate is missed")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.targets, o.jobs = strings.Split(*targets, ","), strings.Split(*names, ",")
	switch {
	case set.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case o.rounds < 1 || o.connections < 1 || o.requests < 0:
		return o, errors.New("-rounds and -connections must be at least 1, -requests at least 0")
	}
	if err := known("job", o.jobs, allJobs()); err != nil {
		return o, err
	}
	if o.wants("base") && o.base == "" {
		return o, errors.New("the target base needs -base")
	}
	return o, known("target", o.targets, []string{"weir", "base", "hybrid", "floor"})
}

func known(what string, given, allowed []string) error {
	for _, name := range given {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("unknown %s %q; there are %s", what, name, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// drive runs the chosen jobs, saying on log what it is at. A job that fails does not keep the others from running:
// the report holds what was measured, the error what was not.
func drive(ctx context.Context, o options, log io.Writer) (*report, error) {
	r := &report{}
	l, err := openLab(ctx, o)
	if err != nil {
		return r, err
	}
	defer l.close()
	var failed []error
	attempt := func(name, about string, run func() error) {
		if slices.Contains(o.jobs, name) && ctx.Err() == nil {
			fmt.Fprintf(log, "%s: %s\n", name, about)
			failed = append(failed, run())
		}
	}
	list := jobs()
	for _, j := range list {
		attempt(j.name, j.about, func() error {
			results, err := l.measure(ctx, j)
			r.Results = append(r.Results, results...)
			return err
		})
	}
	attempt("overhead", "a call with all policies on over one on the bare transport", func() error {
		facts, err := l.overhead(ctx)
		r.Facts = append(r.Facts, facts...)
		return err
	})
	simple := list[0]
	attempt("start", "from exec to the first answer, and memory, with one flow", func() error {
		targets := []string{"floor"}
		for _, target := range o.targets {
			if !slices.Contains(targets, target) {
				targets = append(targets, target)
			}
		}
		for _, target := range targets {
			facts, err := l.life(ctx, "start", target, flowsFor(target, simple), simple.calls[0], 9)
			r.Facts = append(r.Facts, facts...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if o.wants("weir") {
		attempt("flows", "check, start and memory of 1,000 flows with ten expressions each", func() error {
			facts, err := l.thousand(ctx, simple)
			r.Facts = append(r.Facts, facts...)
			return err
		})
	}
	return r, errors.Join(failed...)
}

// thousand measures Weir with 1,000 flows, and the flow of one more job to have a request to make.
func (l *lab) thousand(ctx context.Context, j job) ([]fact, error) {
	flows := append(manyFlows(1000), j.flows()...)
	checked, err := l.check(ctx, "flows", flows, 3)
	if err != nil {
		return nil, err
	}
	lives, err := l.life(ctx, "flows", "weir", flows, j.calls[0], 3)
	return append([]fact{checked}, lives...), err
}
