package connectors

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzHops holds that the way of a request gets longer by one each time, and that
// a count that is passed on is one less than it was.
func FuzzHops(f *testing.F) {
	f.Add("1.1 a, 1.0 b (x, y)", "7", 1)
	f.Add("", "0", 2)
	f.Add(",", "18446744073709551616", 0)
	f.Fuzz(func(t *testing.T, way, count string, major int) {
		in := &http.Request{ProtoMajor: major, ProtoMinor: 1, Header: http.Header{"Via": {way}}}
		if got := via(in); len(got) != 1 || !strings.HasPrefix(got[0], way+", ") || !strings.HasSuffix(got[0], " weir") {
			t.Errorf("%q", got)
		}
		h := http.Header{"Max-Forwards": {count}}
		more := countHops(http.MethodOptions, h)
		if left := h["Max-Forwards"]; more && left != nil && left[0] == count || !more && strings.Trim(count, "0") != "" {
			t.Errorf("%q: %v, %q is left", count, more, left)
		}
	})
}

func TestViaTellsTheVersionThatARequestCameIn(t *testing.T) {
	for major, want := range map[int]string{1: "1.1 weir", 2: "2.0 weir", 3: "3.0 weir"} {
		if got := via(&http.Request{ProtoMajor: major, ProtoMinor: 1}); got[0] != want {
			t.Errorf("HTTP/%d: %q", major, got)
		}
	}
}

// Callers would go past the gateway, or forget where it is to be had itself.
func TestOtherAddressesOfServicesAreNotPassedBack(t *testing.T) {
	h := http.Header{"Alt-Svc": {`h3=":443"`}}
	passBack(h, http.Header{"Alt-Svc": {`h3="inner:8443"`}, "Etag": {`"1"`}})
	if h.Get("Alt-Svc") != `h3=":443"` || h.Get("Etag") == "" {
		t.Errorf("got %v", h)
	}
}
