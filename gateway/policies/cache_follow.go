package policies

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/weir-run/weir/gateway"
)

// reader is one of those who wait for a fill: it has what came before at.
type reader struct{ at int64 }

// trim forgets what all readers of a window have. f.mu is held.
func (f *fill) trim() {
	least := f.from + int64(len(f.body))
	for r := range f.readers {
		least = min(least, r.at)
	}
	if n := least - f.from; n > 0 {
		f.body, f.from = append([]byte(nil), f.body[n:]...), least // readers may write from the old one still
	}
}

// wait waits for news; it is false when ctx ends. f.mu is held, but not meanwhile.
func (f *fill) wait(ctx context.Context) bool {
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// join makes the caller a reader, who must leave. It is false if the beginning is
// gone.
func (f *fill) join() (*reader, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given || f.streams {
		return nil, false
	}
	r := &reader{}
	f.readers[r] = struct{}{}
	return r, true
}

// leave takes a reader away. Whoever has what it came for lets an answer that
// will be stored come to its end.
func (f *fill) leave(r *reader, satisfied bool) {
	f.mu.Lock()
	delete(f.readers, r)
	if satisfied && f.meta.store {
		f.alone = true
	}
	if len(f.readers) == 0 && !f.alone && !f.done {
		f.given = true
		f.cancel()
	}
	given := f.given
	f.tell() // the window may move
	f.mu.Unlock()
	if given {
		f.store.leave(f)
	}
}

// leave takes a fill from the flights.
func (s *cacheStore) leave(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[f.flight] == f {
		delete(s.flights, f.flight)
	}
}

// fly makes the caller a reader of the fill of a flight: of one that is under
// way, or of a new one. If one has just ended, what it has stored is the answer,
// and there is no fill.
func (p *cache) fly(v *visit, flight string, prior *cached) (f *fill, r *reader, joined bool, e *cached) {
	s := p.store.It()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.flights[flight]; f != nil && !f.outdated.Load() {
		if r, ok := f.join(); ok {
			return f, r, true, nil
		}
	}
	if _, e, _ := s.find(v); e != nil && v.mayUse(e) && e.use(&v.ask, time.Now()) == useFresh {
		return nil, nil, false, e
	}
	r = &reader{}
	f = p.begin(v, flight, prior, r)
	s.flights[flight] = f
	return f, r, false, nil
}

// renew validates a stored answer that has been given meanwhile.
func (p *cache) renew(v *visit, flight string, prior *cached) {
	s := p.store.It()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[flight] == nil {
		s.flights[flight] = p.begin(v, flight, prior, nil)
	}
}

// follow answers with what a fill brings. It is false, and nothing is answered,
// for what came for somebody else and cannot be shared.
func (f *fill) follow(w http.ResponseWriter, v *visit, r *reader, joined bool) (answered bool) {
	satisfied := false
	defer func() { f.leave(r, satisfied) }()
	if !f.ready(v.r.Context(), joined) {
		v.tell(w, "fwd=miss; detail=interrupted")
		p, late := gateway.ProblemOf(v.r.Context().Err())
		if !late {
			p = gateway.Problem{Status: 499, Code: gateway.CodeClientGone}
		}
		gateway.WriteProblem(w, v.r, p)
		return true
	}
	f.mu.Lock()
	silent, status, h, m, e, broken, served := f.silent, f.status, f.header, f.meta, f.outcome, f.broken, f.served
	f.mu.Unlock()
	how := served
	if how == "" {
		how = v.fwd
		if m.store {
			how += "; stored"
		}
	}
	if joined {
		how += "; collapsed"
	}
	switch {
	case silent:
		if joined && !v.mayUse(e) {
			return false
		}
		v.count(joined)
		v.tell(w, how)
		v.give(w, e, e.told(time.Now()).age)
		return true
	case status == 0:
		panic(broken)
	case joined && !(m.store && f.v.q.Route == v.q.Route && !(m.byTTL && v.personal()) && selects(selected(m.vary, f.v.header), v.header)):
		return false
	}
	v.count(joined)
	into := w.Header()
	for name, values := range h {
		setField(into, name, values)
	}
	v.tell(w, how)
	if status == http.StatusOK && notModified(v.header, firstLine(h["Etag"]), firstLine(h["Last-Modified"]), firstLine(h["Date"])) {
		for name := range h {
			if describesBody(name) {
				delete(into, name)
			}
		}
		satisfied = true
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	w.WriteHeader(status)
	f.copyTo(w, v, r, h["Content-Length"] == nil)
	return true
}

// ready waits until the header of the answer is there, or the fill has ended. The
// flow ends by the route's deadline, too, and knows why it has no answer: who
// began it waits a moment longer for that.
func (f *fill) ready(ctx context.Context, joined bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.done && (f.status == 0 || f.silent) {
		if f.wait(ctx) {
			continue
		}
		if joined || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return false
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		ctx, joined = grace, true
	}
	return true
}

// copyTo writes the body as it comes.
func (f *fill) copyTo(w http.ResponseWriter, v *visit, r *reader, flushes bool) {
	control := http.NewResponseController(w)
	for {
		f.mu.Lock()
		for r.at == f.from+int64(len(f.body)) && !f.done {
			if flushes {
				f.mu.Unlock()
				_ = control.Flush() // what there is must not wait for what there is not
				f.mu.Lock()
				if r.at < f.from+int64(len(f.body)) || f.done {
					break
				}
			}
			if !f.wait(v.r.Context()) {
				f.mu.Unlock()
				panic(http.ErrAbortHandler) // a part must not be taken for the whole
			}
		}
		piece := f.body[r.at-f.from:]
		broken := f.broken
		f.mu.Unlock()
		if len(piece) == 0 {
			if broken != nil {
				panic(http.ErrAbortHandler)
			}
			for name, values := range f.own { // it is over: nobody else has it
				if strings.HasPrefix(name, http.TrailerPrefix) {
					w.Header()[name] = values
				}
			}
			v.q.Code, v.q.Err = f.request.Code, f.request.Err
			return
		}
		if _, err := w.Write(piece); err != nil {
			return // the client has gone
		}
		f.mu.Lock()
		r.at += int64(len(piece))
		if f.streams {
			f.tell()
		}
		f.mu.Unlock()
	}
}
