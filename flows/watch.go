package flows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/weir-run/weir/dsl"
)

// Reloader keeps a Host at the state of some directories.
//
// What the files say is found by looking, not by being told: a look compares
// the names, sizes, times and inodes of all files with those of the last look,
// and now and then all texts. The files of secrets are looked at like the others. Events of the file system only say when to look.
// They get lost when an editor replaces a file, when Kubernetes swaps the link
// behind a ConfigMap, and on network file systems; a look does not.
type Reloader struct {
	host    *Host
	options ReloadOptions
	now     chan struct{}
	asked   chan func()
	served  *Files   // of the program that is served
	before  *Files   // of the one before it
	hash    string   // of the files that were tried last
	secrets *Secrets // that were tried last
	names   []string // of the secrets
	stamps  []file   // of the last look
	looked  []string // the files that the flow files refer to, there or not, and those of secrets
	roots   []string // what the flow files import

	successful prometheus.Gauge
	since      prometheus.Gauge
	reloads    *prometheus.CounterVec
}

// ReloadOptions are what a Reloader needs.
type ReloadOptions struct {
	Paths       []string
	Catalog     *Catalog
	Environment Environment           // but for its Secrets
	Secrets     *SecretStore          // nil: the variables of the Environment
	Interval    time.Duration         // between two looks; 0 is DefaultInterval
	Metrics     prometheus.Registerer // gets the state of reloads
	Report      func(Reload)          // told of every attempt; not called concurrently
}

// DefaultInterval is between two looks at the files.
const DefaultInterval = 500 * time.Millisecond

const (
	settle  = 50 * time.Millisecond // two looks this far apart must agree: nobody is writing
	settles = 40                    // how often they may not: what is written without end is loaded as it is
	full    = 60                    // of so many looks one compares all texts: every 30s by default
)

// Reload is the outcome of one attempt. It succeeded if Program is set and
// Err is not; otherwise the Host serves what it served before.
type Reload struct {
	Program     *Program
	Diagnostics []dsl.Diagnostic
	Err         error // files that cannot be read, addresses that cannot be opened
	Took        time.Duration
}

// OK reports whether the attempt succeeded.
func (r Reload) OK() bool { return r.Program != nil && r.Err == nil }

// NewReloader makes a Reloader that has loaded nothing yet. Its error is that
// of registering metrics twice.
func NewReloader(h *Host, o ReloadOptions) (*Reloader, error) {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Secrets == nil {
		o.Secrets = &SecretStore{Env: o.Environment.Env}
	}
	r := &Reloader{host: h, options: o, now: make(chan struct{}, 1), asked: make(chan func()),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_config_last_reload_successful",
			Help: "1 if the files as they are now are served, 0 if they have faults and an earlier state is served."}),
		since: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_config_last_reload_success_timestamp_seconds",
			Help: "When the files were last loaded with success."}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_config_reloads_total",
			Help: "Attempts to load the files, by result."}, []string{"result"}),
	}
	for _, c := range []prometheus.Collector{r.successful, r.since, r.reloads} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Load loads the files now, whether or not they have changed, and reports how
// that went. It must not run concurrently with itself or Run.
func (r *Reloader) Load() Reload {
	start := time.Now()
	out := r.load()
	out.Took = time.Since(start)
	result := "failure"
	r.successful.Set(0)
	if out.OK() {
		result = "success"
		r.successful.Set(1)
		r.since.SetToCurrentTime()
	}
	r.reloads.WithLabelValues(result).Inc()
	r.options.Report(out)
	return out
}

func (r *Reloader) load() (out Reload) {
	// A file must not end a process that serves, whatever is wrong with us.
	defer func() {
		if v := recover(); v != nil {
			out = Reload{Err: fmt.Errorf("the check of the files failed, which is a fault of Weir: %v", v)}
		}
	}()
	files, draft, err := r.read()
	if err != nil {
		r.hash = ""
		return Reload{Err: err}
	}
	// Who writes a file empties it first and can be slow to go on. To take what
	// was served away for that would be wrong; who means it removes the file.
	if i := slices.IndexFunc(files.Sources, func(s *dsl.Source) bool { return s.Text == "" }); i >= 0 && r.host.Program() != nil {
		r.hash = ""
		return Reload{Err: fmt.Errorf("%s is empty, as if it was being written: write the flow, or remove the file", files.Sources[i].Name)}
	}
	r.hash = files.Hash
	env := r.options.Environment
	env.Secrets = r.secrets
	p, ds := draft.Check(r.options.Catalog, env)
	out = Reload{Program: p, Diagnostics: ds}
	if p != nil {
		if out.Err = r.host.Apply(p); out.Err != nil {
			r.hash = "" // an address may come free: the same files are worth another try
		} else {
			r.keep(files)
		}
	}
	return out
}

