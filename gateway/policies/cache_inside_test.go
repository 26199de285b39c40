package policies

import (
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/gateway"
)

func FuzzCacheDirectives(f *testing.F) {
	for _, seed := range []string{"max-age=60, must-revalidate", `private="a, b", no-cache="`, "s-maxage=99999999999999999999", `=,;,x="\`, "MAX-STALE", `max-age="6\0"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := parseDirectives([]string{text})
		for _, seconds := range []int64{d.maxAge, d.sMaxAge, d.minFresh, d.maxStale, d.staleRevalidate, d.staleError} {
			if seconds < absent || seconds > forever {
				t.Errorf("%q: %d", text, seconds)
			}
		}
		if safe := parseDirectives([]string{"no-store", text}); !safe.noStore {
			t.Errorf("%q hides what stands on another line", text)
		}
		if !strings.ContainsAny(text, `"\`) && !parseDirectives([]string{text + ",no-store"}).noStore {
			t.Errorf("%q hides what follows", text)
		}
		if targeted, ok := parseTargeted(text); ok && targeted.maxAge > forever {
			t.Errorf("%q: %d", text, targeted.maxAge)
		}
	})
}

func FuzzCacheConditions(f *testing.F) {
	f.Add(`"a", W/"b"`, "bytes=1-2")
	f.Add(`*`, "bytes=-0")
	f.Add(`"`, "bytes=9223372036854775808-")
	f.Fuzz(func(t *testing.T, tags, text string) {
		if listsTag([]string{tags}, `"a"`) && !strings.Contains(tags, `"a"`) {
			t.Errorf("%q lists what it does not", tags)
		}
		for _, size := range []int64{0, 1, 10} {
			if from, to, ok := byteRange(text, size); ok && (from < 0 || from > size || to > size) {
				t.Errorf("%q of %d: %d to %d", text, size, from, to)
			}
		}
	})
}

func FuzzCacheVary(f *testing.F) {
	f.Add("Accept-Encoding, *", "gzip;q=0, br")
	f.Fuzz(func(t *testing.T, vary, value string) {
		names, ok := varying(http.Header{"Vary": {vary}})
		asked := http.Header{"Accept-Encoding": {value}, "X": {value}}
		if ok && !selects(selected(names, asked), asked) {
			t.Errorf("%q, %q: a request does not select its own answer", vary, value)
		}
	})
}

func TestCacheDates(t *testing.T) {
	t.Run("RFC 9111 4.2: the zone of the host does not matter", func(t *testing.T) {
		defer func(was *time.Location) { time.Local = was }(time.Local)
		for _, zone := range []string{"EST", "GMT"} {
			time.Local = time.FixedZone(zone, -5*60*60)
			if got, ok := httpDate("Saturday, 01-Jan-00 00:01:00 GMT"); !ok || !got.Equal(time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC)) {
				t.Errorf("%s: %v %v", zone, got, ok)
			}
			if got, ok := httpDate("Saturday, 01-Jan-00 00:01:00 EST"); ok {
				t.Errorf("%s: %v", zone, got)
			}
		}
	})
}

func TestWhatA304DoesNotChange(t *testing.T) {
	v := &visit{p: &cache{}, q: &gateway.Request{Route: &gateway.Route{}}, ask: asking{maxAge: -1}}
	now := time.Now()
	stored := newEntry(v, judgement{}, http.StatusOK, http.Header{"Etag": {`"a"`}, "Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"}}, []byte("one"), now)
	for name, change := range map[string]http.Header{
		"RFC 9111 3.2: a 304 does not change how long the stored body is":          {"Content-Length": {"99"}, "X-New": {"1"}},
		"RFC 9111 3.2: a 304 does not change how the stored body is to be read":    {"Content-Type": {"text/html"}, "Content-Encoding": {"br"}, "Content-Range": {"bytes 0-1/3"}, "X-New": {"1"}},
		"RFC 9111 3.2: a 304 does not bring what is not stored in the first place": {"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Proxy-Authenticate": {"Basic"}, "Age": {"5"}, "X-New": {"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := stored.freshened(v.p, v, change, now, now)
			got := http.Header{}
			for _, f := range e.fields {
				got[f.name] = f.values
			}
			want := http.Header{"Etag": {`"a"`}, "Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"}, "Content-Length": {"3"}, "X-New": {"1"}, "Date": got["Date"]}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
		})
	}
}

// large is an answer of so many bytes.
func large(n int) *cached {
	return &cached{body: make([]byte, n), at: time.Now(), lifetime: time.Hour}
}

