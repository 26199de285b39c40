package policies

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
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

// large is an answer of so many bytes.
func large(n int) *cached {
	return &cached{body: make([]byte, n), at: time.Now(), lifetime: time.Hour}
}

func TestACacheStaysWithinItsSize(t *testing.T) {
	const size = 4 << 20
	s := openCacheStore(size)
	defer s.Close()
	for i := range 50_000 {
		key := fmt.Sprintf("public\x00http://shop/items/%d", i)
		s.put(cacheKey{base: key}, key, large(1024))
		if i%1000 == 0 {
			s.byKey.CleanUp()
			if bytes := s.byKey.WeightedSize(); bytes > size {
				t.Fatalf("%d bytes after %d keys", bytes, i)
			}
		}
	}
	s.byKey.CleanUp()
	if bytes, n := s.byKey.WeightedSize(), s.byKey.EstimatedSize(); bytes > size || n > size/1024 || s.evicted.Load() == 0 {
		t.Errorf("%d bytes in %d entries, %d evicted", bytes, n, s.evicted.Load())
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
