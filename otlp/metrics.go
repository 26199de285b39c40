package otlp

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Bounds of one message of metrics.
const (
	maxMessage = 1 << 20 // bytes, of all but the last points
	mostPoints = 500     // of one metric in a piece
)

// Gatherer is what metrics are read from, such as a registry of Prometheus. What
// it gives beside an error is good.
type Gatherer interface {
	Gather() ([]*dto.MetricFamily, error)
}

// Metrics sends all that a [Gatherer] has, again and again. Nothing waits in a
// queue: counts go on from the beginning, so that one which could not be sent
// until the next is due is made good by that. It has one goroutine, until
// Shutdown.
type Metrics struct {
	*sender
	from  Gatherer
	begun time.Time
	told  bool // that not all can be read
}

// NewMetrics begins to send what from has, Interval from now for the first time.
func NewMetrics(cfg Config, from Gatherer) *Metrics {
	m := &Metrics{sender: newSender(metrics, cfg), from: from, begun: time.Now()}
	go m.run()
	return m
}

func (m *Metrics) run() {
	defer close(m.done)
	tick := time.NewTicker(m.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.collect()
		case <-m.closing:
			m.collect() // what was counted until the end
			return
		}
	}
}

// collect sends what there is now, in messages that collectors take.
func (m *Metrics) collect() {
	families, err := m.from.Gather()
	if err != nil && !m.told {
		m.cfg.Log.Warn("not all metrics can be read", "error", err)
	}
	m.told = err != nil
	w := metricWriter{now: time.Now(), begun: m.begun, exponential: m.cfg.Exponential}
	until := w.now.Add(min(m.cfg.Interval, maxPatience))
	var message []byte
	points := 0
	for _, f := range families {
		for some := range slices.Chunk(f.GetMetric(), mostPoints) {
			message = w.append(message, f, some)
			if points += len(some); len(message) >= maxMessage {
				m.send(message, points, time.Until(until))
				message, points = message[:0], 0
			}
		}
	}
	if points > 0 {
		m.send(message, points, time.Until(until))
	}
}
