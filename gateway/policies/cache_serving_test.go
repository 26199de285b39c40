package policies_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// variant is what an answer is called that depends on the headers named.
func variant(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Header()["Vary"] = names
		var all []string
		for _, name := range names {
			all = append(all, r.Header.Get(name))
		}
		_, _ = io.WriteString(w, strings.Join(all, " "))
	}
}

func TestCacheVary(t *testing.T) {
	const lang = "Accept-Language"
	for _, c := range []struct {
		name          string
		first, second []string
		same          bool
	}{
		{"RFC 9111 4.1: equal values match", []string{lang, "de"}, []string{lang, "de"}, true},
		{"RFC 9111 4.1: other values do not", []string{lang, "de"}, []string{lang, "en"}, false},
		{"RFC 9111 4.1: an absent field matches an absent one", nil, nil, true},
		{"RFC 9111 4.1: an absent field does not match an empty one", nil, []string{"X-Any", ""}, false},
		{"RFC 9111 4.1: whitespace between members does not matter", []string{lang, "de,en"}, []string{lang, "de , en"}, true},
		{"RFC 9111 4.1: lines of one field are one list", []string{lang, "de, en"}, []string{lang, "de", lang, "en"}, true},
		{"RFC 9111 4.1: languages do not depend on case", []string{lang, "de-AT"}, []string{lang, "DE-at"}, true},
		{"RFC 9111 4.1: values of other fields do", []string{"X-Any", "a"}, []string{"X-Any", "A"}, false},
		{"RFC 9111 4.1: codings match in any order and weight", []string{"Accept-Encoding", "gzip, br;q=0.5"}, []string{"Accept-Encoding", "br, GZIP"}, true},
		{"RFC 9111 4.1: but not one that is not taken", []string{"Accept-Encoding", "gzip"}, []string{"Accept-Encoding", "gzip, br;q=0"}, false},
	} {
		virtual(t, c.name, "cache: {}", variant(lang, "X-Any", "Accept-Encoding"), func(s *cachedSite) {
			s.get(c.first...)
			s.get(c.second...)
			if same := s.times() == 1; same != c.same {
				s.T.Errorf("the same answer: %v", same)
			}
		})
	}
	virtual(t, "RFC 9111 4.1: variants are kept beside each other", "cache: {}", variant(lang), func(s *cachedSite) {
		for range 3 {
			s.wants(s.get(lang, "de"), 200, "de", max(s.times(), 1))
			s.wants(s.get(lang, "en"), 200, "en", 2)
		}
	})
	virtual(t, "RFC 9111 4.1: an answer that names what it depends on goes before one that does not", "cache: {}", variant(lang), func(s *cachedSite) {
		s.get(lang, "de")
		s.becomes(says("all", "Cache-Control", fresh))
		s.get(lang, "en")
		s.wants(s.get(lang, "de"), 200, "de", 2)
		s.wants(s.get(lang, "fr"), 200, "all", 2)
	})
	virtual(t, "RFC 9111 4: of several that match the one with the latest Date is given", "cache: {}", variant(lang), func(s *cachedSite) {
		s.get(lang, "de", "X-Kind", "a")
		s.becomes(says("older", "Cache-Control", fresh, "Vary", "X-Kind", "Date", "Fri, 31 Dec 1999 23:59:50 GMT"))
		s.get(lang, "en", "X-Kind", "a")
		s.wants(s.get(lang, "de", "X-Kind", "a"), 200, "de", 2)
		s.becomes(says("newer", "Cache-Control", fresh, "Vary", "X-Kind", "Date", "Sat, 01 Jan 2000 00:00:10 GMT"))
		s.get(lang, "en", "X-Kind", "b")
		s.get(lang, "de", "X-Kind", "b")
		s.wants(s.get(lang, "de", "X-Kind", "b"), 200, "newer", 3)
	})
	virtual(t, "RFC 9111 4.1: Cache-Status tells a variant that is missing", "cache: {}", variant(lang), func(s *cachedSite) {
		s.get(lang, "de")
		if got := s.get(lang, "en").header.Get("Cache-Status"); got != "weir; fwd=vary-miss; stored" {
			s.T.Error(got)
		}
	})
}

