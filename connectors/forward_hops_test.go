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
