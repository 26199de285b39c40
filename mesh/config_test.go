package mesh

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := []string{"http://a:80"}
	for _, c := range []struct {
		name string
		cfg  Config
		want string // "field: part of the message" of all faults, by "; "
	}{
		{"the least", Config{Endpoints: good}, ""},
		{"everything", Config{
			Endpoints: []string{"http://a:1", "https://b/base", "http://[::1]:8080/"}, Balance: "round_robin",
			Timeout: 1, ConnectTimeout: 1, MaxBody: 1,
			Retry:   Retry{Attempts: 3, On: []string{"connect", "timeout", "reset", "503", "429", "5xx"}, Backoff: 1, MaxBackoff: 2},
			Breaker: Breaker{Ratio: 1, Of: 5, Open: 1},
		}, ""},
		{"no endpoint", Config{}, "endpoints: at least one"},
		{"endpoints", Config{Endpoints: []string{
			"a:80", "ftp://a", "http://", "http://u:p@a", "http://a?x=1", "http://a#f", "http://a:99999", "http://a:0", "", "://", "http://:80",
		}}, "endpoints[0]: no scheme; endpoints[1]: scheme; endpoints[2]: not a base URL; endpoints[3]: user; endpoints[4]: no query; endpoints[5]: no query; " +
			"endpoints[6]: not a port; endpoints[7]: not a port; endpoints[8]: not a base URL; endpoints[9]: not a base URL; endpoints[10]: no host"},
		{"an endpoint twice", Config{Endpoints: []string{"http://a", "http://a/"}}, "endpoints[1]: listed twice"},
		{"balance", Config{Endpoints: good, Balance: "best"}, "balance: no balancer"},
		{"injecting nothing", Config{Endpoints: good, Inject: Inject{Share: 0.5}}, "inject: nothing is injected"},
		{"injecting what cannot be", Config{Endpoints: good, Inject: Inject{Share: 2, Abort: 200, Delay: -1}}, "inject.delay: negative; inject.share: between; inject.abort: not the status"},
		{"hash of nothing", Config{Endpoints: good, Balance: "maglev"}, "balance: needs to know what to hash"},
		{"hash for nobody", Config{Endpoints: good, Hash: Hash{Cookie: "a"}}, "hash: nothing is hashed"},
		{"hash of two", Config{Endpoints: good, Balance: "ring_hash", Hash: Hash{Cookie: "a", Header: "b"}}, "hash: either a header or a cookie"},
		{"hash of what cannot be", Config{Endpoints: good, Balance: "ring_hash", Hash: Hash{Header: "a b"}}, "hash.header: not the name of a header"},
		{"hash with too tight a bound", Config{Endpoints: good, Balance: "ring_hash", Hash: Hash{Cookie: "a", Load: 0.9}}, "hash.load: lies between"},
		{"negative", Config{Endpoints: good, Timeout: -1, ConnectTimeout: -1, MaxBody: -1,
			Retry: Retry{Attempts: -1, Backoff: -1, MaxBackoff: -1}, Breaker: Breaker{Open: -1}},
			"timeout: negative; connect_timeout: negative; max_body: negative; retry.attempts: not between; retry.backoff: negative; retry.max_backoff: negative; breaker.open: negative"},
		{"retry", Config{Endpoints: good, Retry: Retry{Attempts: 11, On: []string{"503", "2xx", "200", "600", "0503", "denied"}, Backoff: 2, MaxBackoff: 1, Budget: 1.1, MinPerSecond: -1, Replay: -1}},
			"retry.attempts: not between; retry.on[1]: not an outcome; retry.on[2]: not an outcome; retry.on[3]: not an outcome; retry.on[4]: not an outcome; retry.on[5]: not an outcome; retry.backoff: longer; retry.budget: between; retry.min_per_second: between; retry.replay: between"},
		{"hedge", Config{Endpoints: good, Hedge: Hedge{Extra: 0.6, Quantile: 1}}, "hedge.extra: between; hedge.quantile: between"},
		{"limits", Config{Endpoints: good, Limit: Limit{Concurrent: -1, PerEndpoint: -1, Queue: -1, Wait: -1}}, "limit.concurrent: negative; limit.per_endpoint: negative; limit.queue: negative; limit.wait: negative"},
		{"nothing limited", Config{Endpoints: good, Limit: Limit{Queue: 1}}, "limit: nothing"},
		{"a wait without a queue", Config{Endpoints: good, Limit: Limit{Concurrent: 1, Wait: 1}}, "limit.wait: needs a queue"},
		{"deadline header", Config{Endpoints: good, DeadlineHeader: "content-length"}, "deadline_header: not the name"},
		{"breaker count", Config{Endpoints: good, Breaker: Breaker{Failures: 5, Of: 4}}, "breaker.failures: cannot happen"},
		{"breaker both", Config{Endpoints: good, Breaker: Breaker{Failures: 5, Ratio: 0.5}}, "breaker.failures: either"},
		{"breaker share", Config{Endpoints: good, Breaker: Breaker{Ratio: 1.5}}, "breaker.failures: between 0% and 100%"},
		{"breaker not a number", Config{Endpoints: good, Breaker: Breaker{Ratio: math.NaN()}}, "breaker.failures: between 0% and 100%"},
		{"breaker of alone", Config{Endpoints: good, Breaker: Breaker{Of: 5}}, "breaker.of: needs failures"},
		{"breaker negative", Config{Endpoints: good, Breaker: Breaker{Failures: -1}}, "breaker.failures: negative"},
	} {
		faults := Validate(c.cfg)
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "; ")
		}
		if len(faults) != len(want) {
			t.Errorf("%s: %v", c.name, faults)
			continue
		}
		for i, f := range faults {
			field, part, _ := strings.Cut(want[i], ": ")
			if f.Field != field || !strings.Contains(f.Message, part) {
				t.Errorf("%s: got %v, want %s", c.name, f, want[i])
			}
		}
		_, err := Open("test", c.cfg)
		if (err == nil) != (len(faults) == 0) {
			t.Errorf("%s: Open: %v", c.name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Retry: Retry{Attempts: 2, Backoff: time.Second}, Breaker: Breaker{Ratio: 0.5}}.withDefaults()
	if c.ConnectTimeout != time.Second || c.MaxBody != 10<<20 || c.Balance != "peak_ewma" || c.Random == nil ||
		strings.Join(c.Retry.On, " ") != "connect refused_stream reset 502 503 504" || c.Retry.Budget != 0.2 || c.Retry.MinPerSecond != 10 || c.Retry.Replay != 64<<10 || c.Retry.MaxBackoff != time.Second ||
		c.Breaker.Of != 20 || c.Breaker.Open != 10*time.Second {
		t.Errorf("%+v", c)
	}
}
