package main

import (
	"io"
	"strings"
	"testing"
)

func TestGatesAreForWeirAlone(t *testing.T) {
	for _, c := range []struct {
		job, target, name string
		value             float64
		want              string
	}{
		{"get", "weir", "cpu", 0.70, "<=0.7 ok"},
		{"get", "weir", "cpu", 0.71, "<=0.7 MISSED"},
		{"get", "hybrid", "cpu", 9, ""},
		{"routes", "weir", "cpu", 9, ""},
		{"routes", "weir, one route", "ratio to one route", 9, ""},
		{"blob", "weir", "bytes", 65535, "<65536 ok"},
		{"blob", "weir", "bytes", 65536, "<65536 MISSED"},
		{"blob", "weir", "bytes", unknown, "<65536 MISSED"},
	} {
		var r report
		if got := r.judge(c.job, c.target, c.name, c.value); got != c.want {
			t.Errorf("%s %s %s = %v: %q, want %q", c.job, c.target, c.name, c.value, got, c.want)
		}
		if missed := strings.HasSuffix(c.want, "MISSED"); (r.missed() == 1) != missed {
			t.Errorf("%s %s: %d missed", c.job, c.target, r.missed())
		}
	}
}

// A gate whose key no measurement bears would never be applied.
func TestEveryGateIsApplied(t *testing.T) {
	r := report{}
	one := summary{Median: 1}
	for _, j := range jobs() {
		x := result{Job: j.name, Target: "weir", Ratio: one}
		if j.alone != nil {
			x.OfAlone = &one
		}
		r.Results = append(r.Results, x)
	}
	for _, job := range []string{"start", "flows"} {
		r.Facts = append(r.Facts, lifeFacts(job, "weir", nil)...)
	}
	r.Facts = append(append(r.Facts, checkFact("flows", nil)), overheadFacts(overhead{})...)
	var out strings.Builder
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	if len(r.Verdict) != len(gates) {
		t.Errorf("%d of %d gates were applied:\n%s", len(r.Verdict), len(gates), out.String())
	}
}

func TestHeapCountersAreReadFromMetrics(t *testing.T) {
	got, err := parseHeap("# HELP x y\n# TYPE go_memstats_mallocs_total counter\n" +
		"go_memstats_mallocs_total 12345\ngo_memstats_alloc_bytes 7\ngo_memstats_alloc_bytes_total 1.5e+06\n")
	if want := (heap{mallocs: 12345, bytes: 1.5e6}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseHeap("go_memstats_mallocs_total 1\n"); err == nil {
		t.Error("a page without both counters was accepted")
	}
}

func TestOptions(t *testing.T) {
	for args, want := range map[string]string{
		"":                             "",
		"--jobs get,flows --rounds 1":  "",
		"--jobs get,fly":               `unknown job "fly"; there are get, post, compose, chain, blob, routes, hs256, rs256, es256, limit, cache, gzip, overhead, start, flows`,
		"--target nginx":               `unknown target "nginx"; there are weir, base, hybrid, floor`,
		"--rounds 0":                   "-rounds and -connections must be at least 1, -requests at least 0",
		"--rounds 1 surplus":           `unexpected argument "surplus"`,
		"--target floor --requests 10": "",
	} {
		got := ""
		if _, err := parseOptions(strings.Fields(args), io.Discard); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}
