package policies_test

import (
	"io"
	"net/http"
	"testing"
	"time"
)

func TestCacheIgnoresOfTheQueryWhatAnswersSay(t *testing.T) {
	search := func(value string) http.HandlerFunc {
		return says("one", "Cache-Control", fresh, "No-Vary-Search", value)
	}
	const order, tracking, product = "key-order", `params=("utm_source" "utm medium")`, `params, except=("id")`
	for _, c := range []struct {
		name, value   string
		first, second string
		same          bool
	}{
		{"No-Vary-Search 3: parameters that do not matter are ignored", tracking, "/a?x=1&utm_source=a", "/a?utm_source=b&x=1", true},
		{"No-Vary-Search 3: also where there is nothing else", tracking, "/a", "/a?utm_source=b", true},
		{"No-Vary-Search 3: others matter", tracking, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 3: their order matters", tracking, "/a?x=1&y=2", "/a?y=2&x=1", false},
		{"No-Vary-Search 3: the order may not matter", order, "/a?x=1&y=2", "/a?y=2&x=1", true},
		{"No-Vary-Search 3: but that of one name does", order, "/a?x=1&x=2", "/a?x=2&x=1", false},
		{"No-Vary-Search 3: all but some do not matter", product, "/a?id=7&x=1", "/a?y=2&id=7", true},
		{"No-Vary-Search 3: those that are excepted do", product, "/a?id=7", "/a?id=8", false},
		{"No-Vary-Search 3: nothing matters at all", "params", "/a?id=7", "/a", true},
		{"No-Vary-Search 3: what else the dictionary has is ignored", `x=(a "b";c=?0);d, params=("id");x, y=1.5`, "/a?id=7", "/a", true},
		{"No-Vary-Search 5: no boolean where there should be one", `key-order="yes"`, "/a?x=1&y=2", "/a?y=2&x=1", false},
		{"No-Vary-Search 5: what is false changes nothing", "key-order=?0, params=?0", "/a?x=1&y=2", "/a?y=2&x=1", false},
		{"No-Vary-Search 5: a list with something else than strings", `params=("x" y)`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5: neither a list nor a boolean", `params="x"`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5: except without params", `except=("y")`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5: except beside a list", `params=("x"), except=("y")`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5: except that is no list", `params, except=?1`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5: what is malformed changes nothing", `params=("x"`, "/a?x=1", "/a?x=2", false},
		{"No-Vary-Search 5.3: names are written as in a URL", `params=("%C3%A9+%E6%B0%97")`, "/a?%c3%a9%20%e6%b0%97=1", "/a?%C3%A9+%E6%B0%97=2", true},
		{"No-Vary-Search 6: escapes are decoded", order, "/a?a=x", "/a?%61=%78", true},
		{"No-Vary-Search 6: what is no UTF-8 is one and the same", order, "/a?a=%f6", "/a?a=%ef%bf%bd", true},
		{"No-Vary-Search 6: what is empty between & is nothing", order, "/a?a=x&&&&", "/a?a=x", true},
		{"No-Vary-Search 6: no value is an empty one", order, "/a?a=", "/a?a", true},
		{"No-Vary-Search 6: a plus is a space", order, "/a?a=%20", "/a?a=+", true},
		{"No-Vary-Search 6: no query is an empty one", order, "/a", "/a?", true},
		{"No-Vary-Search 6: the path matters", "params", "/a?x=1", "/b?x=1", false},
		{"No-Vary-Search 6: an equals sign in a value stays there", order, "/a?a=b%3Dc", "/a?a%3Db=c", false},
		{"No-Vary-Search 6: so does an ampersand", order, "/a?a=b%26c=d", "/a?a=b&c=d", false},
		{"No-Vary-Search 6: without the field queries are compared as they are", "", "/a?a=x", "/a?%61=x", false},
	} {
		virtual(t, c.name, "cache: {}", search(c.value), func(s *cachedSite) {
			for range 2 {
				s.ask("GET", c.first)
			}
			if s.times() != 1 {
				s.T.Errorf("what is stored is not found under its own URL: %d questions", s.times())
			}
			s.ask("GET", c.second)
			if same := s.times() == 1; same != c.same {
				s.T.Errorf("the same: %v", same)
			}
			s.ask("GET", c.first)
			s.ask("GET", c.second)
			if s.times() > 2 {
				s.T.Errorf("%d questions", s.times())
			}
		})
	}
}

func TestCacheForgetsWhatIsSharedByURLs(t *testing.T) {
	tracked := says("one", "Cache-Control", fresh, "No-Vary-Search", `params=("utm")`, "Etag", `"a"`)
	virtual(t, "No-Vary-Search 7: what was said by the path's last answer counts", "cache: {}", tracked, func(s *cachedSite) {
		s.ask("GET", "/a?x=1&utm=1")
		s.becomes(says("two", "Cache-Control", fresh, "No-Vary-Search", `params=("ref")`))
		s.wants(s.ask("GET", "/a?x=2&utm=1"), 200, "two", 2)
		s.wants(s.ask("GET", "/a?x=1&utm=1"), 200, "two", 3)
		s.becomes(says("three", "Cache-Control", fresh, "No-Vary-Search", `params=("utm")`))
		s.wants(s.ask("GET", "/a?x=3"), 200, "three", 4)
		s.wants(s.ask("GET", "/a?x=1&utm=2"), 200, "three", 5)
	})
	virtual(t, "No-Vary-Search 7: an answer that does not say is for its URL alone", "cache: {}", tracked, func(s *cachedSite) {
		s.ask("GET", "/a?x=1&utm=1")
		s.becomes(says("plain", "Cache-Control", fresh))
		s.wants(s.ask("GET", "/a?x=2"), 200, "plain", 2)
		s.wants(s.ask("GET", "/a?x=2&utm=1"), 200, "plain", 3)
		s.wants(s.ask("GET", "/a?x=2"), 200, "plain", 3)
		s.wants(s.ask("GET", "/a?x=1"), 200, "one", 3)
	})
	virtual(t, "RFC 9111 4.4: a change makes what several URLs share invalid", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			tracked(w, r)
		}
	}, func(s *cachedSite) {
		s.ask("GET", "/a?x=1&utm=1")
		s.ask("PUT", "/a?x=1&utm=7")
		s.wants(s.ask("GET", "/a?x=1&utm=1"), 200, "one", 3)
		s.ask("PUT", "/a?x=2")
		s.wants(s.ask("GET", "/a?x=1"), 200, "one", 4)
	})
	virtual(t, "what several URLs share is validated for all of them", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			saying(304, "", "Etag", `"a"`)(w, r)
			return
		}
		tracked(w, r)
	}, func(s *cachedSite) {
		s.ask("GET", "/a?utm=1")
		time.Sleep(61 * time.Second)
		s.wants(s.ask("GET", "/a?utm=2"), 200, "one", 2)
		s.wants(s.ask("GET", "/a"), 200, "one", 2)
	})
	virtual(t, "what several URLs share has its variants", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Header().Set("No-Vary-Search", "params")
		w.Header().Set("Vary", "Accept-Language")
		_, _ = io.WriteString(w, r.Header.Get("Accept-Language"))
	}, func(s *cachedSite) {
		s.ask("GET", "/a?utm=1", "Accept-Language", "de")
		s.wants(s.ask("GET", "/a?utm=2", "Accept-Language", "en"), 200, "en", 2)
		s.wants(s.ask("GET", "/a?utm=3", "Accept-Language", "de"), 200, "de", 2)
		s.wants(s.ask("GET", "/a?utm=4", "Accept-Language", "en"), 200, "en", 2)
	})
	virtual(t, "by keeps callers apart whatever several URLs share", `cache: { by: '$(headers["X-Who"])' }`, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Header().Set("No-Vary-Search", "params")
		_, _ = io.WriteString(w, r.Header.Get("X-Who"))
	}, func(s *cachedSite) {
		for i, who := range []string{"ada", "bob", "ada", "bob"} {
			s.wants(s.ask("GET", "/a?n="+string(rune('a'+i)), "X-Who", who), 200, who, min(i+1, 2))
		}
	})
}