func TestCacheAnswersConditions(t *testing.T) {
	const yesterday, today = "Fri, 31 Dec 1999 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"
	whole := says("0123456789", "Cache-Control", fresh, "Etag", `"a"`, "Last-Modified", yesterday, "Content-Type", "text/x")
	weak := says("0123456789", "Cache-Control", fresh, "Etag", `W/"a"`)
	undated := says("0123456789", "Cache-Control", fresh)
	for _, c := range []struct {
		name   string
		serve  http.HandlerFunc
		asks   []string
		status int
		body   string
	}{
		{"RFC 9111 4.3.2: If-None-Match with the stored tag is a 304", whole, []string{"If-None-Match", `"a"`}, 304, ""},
		{"RFC 9111 4.3.2: with another it is the answer", whole, []string{"If-None-Match", `"b"`}, 200, "0123456789"},
		{"RFC 9111 4.3.2: one of several is enough", whole, []string{"If-None-Match", `"b, c", W/"a"`}, 304, ""},
		{"RFC 9111 4.3.2: * matches what is stored", whole, []string{"If-None-Match", `*`}, 304, ""},
		{"RFC 9110 8.8.3.2: weak tags match weakly", weak, []string{"If-None-Match", `"a"`}, 304, ""},
		{"RFC 9111 4.3.2: If-None-Match goes before If-Modified-Since", whole, []string{"If-None-Match", `"b"`, "If-Modified-Since", today}, 200, "0123456789"},
		{"RFC 9111 4.3.2: If-Modified-Since after Last-Modified is a 304", whole, []string{"If-Modified-Since", yesterday}, 304, ""},
		{"RFC 9111 4.3.2: before it is the answer", whole, []string{"If-Modified-Since", "Thu, 30 Dec 1999 00:00:00 GMT"}, 200, "0123456789"},
		{"RFC 9111 4.3.2: without Last-Modified the Date counts", undated, []string{"If-Modified-Since", today}, 304, ""},
		{"RFC 9111 4.3.2: a date that is none is ignored", whole, []string{"If-Modified-Since", "soon"}, 200, "0123456789"},
		{"RFC 9110 14.2: a part of the stored answer", whole, []string{"Range", "bytes=2-4"}, 206, "234"},
		{"RFC 9110 14.2: from somewhere to the end", whole, []string{"Range", "bytes=7-"}, 206, "789"},
		{"RFC 9110 14.2: the last ones", whole, []string{"Range", "bytes=-2"}, 206, "89"},
		{"RFC 9110 14.2: more than there is", whole, []string{"Range", "bytes=8-99"}, 206, "89"},
		{"RFC 9110 14.2: another unit is ignored", whole, []string{"Range", "lines=1-2"}, 200, "0123456789"},
		{"RFC 9110 14.2: so are several ranges", whole, []string{"Range", "bytes=0-1,3-4"}, 200, "0123456789"},
		{"RFC 9110 14.2: so is what is malformed", whole, []string{"Range", "bytes=4-2"}, 200, "0123456789"},
		{"RFC 9110 13.1.5: If-Range with the tag gives the part", whole, []string{"Range", "bytes=0-0", "If-Range", `"a"`}, 206, "0"},
		{"RFC 9110 13.1.5: with another the whole", whole, []string{"Range", "bytes=0-0", "If-Range", `"b"`}, 200, "0123456789"},
		{"RFC 9110 13.1.5: a weak tag is not good enough", weak, []string{"Range", "bytes=0-0", "If-Range", `W/"a"`}, 200, "0123456789"},
		{"RFC 9110 13.1.5: with the time gives the part", whole, []string{"Range", "bytes=0-0", "If-Range", yesterday}, 206, "0"},
		{"RFC 9110 13.2.2: a 304 goes before the part", whole, []string{"Range", "bytes=0-0", "If-None-Match", `"a"`}, 304, ""},
	} {
		virtual(t, c.name, "cache: {}", c.serve, func(s *cachedSite) {
			s.get()
			got := s.get(c.asks...)
			s.wants(got, c.status, c.body, 1)
			if c.status == 304 && (got.header.Get("Content-Type") != "" || got.header.Get("Cache-Control") == "" || got.header.Get("Date") == "" || got.header.Get("Age") != "0") {
				s.T.Errorf("RFC 9110 15.4.5: %v", got.header)
			}
		})
	}
	virtual(t, "RFC 9110 14.4: a part that is not there is a 416", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		got := s.get("Range", "bytes=10-")
		if got.status != 416 || got.header.Get("Content-Range") != "bytes */10" || got.problem.Code != "range-not-satisfiable" {
			s.T.Errorf("%d %v %s", got.status, got.header, got.body)
		}
	})
	virtual(t, "RFC 9110 14.2: Range of a HEAD is ignored", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		if got := s.ask("HEAD", "/thing", "Range", "bytes=0-1"); got.status != 200 || got.header.Get("Content-Length") != "10" || s.times() != 1 {
			s.T.Errorf("%d %v", got.status, got.header)
		}
	})
	full := says("0123456789", "Cache-Control", fresh, "Content-Location", "/one", "Etag", `"a"`, "Expires", "Sat, 01 Jan 2000 00:01:00 GMT", "Vary", "Accept", "Date", "Sat, 01 Jan 2000 00:00:00 GMT")
	for name, c := range map[string]struct {
		status int
		header []string
	}{
		"RFC 9110 15.3.7: a part has the fields of the whole": {206, []string{"Range", "bytes=1-2"}},
		"RFC 9110 15.4.5: a 304 has the fields of the whole":  {304, []string{"If-None-Match", `"a"`}},
	} {
		virtual(t, name, "cache: {}", full, func(s *cachedSite) {
			whole, got := s.get(), s.get(c.header...)
			for _, field := range []string{"Cache-Control", "Content-Location", "Etag", "Expires", "Vary", "Date"} {
				if got.header.Get(field) == "" || got.header.Get(field) != whole.header.Get(field) {
					s.T.Errorf("%s: %q, not %q", field, got.header.Get(field), whole.header.Get(field))
				}
			}
			if got.status != c.status || s.times() != 1 {
				s.T.Errorf("%d after %d questions", got.status, s.times())
			}
		})
	}
	virtual(t, "RFC 9111 4.3.2: conditions that only the origin can judge go to it", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		for i, name := range []string{"If-Match", "If-Unmodified-Since"} {
			s.get(name, `"a"`)
			if s.times() != 2+i || s.last().Header.Get(name) == "" {
				s.T.Errorf("%s: %d questions", name, s.times())
			}
		}
	})
	virtual(t, "RFC 9111 4.3.1: the origin is asked for the whole when nothing is stored", "cache: {}", whole, func(s *cachedSite) {
		s.wants(s.get("If-None-Match", `"a"`), 304, "", 1)
		if got := s.last().Header.Get("If-None-Match"); got != "" {
			s.T.Errorf("it saw %s", got)
		}
		s.wants(s.get(), 200, "0123456789", 1)
	})
	virtual(t, "RFC 9111 3.3: a part that is asked for is not stored", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	}, func(s *cachedSite) {
		s.wants(s.get("Range", "bytes=0-1"), 206, "01", 1)
		s.wants(s.get(), 200, "0123456789", 2)
		s.wants(s.get("Range", "bytes=0-1"), 206, "01", 2)
	})
	virtual(t, "RFC 9111 4.3.5: HEAD is answered from a stored GET", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		got := s.ask("HEAD", "/thing")
		s.wants(got, 200, "", 1)
		if got.header.Get("Content-Length") != "10" {
			s.T.Error(got.header)
		}
	})
	virtual(t, "RFC 9111 4: a HEAD does not store a GET", "cache: {}", whole, func(s *cachedSite) {
		s.ask("HEAD", "/thing")
		s.wants(s.get(), 200, "0123456789", 2)
	})
	virtual(t, "RFC 9111 4.3.5: a HEAD that tells of another answer makes the stored one invalid", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		s.becomes(says("01234", "Cache-Control", fresh, "Etag", `"b"`))
		s.ask("HEAD", "/thing", "Cache-Control", "no-cache")
		s.wants(s.get(), 200, "01234", 3)
	})
	virtual(t, "RFC 9111 4.3.5: one that tells of the same freshens it", "cache: {}", whole, func(s *cachedSite) {
		s.get()
		time.Sleep(50 * time.Second)
		s.ask("HEAD", "/thing", "Cache-Control", "no-cache")
		time.Sleep(50 * time.Second)
		s.wants(s.get(), 200, "0123456789", 2)
	})
	virtual(t, "RFC 9111 5.2.1.7: only-if-cached is answered with what is stored", "cache: {}", whole, func(s *cachedSite) {
		got := s.get("Cache-Control", "only-if-cached")
		if got.status != 504 || got.problem.Code != "not-cached" || s.times() != 0 {
			s.T.Errorf("%d %s", got.status, got.body)
		}
		s.get()
		s.wants(s.get("Cache-Control", "only-if-cached"), 200, "0123456789", 1)
	})
}

