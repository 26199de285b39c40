package h1

import (
	"sync"
	"time"
)

// patrol comes by the lines on which something was begun, until it has ended or
// is settled. While nothing is begun it rests.
type patrol struct {
	mu      sync.Mutex
	lines   []*line
	walking []*line // the round that is being made, its room that of the next
	timer   *time.Timer
	due     bool
}

// grain is how long it takes between two visits. What lasts is settled at the
// second one.
const grain = 5 * time.Millisecond

func (p *patrol) add(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
	p.rise()
}

func (p *patrol) rise() {
	switch {
	case p.due:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(grain, p.round)
	default:
		p.timer.Reset(grain)
	}
	p.due = true
}

func (p *patrol) round() {
	p.mu.Lock()
	p.lines, p.walking = p.walking[:0], p.lines
	p.mu.Unlock()
	again, now := p.walking[:0], time.Now()
	for _, l := range p.walking {
		if l.visit(now) {
			again = append(again, l)
		}
	}
	clear(p.walking[len(again):])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, again...)
	clear(again)
	if p.due = false; len(p.lines) > 0 {
		p.rise()
	}
}
