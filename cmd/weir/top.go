package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

func (p *process) topCommand() *cobra.Command {
	var (
		once     bool
		interval time.Duration
		process  adminClient
	)
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the routes and services of a running process",
		Long: `Shows, at the admin address of a running process, what its routes are asked for and
how they answer, how its services are (what is under way, which breakers are open,
what limits hold back), and whom limits of policies refused in the last minute or
two. It is drawn anew every --interval, until it is
interrupted; with --once it is printed once, with totals in place of rates.`,
		Example: `  weir top
  weir top --admin https://10.0.0.7:9900 --admin-token /run/secrets/ADMIN_TOKEN
  weir top --once`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("takes no arguments: --admin %s says which process", args[0])
			}
			if interval < 100*time.Millisecond {
				return usagef("--interval must be 100ms at least")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := process.open(); err != nil {
				return err
			}
			if once {
				now, err := sampleOf(cmd.Context(), &process)
				if err != nil {
					return err
				}
				return now.print(p.stdout, nil)
			}
			if !p.terminal(p.stdout) {
				return usagef("draws on a terminal, and this is none: --once prints it once")
			}
			return p.watchTop(cmd.Context(), &process, interval)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print it once")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "how often it is drawn anew")
	process.add(cmd.Flags())
	return cmd
}

// watchTop draws until someone interrupts it.
func (p *process) watchTop(ctx context.Context, process *adminClient, interval time.Duration) error {
	signals, stop := p.notify()
	defer stop()
	var before *sample
	for {
		now, err := sampleOf(ctx, process)
		var page strings.Builder
		page.WriteString("\x1b[H\x1b[2J") // from the corner of an empty screen
		if err != nil {
			fmt.Fprintln(&page, err)
		} else {
			_ = now.print(&page, before) // a Builder takes all
			before = now
		}
		if _, err := io.WriteString(p.stdout, page.String()); err != nil {
			return err
		}
		select {
		case <-signals:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

// sample is what a process says at one time.
type sample struct {
	at       time.Time
	config   string
	routes   map[[3]string]*routeSample // by gateway, flow and method
	services []flows.ServiceState
	refused  []gateway.LimitedBy
}

type routeSample struct {
	requests, client, server, seconds float64
	observed                          float64
}

func sampleOf(ctx context.Context, process *adminClient) (*sample, error) {
	s := &sample{at: time.Now(), routes: map[[3]string]*routeSample{}}
	into := func(v any) func(io.Reader) error {
		return func(r io.Reader) error { return json.NewDecoder(r).Decode(v) }
	}
	var services struct{ Services []flows.ServiceState }
	var routes struct{ Config string }
	var limits flows.LimitsState
	for path, read := range map[string]func(io.Reader) error{"/services": into(&services), "/routes": into(&routes), "/limits": into(&limits), "/metrics": s.count} {
		if err := process.get(ctx, path, read); err != nil {
			return nil, err
		}
	}
	s.config, s.services, s.refused = routes.Config, services.Services, limits.Refused
	return s, nil
}

// count reads the metrics of routes.
func (s *sample) count(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), "{")
		text, value, closed := strings.Cut(rest, "} ")
		if !ok || !closed || !strings.HasPrefix(name, "weir_http_request") {
			continue
		}
		value, _, _ = strings.Cut(value, " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		label := func(name string) string {
			_, after, _ := strings.Cut(","+text, ","+name+`="`)
			value, _, _ := strings.Cut(after, `"`)
			return value
		}
		key := [3]string{label("gateway"), label("route"), label("method")}
		route := s.routes[key]
		if route == nil {
			route = &routeSample{}
		}
		switch name {
		case "weir_http_requests_total":
			route.requests += n
			switch label("status") {
			case "4xx":
				route.client += n
			case "5xx", "aborted":
				route.server += n
			}
		case "weir_http_request_duration_seconds_sum":
			route.seconds = n
		case "weir_http_request_duration_seconds_count":
			route.observed = n
		default:
			continue
		}
		s.routes[key] = route
	}
	return lines.Err()
}

// print writes the state as tables; with one before it, what has happened since.
func (s *sample) print(w io.Writer, before *sample) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	unit, over := "", 1.
	if before != nil {
		unit, over = "/s", max(s.at.Sub(before.at).Seconds(), .001)
	}
	fmt.Fprintf(t, "config %s  %s\n\n", printable(s.config), s.at.UTC().Format(time.TimeOnly+" UTC"))
	fmt.Fprintf(t, "GATEWAY\tFLOW\tMETHOD\tREQUESTS%s\t4XX%[1]s\t5XX%[1]s\tMEAN\n", unit)
	type line struct {
		key [3]string
		routeSample
	}
	var lines []line
	for key, r := range s.routes {
		l := line{key, *r}
		if before != nil && before.routes[key] != nil {
			b := before.routes[key]
			l.requests, l.client, l.server, l.seconds, l.observed = l.requests-b.requests, l.client-b.client, l.server-b.server, l.seconds-b.seconds, l.observed-b.observed
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(b.requests, a.requests), slices.Compare(a.key[:], b.key[:]))
	})
	for _, l := range lines {
		mean := "-"
		if l.observed > 0 {
			mean = time.Duration(l.seconds / l.observed * float64(time.Second)).Round(10 * time.Microsecond).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(l.key[0]), printable(cmp.Or(l.key[1], "-")), printable(l.key[2]), rate(l.requests/over), rate(l.client/over), rate(l.server/over), mean)
	}
	fmt.Fprintf(t, "\nSERVICE\tCALLS\tIN FLIGHT\tRETRIES\tENDPOINTS\tBREAKER\tLIMIT\tWAITING\tREFUSED\n")
	for i := range s.services {
		v := &s.services[i]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t%d\n", printable(v.Service), v.Requests, v.InFlight, v.Retries, len(v.Endpoints), breakers(v), limit(v), v.Limit.Waiting, v.Limit.Refused)
	}
	if len(s.refused) > 0 {
		fmt.Fprintf(t, "\nLIMIT\tGATEWAY\tFLOW\tREFUSED\tOF\n")
	}
	for _, l := range s.refused[:min(len(s.refused), mostLimitsShown)] {
		var of []string
		for _, c := range l.Callers[:min(len(l.Callers), mostCallersShown)] {
			of = append(of, fmt.Sprintf("%s (%d)", printable(c.Caller), c.Requests))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", printable(l.Limit), printable(l.Gateway), printable(cmp.Or(l.Flow, "-")), l.Requests, strings.Join(of, ", "))
	}
	return t.Flush()
}

// How much is shown of what limits have refused.
const (
	mostLimitsShown  = 20
	mostCallersShown = 3
)

// breakers is the state of the service's own breaker, or how many of its
// endpoints' are open.
func breakers(s *flows.ServiceState) string {
	if s.Breaker != nil && s.Breaker.State != "closed" {
		return printable(s.Breaker.State)
	}
	open := 0
	for _, e := range s.Endpoints {
		if e.Breaker != nil && e.Breaker.State != "closed" {
			open++
		}
	}
	if open > 0 {
		return fmt.Sprintf("%d open", open)
	}
	return "-"
}

func limit(s *flows.ServiceState) string {
	if s.Limit.Limit == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", s.Limit.InUse, s.Limit.Limit)
}

func rate(n float64) string {
	if n == float64(int64(n)) {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

// printable keeps what a process says from commanding the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
