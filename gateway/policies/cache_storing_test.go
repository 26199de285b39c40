package policies_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

const fresh = "max-age=60"

// Which answers a shared cache may store (RFC 9111, section 3).
func TestCacheStores(t *testing.T) {
	auth := []string{"Authorization", "Bearer t"}
	for _, c := range []struct {
		name   string
		policy string
		status int
		header []string
		asks   []string // headers of both requests
		stored bool
	}{
		{name: "RFC 9111 3: an answer with max-age is stored", header: []string{"Cache-Control", fresh}, stored: true},
		{name: "RFC 9111 3: an answer with s-maxage is stored", header: []string{"Cache-Control", "s-maxage=60"}, stored: true},
		{name: "RFC 9111 3: an answer with Expires is stored", header: []string{"Expires", "Sat, 01 Jan 2000 00:01:00 GMT"}, stored: true},
		{name: "RFC 9111 3: an answer that says nothing is not stored, as heuristics are off"},
		{name: "RFC 9111 3: a final status that is not known is stored if the answer is explicit", status: 299, header: []string{"Cache-Control", fresh}, stored: true},
		{name: "RFC 9111 3: an explicit 404 is stored", status: 404, header: []string{"Cache-Control", fresh}, stored: true},
		{name: "RFC 9111 3: an explicit redirect is stored", status: 302, header: []string{"Cache-Control", fresh}, stored: true},
		{name: "RFC 9111 3: an answer to a request with no-store is not stored", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "no-store"}},
		{name: "RFC 9111 3: a status that is not heuristically cacheable is not kept by heuristics", policy: "cache: { heuristic: 1h }", status: 302, header: []string{"Last-Modified", "Fri, 01 Jan 1999 00:00:00 GMT"}},
		{name: "RFC 9111 3.3: a 206 is not stored", status: 206, header: []string{"Cache-Control", fresh, "Content-Range", "bytes 0-1/9"}},
		{name: "RFC 9111 3.5: an answer to a request with Authorization is not stored", header: []string{"Cache-Control", fresh}, asks: auth},
		{name: "RFC 9111 3.5: public allows it", header: []string{"Cache-Control", "public, max-age=60"}, asks: auth, stored: true},
		{name: "RFC 9111 3.5: s-maxage allows it", header: []string{"Cache-Control", "s-maxage=60"}, asks: auth, stored: true},
		{name: "RFC 9111 3.5: must-revalidate allows it", header: []string{"Cache-Control", "max-age=60, must-revalidate"}, asks: auth, stored: true},
		{name: "RFC 9111 4.1: an answer with Vary: * is not stored", header: []string{"Cache-Control", fresh, "Vary", "*"}},
		{name: "RFC 9111 4.1: nor one with * among others", header: []string{"Cache-Control", fresh, "Vary", "Accept, *"}},
		{name: "RFC 9111 4.2.1: an Expires that is no date is in the past", header: []string{"Expires", "0"}},
		{name: "RFC 9111 4.2: a date of another zone is no date", header: []string{"Expires", "Saturday, 01-Jan-00 09:00:00 EST"}},
		{name: "RFC 9111 4.2.1: a max-age that is no number is stale", header: []string{"Cache-Control", "max-age=soon"}},
		{name: "RFC 9111 4.2.1: of two max-age the first counts", header: []string{"Cache-Control", "max-age=60", "Cache-Control", "max-age=0"}, stored: true},
		{name: "RFC 9111 4.2.1: s-maxage goes before max-age", header: []string{"Cache-Control", "max-age=0, s-maxage=60"}, stored: true},
		{name: "RFC 9111 4.2.1: max-age goes before Expires", header: []string{"Cache-Control", fresh, "Expires", "0"}, stored: true},
		{name: "RFC 9111 4.2.3: an answer that came stale is not stored", header: []string{"Cache-Control", fresh, "Age", "60"}},
		{name: "RFC 9111 5.2: names of directives do not depend on case", header: []string{"Cache-Control", "Max-Age=60"}, stored: true},
		{name: "RFC 9111 5.2: an argument may be quoted", header: []string{"Cache-Control", `max-age="60"`}, stored: true},
		{name: "RFC 9111 5.2: a directive that is not known is ignored", header: []string{"Cache-Control", `x="a, no-store", max-age=60`}, stored: true},
		{name: "RFC 9111 5.3: s-maxage goes before Expires", header: []string{"Cache-Control", "s-maxage=60", "Expires", "0"}, stored: true},
		{name: "RFC 9111 5.2: what is malformed does not hide what follows", header: []string{"Cache-Control", `=,,;x , no-store`, "Cache-Control", fresh}},
		{name: "RFC 9111 5.2.2.3: must-understand lets an answer with no-store be stored whose status is understood", header: []string{"Cache-Control", "max-age=60, must-understand, no-store"}, stored: true},
		{name: "RFC 9111 5.2.2.3: must-understand forbids what is not understood", status: 299, header: []string{"Cache-Control", "max-age=60, must-understand"}},
		{name: "RFC 9111 5.2.2.5: no-store forbids it", header: []string{"Cache-Control", "max-age=60, no-store"}},
		{name: "RFC 9111 5.2.2.7: private forbids it", header: []string{"Cache-Control", "max-age=60, private"}},
		{name: "RFC 9111 5.2.2.7: private of some fields forbids those", header: []string{"Cache-Control", `max-age=60, private="X-Own, Set-Cookie"`, "X-Own", "1", "Set-Cookie", "a=1"}, stored: true},
		{name: "RFC 9111 5.2.2.9: public without freshness and validator is of no use", header: []string{"Cache-Control", "public"}},
		{name: "RFC 9111 7.3: an answer that sets a cookie is not stored", header: []string{"Cache-Control", "public, max-age=60", "Set-Cookie", "a=1"}},
		{name: "RFC 9213 2.2: CDN-Cache-Control stands in place of Cache-Control", header: []string{"Cache-Control", "no-store", "Cdn-Cache-Control", fresh}, stored: true},
		{name: "RFC 9213 2.2: CDN-Cache-Control stands in place of Expires", header: []string{"Expires", "Sat, 01 Jan 2000 00:01:00 GMT", "Cdn-Cache-Control", "no-store"}},
		{name: "RFC 9213 2.2: one that is malformed is ignored", header: []string{"Cache-Control", "no-store", "Cdn-Cache-Control", "max-age=60,,"}},
		{name: "RFC 9213 2.1: what says one thing twice is not stored", header: []string{"Cache-Control", fresh, "Cdn-Cache-Control", "no-store", "Cdn-Cache-Control", "no-store"}},
		{name: "RFC 9213 2.2: one that is empty is ignored", header: []string{"Cache-Control", "no-store", "Cdn-Cache-Control", ""}},
		{name: "ttl is for what says nothing", policy: "cache: { ttl: 60s }", stored: true},
		{name: "ttl is not for failures", policy: "cache: { ttl: 60s }", status: 404},
		{name: "ttl does not replace what an answer says", policy: "cache: { ttl: 60s }", header: []string{"Cache-Control", "max-age=0"}},
		{name: "unless it overrides", policy: "cache: { ttl: 60s, override: true }", header: []string{"Cache-Control", "max-age=0"}, stored: true},
		{name: "which never holds against no-store", policy: "cache: { ttl: 60s, override: true }", header: []string{"Cache-Control", "no-store"}},
		{name: "nor against private", policy: "cache: { ttl: 60s, override: true }", header: []string{"Cache-Control", "private"}},
		{name: "ttl is not for requests with credentials", policy: "cache: { ttl: 60s }", asks: auth},
		{name: "nor for requests with a cookie", policy: "cache: { ttl: 60s }", asks: []string{"Cookie", "session=1"}},
		{name: "unless by says what answers depend on", policy: "cache: { ttl: 60s, by: '$(headers.Authorization)' }", asks: auth, stored: true},
		{name: "explicit freshness holds for requests with a cookie", header: []string{"Cache-Control", fresh}, asks: []string{"Cookie", "seen=1"}, stored: true},
		{name: "a request that claims another method is not kept", header: []string{"Cache-Control", fresh}, asks: []string{"X-HTTP-Method-Override", "POST"}},
	} {
		policy, status := c.policy, c.status
		if policy == "" {
			policy = "cache: {}"
		}
		if status == 0 {
			status = 200
		}
		virtual(t, c.name, policy, saying(status, "one", c.header...), func(s *cachedSite) {
			first := s.get(c.asks...)
			second := s.get(c.asks...)
			if want := map[bool]int{true: 1, false: 2}[c.stored]; s.times() != want || second.status != status || second.body != first.body {
				s.T.Errorf("the origin was asked %d times, not %d: %d %s: %v", s.times(), want, second.status, second.body, second.header)
			}
			if told := strings.HasSuffix(first.header.Get("Cache-Status"), "; stored"); told != c.stored {
				s.T.Errorf("Cache-Status: %s", first.header.Get("Cache-Status"))
			}
		})
	}
}

