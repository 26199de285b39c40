package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/usage"
)

// runOptions are the flags of weir run.
type runOptions struct {
	admin         string
	drain         time.Duration
	shutdownDelay time.Duration
	watch         bool
	secrets       string
	poll          time.Duration
	log           logFlags
	access        adminFlags
	requests      int
	bodies        int // bytes
	usage         string
	usageOTLP     bool
}

// adminOff is the value of --admin that turns the admin endpoints off.
const adminOff = "off"

func (p *process) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run DIR...",
		Short: "Serve the flows of directories and follow changes",
		Long: `Reads all .yaml and .yml files below the directories as one program and serves it.
A DIR may also be a file.

When the files change, the new state is checked as a whole, opened beside the old
one and put in its place; no request fails. If it has faults they are printed and
nothing changes. SIGHUP looks at once.

SIGTERM and SIGINT make /readyz answer 503, wait for --shutdown-delay, let the
requests in progress end within --drain, and exit with 0. A second one stops at
once.

A secret that the files name with $(secret.NAME) is the file NAME below --secrets,
or else the variable NAME. One that is not there keeps the files from being
served; one that changes is taken up as a change of the files is. No secret is
printed.

Requests and failures, how services are, and what is served is told at the admin
address. If others than this machine reach it, that needs --admin-token or
--admin-client-ca.

Traces and metrics are exported if OTEL_EXPORTER_OTLP_ENDPOINT is set, and access
logs that ask for it; the other variables of OpenTelemetry say how.`,
		Example: `  weir run flows/
  weir run flows/ shared/services.yaml --admin :9900
  WEIR_LOG_LEVEL=debug weir run flows/ --drain 10s`,
		Args:              paths,
		ValidArgsFunction: flowFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.serve(cmd.Context(), args, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.admin, "admin", gateway.DefaultAdminAddr, "the `address` of /healthz, /readyz, /metrics and all else that operators ask for, or "+adminOff)
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long requests in progress may take at the end")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 0, "how long to go on serving after /readyz says 503, for load balancers to notice")
	f.BoolVar(&o.watch, "watch", true, "load files that change; --watch=false loads on SIGHUP only")
	f.DurationVar(&o.poll, "poll", flows.DefaultInterval, "how often to look at the files")
	secretsFlag(cmd, &o.secrets, "the `directory` of the files that hold secrets, or env for variables alone (default "+flows.DefaultSecrets+", if it is there, and variables)")
	o.access.add(f)
	f.StringVar(&o.usage, "usage", "", "a `directory` that keeps who uses what, for /usage")
	f.BoolVar(&o.usageOTLP, "usage-otlp", false, "send what --usage counts to the collector of OpenTelemetry, too, each minute")
	f.IntVar(&o.requests, "requests", 0, "how many of the last requests /requests has, with what each of their steps took")
	f.IntVar(&o.bodies, "requests-bodies", 0, "how many `bytes` of each body that is text /requests has; what the flows know as secrets is taken out, and nothing else")
	o.log.add(cmd)
	return cmd
}

func (o *runOptions) check() error {
	switch {
	case o.poll <= 0:
		return usagef("--poll must be more than 0; --watch=false turns looking off")
	case o.drain < 0, o.shutdownDelay < 0:
		return usagef("a duration cannot be negative")
	}
	if o.bodies < 0 || o.bodies > mostBodies || o.bodies > 0 && o.requests == 0 {
		return usagef("--requests-bodies is from 0 to %d, beside --requests", mostBodies)
	}
	if o.usageOTLP && o.usage == "" {
		return usagef("--usage-otlp sends what --usage counts: add --usage DIR")
	}
	if o.requests < 0 || o.requests > mostRequests {
		return usagef("--requests must be from 0 to %d", mostRequests)
	}
	if o.admin != adminOff {
		if err := o.access.check(); err != nil {
			return err
		}
		if err := gateway.CheckAddress(o.admin); err != nil {
			return usagef("--admin: %w", err)
		}
	}
	return nil
}

// server is one run.
type server struct {
	*journal
	host      *flows.Host
	reloader  *flows.Reloader
	admin     *gateway.Listener // nil: off
	faults    *gateway.Faults
	usage     *usage.Usage    // nil: nobody asked for it
	uncount   func()          // ends usage
	recent    *gateway.Recent // nil: nobody asked for it
	exporters []exporter      // of the signals that go to a collector
	records   trace.Recorder  // of access logs; nil: nobody said where
	state     atomic.Pointer[string]
	start     time.Time
}

// Why /readyz says no.
var (
	starting = "the files are being loaded"
	leaving  = "the process is shutting down"
)

func (p *process) serve(ctx context.Context, dirs []string, o *runOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	s := &server{journal: p.journal(&o.log), start: time.Now()}
	s.state.Store(&starting)
	signals, stop := p.notify()
	defer stop()
	defer s.close()
	if err := s.open(dirs, o, p, prometheus.NewRegistry()); err != nil {
		s.Error("cannot start", "error", err) // the log may be for machines: nothing goes beside it
		return errReported
	}
	first := s.reloader.Load()
	if !first.OK() {
		return errReported
	}
	s.state.Store(nil)
	if p.tune != nil {
		p.tune() // not before: what loading left behind does not stay
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		if o.watch {
			s.reloader.Run(ctx)
		} else {
			s.reloader.Follow(ctx)
		}
	})
	s.count()
	defer s.uncount()
	why := s.wait(ctx, signals)
	s.state.Store(&leaving)
	s.Info("shutting down", "reason", why, "drain", o.drain)
	cancel()
	watching.Wait()
	return s.drain(signals, o)
}

