package policies_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// held is an origin that says nothing until it is let.
type held struct {
	let   chan struct{}
	serve http.HandlerFunc
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-h.let:
		h.serve(w, r)
	case <-r.Context().Done():
	}
}

func together(t *testing.T, name string, serve http.HandlerFunc, test func(s *cachedSite, let func())) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := &held{make(chan struct{}), serve}
			s := openShop(t, "cache: {}", h.ServeHTTP)
			test(s, func() { synctest.Wait(); close(h.let) })
		})
	})
}

// all sends requests at once and gives the answers in their order.
func (s *cachedSite) all(let func(), headers ...[]string) []reply {
	out := make([]reply, len(headers))
	var wait sync.WaitGroup
	for i, header := range headers {
		wait.Go(func() { out[i] = s.get(header...) })
		synctest.Wait() // the first begins
	}
	let()
	wait.Wait()
	return out
}

func TestCacheSharesMisses(t *testing.T) {
	none := []string(nil)
	together(t, "of those that can share", says("one", "Cache-Control", fresh), func(s *cachedSite, let func()) {
		got := s.all(let, none, none, none)
		s.wants(got[0], 200, "one", 1)
		s.wants(got[2], 200, "one", 1)
		if got[1].header.Get("Cache-Status") != "weir; fwd=uri-miss; stored; collapsed" || got[1].header.Get("X-Request-Id") == got[0].header.Get("X-Request-Id") {
			s.T.Error(got[1].header)
		}
	})
	together(t, "not of what is one caller's own", says("own", "Cache-Control", "private, max-age=60"), func(s *cachedSite, let func()) {
		s.all(let, none, none, none)
		if s.times() != 3 {
			s.T.Errorf("%d questions", s.times())
		}
		s.get() // what is known to be private does not wait
		if got := s.get(); got.header.Get("Cache-Status") != "weir; fwd=uri-miss" {
			s.T.Error(got.header)
		}
	})
	together(t, "not of requests with credentials", says("own", "Cache-Control", fresh), func(s *cachedSite, let func()) {
		s.all(let, []string{"Authorization", "a"}, []string{"Authorization", "b"})
		if s.times() != 2 {
			s.T.Errorf("%d questions", s.times())
		}
	})
	together(t, "not of other variants", variant("Accept-Language"), func(s *cachedSite, let func()) {
		got := s.all(let, []string{"Accept-Language", "de"}, []string{"Accept-Language", "en"}, []string{"Accept-Language", "de"}, []string{"Accept-Language", "en"})
		for i, want := range []string{"de", "en", "de", "en"} {
			if got[i].body != want {
				s.T.Errorf("%s, not %s", got[i].body, want)
			}
		}
		if s.times() != 2 {
			s.T.Errorf("%d questions", s.times())
		}
	})
	together(t, "not of failures", saying(503, "down"), func(s *cachedSite, let func()) {
		for _, got := range s.all(let, none, none) {
			if got.status != 503 {
				s.T.Error(got)
			}
		}
	})
	together(t, "also if the one who began goes", says("one", "Cache-Control", fresh), func(s *cachedSite, let func()) {
		ctx, cancel := context.WithCancel(s.T.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			resp, err := s.Client.Do(s.Request("GET", "/thing", "").WithContext(ctx))
			if err == nil {
				_ = resp.Body.Close()
			}
		})
		synctest.Wait()
		wait.Go(func() { s.wants(s.get(), 200, "one", 1) })
		synctest.Wait()
		cancel()
		let()
		wait.Wait()
	})
	together(t, "but the origin is left in peace when all have gone", says("one", "Cache-Control", fresh), func(s *cachedSite, let func()) {
		ctx, cancel := context.WithCancel(s.T.Context())
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				resp, err := s.Client.Do(s.Request("GET", "/thing", "").WithContext(ctx))
				if err == nil {
					_ = resp.Body.Close()
				}
			})
		}
		synctest.Wait()
		cancel()
		wait.Wait()
		time.Sleep(time.Second) // short calls are not watched
		if err := s.last().Context().Err(); err == nil {
			s.T.Error("it still works for nobody")
		}
		let()
		s.wants(s.get(), 200, "one", 2)
	})
	together(t, "who asks after a change does not get what was asked for before", says("old", "Cache-Control", fresh), func(s *cachedSite, let func()) {
		var wait sync.WaitGroup
		wait.Go(func() { s.get() })
		synctest.Wait()
		s.becomes(saying(200, "changed"))
		s.ask("PUT", "/thing")
		let()
		wait.Wait()
		s.becomes(says("new", "Cache-Control", fresh))
		s.wants(s.get(), 200, "new", 3)
	})
}

