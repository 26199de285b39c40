package usage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Period is how long one count is about.
type Period string

// The periods.
const (
	Minute Period = "minute"
	Hour   Period = "hour"
	Day    Period = "day"
)

type kept struct {
	Period
	length time.Duration
	kept   time.Duration
	form   string // of its begin, in names of files
}

var periods = []kept{
	{Minute, time.Minute, 2 * time.Hour, "20060102T1504"},
	{Hour, time.Hour, 7 * 24 * time.Hour, "20060102T15"},
	{Day, 24 * time.Hour, 400 * 24 * time.Hour, "20060102"},
}

const (
	mostRoutes = 2000 // of a period: what comes later is counted as Others
	maxName    = 128  // bytes of the name of a consumer
)

// Others is the route of what found no place.
const Others = "(others)"

// Route is what is counted.
type Route struct {
	Gateway string `json:"gateway"`
	Method  string `json:"method,omitempty"`
	Route   string `json:"route,omitempty"` // none: no route took the request
}

// Request is what one request adds.
type Request struct {
	Consumer string // "": nobody knows
	Failed   bool
	In, Out  int64 // bytes
	Took     time.Duration
}

// count is what is known of a route in a period. Its lock is for requests, which
// count in one at a time; what is made of several belongs to who makes it.
type count struct {
	mu sync.Mutex

	Requests, Errors, In, Out int64
	Latency                   Latency
	Consumers                 Distinct
	Top                       Top
}

// add counts a request. What does not need the lock is done before it is had.
func (c *count) add(r Request) {
	took := latencyBucket(r.Took)
	name, hash := r.Consumer, hashed(r.Consumer)
	known := hash // of the name that it is known by
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
		known = hashed(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Requests++
	if r.Failed {
		c.Errors++
	}
	c.In += r.In
	c.Out += r.Out
	c.Latency.add(took)
	if name != "" {
		c.Consumers.add(hash)
		c.Top.add(name, known)
	}
}

func (c *count) merge(o *count) {
	c.Requests += o.Requests
	c.Errors += o.Errors
	c.In += o.In
	c.Out += o.Out
	c.Latency.Merge(&o.Latency)
	c.Consumers.Merge(&o.Consumers)
	c.Top.Merge(&o.Top)
}

// span is one period.
type span struct {
	begin  time.Time
	routes map[Route]*count
}

func (s *span) of(r Route) *count {
	c := s.routes[r]
	if c == nil {
		if len(s.routes) >= mostRoutes {
			r = Route{Gateway: r.Gateway, Route: Others} // of gateways there are few
			if c = s.routes[r]; c != nil {
				return c
			}
		}
		c = new(count)
		s.routes[r] = c
	}
	return c
}

// Usage counts, and keeps what it has counted in files of a directory, one for
// each period. What a minute has counted is written when it is over: a crash
// loses no more than that. Each file is written whole under another name first.
// It is safe for concurrent use; two processes need two directories.
type Usage struct {
	// Told gets what was counted, whenever it is written: at the end of a minute,
	// when someone asks, and at the end. Rows of one minute add up, but for their
	// quantiles and consumers. It is set before the first request, and may be nil.
	Told func(from, until time.Time, rows []Row)

	dir string
	log *slog.Logger

	mu  sync.RWMutex // of now: who counts in what is there, and who changes what there is
	now span         // the minute

	disk sync.Mutex // of files
}

// Open uses a directory, which it makes if it is not there, and goes on with what
// it holds of this minute.
func Open(dir string, log *slog.Logger) (*Usage, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	probe, err := os.CreateTemp(dir, ".usage-*")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, err
	}
	u := &Usage{dir: dir, log: log}
	u.now = span{time.Now().UTC().Truncate(time.Minute), map[Route]*count{}}
	return u, nil
}

// Add counts a request. A nil Usage counts none.
func (u *Usage) Add(at Route, r Request) {
	if u == nil {
		return
	}
	u.mu.RLock()
	c := u.now.routes[at]
	if c != nil {
		c.add(r)
	}
	u.mu.RUnlock()
	if c != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now.of(at).add(r)
}

// Run writes what is counted at the end of each minute, until ctx ends, and then
// what is left.
func (u *Usage) Run(ctx context.Context) {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			u.Flush()
			return
		case <-time.After(now.Truncate(time.Minute).Add(time.Minute).Sub(now)):
			u.Flush()
			u.prune(time.Now())
		}
	}
}

// Flush writes what is counted and begins anew. What cannot be written is lost,
// and told.
func (u *Usage) Flush() {
	u.disk.Lock()
	defer u.disk.Unlock()
	u.mu.Lock()
	done := u.now
	u.now = span{time.Now().UTC().Truncate(time.Minute), map[Route]*count{}}
	u.mu.Unlock()
	if len(done.routes) == 0 {
		return
	}
	u.tell(done)
	for _, p := range periods {
		begin := done.begin.Truncate(p.length)
		name := u.name(p.Period, begin.Format(p.form))
		s, err := read(name, begin)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			u.log.Warn("usage that was kept cannot be read, and is begun anew", "file", name, "error", err)
		}
		for r, c := range done.routes {
			s.of(r).merge(c)
		}
		if err := write(name, s); err != nil {
			u.log.Error("usage cannot be kept", "file", name, "error", err)
		}
	}
}

