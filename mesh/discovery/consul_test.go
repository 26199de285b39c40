package discovery

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// agent plays Consul: it answers a blocking query when its index is another
// one, or when the wait is over.
type agent struct {
	mu      sync.Mutex
	index   int
	body    string
	changed chan struct{}
	asked   []string
	instead func(w http.ResponseWriter, r *http.Request) bool
}

func (a *agent) set(index int, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index, a.body = index, body
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *agent) questions() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := strings.Join(a.asked, "\n")
	a.asked = nil
	return all
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, strings.TrimSpace(r.URL.RequestURI()+" "+r.Header.Get("X-Consul-Token")))
	instead, changed := a.instead, a.changed
	blocked := r.URL.Query().Get("index") == fmt.Sprint(a.index)
	a.mu.Unlock()
	if instead != nil && instead(w, r) {
		return
	}
	if blocked {
		wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		over := time.NewTimer(wait)
		defer over.Stop()
		select {
		case <-changed:
		case <-over.C:
		case <-r.Context().Done():
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("X-Consul-Index", fmt.Sprint(a.index))
	fmt.Fprint(w, a.body)
}

func instances(addresses ...string) string {
	var all []string
	for _, a := range addresses {
		all = append(all, fmt.Sprintf(`{"Node":{"Address":"10.9.9.9"},"Service":{"Address":%q,"Port":8080,"Weights":{"Passing":1,"Warning":1}}}`, a))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// withAgent watches a service of Consul in virtual time.
func withAgent(t *testing.T, location string, env map[string]string, a *agent, then func(t *testing.T, w *watched, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.changed = make(chan struct{}) // of this bubble
		w, stop := watch(t, mustParse(t, location).Open(Options{Dial: serve(t, a), Getenv: func(k string) string { return env[k] }}))
		synctest.Wait()
		then(t, w, stop)
	})
}

func TestConsulIsAskedByBlockingQueries(t *testing.T) {
	a := &agent{index: 7, body: instances("10.0.0.1", "10.0.0.2")}
	withAgent(t, "consul://orders", nil, a, func(t *testing.T, w *watched, stop func()) {
		want := func(what, questions string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if w.last() != what {
				t.Errorf("found\n%s\nwant\n%s", w.last(), what)
			}
			if got := a.questions(); got != questions {
				t.Errorf("asked\n%s\nwant\n%s", got, questions)
			}
		}
		const target = "http://10.0.0.%d:8080 host=orders.service.consul weight=1"
		const path = "/v1/health/service/orders?"
		want(lines(fmt.Sprintf(target, 1), fmt.Sprintf(target, 2)), lines(path+"passing=1", path+"index=7&passing=1&wait=1m0s"))
		a.set(9, instances("10.0.0.2"))
		want(fmt.Sprintf(target, 2), path+"index=9&passing=1&wait=1m0s")
		a.set(3, instances("10.0.0.3")) // restored from a snapshot
		want(fmt.Sprintf(target, 3), lines(path+"passing=1", path+"index=3&passing=1&wait=1m0s"))
		a.set(4, "[]")
		want("", path+"index=4&passing=1&wait=1m0s")
		time.Sleep(3 * time.Minute)
		want("", lines(path+"index=4&passing=1&wait=1m0s", path+"index=4&passing=1&wait=1m0s", path+"index=4&passing=1&wait=1m0s"))
		if w.failure() != "" {
			t.Error(w.failure())
		}
	})
}

func TestConsulsInstances(t *testing.T) {
	a := &agent{index: 1, body: `[
		{"Node":{"Address":"10.0.0.1","Meta":{"zone":"a"}},"Service":{"Address":"","Port":8001,"Weights":{"Passing":10},"Meta":{"version":"v2"}}},
		{"Node":{"Address":"10.0.0.9"},"Service":{"Address":"orders-2.shop","Port":8002,"Meta":{"zone":"b"}}},
		{"Node":{"Address":"10.0.0.9","Locality":{"Region":"r","Zone":"c"}},"Service":{"Address":"fd00::1","Port":8003}},
		{"Node":{"Address":"10.0.0.9"},"Service":{"Address":"a b","Port":8004}},
		{"Node":{"Address":"10.0.0.9"},"Service":{"Port":0}},
		{"Node":{"Address":""},"Service":{"Port":1}}]`}
	withAgent(t, "consul+https://orders/api?tag=v2&tag=eu&dc=dc1&host=orders.example", nil, a, func(t *testing.T, w *watched, stop func()) {
		if got, want := w.last(), lines("https://10.0.0.1:8001/api host=orders.example weight=10 zone=a version=v2",
			"https://[fd00::1]:8003/api host=orders.example zone=c", "https://orders-2.shop:8002/api host=orders.example zone=b"); got != want {
			t.Errorf("found\n%s\nwant\n%s", got, want)
		}
		if first, _, _ := strings.Cut(a.questions(), "\n"); first != "/v1/health/service/orders?dc=dc1&passing=1&tag=v2&tag=eu" {
			t.Error(first)
		}
	})
}

func TestConsulsFailuresAreToldAndKeepWhatWasFound(t *testing.T) {
	for _, c := range []struct {
		name    string
		instead func(w http.ResponseWriter, r *http.Request)
		failure string
	}{
		{"an error", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "No cluster leader\nand more", 500) },
			"http://127.0.0.1:8500: status 500: No cluster leader"},
		{"forbidden", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "Permission denied", 403) }, "status 403: Permission denied"},
		{"not Consul", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "[]") }, "is this Consul?"},
		{"garbage", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, "invalid character"},
		{"silence", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "http://127.0.0.1:8500: no answer in time"},
		{"a reset", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "http://127.0.0.1:8500: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &agent{index: 7, body: instances("10.0.0.1")}
			withAgent(t, "consul://orders", nil, a, func(t *testing.T, w *watched, stop func()) {
				a.mu.Lock()
				a.instead = func(w http.ResponseWriter, r *http.Request) bool { c.instead(w, r); return true }
				a.mu.Unlock()
				time.Sleep(10 * time.Minute)
				if !strings.Contains(w.failure(), c.failure) || !strings.Contains(w.last(), "10.0.0.1") {
					t.Errorf("failed %s; found %s", w.failure(), w.last())
				}
				if _, failed := w.counts(); failed < 5 || failed > 40 {
					t.Errorf("asked %d times in ten minutes", failed)
				}
				a.set(8, instances("10.0.0.2"))
				a.mu.Lock()
				a.instead = nil
				a.mu.Unlock()
				time.Sleep(2 * time.Minute)
				if !strings.Contains(w.last(), "10.0.0.2") {
					t.Errorf("found %s when all was well again", w.last())
				}
			})
		})
	}
}

