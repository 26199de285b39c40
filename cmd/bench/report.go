package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
)

// gate is the most that a measurement of Weir may be.
type gate struct {
	limit float64
	under bool // the limit itself is too much
}

// gates by job and measurement.
var gates = map[[2]string]gate{
	{"get", "cpu"}:                            {limit: 0.70},
	{"post", "cpu"}:                           {limit: 0.75},
	{"compose", "cpu"}:                        {limit: 0.60},
	{"chain", "cpu"}:                          {limit: 0.55},
	{"blob", "cpu"}:                           {limit: 1.10},
	{"blob", "bytes"}:                         {limit: 64 << 10, under: true},
	{"routes", "ratio to one route"}:          {limit: 1.10},
	{"hs256", "cpu"}:                          {limit: 0.80},
	{"rs256", "cpu"}:                          {limit: 0.80},
	{"es256", "cpu"}:                          {limit: 0.80},
	{"limit", "cpu"}:                          {limit: 0.75},
	{"cache", "cpu"}:                          {limit: 1.10},
	{"overhead", "all policies, CPU"}:         {limit: 1.5},
	{"overhead", "all policies, allocations"}: {limit: 10},
	{"start", "start to first answer"}:        {limit: 60},
	{"start", "resident when idle"}:           {limit: 25},
	{"flows", "weir check, CPU time"}:         {limit: 1000, under: true},
	{"flows", "resident after load"}:          {limit: 100, under: true},
	{"flows", "start to first answer"}:        {limit: 1500, under: true},
}

func (g gate) holds(value float64) bool { return value < g.limit || !g.under && value == g.limit }

func (g gate) String() string {
	sign := "<="
	if g.under {
		sign = "<"
	}
	return fmt.Sprintf("%s%g", sign, g.limit)
}

// report collects what was measured.
type report struct {
	Results []result  `json:"results"`
	Facts   []fact    `json:"facts"`
	Verdict []verdict `json:"gates"`
}

// verdict is one gate applied.
type verdict struct {
	Job   string  `json:"job"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Gate  string  `json:"gate"`
	OK    bool    `json:"ok"`
}

// judge applies the gate of a measurement and says how it went; a target that is not Weir has none.
func (r *report) judge(job, target, name string, value float64) string {
	g, ok := gates[[2]string{job, name}]
	if !ok || target != "weir" {
		return ""
	}
	v := verdict{Job: job, Name: name, Value: value, Gate: g.String(), OK: value != unknown && g.holds(value)}
	r.Verdict = append(r.Verdict, v)
	if v.OK {
		return v.Gate + " ok"
	}
	return v.Gate + " MISSED"
}

func (r *report) missed() int {
	n := 0
	for _, v := range r.Verdict {
		if !v.OK {
			n++
		}
	}
	return n
}

// write prints the tables and applies the gates.
func (r *report) write(w io.Writer) error {
	r.Verdict = nil
	if len(r.Results) > 0 {
		fmt.Fprint(w, "\nCPU per request as a ratio to the floor, a hand-written net/http service, in the same run; lower is better.\n"+
			"Only ratios can be compared; absolute times are for information.\n\n")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "job\tserver\tCPU ratio\trange\tgate\tCPU us\tallocs\tbytes\treq/s\tp50 us\tp99 us\t")
		for _, x := range r.Results {
			verdict := r.judge(x.Job, x.Target, "cpu", x.Ratio.Median)
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f-%.2f\t%s\t%.1f\t%s\t%s\t%.0f\t%.0f\t%.0f\t\n",
				x.Job, x.Target, x.Ratio.Median, x.Ratio.Min, x.Ratio.Max, verdict,
				summarize(x.CPU).Median, amount(x.Allocs), amount(x.Bytes), x.Rate, x.P50, x.P99)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "job\tserver\tmeasurement\tmedian\trange\tunit\tgate\t")
	line := func(job, target, name, unit string, v summary) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.4g\t%.4g-%.4g\t%s\t%s\t\n", job, target, name, v.Median, v.Min, v.Max, unit, r.judge(job, target, name, v.Median))
	}
	lines := len(r.Facts)
	for _, x := range r.Results {
		if x.OfAlone != nil {
			line(x.Job, x.Target, "ratio to one route", "x", *x.OfAlone)
			lines++
		}
		if _, ok := gates[[2]string{x.Job, "bytes"}]; ok {
			line(x.Job, x.Target, "bytes", "B/request", summary{x.Bytes, x.Bytes, x.Bytes})
			lines++
		}
	}
	for _, f := range r.Facts {
		line(f.Job, f.Target, f.Name, f.Unit, f.Value)
	}
	if lines == 0 {
		return nil
	}
	fmt.Fprintln(w)
	if err := t.Flush(); err != nil {
		return err
	}
	if n := len(r.Verdict); n > 0 {
		fmt.Fprintf(w, "\n%d of %d gates hold\n", n-r.missed(), n)
	}
	return nil
}

func amount(v float64) string {
	if v == unknown {
		return "?"
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// save writes everything as JSON to a file.
func (r *report) save(name string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