func TestCacheStreamsToAllWhoWait(t *testing.T) {
	pieces := func(n int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Add(header[i], header[i+1])
			}
			for range n {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<10))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	read := func(s *cachedSite) (first time.Duration, body []byte, err error) {
		start := time.Now()
		resp, err := s.Client.Do(s.Request("GET", "/thing", ""))
		if err != nil {
			return 0, nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		one := make([]byte, 1)
		_, _ = io.ReadFull(resp.Body, one)
		first = time.Since(start)
		rest, err := io.ReadAll(resp.Body)
		return first, append(one, rest...), err
	}
	for _, c := range []struct {
		name   string
		pieces int
		header []string
		asked  int
	}{
		{"what will be stored", 10, []string{"Cache-Control", fresh}, 1},
		{"what turns out to be too large", 40, []string{"Cache-Control", fresh}, 1},
		{"what announces that it is", 40, []string{"Cache-Control", fresh, "Content-Length", strconv.Itoa(40 * 64 << 10)}, 3},
		{"what may not be stored", 10, nil, 3},
	} {
		virtual(t, c.name, "cache: {}", pieces(c.pieces, c.header...), func(s *cachedSite) {
			var wait sync.WaitGroup
			for range 3 {
				wait.Go(func() {
					first, body, err := read(s)
					if first > time.Second || err != nil || len(body) != c.pieces*64<<10 {
						s.T.Errorf("the first byte after %v, %d in all: %v", first, len(body), err)
					}
				})
			}
			wait.Wait()
			if s.times() != c.asked {
				s.T.Errorf("%d questions, not %d", s.times(), c.asked)
			}
		})
	}
	virtual(t, "RFC 9111 3.3: an answer shorter than its Content-Length is not stored", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		says("part", "Cache-Control", fresh)(w, r)
	}, func(s *cachedSite) {
		for i := range 2 {
			if _, body, err := read(s); err == nil || s.times() <= i {
				s.T.Errorf("a part was taken for the whole: %s", body)
			}
		}
	})
	virtual(t, "what breaks off is not stored, and is broken for all", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Second)
		panic(http.ErrAbortHandler)
	}, func(s *cachedSite) {
		for range 2 {
			if _, body, err := read(s); err == nil {
				s.T.Errorf("a part was taken for the whole: %s", body)
			}
		}
		if s.times() < 2 {
			s.T.Error("it was stored")
		}
	})
	virtual(t, "a deadline ends it with a problem", "cache: {}", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(s *cachedSite) {
		if got := s.get(); got.status != 504 || got.problem.Code != "deadline-exceeded" && got.problem.Code != "upstream-timeout" {
			s.T.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestCacheOutlivesReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, "cache: { stale_while_revalidate: 1h }", says("one", "Cache-Control", fresh))
		s.get()
		text := strings.Replace(passes, "%s", "cache: { stale_while_revalidate: 1h }", 1)
		for range 3 {
			if err := s.Apply(text + "---\nflow: more\ntrigger: { http: GET /more }\nsteps: [{ return: 1 }]\n"); err != nil {
				t.Fatal(err)
			}
		}
		s.wants(s.get(), 200, "one", 1)
		time.Sleep(61 * time.Second)
		s.becomes(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if got := s.get(); got.body != "one" { // and it is renewed behind it, which the program's end does not wait for
			t.Errorf("%d %s", got.status, got.body)
		}
		if err := s.Apply(text); err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(strings.Replace(passes, "%s", "cache: { ttl: 1s }", 1)); err != nil {
			t.Fatal(err)
		}
		s.becomes(says("two", "Cache-Control", fresh))
		if got := s.get(); got.body != "two" {
			t.Errorf("another policy has the answers of this one: %s", got.body)
		}
	})
}