func TestCacheKeepsOfTheHeader(t *testing.T) {
	for _, c := range []struct {
		name       string
		header     []string
		field      string
		then, kept string
	}{
		{"RFC 9111 3.1: fields of the connection are not stored", []string{"Connection", "X-Hop", "X-Hop", "1"}, "X-Hop", "", ""},
		{"RFC 9111 3.1: fields of proxies are not stored", []string{"Proxy-Authenticate", "Basic"}, "Proxy-Authenticate", "", ""},
		{"RFC 9111 3.1: fields that are not known are stored", []string{"X-Any", "1", "X-Any", "2"}, "X-Any", "1, 2", "1, 2"},
		{"RFC 9111 5.2.2.4: fields that no-cache names are not given again", []string{"Cache-Control", `no-cache="X-Own"`, "X-Own", "1"}, "X-Own", "1", ""},
		{"RFC 9111 5.2.2.7: fields that private names are not stored", []string{"Cache-Control", `private="x-own"`, "X-Own", "1"}, "X-Own", "1", ""},
		{"RFC 9211 2: what caches nearer to the origin say stays in front", []string{"Cache-Status", "near; hit"}, "Cache-Status", "near; hit, weir; fwd=uri-miss; stored", "weir; hit; ttl=60"},
		{"RFC 9110 6.6.1: an answer without Date gets the time it came", []string{"Date", ""}, "Date", "", "Sat, 01 Jan 2000 00:00:00 GMT"},
	} {
		virtual(t, c.name, "cache: {}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", fresh)
			if c.field == "Date" {
				w.Header()["Date"] = nil
				c.header = nil
			}
			saying(200, "one", c.header...)(w, r)
		}, func(s *cachedSite) {
			first, second := s.get(), s.get()
			joined := func(r reply) string { return strings.Join(r.header.Values(c.field), ", ") }
			if c.field != "Date" && joined(first) != c.then || joined(second) != c.kept || s.times() != 1 {
				s.T.Errorf("%q then %q, after %d questions", joined(first), joined(second), s.times())
			}
		})
	}
}