func (u *Usage) tell(done span) {
	if u.Told != nil {
		u.Told(done.begin, time.Now().UTC(), done.rows())
	}
}

func (u *Usage) name(p Period, when string) string {
	return filepath.Join(u.dir, "usage-"+string(p)+"-"+when+".json")
}

// stored is a route in a file.
type stored struct {
	Route
	Requests  int64          `json:"requests"`
	Errors    int64          `json:"errors"`
	In        int64          `json:"bytes_in"`
	Out       int64          `json:"bytes_out"`
	Latency   map[int]uint32 `json:"latency"`
	Consumers []byte         `json:"consumers,omitempty"`
	Top       []Counted      `json:"top,omitempty"`
}

func write(name string, s span) error {
	var all []stored
	for r, c := range s.routes {
		one := stored{Route: r, Requests: c.Requests, Errors: c.Errors, In: c.In, Out: c.Out, Latency: map[int]uint32{}, Consumers: c.Consumers.registers, Top: c.Top.Of}
		for i, n := range c.Latency.counts {
			if n > 0 {
				one.Latency[i] = n
			}
		}
		all = append(all, one)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".usage-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use
	}
	return err
}

// maxFile bounds what is read, in bytes: mostRoutes routes take less.
const maxFile = 64 << 20

func read(name string, begin time.Time) (span, error) {
	s := span{begin, map[Route]*count{}}
	info, err := os.Stat(name)
	if err != nil {
		return s, err
	}
	if info.Size() > maxFile {
		return s, fmt.Errorf("it has %d bytes", info.Size())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return s, err
	}
	var all []stored
	if err := json.Unmarshal(text, &all); err != nil {
		return s, err
	}
	for _, one := range all {
		c := s.of(one.Route)
		had := count{Requests: one.Requests, Errors: one.Errors, In: one.In, Out: one.Out, Top: Top{one.Top[:min(len(one.Top), mostTop)]}}
		for i, n := range one.Latency {
			if i >= 0 && i < latencyBuckets {
				had.Latency.counts[i] = n
			}
		}
		if len(one.Consumers) == distinctSize {
			had.Consumers.registers = one.Consumers
		}
		c.merge(&had)
	}
	return s, nil
}

// files are the begins of the periods that are kept, the newest first.
func (u *Usage) files(p int) (begins []time.Time) {
	entries, err := os.ReadDir(u.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		when, ours := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), "usage-"+string(periods[p].Period)+"-")
		if at, err := time.Parse(periods[p].form, when); ours && err == nil {
			begins = append(begins, at)
		}
	}
	slices.SortFunc(begins, func(a, b time.Time) int { return b.Compare(a) })
	return begins
}

// prune removes what is older than it is kept.
func (u *Usage) prune(now time.Time) {
	u.disk.Lock()
	defer u.disk.Unlock()
	for i, p := range periods {
		for _, at := range u.files(i) {
			if now.Sub(at) > p.kept {
				_ = os.Remove(u.name(p.Period, at.Format(p.form))) // or the next time
			}
		}
	}
}

// Row is what is known of a route in a period.
type Row struct {
	Begin time.Time `json:"begin"`
	Route
	Requests  int64     `json:"requests"`
	Errors    int64     `json:"errors"`
	In        int64     `json:"bytes_in"`
	Out       int64     `json:"bytes_out"`
	P50       float64   `json:"p50"` // seconds
	P95       float64   `json:"p95"`
	P99       float64   `json:"p99"`
	Consumers int64     `json:"consumers"` // about so many different ones
	Top       []Counted `json:"top,omitempty"`
}

// Rows gives the last n periods, the newest first; as one, if they are to be
// summed. What has not been written is in it.
func (u *Usage) Rows(by Period, n int, sum bool) ([]Row, error) {
	u.Flush()
	u.disk.Lock()
	defer u.disk.Unlock()
	i := slices.IndexFunc(periods, func(p kept) bool { return p.Period == by })
	if i < 0 {
		return nil, fmt.Errorf("there is no period %q: use minute, hour or day", by)
	}
	begins := u.files(i)
	begins = begins[:min(len(begins), n)]
	var rows []Row
	all := span{routes: map[Route]*count{}}
	for _, at := range begins {
		s, err := read(u.name(by, at.Format(periods[i].form)), at)
		if err != nil {
			u.log.Warn("usage that was kept cannot be read", "begin", at, "error", err)
			continue
		}
		if !sum {
			rows = append(rows, s.rows()...)
			continue
		}
		all.begin = at // the oldest is the last
		for r, c := range s.routes {
			all.of(r).merge(c)
		}
	}
	if sum {
		rows = all.rows()
	}
	return rows, nil
}

func (s *span) rows() (rows []Row) {
	for r, c := range s.routes {
		c.Top.sort()
		rows = append(rows, Row{Begin: s.begin, Route: r, Requests: c.Requests, Errors: c.Errors, In: c.In, Out: c.Out, Consumers: c.Consumers.Count(), Top: c.Top.Of,
			P50: c.Latency.Quantile(.5).Seconds(), P95: c.Latency.Quantile(.95).Seconds(), P99: c.Latency.Quantile(.99).Seconds()})
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Route.Route, b.Route.Route), cmp.Compare(a.Method, b.Method))
	})
	return rows
}