// count has who uses what written down until uncount: the requests that end while
// it drains are counted, too.
func (s *server) count() {
	s.uncount = func() {}
	if s.usage == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var counting sync.WaitGroup
	counting.Go(func() { s.usage.Run(ctx) })
	s.uncount = sync.OnceFunc(func() {
		stop()
		counting.Wait()
	})
}

// metricsRegistry is where everything is counted, and read.
type metricsRegistry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// open makes everything that does not depend on the files.
func (s *server) open(dirs []string, o *runOptions, p *process, registry metricsRegistry) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	secrets, err := p.secrets(o.secrets)
	if err != nil {
		return err
	}
	registry.MustRegister(collectors.NewBuildInfoCollector(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counts, err := gateway.NewMetrics(registry)
	if err != nil {
		return err
	}
	tracer, err := s.telemetry(p, registry)
	if err != nil {
		return err
	}
	s.faults = new(gateway.Faults)
	s.keepRequests(o.requests, o.bodies, tracer)
	if o.usage != "" {
		if s.usage, err = usage.Open(o.usage, s.Logger); err != nil {
			return fmt.Errorf("--usage: %w", err)
		}
		if o.usageOTLP {
			if s.records == nil {
				return errors.New("--usage-otlp: there is no collector: set OTEL_EXPORTER_OTLP_ENDPOINT")
			}
			s.usage.Told = usageTeller(s.records, p.redactor)
		}
	}
	s.host = flows.NewHost(flows.HostOptions{Faults: s.faults, Recent: s.recent, Usage: s.usage, Log: s.Logger, Metrics: counts, Drain: o.drain, Redactor: p.redactor, Tracer: tracer, Stdout: p.stdout, Records: s.records})
	registry.MustRegister(s.host.Collector())
	s.reloader, err = flows.NewReloader(s.host, flows.ReloadOptions{
		Paths: dirs, Catalog: c, Environment: flows.Environment{Env: p.env, Log: s.Logger}, Secrets: secrets,
		Interval: o.poll, Metrics: registry, Report: s.report,
	})
	if err != nil || o.admin == adminOff {
		return err
	}
	return s.administer(o, p, registry, counts)
}

func (s *server) ready() error {
	if why := s.state.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// report tells the outcome of one attempt to load the files.
func (s *server) report(r flows.Reload) {
	s.diagnostics(r.Diagnostics)
	first := s.host.Program() == nil || s.state.Load() == &starting
	switch {
	case r.OK() && first:
		s.Info("serving", s.summary(r, time.Since(s.start))...)
	case r.OK():
		s.Info("reloaded", s.summary(r, r.Took)...)
	case first && r.Err != nil:
		s.Error("cannot start", "error", r.Err)
	case first:
		s.Error("cannot start: the files have faults")
	case r.Err != nil:
		s.Error("cannot load the files; what was served before goes on", "error", r.Err)
	default:
		s.Error("the files have faults; what was served before goes on")
	}
}

// summary is what is served, where, and how long it took to get there.
func (s *server) summary(r flows.Reload, took time.Duration) []any {
	var gateways []any
	for _, g := range r.Program.Gateways {
		gateways = append(gateways, slog.Group(g.Name.Value, "address", s.host.Addr(g.Name.Value).String(), "routes", g.Routes()))
	}
	admin := adminOff
	if s.admin != nil {
		admin = s.admin.Addr().String()
	}
	return []any{
		slog.Group("gateways", gateways...), "admin", admin, "flows", len(r.Program.Flows),
		"config", r.Program.Revision(), "took", took.Round(100 * time.Microsecond),
	}
}

// wait serves until a signal or ctx ends it, and says which. SIGHUP loads the
// files.
func (s *server) wait(ctx context.Context, signals <-chan os.Signal) string {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx).Error()
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return sig.String()
			}
			s.reloader.Reload()
		}
	}
}

// drain ends what is in progress, in the order that loses no request: stay
// until nobody sends new ones, then stop accepting, then wait for the rest.
func (s *server) drain(signals <-chan os.Signal, o *runOptions) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.shutdownDelay+o.drain)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		select {
		case <-time.After(o.shutdownDelay):
		case <-ctx.Done():
		}
		err := s.host.Shutdown(ctx)
		s.uncount()                            // which has something to tell
		if lost := s.flush(ctx); lost != nil { // of what has ended until now
			s.Warn("what was to be exported is lost", "error", lost)
		}
		done <- err
	}()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			s.Error("stopped at once by a second signal", "signal", sig.String())
			return errReported
		case err := <-done:
			if err != nil {
				s.Warn("some requests did not end in time", "error", err)
			}
			s.Info("stopped")
			return nil
		}
	}
}

// close ends what tells of everything else until then.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.flush(ctx) // told where it failed, if there was anything
	if s.admin != nil {
		_ = s.admin.Shutdown(ctx) // a scrape that takes longer is cut off
	}
}