func TestCacheFreshness(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy string
		header []string
		asks   []string
		after  time.Duration
		fresh  bool
	}{
		{name: "RFC 9111 4.2: one second before the end", header: []string{"Cache-Control", fresh}, after: 59 * time.Second, fresh: true},
		{name: "RFC 9111 4.2: at the end it is stale", header: []string{"Cache-Control", fresh}, after: 60 * time.Second},
		{name: "RFC 9111 4.2.1: Expires counts from Date", header: []string{"Expires", "Sat, 01 Jan 2000 00:00:30 GMT"}, after: 29 * time.Second, fresh: true},
		{name: "RFC 9111 4.2.1: and no longer", header: []string{"Expires", "Sat, 01 Jan 2000 00:00:30 GMT"}, after: 30 * time.Second},
		{name: "RFC 9111 4.2: letters of a date have no case", header: []string{"Expires", "SAT, 01 jan 2000 00:00:30 gmt"}, after: 29 * time.Second, fresh: true},
		{name: "RFC 9111 4.2.2: an explicit time goes before heuristics", policy: "cache: { heuristic: 1h }", header: []string{"Cache-Control", "max-age=10", "Last-Modified", "Fri, 01 Jan 1999 00:00:00 GMT"}, after: 10 * time.Second},
		{name: "RFC 9111 4.2.3: Age is part of the age", header: []string{"Cache-Control", fresh, "Age", "50"}, after: 9 * time.Second, fresh: true},
		{name: "RFC 9111 4.2.3: and counts on", header: []string{"Cache-Control", fresh, "Age", "50"}, after: 10 * time.Second},
		{name: "RFC 9111 4.2.3: a Date in the past is part of the age", header: []string{"Cache-Control", fresh, "Date", "Fri, 31 Dec 1999 23:59:30 GMT"}, after: 30 * time.Second},
		{name: "RFC 9111 4.2.3: a Date in the future is not", header: []string{"Cache-Control", fresh, "Date", "Sat, 01 Jan 2000 01:00:00 GMT"}, after: 59 * time.Second, fresh: true},
		{name: "RFC 9111 5.1: an Age that is no number is ignored", header: []string{"Cache-Control", fresh, "Age", "-5"}, after: 59 * time.Second, fresh: true},
		{name: "RFC 9111 5.1: of several the first counts", header: []string{"Cache-Control", fresh, "Age", "50, 0"}, after: 10 * time.Second},
		{name: "RFC 9111 1.2.2: an age that is too large is 68 years", header: []string{"Cache-Control", "max-age=99999999999999999999"}, after: 1000 * time.Hour, fresh: true},
		{name: "RFC 9111 4.2.2: a tenth of the time since Last-Modified, where the author says so", policy: "cache: { heuristic: 1h }", header: []string{"Last-Modified", "Fri, 31 Dec 1999 23:50:00 GMT"}, after: 59 * time.Second, fresh: true},
		{name: "RFC 9111 4.2.2: and no more", policy: "cache: { heuristic: 1h }", header: []string{"Last-Modified", "Fri, 31 Dec 1999 23:50:00 GMT"}, after: 60 * time.Second},
		{name: "RFC 9111 5.2.1.1: a request's max-age", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "max-age=10"}, after: 11 * time.Second},
		{name: "RFC 9111 5.2.1.1: which is not reached", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "max-age=10"}, after: 10 * time.Second, fresh: true},
		{name: "RFC 9111 5.2.1.2: max-stale takes what is stale", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "max-stale=5"}, after: 65 * time.Second, fresh: true},
		{name: "RFC 9111 5.2.1.2: up to a point", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "max-stale=5"}, after: 66 * time.Second},
		{name: "RFC 9111 5.2.1.2: without a number, at any age", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "max-stale"}, after: 1000 * time.Second, fresh: true},
		{name: "RFC 9111 4.2.4: not against must-revalidate", header: []string{"Cache-Control", "max-age=60, must-revalidate"}, asks: []string{"Cache-Control", "max-stale"}, after: 61 * time.Second},
		{name: "RFC 9111 5.2.2.8: not against proxy-revalidate", header: []string{"Cache-Control", "max-age=60, proxy-revalidate"}, asks: []string{"Cache-Control", "max-stale"}, after: 61 * time.Second},
		{name: "RFC 9111 5.2.2.10: not against s-maxage", header: []string{"Cache-Control", "s-maxage=60"}, asks: []string{"Cache-Control", "max-stale"}, after: 61 * time.Second},
		{name: "RFC 9111 5.2.1.3: min-fresh", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "min-fresh=20"}, after: 41 * time.Second},
		{name: "RFC 9111 5.2.1.3: which is kept", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "min-fresh=20"}, after: 40 * time.Second, fresh: true},
		{name: "RFC 9111 5.2.1.4: a request's no-cache", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "no-cache"}},
		{name: "RFC 9111 5.4: Pragma stands for it", header: []string{"Cache-Control", fresh}, asks: []string{"Pragma", "no-cache"}},
		{name: "RFC 9111 5.4: but not beside Cache-Control", header: []string{"Cache-Control", fresh}, asks: []string{"Pragma", "no-cache", "Cache-Control", "max-age=99"}, fresh: true},
		{name: "callers may have no say", policy: "cache: { request_directives: false }", header: []string{"Cache-Control", fresh}, asks: []string{"Cache-Control", "no-cache, max-age=0"}, fresh: true},
		{name: "RFC 9111 5.2.2.4: no-cache is never given without validation", header: []string{"Cache-Control", "no-cache, max-age=60", "Etag", `"a"`}},
		{name: "ttl counts from when the answer came", policy: "cache: { ttl: 60s }", header: []string{"Age", "50"}, after: 59 * time.Second, fresh: true},
	} {
		policy := c.policy
		if policy == "" {
			policy = "cache: {}"
		}
		virtual(t, c.name, policy, says("one", c.header...), func(s *cachedSite) {
			s.get()
			time.Sleep(c.after)
			got := s.get(c.asks...)
			if want := map[bool]int{true: 1, false: 2}[c.fresh]; s.times() != want || got.body != "one" {
				s.T.Errorf("the origin was asked %d times, not %d: %v", s.times(), want, got.header)
			}
		})
	}
}