func TestCacheValidates(t *testing.T) {
	tagged := func(body, tag string, more ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", fresh)
			w.Header().Set("Etag", tag)
			if r.Header.Get("If-None-Match") == tag {
				saying(304, "", more...)(w, r)
				return
			}
			saying(200, body)(w, r)
		}
	}
	virtual(t, "RFC 9111 4.3.3: a 304 makes the stored answer fresh", "cache: {}", tagged("one", `"a"`, "X-New", "1"), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		got := s.get()
		s.wants(got, 200, "one", 2)
		if got.header.Get("Cache-Status") != "weir; fwd=stale; fwd-status=304" || got.header.Get("Age") != "0" {
			s.T.Error(got.header)
		}
		if s.last().Header.Get("If-None-Match") != `"a"` {
			s.T.Error("RFC 9111 4.3.1: the tag was not sent")
		}
		time.Sleep(59 * time.Second)
		again := s.get()
		s.wants(again, 200, "one", 2)
		if again.header.Get("X-New") != "1" {
			s.T.Error("RFC 9111 3.2: what the 304 says is not part of the stored answer")
		}
	})
	virtual(t, "RFC 9111 4.3.3: another answer takes its place", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(tagged("two", `"b"`))
		s.wants(s.get(), 200, "two", 2)
		s.wants(s.get(), 200, "two", 2)
	})
	virtual(t, "RFC 9111 4.3.4: a 304 about another answer updates nothing", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				saying(304, "", "Etag", `"z"`)(w, r)
				return
			}
			saying(200, "two", "Cache-Control", fresh)(w, r)
		})
		s.wants(s.get(), 200, "two", 3)
	})
	virtual(t, "RFC 9111 4.3.4: a 304 with a strong tag does not update an answer with a weak one", "cache: {}", tagged("one", `W/"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				saying(304, "", "Etag", `"a"`)(w, r)
				return
			}
			saying(200, "two", "Cache-Control", fresh)(w, r)
		})
		s.wants(s.get(), 200, "two", 3)
	})
	virtual(t, "RFC 9111 4.3.4: a 304 with a weak tag updates the answer with that tag", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(saying(304, "", "Etag", `W/"a"`, "Cache-Control", fresh))
		s.wants(s.get(), 200, "one", 2)
		s.wants(s.get(), 200, "one", 2)
	})
	virtual(t, "RFC 9111 3.2: a 304 replaces fields and adds others", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			saying(304, "", "Etag", `"a"`, "X-Old", "2", "X-New", "1", "Cache-Control", "max-age=100")(w, r)
			return
		}
		saying(200, "one", "Etag", `"a"`, "X-Old", "1", "X-Old", "one", "X-Kept", "1", "Cache-Control", fresh)(w, r)
	}, func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.get()
		time.Sleep(99 * time.Second)
		got := s.get()
		s.wants(got, 200, "one", 2)
		if h := got.header; len(h.Values("X-Old")) != 1 || h.Get("X-Old") != "2" || h.Get("X-New") != "1" || h.Get("X-Kept") != "1" {
			s.T.Error(h)
		}
	})
	virtual(t, "RFC 9111 5.2.2.2: must-revalidate is an error if the origin cannot be reached", "cache: { stale_if_error: 1h }", says("one", "Cache-Control", "max-age=60, must-revalidate"), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if got := s.get(); got.status != 502 {
			s.T.Errorf("%d %s", got.status, got.body)
		}
	})
	virtual(t, "RFC 9111 4.3.3: a failure is passed on", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(saying(503, "down"))
		s.wants(s.get(), 503, "down", 2)
		s.becomes(tagged("one", `"a"`))
		s.wants(s.get(), 200, "one", 3)
	})
	virtual(t, "RFC 9111 4.3.1: Last-Modified validates, too", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		http.ServeContent(w, r, "", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), strings.NewReader("one"))
	}, func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.wants(s.get(), 200, "one", 2)
		if s.last().Header.Get("If-Modified-Since") != "Fri, 01 Jan 1999 00:00:00 GMT" {
			s.T.Error(s.last().Header)
		}
	})
	virtual(t, "RFC 9111 4.3.1: what the caller has is not what the cache asks about", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.wants(s.get("If-None-Match", `"caller"`), 200, "one", 2)
		if got := s.last().Header.Get("If-None-Match"); got != `"a"` {
			s.T.Error(got)
		}
		s.wants(s.get("If-None-Match", `"a"`), 304, "", 2)
	})
	virtual(t, "RFC 9111 5.2.2.2: must-revalidate is validated when stale, or fails", "cache: { stale_if_error: 1h }", says("one", "Cache-Control", "max-age=60, must-revalidate", "Etag", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(saying(504, "gone"))
		s.wants(s.get(), 504, "gone", 2)
	})
	virtual(t, "RFC 5861 3: a stale answer is given while a new one is asked for", "cache: {}", says("one", "Cache-Control", "max-age=60, stale-while-revalidate=30"), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(says("two", "Cache-Control", "max-age=60, stale-while-revalidate=30"))
		if got := s.get(); got.body != "one" || got.header.Get("Cache-Status") != "weir; hit; ttl=-1" {
			s.T.Errorf("%s %v", got.body, got.header)
		}
		time.Sleep(time.Second)
		s.wants(s.get(), 200, "two", 2)
		time.Sleep(91 * time.Second)
		s.wants(s.get(), 200, "two", 3)
	})
	virtual(t, "RFC 5861 4: a stale answer is better than a failure", "cache: {}", says("one", "Cache-Control", "max-age=60, stale-if-error=60"), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(saying(500, "down"))
		got := s.get()
		s.wants(got, 200, "one", 2)
		if got.header.Get("Cache-Status") != "weir; fwd=stale; fwd-status=500; detail=stale-if-error" {
			s.T.Error(got.header)
		}
		time.Sleep(60 * time.Second)
		s.wants(s.get(), 500, "down", 3)
	})
	virtual(t, "RFC 5861 4: also if the origin cannot be reached, where the author says so", "cache: { stale_if_error: 1h }", says("one", "Cache-Control", fresh), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if got := s.get(); got.status != 200 || got.body != "one" {
			s.T.Errorf("%d %s", got.status, got.body)
		}
	})
	virtual(t, "an answer that may not be shared any more is forgotten", "cache: {}", tagged("one", `"a"`), func(s *cachedSite) {
		s.get()
		time.Sleep(61 * time.Second)
		s.becomes(says("own", "Cache-Control", "private"))
		s.wants(s.get(), 200, "own", 2)
		s.wants(s.get("Cache-Control", "max-stale"), 200, "own", 3)
	})
}

func TestCacheInvalidates(t *testing.T) {
	for _, c := range []struct {
		name    string
		method  string
		path    string
		status  int
		header  []string
		forgets bool
	}{
		{"RFC 9111 4.4: PUT makes what is stored of its URL invalid", "PUT", "/thing", 200, nil, true},
		{"RFC 9111 4.4: so does POST", "POST", "/thing", 201, nil, true},
		{"RFC 9111 4.4: and DELETE", "DELETE", "/thing", 204, nil, true},
		{"RFC 9111 4.4: and a method that is not known", "FROB", "/thing", 200, nil, true},
		{"RFC 9111 4.4: also when it redirects", "POST", "/thing", 303, nil, true},
		{"RFC 9111 4.4: not when it fails", "PUT", "/thing", 400, nil, false},
		{"RFC 9111 4.4: nor when the origin does", "PUT", "/thing", 503, nil, false},
		{"RFC 9111 4.4: a safe method does not", "OPTIONS", "/thing", 200, nil, false},
		{"RFC 9111 4.4: another URL stays", "PUT", "/other", 200, nil, false},
		{"RFC 9111 4.4: Location names one, too", "POST", "/things", 201, []string{"Location", "/thing"}, true},
		{"RFC 9111 4.4: Content-Location names one, too", "POST", "/things", 200, []string{"Content-Location", "http://PUBLIC:80/thing"}, true},
		{"RFC 9111 4.4: relative to the URL", "POST", "/deep/things", 200, []string{"Content-Location", "../thing"}, true},
		{"RFC 9111 4.4: not one of another origin", "POST", "/things", 200, []string{"Location", "http://elsewhere/thing"}, false},
	} {
		virtual(t, c.name, "cache: {}", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				says("one", "Cache-Control", fresh)(w, r)
				return
			}
			saying(c.status, "", c.header...)(w, r)
		}, func(s *cachedSite) {
			s.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			s.get()
			got := s.ask(c.method, c.path)
			if got.status != c.status || got.header.Get("Cache-Status") != "weir; fwd=method" {
				s.T.Errorf("%d %v", got.status, got.header)
			}
			want := 2
			if c.forgets {
				want = 3
			}
			if s.get(); s.times() != want {
				s.T.Errorf("%d questions, not %d", s.times(), want)
			}
		})
	}
}

func TestCacheKeysAreURLs(t *testing.T) {
	for _, c := range []struct {
		name          string
		policy        string
		first, second string
		host          string
		same          bool
	}{
		{name: "RFC 9111 2: the query is part of the key", first: "/a?x=1", second: "/a?x=2"},
		{name: "RFC 9110 4.2.3: escapes of what needs none", first: "/a%7Eb", second: "/a~b", same: true},
		{name: "RFC 9110 4.2.3: escapes do not depend on case", first: "/a%c3%a4", second: "/a%C3%A4", same: true},
		{name: "RFC 9110 4.2.3: an escaped slash is another path", first: "/a%2Fb", second: "/a/b"},
		{name: "an escaped percent is another path", first: "/a%252Fb", second: "/a%2Fb"},
		{name: "RFC 9110 4.2.3: hosts do not depend on case", first: "/a", second: "/a", host: "PUBLIC:80", same: true},
		{name: "RFC 9110 4.2.3: nor on the default port", first: "/a", second: "/a", host: "public", same: true},
		{name: "another host is another key", first: "/a", second: "/a", host: "evil.example"},
		{name: "parameters that are ignored", policy: "cache: { ignore_query: [utm_source] }", first: "/a?x=1&utm_source=a", second: "/a?%75tm_source=b&x=1", same: true},
		{name: "the order of others can mean something", first: "/a?x=1&y=2", second: "/a?y=2&x=1"},
	} {
		policy := c.policy
		if policy == "" {
			policy = "cache: {}"
		}
		virtual(t, c.name, policy, says("one", "Cache-Control", fresh), func(s *cachedSite) {
			for i, path := range []string{c.first, c.second} {
				r := s.Request("GET", path, "")
				if i == 1 && c.host != "" {
					r.Host = c.host
				}
				s.Send(r).Is(s.T, 200, "one")
			}
			if same := s.times() == 1; same != c.same {
				s.T.Errorf("the same: %v", same)
			}
		})
	}
}
