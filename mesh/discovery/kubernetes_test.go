package discovery

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cluster plays the API server for one service: it lists, and holds watches
// open, which send what happens after the version that they name.
type cluster struct {
	mu      sync.Mutex
	version int
	oldest  int // of the versions that are remembered
	slices  map[string]string
	history []change
	changed chan struct{} // closed at the next change
	page    int           // slices in a page; 0 is all

	asked []string // "list", "watch 7"
	// instead, if it is set, may answer in the server's place.
	instead func(w http.ResponseWriter, r *http.Request) bool
}

type change struct {
	version     int
	kind, slice string
}

func newCluster() *cluster {
	return &cluster{version: 1, slices: map[string]string{}, changed: make(chan struct{})}
}

// slice is an EndpointSlice with a version, %d in it, to be filled in.
func slice(name, rest string) string {
	return fmt.Sprintf(`{"kind":"EndpointSlice","metadata":{"name":%q,"resourceVersion":"%%d"},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],%s}`, name, rest)
}

// pods is a slice whose endpoints have nothing but addresses.
func pods(name string, addresses ...string) string {
	var e []string
	for _, a := range addresses {
		e = append(e, fmt.Sprintf(`{"addresses":[%q],"conditions":{"ready":true}}`, a))
	}
	return slice(name, `"endpoints":[`+strings.Join(e, ",")+`]`)
}

func (c *cluster) do(kind, name, object string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	object = fmt.Sprintf(object, c.version)
	c.slices[name] = object
	if kind == "DELETED" {
		delete(c.slices, name)
	}
	if kind == "BOOKMARK" {
		delete(c.slices, name)
	}
	c.history = append(c.history, change{c.version, kind, object})
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) add(name string, addresses ...string) {
	c.do("ADDED", name, pods(name, addresses...))
}
func (c *cluster) modify(name string, addresses ...string) {
	c.do("MODIFIED", name, pods(name, addresses...))
}
func (c *cluster) remove(name string) { c.do("DELETED", name, pods(name)) }

// bookmark is an event that says the version alone.
func (c *cluster) bookmark() {
	c.do("BOOKMARK", "", `{"kind":"EndpointSlice","metadata":{"resourceVersion":"%d"}}`)
}

// forget lets the versions before now expire.
func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oldest = c.version
}