func TestCacheUnderstandsMethodsAndAnswers(t *testing.T) {
	virtual(t, "RFC 9111 3: an answer to a method that is not understood is not stored", "cache: {}", says("one", "Cache-Control", fresh), func(s *cachedSite) {
		for range 2 {
			s.ask("FROB", "/thing")
		}
		s.wants(s.get(), 200, "one", 3)
	})
	virtual(t, "RFC 9111 3: an interim answer is not stored, and the final one is", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = w.Write([]byte("one"))
	}, func(s *cachedSite) {
		for range 2 {
			s.wants(s.get(), 200, "one", 1)
		}
	})
	virtual(t, "RFC 9111 3.1: trailers are passed on, and not stored as header", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = w.Write([]byte("one"))
		w.Header().Set("X-Sum", "7")
	}, func(s *cachedSite) {
		for _, want := range []string{"7", ""} {
			resp, err := s.Client.Do(s.Request("GET", "/thing", ""))
			if err != nil {
				s.T.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.Trailer.Get("X-Sum") != want || resp.Header.Get("X-Sum") != "" || s.times() != 1 {
				s.T.Errorf("%v %v", resp.Header, resp.Trailer)
			}
		}
	})
	virtual(t, "RFC 9111 4: what may change something is never answered by the cache", "cache: { ttl: 60s, override: true }", says("one", "Cache-Control", fresh), func(s *cachedSite) {
		s.get()
		for i, method := range []string{"POST", "PUT", "PATCH", "DELETE", "FROB"} {
			s.wants(s.ask(method, "/thing"), 200, "one", i+2)
		}
	})
	virtual(t, "RFC 9111 4: Age tells how old a stored answer is, in place of what it came with", "cache: {}", says("one", "Cache-Control", fresh, "Age", "5"), func(s *cachedSite) {
		for i, want := range []string{"5", "15"} {
			time.Sleep(time.Duration(i) * 10 * time.Second)
			if got := s.get().header.Values("Age"); len(got) != 1 || got[0] != want || s.times() != 1 {
				s.T.Errorf("Age: %v", got)
			}
		}
	})
	virtual(t, "RFC 9111 4.2.3: the time that the origin took is part of the age", "cache: {}", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * time.Second)
		says("one", "Cache-Control", fresh, "Age", "5")(w, r)
	}, func(s *cachedSite) {
		s.get()
		if got := s.get().header.Get("Age"); got != "8" {
			s.T.Errorf("Age: %s", got)
		}
	})
	virtual(t, "RFC 9111 5.2: directives are passed on both ways", "cache: {}", says("one", "Cache-Control", "max-age=60, x-any=1"), func(s *cachedSite) {
		got := s.get("Cache-Control", "max-age=99, x-other")
		if asked := s.last().Header.Get("Cache-Control"); asked != "max-age=99, x-other" || got.header.Get("Cache-Control") != "max-age=60, x-any=1" {
			s.T.Errorf("%q, %v", asked, got.header)
		}
		if again := s.get(); again.header.Get("Cache-Control") != "max-age=60, x-any=1" || s.times() != 1 {
			s.T.Error(again.header)
		}
	})
}