// A caller can make up URLs, values of fields that Vary names, callers that by
// tells apart, and queries of a path whose answers say what does not matter.
func TestAMillionKeysStayWithinTheMemory(t *testing.T) {
	const size = 8 << 20
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	v := &visit{p: &cache{}, q: &gateway.Request{Route: &gateway.Route{Name: "items"}}, ask: asking{maxAge: -1}}
	now := time.Now()
	entry := func(header http.Header, selected ...selecting) *cached {
		e := newEntry(v, judgement{lifetime: time.Hour}, http.StatusOK, header, make([]byte, 100), now)
		e.vary = selected
		return e
	}
	header := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"max-age=3600"}}
	search := http.Header{"No-Vary-Search": {`params=("utm")`}}
	for _, c := range []struct {
		name string
		n    int
		put  func(s *cacheStore, i int)
	}{
		{"of URLs", 1_000_000, func(s *cacheStore, i int) {
			url := fmt.Sprintf("http://shop/items/%d", i)
			s.put(cacheKey{base: "public\x00" + url}, url, entry(header))
		}},
		{"of values that Vary names", 200_000, func(s *cacheStore, i int) {
			url := fmt.Sprintf("http://shop/items/%d", i%100)
			s.put(cacheKey{base: "public\x00" + url}, url, entry(header, selecting{"Accept-Language", fmt.Sprint(i)}))
		}},
		{"of callers", 200_000, func(s *cacheStore, i int) {
			const url = "http://shop/items/7"
			s.put(cacheKey{"public\x00" + url, "public\x00" + url + "\x00" + fmt.Sprint(i)}, url, entry(header))
		}},
		{"of URLs whose answers cannot be shared", 1_000_000, func(s *cacheStore, i int) {
			url := fmt.Sprintf("http://shop/items/%d", i)
			s.passBy(cacheKey{base: "public\x00" + url}, url, now.Add(passFor))
		}},
		{"of paths whose answers say what of the query does not matter", 100_000, func(s *cacheStore, i int) {
			url := fmt.Sprintf("http://shop/items/%d?utm=%d", i, i)
			s.keep(&visit{key: cacheKey{base: "public\x00" + url}, url: url}, entry(search))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heap()
			s := openCacheStore(size)
			defer s.Close()
			for i := range c.n {
				c.put(s, i)
				if i%(c.n/20) == 0 {
					s.byKey.CleanUp()
					if bytes := s.byKey.WeightedSize(); bytes > size {
						t.Fatalf("%d bytes after %d", bytes, i)
					}
				}
			}
			s.byKey.CleanUp()
			if took := int64(heap()) - int64(before); took > size+size/16 {
				t.Errorf("%d bytes of memory, %d told, %d entries", took, s.byKey.WeightedSize(), s.byKey.EstimatedSize())
			}
		})
	}
}

func TestAResourceHasSoManyVariants(t *testing.T) {
	s := openCacheStore(64 << 20)
	defer s.Close()
	k := cacheKey{base: "a"}
	for i := range 10_000 {
		e := large(1)
		e.vary = []selecting{{"Accept-Language", fmt.Sprint(i)}}
		s.put(k, "a", e)
	}
	if got := s.get(k).variants; len(got) != maxVariants || got[0].vary[0].value != "9999" {
		t.Errorf("%d variants, the first %v", len(got), got[0].vary)
	}
}

func TestWhatURLsShareIsPurgedByEachOfThem(t *testing.T) {
	v := &visit{p: &cache{}, q: &gateway.Request{Route: &gateway.Route{}}, ask: asking{maxAge: -1}}
	const url = "http://shop/items?id=7&utm=1"
	for what, want := range map[Purging]int{
		{URL: url}:                               1,
		{URL: "http://shop/items?id=7"}:          1,
		{URL: "http://shop/items?utm=2&id=7"}:    1,
		{URL: "http://shop/items?id=8"}:          0,
		{URL: "http://shop/items"}:               0,
		{Prefix: "http://shop/it"}:               1,
		{Prefix: "http://shop/items?id=7&utm=9"}: 0,
	} {
		s := openCacheStore(1 << 20)
		s.keep(&visit{key: cacheKey{base: "public\x00" + url}, url: url},
			newEntry(v, judgement{lifetime: time.Hour}, http.StatusOK, http.Header{"No-Vary-Search": {`params=("utm")`}}, nil, time.Now()))
		if n := s.Purge(what); n != want {
			t.Errorf("%+v: %d purged, not %d", what, n, want)
		}
		s.Close()
	}
}

func TestChildrenGoWithTheirURL(t *testing.T) {
	s := openCacheStore(1 << 20)
	defer s.Close()
	child := func(who string) cacheKey { return cacheKey{"a", "a\x00" + who} }
	s.put(child("ada"), "a", large(1))
	s.put(child("bob"), "a", large(1))
	if s.get(child("ada")) == nil || s.get(child("bob")) == nil || s.get(child("eve")) != nil {
		t.Fatal("what was put is not there")
	}
	s.invalidate("a")
	if s.get(child("ada")) != nil || s.get(child("bob")) != nil {
		t.Error("they outlived it")
	}
	s.put(child("ada"), "a", large(2))
	if s.get(child("bob")) != nil || len(s.get(child("ada")).variants) != 1 {
		t.Error("what was invalid is there again")
	}
}
