package failures

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/mesh"
	"github.com/weir-run/weir/mesh/discovery/dnstest"
)

// Calls go on while what tells where the service runs fails: DNS that flaps, is
// empty, falls silent and cuts its answers, and an API server that drops watches
// and forgets versions.
func TestDiscoveryThatFails(t *testing.T) {
	restores(t)
	for name, play := range map[string]func(*trial){"DNS": failingDNS, "Kubernetes": failingKubernetes} {
		t.Run(name, func(test *testing.T) {
			test.Parallel()
			play(&trial{T: test, way: ways[0]})
		})
	}
}

// runsOn waits until the service knows these places and no others.
func (t *trial) runsOn(s *mesh.Service, backends ...*backend) {
	t.Helper()
	var want []string
	for _, b := range backends {
		want = append(want, "http://"+b.addr)
	}
	slices.Sort(want)
	t.eventually(fmt.Sprint("the service runs on ", want), func() bool {
		var got []string
		for _, e := range s.Stats().Endpoints {
			if !e.Target.Draining {
				got = append(got, e.Address)
			}
		}
		slices.Sort(got)
		return t.Failed() || slices.Equal(got, want)
	})
}

// failsToLook waits until a look has failed that began after now or a little before.
func (t *trial) failsToLook(s *mesh.Service) {
	t.Helper()
	before := s.Stats().Sources[0].Failures
	t.eventually("a look fails", func() bool { return t.Failed() || s.Stats().Sources[0].Failures > before })
}

func (b *backend) port() int { return b.listener.Addr().(*net.TCPAddr).Port }

func failingDNS(t *trial) {
	one, two := t.serve(fine), t.serve(fine)
	server := t.nameServer()
	server.become(false, one)
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("options timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := t.open(mesh.Config{
		Endpoints: []string{"dns+srv://_orders._tcp.shop.?server=" + server.addr}, Discovery: mesh.Discovery{ResolvConf: conf},
		Retry: mesh.Retry{Attempts: 3},
	})
	l := t.load(s)
	t.runsOn(s, one)
	t.more(l)
	server.become(false, two)
	t.runsOn(s, two)
	t.more(l)
	server.become(false) // no records
	t.failsToLook(s)
	t.runsOn(s, two)
	t.more(l)
	server.fallSilent()
	t.failsToLook(s)
	t.runsOn(s, two)
	t.more(l)
	server.become(true, one, two) // over UDP the answer is cut
	t.runsOn(s, one, two)
	t.more(l)
	l.end()
}

// nameServer answers all questions alike, over UDP and TCP.
type nameServer struct {
	addr string

	mu       sync.Mutex
	silent   bool
	cut      bool // over UDP
	backends []*backend
}

func (n *nameServer) become(cut bool, backends ...*backend) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent, n.cut, n.backends = false, cut, backends
}

func (n *nameServer) fallSilent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = true
}

func (t *trial) nameServer() *nameServer {
	n := new(nameServer)
	n.addr = dnstest.Serve(t, func(network string, question []byte) []byte { return n.answer(question, network == "udp") })
	return n
}

// answer is nil if there is none.
func (n *nameServer) answer(question []byte, udp bool) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var m dnsmessage.Message
	if n.silent || m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
	switch {
	case n.cut && udp:
		reply.Truncated = true
	case q.Type == dnsmessage.TypeSRV:
		for _, b := range n.backends {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.SRVResource{Port: uint16(b.port()), Target: dnsmessage.MustNewName("host.shop.")}})
		}
	case q.Type == dnsmessage.TypeA:
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
	}
	packed, err := reply.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

func failingKubernetes(t *trial) {
	one, two := t.serve(fine), t.serve(fine)
	c := &cluster{version: 1, ports: []int{one.port()}, ever: []int{one.port()}, changed: make(chan struct{})}
	api := t.serve(c.ServeHTTP)
	s := t.open(mesh.Config{Endpoints: []string{"k8s://shop/orders?server=http://" + api.addr}, Retry: mesh.Retry{Attempts: 3}})
	l := t.load(s)
	t.runsOn(s, one)
	t.more(l)
	c.become(0, false, one, two) // told by the watch
	t.runsOn(s, one, two)
	t.more(l)
	c.become(0, true, two) // while the watch breaks off: the next one goes on from there
	t.runsOn(s, two)
	t.more(l)
	c.become(100, true, one) // which the next watch is not told, but that it knows too little
	t.runsOn(s, one)
	t.more(l)
	api.kill()
	t.failsToLook(s)
	t.runsOn(s, one)
	t.more(l)
	api.run()
	c.become(0, false, one, two)
	t.runsOn(s, one, two)
	t.more(l)
	l.end()
}

// cluster plays the API server for one service, with a slice for each port.
type cluster struct {
	mu      sync.Mutex
	version int
	oldest  int // version that is remembered
	ports   []int
	ever    []int         // those that there have been, too
	changed chan struct{} // closed at the next change
	drop    bool          // watches are cut off in place of being told
}

// become changes where the service runs, skipping some versions, which are
// then forgotten.
func (c *cluster) become(skip int, drop bool, backends ...*backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version++; skip > 0 {
		c.version += skip
		c.oldest = c.version
	}
	c.ports = nil
	for _, b := range backends {
		c.ports = append(c.ports, b.port())
	}
	c.ever = append(c.ever, c.ports...)
	c.drop = drop
	close(c.changed)
	c.changed = make(chan struct{})
}

func slice(port, version int) map[string]any {
	return map[string]any{
		"metadata":    map[string]any{"name": strconv.Itoa(port), "resourceVersion": strconv.Itoa(version)},
		"addressType": "IPv4", "ports": []any{map[string]any{"name": "http", "port": port, "protocol": "TCP"}},
		"endpoints": []any{map[string]any{"addresses": []string{"127.0.0.1"}, "conditions": map[string]any{"ready": true}}},
	}
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	version, oldest, ports, changed := c.version, c.oldest, c.ports, c.changed
	c.mu.Unlock()
	q := r.URL.Query()
	if q.Get("watch") == "" {
		items := []any{}
		for _, p := range ports {
			items = append(items, slice(p, version))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"resourceVersion": strconv.Itoa(version)}, "items": items})
		return
	}
	from, err := strconv.Atoi(q.Get("resourceVersion"))
	switch {
	case err != nil:
		http.Error(w, "no version", http.StatusBadRequest)
		return
	case from < oldest:
		http.Error(w, `{"kind":"Status","code":410,"message":"too old resource version"}`, http.StatusGone)
		return
	}
	w.(http.Flusher).Flush()
	for {
		if from == version {
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
		c.mu.Lock()
		drop := c.drop && from == version
		version, ports, changed = c.version, c.ports, c.changed
		ever := slices.Clone(c.ever)
		c.mu.Unlock()
		if drop {
			panic(http.ErrAbortHandler)
		}
		tell := func(kind string, port int) {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": slice(port, version)})
		}
		for _, p := range ever {
			if slices.Contains(ports, p) {
				tell("ADDED", p)
			} else {
				tell("DELETED", p)
			}
		}
		from = version
		w.(http.Flusher).Flush()
	}
}
