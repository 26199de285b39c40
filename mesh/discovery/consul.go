package discovery

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// consul asks Consul for the instances of a service that pass its checks, by
// blocking queries: the answer comes when it differs from the one before, or
// after a while. Consul is looked for, and a token taken, where its own tools
// do: CONSUL_HTTP_ADDR (127.0.0.1:8500), CONSUL_HTTP_SSL, CONSUL_CACERT,
// CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE.
type consul struct {
	location Location
	options  Options
}

func newConsul(l Location, o Options) *consul { return &consul{l, o} }

const (
	consulWait = time.Minute
	// consulPause is the least time between two questions: an index that moves
	// all the time does not make us ask all the time.
	consulPause = 250 * time.Millisecond
)

// Watch is what [Source] asks for.
func (c *consul) Watch(ctx context.Context, found func([]Target), failed func(error)) {
	var api *registry
	defer func() {
		if api != nil {
			api.close()
		}
	}()
	var index uint64
	var pause backoff
	for {
		var err error
		if api == nil {
			api, err = c.open()
		}
		var entries []consulEntry
		var next uint64
		if err == nil {
			entries, next, err = c.look(ctx, api, index)
		}
		wait := consulPause
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed(err)
			wait = pause.next()
			index = 0 // what happened meanwhile is not waited for
		default:
			pause.reset()
			found(c.targets(entries))
			// An index that goes back means that Consul has lost its state: what
			// it has now is asked for anew, rather than waited for until the
			// index is reached again.
			if next < index {
				next = 0
			}
			index = next
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (c *consul) open() (*registry, error) {
	env := c.options.Getenv
	base := env("CONSUL_HTTP_ADDR")
	if len(c.location.servers) > 0 {
		base = c.location.servers[0]
	}
	if base == "" {
		base = "127.0.0.1:8500"
	}
	if !strings.Contains(base, "://") {
		secure, _ := strconv.ParseBool(env("CONSUL_HTTP_SSL"))
		base = map[bool]string{false: "http://", true: "https://"}[secure] + base
	}
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("CONSUL_HTTP_ADDR is %q, which is not HOST:PORT or http://HOST:PORT", base)
	}
	api, err := newRegistry(c.options, strings.TrimRight(base, "/"), env("CONSUL_CACERT"))
	if err != nil {
		return nil, fmt.Errorf("CONSUL_CACERT: %w", err)
	}
	api.token = func() (string, error) { return env("CONSUL_HTTP_TOKEN"), nil }
	if path := env("CONSUL_HTTP_TOKEN_FILE"); path != "" {
		api.token = tokenFile(path)
	}
	api.header = func(h http.Header, token string) { h.Set("X-Consul-Token", token) }
	return api, nil
}

// consulEntry is an item of /v1/health/service.
type consulEntry struct {
	Node struct {
		Address  string
		Meta     map[string]string
		Locality *consulLocality
	}
	Service struct {
		Address  string
		Port     int
		Meta     map[string]string
		Weights  struct{ Passing int }
		Locality *consulLocality
	}
}

type consulLocality struct{ Zone string }

func (c *consul) look(ctx context.Context, api *registry, index uint64) ([]consulEntry, uint64, error) {
	query := url.Values{"passing": {"1"}}
	if index > 0 {
		query.Set("index", strconv.FormatUint(index, 10))
		query.Set("wait", consulWait.String())
	}
	for _, tag := range c.location.tags {
		query.Add("tag", tag)
	}
	if c.location.datacenter != "" {
		query.Set("dc", c.location.datacenter)
	}
	// Consul adds a sixteenth of the wait, so that those who ask together are
	// not answered together.
	ctx, cancel := context.WithTimeout(ctx, consulWait+consulWait/16+10*time.Second)
	defer cancel()
	resp, err := api.get(ctx, "/v1/health/service/"+url.PathEscape(c.location.name)+"?"+query.Encode())
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	var entries []consulEntry
	if err := decode(resp.Body, &entries); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", api.base, plain(err))
	}
	next, err := strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	if err != nil || next == 0 {
		return nil, 0, fmt.Errorf("%s: the answer has no X-Consul-Index: is this Consul?", api.base)
	}
	return entries, next, nil
}

func (c *consul) targets(entries []consulEntry) []Target {
	var targets []Target
	for _, e := range entries {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		if !validHost(address) || e.Service.Port < 1 || e.Service.Port > 65535 {
			continue // registered without saying where
		}
		zone := first(e.Service.Meta["zone"], e.Node.Meta["zone"])
		for _, l := range []*consulLocality{e.Node.Locality, e.Service.Locality} {
			if l != nil && l.Zone != "" {
				zone = l.Zone
			}
		}
		targets = append(targets, Target{
			URL: c.location.at(address, strconv.Itoa(e.Service.Port)), Host: c.location.host,
			Weight: max(e.Service.Weights.Passing, 0), Zone: zone, Version: e.Service.Meta["version"],
		})
	}
	return unique(targets)
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
