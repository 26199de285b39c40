package h1

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlinesOfALineEndWhatTheyAreFor(t *testing.T) {
	const (
		soon = time.Millisecond
		late = time.Minute
	)
	cases := map[string]func(l *line, near net.Conn) error{
		"a read": func(l *line, _ net.Conn) error {
			l.setReadDeadline(time.Now().Add(late))
			_, err := l.read(make([]byte, 2))
			return err
		},
		"a write": func(l *line, _ net.Conn) error {
			l.setWriteDeadline(time.Now().Add(late))
			return l.write([]byte("text"))
		},
		"a read that is under way": func(l *line, _ net.Conn) error {
			time.AfterFunc(late/2, func() { l.setReadDeadline(time.Now().Add(late / 2)) })
			_, err := l.read(make([]byte, 2))
			return err
		},
		"a read after one that it ended": func(l *line, _ net.Conn) error {
			l.setReadDeadline(time.Now().Add(late / 2))
			_, _ = l.read(make([]byte, 2))
			l.setReadDeadline(time.Now().Add(late / 2))
			_, err := l.read(make([]byte, 2))
			return err
		},
		"a read after one that had longer": func(l *line, near net.Conn) error {
			l.setReadDeadline(time.Now().Add(time.Hour))
			time.AfterFunc(late/2, func() { _, _ = near.Write([]byte("x")) })
			_, _ = l.read(make([]byte, 2))
			l.setReadDeadline(time.Now().Add(late / 2))
			_, err := l.read(make([]byte, 2))
			return err
		},
		"a read after one that had less": func(l *line, near net.Conn) error {
			l.setReadDeadline(time.Now().Add(late / 2))
			time.AfterFunc(late/4, func() { _, _ = near.Write([]byte("x")) })
			_, _ = l.read(make([]byte, 2))
			l.setReadDeadline(time.Now().Add(late * 3 / 4))
			_, err := l.read(make([]byte, 2))
			return err
		},
		"a read after a watch": func(l *line, _ net.Conn) error {
			l.in = make([]byte, 1)
			l.watchSoon()
			time.Sleep(late / 2)
			l.setReadDeadline(time.Now().Add(late / 2))
			_, err := l.read(make([]byte, 2))
			return err
		},
	}
	for name, call := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				l := &line{nc: far, patrol: &patrol{}, gone: func() {}}
				defer far.Close()
				begin := time.Now()
				if err := call(l, near); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("ended by %v", err)
				}
				if took := time.Since(begin); took != late {
					t.Errorf("ended after %v", took)
				}
				l.setReadDeadline(time.Now().Add(soon))
				begin = time.Now()
				if _, err := l.read(make([]byte, 2)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) > 2*grain {
					t.Errorf("a deadline that is near ended the read by %v after %v", err, time.Since(begin))
				}
				l.setReadDeadline(time.Time{})
				time.AfterFunc(time.Hour, func() { _, _ = near.Write([]byte("x")) })
				if n, err := l.read(make([]byte, 2)); n != 1 || err != nil {
					t.Errorf("a deadline that is lifted ended the read by %v", err)
				}
			})
		})
	}
}

func TestThePatrolRestsWhenNothingIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patrol{}
		for range 3 {
			near, far := net.Pipe()
			l := &line{nc: far, patrol: p}
			go func() { _, _ = l.read(make([]byte, 2)) }()
			defer near.Close()
		}
		synctest.Wait()
		resting := func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return !p.due && len(p.lines) == 0
		}
		if resting() {
			t.Error("nobody comes by")
		}
		time.Sleep(time.Second)
		if !resting() {
			t.Error("lines on which nothing is begun are visited")
		}
	})
}

func TestADeadlineEndsReadsOfAByteAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		defer far.Close()
		dripping.Go(func() {
			for {
				if _, err := near.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(grain / 3)
			}
		})
		const limit = time.Second
		l := &line{nc: far, patrol: &patrol{}, gone: func() {}}
		begin := time.Now()
		l.setReadDeadline(begin.Add(limit))
		for time.Since(begin) < 2*limit {
			if _, err := l.read(make([]byte, 1)); err != nil {
				break
			}
		}
		if took := time.Since(begin); took < limit || took > limit+2*grain {
			t.Errorf("reads ended after %v of %v", took, limit)
		}
	})
}