// read reads the files and secrets as they are, with the stamps that they had
// before: a change while they are read is one that the next look sees. Only
// reading them tells which others they refer to.
func (r *Reloader) read() (files *Files, draft *Draft, err error) {
	for range 2 {
		r.stamps, _ = r.look() // Load finds the same faults
		if files, err = Load(r.options.Paths); err != nil {
			return nil, nil, err
		}
		draft = Parse(files)
		r.names = draft.Secrets()
		r.secrets = r.options.Secrets.Read(r.names)
		looked := slices.Concat(files.looked, r.secrets.looked)
		if slices.Equal(looked, r.looked) && slices.Equal(files.imports.roots, r.roots) {
			break
		}
		r.looked, r.roots = looked, files.imports.roots
	}
	return files, draft, nil
}

// differs reports whether files and secrets are not those that were tried last.
func (r *Reloader) differs() (bool, error) {
	files, err := Load(r.options.Paths)
	if err != nil {
		return false, err
	}
	return files.Hash != r.hash || r.secrets == nil || r.options.Secrets.Read(r.names).sum != r.secrets.sum, nil
}

// look finds the flow files, and those that they imported and referred to when
// they were read last.
func (r *Reloader) look() ([]file, error) {
	files, err := find(slices.Concat(r.options.Paths, r.roots))
	return withDocuments(files, r.looked), err
}

// Reload asks a running Run for a Load.
func (r *Reloader) Reload() {
	select {
	case r.now <- struct{}{}:
	default: // one is asked for already
	}
}

// Follow does what it is asked for until ctx ends, and looks at no file by
// itself. It is for those who do not want Run.
func (r *Reloader) Follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.now:
			r.Load()
		case f := <-r.asked:
			f()
		}
	}
}

// Run looks at the files until ctx ends, and loads them when they have
// changed.
func (r *Reloader) Run(ctx context.Context) {
	hints := newHints()
	defer hints.close()
	hints.watch(slices.Concat(r.options.Paths, r.roots, r.looked))
	tick := time.NewTicker(r.options.Interval)
	defer tick.Stop()
	whole := time.NewTicker(full * r.options.Interval)
	defer whole.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-r.asked:
			f()
			hints.watch(slices.Concat(r.options.Paths, r.roots, r.looked))
			continue
		case <-r.now:
			r.Load()
			hints.watch(slices.Concat(r.options.Paths, r.roots, r.looked))
			continue
		case <-whole.C:
			// What could not be done may be possible now, though no file shows
			// it: an address came free, a file may be read.
			if differs, err := r.differs(); err == nil && differs {
				r.Load()
			}
			continue
		case <-hints.events():
			if time.Since(looked) < settle {
				continue // a burst: the next tick looks
			}
		case <-hints.errors():
			continue // events were lost: the next tick looks
		case <-tick.C:
		}
		looked = time.Now()
		if r.changed(ctx) {
			r.Load()
			hints.watch(slices.Concat(r.options.Paths, r.roots, r.looked))
		}
	}
}

// changed looks at the files, and if they differ from the last look waits
// until nobody writes any more. It is true if there are other texts to load.
func (r *Reloader) changed(ctx context.Context) bool {
	files, err := r.look()
	if err != nil {
		if r.stamps == nil {
			return false // it is told already
		}
		r.stamps = nil
		return true
	}
	if slices.Equal(files, r.stamps) {
		return false
	}
	for range settles {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(settle):
		}
		again, err := r.look()
		if err == nil && slices.Equal(again, files) {
			break
		}
		files = again
	}
	r.stamps = files
	differs, err := r.differs()
	return err != nil || differs
}

// hints are the file system's events, as far as they are to be had.
type hints struct {
	watcher *fsnotify.Watcher // nil: there are none
}

func newHints() *hints {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return &hints{} // too many watches, or none on this system: looking is enough
	}
	return &hints{w}
}

// watch follows the directories below paths: a watch on a file ends with the
// first editor that replaces it.
func (h *hints) watch(paths []string) {
	if h.watcher == nil {
		return
	}
	for dir := range directories(paths) {
		_ = h.watcher.Add(dir) // known ones are not added twice; without one, looking is enough
	}
}

func (h *hints) events() <-chan fsnotify.Event {
	if h.watcher == nil {
		return nil
	}
	return h.watcher.Events
}

func (h *hints) errors() <-chan error {
	if h.watcher == nil {
		return nil
	}
	return h.watcher.Errors
}

func (h *hints) close() {
	if h.watcher != nil {
		_ = h.watcher.Close()
	}
}