func TestAnIndexThatNeverRestsIsNotAskedForWithoutPause(t *testing.T) {
	a := &agent{index: 7, body: instances("10.0.0.1")}
	var n atomic.Int64
	a.instead = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Consul-Index", fmt.Sprint(n.Add(1)))
		fmt.Fprint(w, "[]")
		return true
	}
	withAgent(t, "consul://orders", nil, a, func(t *testing.T, w *watched, stop func()) {
		time.Sleep(time.Minute)
		stop()
		if n.Load() > 250 {
			t.Errorf("asked %d times in a minute", n.Load())
		}
	})
}

func TestConsulIsFoundWhereItsToolsFindIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("renewed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, location    string
		env               map[string]string
		failure, question string
	}{
		{"a token", "consul://orders", map[string]string{"CONSUL_HTTP_TOKEN": "secret"}, "", "passing=1 secret"},
		{"a token in a file", "consul://orders", map[string]string{"CONSUL_HTTP_TOKEN_FILE": path}, "", "passing=1 renewed"},
		{"an address", "consul://orders", map[string]string{"CONSUL_HTTP_ADDR": "consul.shop:80"}, "", "passing=1"},
		{"an address of the endpoint", "consul://orders?server=http://consul.shop", map[string]string{"CONSUL_HTTP_ADDR": "::"}, "", "passing=1"},
		{"no address", "consul://orders", map[string]string{"CONSUL_HTTP_ADDR": "unix:///run/consul.sock"}, "which is not HOST:PORT", ""},
		{"no authorities", "consul://orders", map[string]string{"CONSUL_CACERT": "/nonexistent"}, "CONSUL_CACERT: ", ""},
		{"authorities that are none", "consul://orders", map[string]string{"CONSUL_CACERT": path}, "holds no certificate", ""},
		{"TLS", "consul://orders", map[string]string{"CONSUL_HTTP_SSL": "true"}, "https://127.0.0.1:8500: ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &agent{index: 1, body: "[]"}
			withAgent(t, c.location, c.env, a, func(t *testing.T, w *watched, stop func()) {
				time.Sleep(10 * time.Second)
				first, _, _ := strings.Cut(a.questions(), "\n")
				if !strings.Contains(w.failure(), c.failure) || (c.failure == "") != (w.failure() == "") || !strings.HasSuffix(first, c.question) {
					t.Errorf("failed %q, asked %q", w.failure(), first)
				}
			})
		})
	}
}