func (c *cluster) answerInstead(f func(w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instead = f
}

func (c *cluster) questions() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := strings.Join(c.asked, ", ")
	c.asked = nil
	return all
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c.mu.Lock()
	what := "list"
	if q.Get("watch") != "" {
		what = "watch " + q.Get("resourceVersion")
	} else if q.Get("continue") != "" {
		what = "continue " + q.Get("continue")
	}
	c.asked = append(c.asked, what)
	instead := c.instead
	c.mu.Unlock()
	if r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices" || q.Get("labelSelector") != "kubernetes.io/service-name=orders" {
		http.NotFound(w, r)
		return
	}
	if instead != nil && instead(w, r) {
		return
	}
	if q.Get("watch") == "" {
		c.list(w, q)
		return
	}
	from, err := strconv.Atoi(q.Get("resourceVersion"))
	hold, err2 := strconv.Atoi(q.Get("timeoutSeconds"))
	if err != nil || err2 != nil || q.Get("allowWatchBookmarks") != "true" {
		http.Error(w, "bad watch", http.StatusBadRequest)
		return
	}
	end := time.NewTimer(time.Duration(hold) * time.Second)
	defer end.Stop()
	w.(http.Flusher).Flush()
	for {
		c.mu.Lock()
		changed := c.changed
		var news []change
		for _, h := range c.history {
			if h.version > from {
				news = append(news, h)
				from = h.version
			}
		}
		expired := slices.ContainsFunc(news, func(h change) bool { return h.version <= c.oldest && h.kind != "BOOKMARK" })
		c.mu.Unlock()
		if expired {
			fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}`)
			return
		}
		for _, h := range news {
			fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", h.kind, h.slice)
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (c *cluster) list(w http.ResponseWriter, q url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var items []json.RawMessage
	names := sortedKeys(c.slices)
	start, next := 0, ""
	if token := q.Get("continue"); token != "" {
		start = slices.Index(names, token)
	}
	end := len(names)
	if c.page > 0 && start+c.page < end {
		end = start + c.page
		next = names[end]
	}
	for _, name := range names[start:end] {
		items = append(items, json.RawMessage(c.slices[name]))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "EndpointSliceList", "metadata": map[string]any{"resourceVersion": strconv.Itoa(c.version), "continue": next}, "items": items,
	})
}

// inCluster watches a service of a cluster in virtual time.
func inCluster(t *testing.T, c *cluster, then func(t *testing.T, w *watched, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.changed = make(chan struct{}) // of this bubble
		w, stop := watch(t, mustParse(t, "k8s://shop/orders?server=http://api").Open(Options{Dial: serve(t, c)}))
		synctest.Wait()
		then(t, w, stop)
	})
}

// at are the URLs of targets that end with these numbers.
func at(numbers ...int) string {
	var all []string
	for _, n := range numbers {
		all = append(all, fmt.Sprintf("http://10.0.0.%d:8080 host=orders.shop.svc", n))
	}
	return lines(all...)
}

func TestSlicesAreListedAndWatched(t *testing.T) {
	c := newCluster()
	c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
	inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
		want := func(what string) {
			t.Helper()
			synctest.Wait()
			if w.last() != what {
				t.Errorf("found\n%s\nwant\n%s", w.last(), what)
			}
		}
		want(at(1))
		c.add("b", "10.0.0.2", "10.0.0.3")
		want(at(1, 2, 3))
		c.modify("a", "10.0.0.4")
		want(at(2, 3, 4))
		c.remove("b")
		want(at(4))
		c.remove("a")
		want("")
		c.add("c", "10.0.0.5")
		want(at(5))
		if got := c.questions(); got != "list, watch 1" {
			t.Error(got)
		}
		stop()
		if _, failed := w.counts(); failed > 0 {
			t.Error(w.failures)
		}
	})
}

func TestAWatchThatEndsGoesOnWhereItWas(t *testing.T) {
	c := newCluster()
	c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
	inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
		c.modify("a", "10.0.0.2")
		synctest.Wait()
		c.bookmark()
		synctest.Wait()
		c.forget() // all but the version of the bookmark
		for range 30 {
			time.Sleep(time.Minute)
			c.bookmark()
			synctest.Wait()
			c.forget()
		}
		got := c.questions()
		if strings.Count(got, "list") != 1 || !strings.HasPrefix(got, "list, watch 1, watch ") || strings.Count(got, "watch") < 6 {
			t.Error(got)
		}
		c.modify("a", "10.0.0.3")
		synctest.Wait()
		if w.last() != at(3) || w.failure() != "" {
			t.Errorf("found %s, failed %s", w.last(), w.failure())
		}
	})
}

func TestASilentWatchIsGivenUp(t *testing.T) {
	c := newCluster()
	c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
	inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
		c.answerInstead(func(w http.ResponseWriter, r *http.Request) bool { // the next ones hang, some before the header
			if len(r.URL.Query().Get("watch")) > 0 {
				<-r.Context().Done()
			}
			return true
		})
		time.Sleep(10 * time.Minute)
		c.modify("a", "10.0.0.2")
		c.answerInstead(nil)
		time.Sleep(2 * time.Minute)
		if w.last() != at(2) {
			t.Errorf("found %s", w.last())
		}
		if got := c.questions(); strings.Count(got, "list") != 1 || strings.Count(got, "watch 1") < 5 {
			t.Error(got)
		}
	})
}

func TestWhatIsTooOldIsListedAnew(t *testing.T) {
	for name, gone := range map[string]func(w http.ResponseWriter){
		"status": func(w http.ResponseWriter) { http.Error(w, `{"message":"too old"}`, http.StatusGone) },
		"event": func(w http.ResponseWriter) {
			fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
			c.slices["b"] = fmt.Sprintf(pods("b", "10.0.0.2"), 1)
			once := true
			c.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("watch") == "" || !once {
					return false
				}
				once = false
				gone(w)
				return true
			}
			inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
				c.remove("b") // which no event will tell
				time.Sleep(time.Second)
				if w.last() != at(1) || w.failure() != "" {
					t.Errorf("found %s, failed %s", w.last(), w.failure())
				}
				if got := c.questions(); got != "list, watch 1, list, watch 2" {
					t.Error(got)
				}
			})
		})
	}
}

func TestAWatchThatNeverHoldsIsNotAskedForWithoutPause(t *testing.T) {
	c := newCluster()
	c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
	for name, instead := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"gone": func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("watch") == "" {
				return false
			}
			w.WriteHeader(http.StatusGone)
			return true
		},
		"ends":    func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Query().Get("watch") != "" },
		"fails":   func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true },
		"garbage": func(w http.ResponseWriter, r *http.Request) bool { fmt.Fprintln(w, "<html>"); return true },
	} {
		t.Run(name, func(t *testing.T) {
			c.instead = instead
			inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
				time.Sleep(10 * time.Minute)
				if n := strings.Count(c.questions(), ","); n < 10 || n > 120 {
					t.Errorf("asked %d times in ten minutes", n)
				}
			})
		})
	}
}

func TestFailuresOfTheClusterAreTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		instead func(w http.ResponseWriter, r *http.Request)
		failure string
	}{
		{"forbidden", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","message":"endpointslices is forbidden: User \"weir\" cannot list"}`)
		}, `http://api: status 403: endpointslices is forbidden: User "weir" cannot list (give the service account a Role in shop with get, list and watch on endpointslices of discovery.k8s.io)`},
		{"unauthorized", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "is not accepted"},
		{"not a cluster", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{}`) }, "is this Kubernetes?"},
		{"garbage", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `<html>`) }, "invalid character '<'"},
		{"breaks off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"items":[`)
		}, "unexpected EOF"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://elsewhere", 302) }, "status 302"},
		{"garbage in the watch", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("watch") == "" {
				fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"}}`)
			} else {
				fmt.Fprintln(w, `{"type":"ADDED","object":7}`)
			}
		}, "no EndpointSlice"},
		{"an unknown event", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("watch") == "" {
				fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"}}`)
			} else {
				fmt.Fprintln(w, `{"type":"FOO","object":{"metadata":{"resourceVersion":"2"}}}`)
			}
		}, `unknown event "FOO"`},
		{"half an event", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("watch") == "" {
				fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"}}`)
			} else {
				fmt.Fprint(w, `{"type":"ADDED","obj`)
			}
		}, "the watch broke off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster()
			cl.instead = func(w http.ResponseWriter, r *http.Request) bool { c.instead(w, r); return true }
			inCluster(t, cl, func(t *testing.T, w *watched, stop func()) {
				if !strings.Contains(w.failure(), c.failure) {
					t.Error(w.failure())
				}
				cl.add("a", "10.0.0.1")
				cl.answerInstead(nil)
				time.Sleep(time.Minute)
				if w.last() != at(1) {
					t.Errorf("found %q when all was well again; failed %s", w.last(), w.failure())
				}
			})
		})
	}
}

