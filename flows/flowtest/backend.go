package flowtest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// Backends play the services of a program, by name. One that is nil refuses
// connections.
type Backends map[string]http.Handler

// JSON always gives the same answer.
func JSON(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// Broken promises more than it sends and closes the connection.
func Broken(part string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(part)+100))
		_, _ = io.WriteString(w, part)
		panic(http.ErrAbortHandler)
	})
}

// Stall never answers: each call lasts until the caller gives up.
type Stall struct {
	Came atomic.Int32 // calls that have arrived
	Gone atomic.Int32 // those whose caller has left
}

func (s *Stall) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what comes after it is the end of the connection
	s.Came.Add(1)
	<-r.Context().Done()
	s.Gone.Add(1)
}

// Script answers call number n, from 1, with its handler number n; the last one
// answers all further calls.
type Script struct {
	Calls    atomic.Int32
	Handlers []http.Handler
}

// InTurn makes a Script.
func InTurn(handlers ...http.Handler) *Script { return &Script{Handlers: handlers} }

func (s *Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := min(int(s.Calls.Add(1)), len(s.Handlers))
	s.Handlers[n-1].ServeHTTP(w, r)
}

// Gate holds every call until the test lets it through. Calls are known by
// their path.
type Gate struct {
	mu      sync.Mutex
	waiting map[string]chan http.Handler
	arrived []string
}

func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := make(chan http.Handler, 1)
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = map[string]chan http.Handler{}
	}
	g.waiting[r.URL.Path] = c
	g.arrived = append(g.arrived, r.URL.Path)
	g.mu.Unlock()
	select {
	case h := <-c:
		h.ServeHTTP(w, r)
	case <-r.Context().Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.waiting[r.URL.Path] == c {
			delete(g.waiting, r.URL.Path)
		}
	}
}

// Waiting are the paths of the calls that are held, sorted.
func (g *Gate) Waiting() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.waiting))
}

// Arrived is how many calls have come so far.
func (g *Gate) Arrived() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.arrived)
}

// Let answers a call that is held.
func (g *Gate) Let(path string, h http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[path] <- h
	delete(g.waiting, path)
}
