package policies

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzSearchVariance holds that what stands for a URL stands for itself, that a
// URL which differs in nothing that matters has the same, and that a dictionary
// does not come apart.
func FuzzSearchVariance(f *testing.F) {
	for _, seed := range [][2]string{
		{`params=("a" "b%20c"), key-order`, "a=1&b+c=2&&d"}, {`params, except=("x")`, "x=%f6&y"}, {"key-order=?0", "="}, {`params=("a";b=1 "c\"");d, x=(1 2.5)`, "%zz=%"}, {"params=()", "a&a=&=a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, field, query string) {
		s := searchVarianceOf([]string{field})
		if s == nil {
			return
		}
		if again := searchVarianceOf([]string{field}); !s.same(again) {
			t.Fatalf("%q: %+v, %+v", field, s, again)
		}
		const base = "public\x00http://shop/a"
		for _, key := range []string{base + "?" + query, base} {
			one := s.of(key)
			if again := s.of(one); again != one {
				t.Errorf("%q: %q becomes %q, and that %q", field, key, one, again)
			}
			if !strings.HasPrefix(one, base) {
				t.Errorf("%q: %q becomes %q", field, key, one)
			}
		}
		if more := s.of(base + "?&" + query + "&"); more != s.of(base+"?"+query) {
			t.Errorf("%q: what is empty matters to %q: %q", field, query, more)
		}
		for _, name := range s.listed {
			with := base + "?" + query + "&" + url.QueryEscape(name) + "=1"
			if same := s.of(with) == s.of(base+"?"+query); same == s.all {
				t.Errorf("%q: %q matters: %v", field, name, !same)
			}
		}
	})
}

// FuzzCacheKeys holds that a URL has one key, whichever way it is escaped, and that
// what an answer refers to is of the same origin.
func FuzzCacheKeys(f *testing.F) {
	f.Add("/a%2Fb/%7e?x=1&utm=2", "//evil/x")
	f.Add("/%C3%A4;p?%75tm=1", "../b?c")
	f.Add("/?", "http://shop:80/x")
	f.Fuzz(func(t *testing.T, target, at string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.EscapedPath(), "/") {
			return
		}
		path := string(appendPath(nil, u))
		if again, err := url.ParseRequestURI(path); err != nil || string(appendPath(nil, again)) != path || again.Path != u.Path {
			t.Errorf("%q has the key %q: %v", target, path, err)
		}
		p := &cache{ignore: []string{"utm"}}
		query := string(p.appendQuery(nil, u.RawQuery))
		if again := string(p.appendQuery(nil, strings.TrimPrefix(query, "?"))); again != query {
			t.Errorf("%q: %q, then %q", u.RawQuery, query, again)
		}
		r := &http.Request{URL: u, Host: "shop"}
		if other, ok := p.sameOrigin(r, at); ok && (other.URL.Scheme != "http" || string(appendHost(nil, other.URL.Host, false)) != "shop") {
			t.Errorf("%q at %q is %v", at, target, other.URL)
		}
	})
}

// FuzzTokenFrom holds that a token which was found is not there any more when it
// is hidden, and that nothing else goes.
func FuzzTokenFrom(f *testing.F) {
	f.Add("a=1; t=x; b=2", "t=y&c=3", "Bearer z")
	f.Add(" t = x;;t=", "%74=1", "bearer  ")
	f.Fuzz(func(t *testing.T, cookie, query, authorization string) {
		for _, from := range []tokenFrom{{cookie: "t"}, {query: "t"}, {}} {
			r := &http.Request{URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Cookie": {cookie}, "Authorization": {authorization}}}
			if _, err := from.read(r); err != nil {
				continue
			}
			from.hide(r)
			if text, err := from.read(r); text != "" || err != nil {
				t.Errorf("%+v: %q is left of %q, %q, %q: %v", from, text, cookie, query, authorization, err)
			}
			if from.cookie == "" && r.Header["Cookie"] == nil || from.query == "" && r.URL.RawQuery != query {
				t.Errorf("%+v: something else has gone: %v %v", from, r.Header, r.URL)
			}
		}
	})
}