func TestListsComeInPages(t *testing.T) {
	c := newCluster()
	c.page = 2
	for i := range 5 {
		name := string(rune('a' + i))
		c.slices[name] = fmt.Sprintf(pods(name, fmt.Sprintf("10.0.0.%d", i+1)), 1)
	}
	inCluster(t, c, func(t *testing.T, w *watched, stop func()) {
		if w.last() != at(1, 2, 3, 4, 5) {
			t.Errorf("found %s", w.last())
		}
		if got := c.questions(); got != "list, continue c, continue e, watch 1" {
			t.Error(got)
		}
	})
}

func TestSlicesAreMerged(t *testing.T) {
	const ports = `"ports":[{"name":"http","port":8080,"protocol":"TCP"},{"name":"metrics","port":9090}],`
	for _, c := range []struct {
		name, location string
		slices         []string
		want           string
	}{
		{"conditions", "k8s://shop/orders", []string{`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[
			{"addresses":["10.0.0.1"]},
			{"addresses":["10.0.0.2"],"conditions":{"ready":false}},
			{"addresses":["10.0.0.3"],"conditions":{"ready":false,"serving":true,"terminating":true}},
			{"addresses":["10.0.0.4"],"conditions":{"ready":false,"serving":false,"terminating":true}},
			{"addresses":["10.0.0.5"],"conditions":{"ready":true,"serving":true,"terminating":true}},
			{"addresses":["10.0.0.6"],"conditions":{"ready":false,"serving":true,"terminating":false}},
			{"addresses":[]},{"addresses":["name"]}]}`},
			lines("http://10.0.0.1:80 host=orders.shop.svc", "http://10.0.0.3:80 host=orders.shop.svc draining=true", "http://10.0.0.5:80 host=orders.shop.svc draining=true")},
		{"zones and hints", "k8s://shop/orders", []string{`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[
			{"addresses":["10.0.0.1"],"zone":"a"},{"addresses":["10.0.0.2"],"zone":"a","hints":{"forZones":[{"name":"b"}]}},
			{"addresses":["10.0.0.3"],"zone":"a","hints":{"forZones":[{"name":"b"},{"name":"c"}]}}]}`},
			lines("http://10.0.0.1:80 host=orders.shop.svc zone=a", "http://10.0.0.2:80 host=orders.shop.svc zone=b", "http://10.0.0.3:80 host=orders.shop.svc zone=a")},
		{"a port by name", "k8s+https://shop/orders:http/api", []string{`{"addressType":"IPv4",` + ports + `"endpoints":[{"addresses":["10.0.0.1"]}]}`,
			`{"addressType":"IPv4","ports":[{"name":"http","port":8081}],"endpoints":[{"addresses":["10.0.0.2"]}]}`},
			lines("https://10.0.0.1:8080/api host=orders.shop.svc", "https://10.0.0.2:8081/api host=orders.shop.svc")},
		{"a port by number", "k8s://shop/orders:9090", []string{`{"addressType":"IPv4",` + ports + `"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://10.0.0.1:9090 host=orders.shop.svc"},
		{"a port of a headless service that names none", "k8s://shop/orders:7000", []string{`{"addressType":"IPv4","ports":null,"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://10.0.0.1:7000 host=orders.shop.svc"},
		{"which port is not clear", "k8s://shop/orders", []string{`{"addressType":"IPv4",` + ports + `"endpoints":[{"addresses":["10.0.0.1"]}]}`},
			"the service has no port that is the only one: it has http (8080), metrics (9090); write k8s://shop/orders:PORT"},
		{"another port", "k8s://shop/orders:grpc", []string{`{"addressType":"IPv4",` + ports + `"endpoints":[{"addresses":["10.0.0.1"]}]}`},
			"the service has no port grpc: it has http (8080), metrics (9090); write k8s://shop/orders:PORT"},
		{"UDP is no port", "k8s://shop/orders", []string{`{"addressType":"IPv4","ports":[{"port":53,"protocol":"UDP"},{"port":80}],"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://10.0.0.1:80 host=orders.shop.svc"},
		{"both families", "k8s://shop/orders", []string{`{"addressType":"IPv6","ports":[{"port":80}],"endpoints":[{"addresses":["fd00::1"]}]}`,
			`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://10.0.0.1:80 host=orders.shop.svc"},
		{"IPv6 alone", "k8s://shop/orders", []string{`{"addressType":"IPv6","ports":[{"port":80}],"endpoints":[{"addresses":["fd00::1"]}]}`}, "http://[fd00::1]:80 host=orders.shop.svc"},
		{"IPv6 of both", "k8s://shop/orders?family=ipv6", []string{`{"addressType":"IPv6","ports":[{"port":80}],"endpoints":[{"addresses":["fd00::1"]}]}`,
			`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://[fd00::1]:80 host=orders.shop.svc"},
		{"a place in two slices", "k8s://shop/orders", []string{
			`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true}}]}`,
			`{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.0.0.1"]}]}`}, "http://10.0.0.1:80 host=orders.shop.svc"},
		{"nothing", "k8s://shop/orders:http", nil, ""},
	} {
		all := map[string]endpointSlice{}
		for i, text := range c.slices {
			var s endpointSlice
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			all[strconv.Itoa(i)] = s
		}
		targets, err := newKubernetes(mustParse(t, c.location), Options{}).targets(all)
		got := shown(targets)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestOutsideOfAPod(t *testing.T) {
	none := func(string) string { return "" }
	for location, want := range map[string]string{
		"k8s:///orders":     "names no namespace",
		"k8s://shop/orders": "KUBERNETES_SERVICE_HOST is not set",
	} {
		synctest.Test(t, func(t *testing.T) {
			w, stop := watch(t, mustParse(t, location).Open(Options{Getenv: none, ServiceAccount: t.TempDir()}))
			synctest.Wait()
			stop()
			if !strings.Contains(strings.Replace(w.failure(), "tells no namespace", "names no namespace", 1), want) {
				t.Errorf("%s: %s", location, w.failure())
			}
		})
	}
}

// In a pod all is read from where Kubernetes puts it, and the token for each
// request: it is renewed every hour.
func TestThePodsCredentialsAreReadAgain(t *testing.T) {
	c := newCluster()
	c.slices["a"] = fmt.Sprintf(pods("a", "10.0.0.1"), 1)
	var mu sync.Mutex
	accepted, last := "one", make(chan string, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		mu.Lock()
		ok := token == accepted
		mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Query().Get("watch") != "" {
			select {
			case last <- token:
			default:
			}
			return // the watch ends at once
		}
		c.ServeHTTP(w, r)
	}))
	defer server.Close()
	dir := t.TempDir()
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	put("namespace", []byte("shop"))
	put("token", []byte("one\n"))
	u, _ := url.Parse(server.URL)
	env := map[string]string{"KUBERNETES_SERVICE_HOST": u.Hostname(), "KUBERNETES_SERVICE_PORT": u.Port()}
	w, stop := watch(t, mustParse(t, "k8s:///orders").Open(Options{Getenv: func(k string) string { return env[k] }, ServiceAccount: dir}))
	if got := <-last; got != "one" || w.last() != at(1) {
		t.Errorf("token %q, found %s, failed %s", got, w.last(), w.failure())
	}
	put("token", []byte("two"))
	mu.Lock()
	accepted = "two"
	mu.Unlock()
	for got := range last {
		if got == "two" {
			break
		}
	}
	stop()
}

func FuzzWatchEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":` + fmt.Sprintf(pods("a", "10.0.0.1"), 2) + `}`))
	f.Add([]byte(`{"type":"ERROR","object":{"code":410}}`))
	f.Add([]byte(`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}`))
	k := newKubernetes(mustParse(f, "k8s://shop/orders"), Options{})
	f.Fuzz(func(t *testing.T, line []byte) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			return
		}
		all, version := map[string]endpointSlice{}, "1"
		if e.apply(all, &version) != nil {
			return
		}
		targets, _ := k.targets(all)
		for _, target := range targets {
			if _, err := url.Parse(target.URL); err != nil || version == "" {
				t.Errorf("%+v, %v", target, err)
			}
		}
	})
}
