package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzWhatCallersTell holds that no text of a caller gives it more time than there
// is, and that an id is taken over only if it can stand in a log.
func FuzzWhatCallersTell(f *testing.F) {
	f.Add("99999999H", "1.1 weir, 1.0 weir (x)")
	f.Add("+5m", ",,weir, 1.1  weir")
	f.Add("0", "")
	f.Fuzz(func(t *testing.T, wait, via string) {
		for _, name := range []string{grpcTimeout, "X-Envoy-Expected-Rq-Timeout-Ms"} {
			left, ok := waits(http.Header{name: {wait}}, name)
			if ok && (left <= 0 || strings.Trim(wait, "0123456789HMSmun") != "") {
				t.Errorf("%q: %v", wait, left)
			}
			if !ok && left != 0 && left < time.Nanosecond {
				t.Errorf("%q: %v", wait, left)
			}
		}
		if n := hops([]string{via}); n < 0 || n > strings.Count(via, "weir") {
			t.Errorf("%q: %d hops", via, n)
		}
		if safeID(via) && strings.ContainsAny(via, "\r\n\t\x00\"\\<> ") {
			t.Errorf("%q is an id", via)
		}
	})
}
