package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
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
		token    string
	)
	cmd := &cobra.Command{
		Use:   "top [ADDRESS]",
		Short: "Watch the routes and services of a running process",
		Long: `Shows, at the admin address of a running process, what its routes are asked for and
how they answer, and how its services are: what is under way, which breakers are
open, what limits hold back. It is drawn anew every --interval, until it is
interrupted; with --once it is printed once, with totals in place of rates.

Without an ADDRESS it is ` + gateway.DefaultAdminAddr + `.`,
		Example: `  weir top
  weir top 10.0.0.7:9900 --token /run/secrets/ADMIN_TOKEN
  weir top --once`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("takes one address")
			}
			if interval < 100*time.Millisecond {
				return usagef("--interval must be 100ms at least")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			source := adminSource{address: gateway.DefaultAdminAddr}
			if len(args) > 0 {
				source.address = args[0]
			}
			if token != "" {
				text, err := os.ReadFile(token)
				if err != nil {
					return fmt.Errorf("--token: %w", err)
				}
				source.token = strings.TrimSpace(string(text))
			}
			if once {
				now, err := source.sample(cmd.Context())
				if err != nil {
					return err
				}
				return now.print(p.stdout, nil)
			}
			if !p.terminal(p.stdout) {
				return usagef("draws on a terminal, and this is none: --once prints it once")
			}
			return p.watchTop(cmd.Context(), source, interval)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print it once")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "how often it is drawn anew")
	cmd.Flags().StringVar(&token, "token", "", "a `file` with the admin token of the process")
	return cmd
}

// watchTop draws until someone interrupts it.
func (p *process) watchTop(ctx context.Context, source adminSource, interval time.Duration) error {
	signals, stop := p.notify()
	defer stop()
	var before *sample
	for {
		now, err := source.sample(ctx)
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

// adminSource is the admin address of a process.
type adminSource struct{ address, token string }

// sample is what a process says at one time.
type sample struct {
	at       time.Time
	config   string
	routes   map[[3]string]*routeSample // by gateway, flow and method
	services []flows.ServiceState
}

type routeSample struct {
	requests, client, server, seconds float64
	observed                          float64
}

func (a adminSource) get(ctx context.Context, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+path, nil)
	if err != nil {
		return usagef("%q is not an address such as %s", a.address, gateway.DefaultAdminAddr)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no process answers: %w (its log says which address its admin endpoints have)", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%s asks for its token: --token FILE", a.address)
	default:
		return fmt.Errorf("%s answered with status %d: it is not the admin address of a weir run", a.address, resp.StatusCode)
	}
	const most = 64 << 20 // bytes
	if err := read(io.LimitReader(resp.Body, most)); err != nil {
		return fmt.Errorf("what %s answered to %s: %w", a.address, path, err)
	}
	return nil
}

func (a adminSource) sample(ctx context.Context) (*sample, error) {
	s := &sample{at: time.Now(), routes: map[[3]string]*routeSample{}}
	into := func(v any) func(io.Reader) error {
		return func(r io.Reader) error { return json.NewDecoder(r).Decode(v) }
	}
	var services struct{ Services []flows.ServiceState }
	var routes struct{ Config string }
	for path, read := range map[string]func(io.Reader) error{"/services": into(&services), "/routes": into(&routes), "/metrics": s.count} {
		if err := a.get(ctx, path, read); err != nil {
			return nil, err
		}
	}
	s.config, s.services = routes.Config, services.Services
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
	return t.Flush()
}

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
