package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// fact is one number that is not a ratio.
type fact struct {
	Job    string  `json:"job"`
	Target string  `json:"target"`
	Name   string  `json:"name"`
	Unit   string  `json:"unit"` // ms or MB
	Value  summary `json:"value"`
}

// life starts a server several times and reports how long its first answer takes and what memory it holds.
func (l *lab) life(ctx context.Context, job, target string, flows []string, probe call, starts int) ([]fact, error) {
	var lives []life
	for range starts {
		one, err := l.live(ctx, target, flows, probe)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", job, target, err)
		}
		lives = append(lives, one)
	}
	return lifeFacts(job, target, lives), nil
}

// life is one start of a server: the time to its first answer in milliseconds, its resident memory in MB.
type life struct{ first, idle, loaded, peak float64 }

func lifeFacts(job, target string, lives []life) []fact {
	entry := func(name, unit string, of func(life) float64) fact {
		var values []float64
		for _, one := range lives {
			values = append(values, of(one))
		}
		return fact{Job: job, Target: target, Name: name, Unit: unit, Value: summarize(values)}
	}
	return []fact{
		entry("start to first answer", "ms", func(l life) float64 { return l.first }),
		entry("resident when idle", "MB", func(l life) float64 { return l.idle }),
		entry("resident after load", "MB", func(l life) float64 { return l.loaded }),
		entry("resident at its peak", "MB", func(l life) float64 { return l.peak }),
	}
}

func (l *lab) live(ctx context.Context, target string, flows []string, probe call) (m life, err error) {
	s, err := l.start(target, flows, anyCore)
	if err != nil {
		return m, err
	}
	defer s.stop()
	err = s.ready(ctx, time.Minute, 200*time.Microsecond, func() error {
		one, err := dial(s.listen, 1, []call{probe})
		if err == nil {
			m.first = millis(time.Since(s.started))
			one.close()
		}
		return err
	})
	if err != nil {
		return m, err
	}
	pause(ctx, 250*time.Millisecond)
	if m.idle, _, err = megabytes(s); err != nil {
		return m, err
	}
	many, err := dial(s.listen, l.connections, []call{probe})
	if err != nil {
		return m, s.blame(err)
	}
	defer many.close()
	if _, err := many.run(ctx, 3_000); err != nil {
		return m, s.blame(err)
	}
	m.loaded, m.peak, err = megabytes(s)
	return m, err
}

func megabytes(s *server) (now, peak float64, err error) {
	a, b, err := memory(s.cmd.Process.Pid)
	return float64(a) / 1e6, float64(b) / 1e6, err
}

// check reports the CPU time of `weir check` on the flows.
func (l *lab) check(ctx context.Context, job string, flows []string, tries int) (fact, error) {
	dir, err := l.site(flows, "127.0.0.1:1")
	if err != nil {
		return fact{}, err
	}
	var used []float64
	for range tries {
		p, err := launch(l.cores, anyCore, l.dir, []string{l.weir, "check", dir})
		if err != nil {
			return fact{}, err
		}
		select {
		case <-p.exited:
		case <-ctx.Done():
			p.stop()
			return fact{}, ctx.Err()
		case <-time.After(time.Minute):
			p.stop()
		}
		if p.err != nil {
			return fact{}, p.blame(fmt.Errorf("weir check of %d flows: %w", len(flows), p.err))
		}
		used = append(used, millis(cpuOf(p.cmd)))
	}
	return checkFact(job, used), nil
}

func checkFact(job string, used []float64) fact {
	return fact{Job: job, Target: "weir", Name: "weir check, CPU time", Unit: "ms", Value: summarize(used)}
}

func cpuOf(ended *exec.Cmd) time.Duration {
	return ended.ProcessState.UserTime() + ended.ProcessState.SystemTime()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
