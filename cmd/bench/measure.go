package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// result is what one server did in one job.
type result struct {
	Job    string `json:"job"`
	Target string `json:"target"`
	// CPU time per request, of the server, in microseconds, by round.
	CPU []float64 `json:"cpu_us"`
	// Ratio of CPU to the floor's in the same round; OfAlone to the same server's with a single route.
	Ratio   summary  `json:"ratio"`
	OfAlone *summary `json:"ratio_to_one_route,omitempty"`
	// Allocs and Bytes are allocated by the server per request; unknown where it does not publish its heap counters.
	Allocs float64 `json:"allocs"`
	Bytes  float64 `json:"bytes"`
	// Rate is in requests per second, P50 and P99 in microseconds: medians of the rounds.
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
}

// unknown stands for what could not be measured.
const unknown = -1

// contender is a server under load.
type contender struct {
	*server
	result
	load   *load
	single bool // serves the only route there is; the contender before it serves all
	before heap
	blind  bool // the heap counters cannot be read

	used, wall        time.Duration // in the round that runs
	rates, p50s, p99s []float64     // by round
}

// measure runs one job: all servers are up, their rounds take turns, the floor's first.
func (l *lab) measure(ctx context.Context, j job) (results []result, err error) {
	var list []*contender
	defer func() {
		for _, c := range list {
			if c.load != nil {
				c.load.close()
			}
			c.stop()
		}
	}()
	enter := func(name, target string, j job, single bool) error {
		c := &contender{result: result{Job: j.name, Target: name}, single: single}
		if c.server, err = l.start(target, flowsFor(target, j), serverCore); err != nil {
			return err
		}
		list = append(list, c)
		if err := l.warm(ctx, c, j); err != nil {
			return fmt.Errorf("%s, %s: %w", j.name, name, err)
		}
		return nil
	}
	if err := enter("floor", "floor", j, false); err != nil {
		return nil, err
	}
	for _, target := range l.targets {
		name := target
		if target == "floor" {
			name = "floor again"
		}
		if err := enter(name, target, j, false); err != nil {
			return nil, err
		}
		if j.alone != nil && target == "weir" {
			alone := j
			alone.flows, alone.calls = j.alone.flows, j.alone.calls
			if err := enter("weir, one route", target, alone, true); err != nil {
				return nil, err
			}
		}
	}
	if l.profile != "" {
		for _, c := range list {
			stop, fault := sample(l.profile, c)
			if fault != nil {
				return nil, fault
			}
			defer func() { err = errors.Join(err, stop()) }()
		}
	}
	for range l.rounds {
		if err := l.round(ctx, j, list); err != nil {
			return nil, err
		}
	}
	for i, c := range list {
		c.finish(l.rounds * turns * l.perTurn(j))
		c.Ratio = summarize(ratios(c.CPU, list[0].CPU))
		if c.single {
			s := summarize(ratios(list[i-1].CPU, c.CPU))
			results[i-1].OfAlone = &s
		}
		results = append(results, c.result)
	}
	return results, nil
}

func flowsFor(target string, j job) []string {
	if target != "weir" && target != "base" {
		return nil
	}
	return j.flows()
}

// turns is how often each server has its turn in a round. They are short, so that the machine's drift meets all alike.
const turns = 10

func (l *lab) perTurn(j job) int {
	n := j.requests
	if l.requests > 0 {
		n = l.requests
	}
	return max(1, n/turns)
}

// round gives every server its turns. The order stays: reversing it would give the first and the last two turns in a row,
// and with them warmer caches than the others have.
func (l *lab) round(ctx context.Context, j job, list []*contender) error {
	for range turns {
		for _, c := range list {
			if err := c.turn(ctx, l.perTurn(j)); err != nil {
				return c.blame(fmt.Errorf("%s, %s: %w", j.name, c.Target, err))
			}
		}
	}
	for _, c := range list {
		c.endRound(turns * l.perTurn(j))
	}
	return nil
}

// warm waits for the server, verifies its answers and puts it under load until pools and connections are filled.
func (l *lab) warm(ctx context.Context, c *contender, j job) error {
	if err := c.serving(ctx); err != nil {
		return err
	}
	connections := l.connections
	if j.connections > 0 {
		connections = min(connections, j.connections)
	}
	var err error
	if c.load, err = dial(c.listen, connections, j.calls); err != nil {
		return c.blame(err)
	}
	if _, err := c.load.run(ctx, max(2*l.perTurn(j), 10*connections)); err != nil {
		return c.blame(err)
	}
	c.load.latencies()
	c.before, err = settledHeap(c.admin)
	c.blind = err != nil
	return nil
}

// settledHeap is the heap counters less what reading them costs, so that reading them once more comes out even.
func settledHeap(admin string) (heap, error) {
	first, err := readHeap(admin)
	if err != nil {
		return heap{}, err
	}
	second, err := readHeap(admin)
	return heap{mallocs: 2*second.mallocs - first.mallocs, bytes: 2*second.bytes - first.bytes}, err
}

// turn makes n requests and adds up what they cost.
func (c *contender) turn(ctx context.Context, n int) error {
	start, err := cpuTime(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	wall, err := c.load.run(ctx, n)
	if err != nil {
		return err
	}
	end, err := cpuTime(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	c.used += end - start
	c.wall += wall
	return nil
}

func (c *contender) endRound(requests int) {
	c.CPU = append(c.CPU, micros(c.used)/float64(requests))
	c.rates = append(c.rates, float64(requests)/c.wall.Seconds())
	c.used, c.wall = 0, 0
	took := c.load.latencies()
	c.p50s = append(c.p50s, micros(quantile(took, 0.50)))
	c.p99s = append(c.p99s, micros(quantile(took, 0.99)))
}

func (c *contender) finish(requests int) {
	c.Allocs, c.Bytes = unknown, unknown
	if after, err := readHeap(c.admin); err == nil && !c.blind {
		c.Allocs = max(0, after.mallocs-c.before.mallocs) / float64(requests)
		c.Bytes = max(0, after.bytes-c.before.bytes) / float64(requests)
	}
	c.Rate = summarize(c.rates).Median
	c.P50 = summarize(c.p50s).Median
	c.P99 = summarize(c.p99s).Median
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
