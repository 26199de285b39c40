package mesh

import (
	"testing"
	"time"
)

func TestBoundsOfACall(t *testing.T) {
	const ms = time.Millisecond
	retry := func(attempts int, on ...string) Retry {
		return Retry{Attempts: attempts, On: on, Backoff: 10 * ms, MaxBackoff: 15 * ms}
	}
	for _, x := range []struct {
		name, method string
		config       Config
		want         Bounds
	}{
		{"one attempt", "GET", Config{Timeout: 800 * ms}, Bounds{1, 1, 800 * ms, 800 * ms}},
		{"no timeout", "GET", Config{Retry: retry(2)}, Bounds{2, 2, 0, 0}},
		{"slow failures are tried again, a timeout is not", "GET", Config{Timeout: 800 * ms, Retry: retry(3)}, Bounds{3, 3, 2425 * ms, 800 * ms}},
		{"a timeout is tried again if it is listed", "PUT", Config{Timeout: 100 * ms, Retry: retry(3, "timeout")}, Bounds{3, 3, 325 * ms, 325 * ms}},
		{"what may have had an effect is not sent again", "POST", Config{Timeout: 5000 * ms, ConnectTimeout: 1000 * ms, Retry: retry(3)}, Bounds{1, 3, 7025 * ms, 5000 * ms}},
		{"no connection takes no longer than an attempt", "POST", Config{Timeout: 100 * ms, Retry: retry(2, "connect", "503")}, Bounds{1, 2, 210 * ms, 100 * ms}},
		{"nothing to try again", "PATCH", Config{Timeout: 100 * ms, Retry: retry(3, "503")}, Bounds{1, 1, 100 * ms, 100 * ms}},
		{"only connecting is tried again", "GET", Config{Timeout: 2000 * ms, ConnectTimeout: 300 * ms, Retry: retry(2, "connect")}, Bounds{1, 2, 2310 * ms, 2000 * ms}},
		{"a deadline for all", "GET", Config{Timeout: 800 * ms, Deadline: 1000 * ms, Retry: retry(3, "timeout")}, Bounds{3, 3, 1000 * ms, 1000 * ms}},
		{"a deadline and no timeout", "GET", Config{Deadline: 1000 * ms}, Bounds{1, 1, 1000 * ms, 1000 * ms}},
		{"a key", "POST", Config{Timeout: 100 * ms, Retry: retry(3, "timeout")}, Bounds{3, 3, 325 * ms, 325 * ms}},
		{"each attempt may be hedged", "GET", Config{Timeout: 100 * ms, Retry: retry(3, "timeout"), Hedge: Hedge{Extra: 0.01}}, Bounds{6, 6, 325 * ms, 325 * ms}},
		{"a wait for a place", "GET", Config{Timeout: 100 * ms, Limit: Limit{Concurrent: 1, Queue: 1}}, Bounds{1, 1, 200 * ms, 200 * ms}},
		{"an adaptive limit", "GET", Config{Timeout: 100 * ms, Limit: Limit{Adaptive: Adaptive{Max: 9}, Queue: 1, Wait: 50 * ms}}, Bounds{1, 1, 150 * ms, 150 * ms}},
		{"if the method is safe", "PUT", Config{Timeout: 100 * ms, Hedge: Hedge{Extra: 0.01}}, Bounds{1, 1, 100 * ms, 100 * ms}},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := x.config.Bounds(x.method, x.name == "a key"); got != x.want {
				t.Errorf("got %+v, want %+v", got, x.want)
			}
		})
	}
}