func TestCacheTellsNoSecretOfOneToAnother(t *testing.T) {
	virtual(t, "by keeps callers apart", "cache: { ttl: 60s, by: '$(headers[\"X-Who\"])' }", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("X-Who")))
	}, func(s *cachedSite) {
		for range 2 {
			for _, who := range []string{"ada", "bob"} {
				if got := s.get("X-Who", who, "Authorization", "Bearer "+who); got.body != who {
					s.T.Errorf("%s got %s", who, got.body)
				}
			}
		}
		s.ask("POST", "/thing")
		s.wants(s.get("X-Who", "ada"), 200, "ada", 4)
	})
	virtual(t, "what ttl keeps is not for callers with credentials", "cache: { ttl: 60s }", says("anyone's"), func(s *cachedSite) {
		s.get()
		s.becomes(says("ada's"))
		s.wants(s.get("Authorization", "Bearer ada"), 200, "ada's", 2)
		s.wants(s.get(), 200, "anyone's", 2)
	})
}

func TestCacheKeepsQueriesByBody(t *testing.T) {
	virtual(t, "RFC 10008 2.7: answers to QUERY are kept by body", "cache: { ttl: 60s }", says("rows"), func(s *cachedSite) {
		query := func(body, media string) flowtest.Answer {
			r := s.Request("QUERY", "/thing", body)
			r.Header.Set("Content-Type", media)
			return s.Send(r)
		}
		for _, c := range []struct {
			body, media string
			asked       int
		}{
			{`{"a":1}`, "application/json", 1}, {`{"a":1}`, "application/json", 1}, {`{"a":2}`, "application/json", 2}, {`{"a":1}`, "text/plain", 3},
			{strings.Repeat("x", 65<<10), "text/plain", 4}, {strings.Repeat("x", 65<<10), "text/plain", 5},
		} {
			query(c.body, c.media).Is(s.T, 200, "rows")
			if s.times() != c.asked {
				s.T.Errorf("%.9s: %d questions, not %d", c.body, s.times(), c.asked)
			}
		}
		s.ask("PUT", "/thing")
		query(`{"a":1}`, "application/json").Is(s.T, 200, "rows")
		if s.times() != 7 {
			s.T.Errorf("what a QUERY got outlived a change: %d", s.times())
		}
	})
}
