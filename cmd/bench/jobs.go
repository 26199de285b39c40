package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// job is one thing the servers are made to do.
type job struct {
	name        string
	about       string
	requests    int // per round
	connections int // 0: as the flag says
	calls       []call
	flows       func() []string // flow documents for Weir

	// alone, where set, is the same job with a single route; the ratio to it is reported too.
	alone *job
}

// manyRoutes is the number of routes of the routes job.
const manyRoutes = 10_000

func jobs() []job {
	byID := func(prefix func(id int) string) []call {
		calls := make([]call, people)
		for id := range calls {
			calls[id] = newCall("GET", fmt.Sprintf("%s%d", prefix(id), id), "", profileJSON(id), true)
		}
		return calls
	}
	doc, post, blob := documentJSON(1<<10), documentJSON(10<<10), documentJSON(blobSize)
	one := job{
		calls: []call{newCall("GET", routePath(0), "", doc, false)},
		flows: func() []string { return []string{routeFlow(0)} },
	}
	many := make([]call, 64)
	for i := range many {
		many[i] = newCall("GET", routePath(i*(manyRoutes/len(many))+i), "", doc, false)
	}
	return append([]job{
		{
			name: "get", about: "pass-through, 1 KB answer", requests: 16_000,
			calls: []call{newCall("GET", "/get", "", doc, false)},
			flows: func() []string { return []string{forwardFlow("get", "GET /get")} },
		},
		{
			name: "post", about: "pass-through, 10 KB there and back", requests: 10_000,
			calls: []call{newCall("POST", "/echo", post, post, false)},
			flows: func() []string { return []string{forwardFlow("post", "POST /echo")} },
		},
		{
			name: "compose", about: "three calls at once, one answer of 6 KB", requests: 5_000,
			calls: byID(func(id int) string { return "/compose/" + segment(id) + "/" }),
			flows: func() []string { return []string{composeFlow} },
		},
		{
			name: "chain", about: "three calls in turn, the last on a condition", requests: 5_000,
			calls: byID(func(int) string { return "/chain/" }),
			flows: func() []string { return []string{chainFlow} },
		},
		{
			name: "blob", about: "pass-through, 1 MiB answer", requests: 1_000, connections: 4,
			calls: []call{newCall("GET", "/blob", "", blob, false)},
			flows: func() []string { return []string{forwardFlow("blob", "GET /blob")} },
		},
		{
			name: "routes", about: "as get, among 10,000 routes", requests: 16_000,
			calls: many,
			flows: func() []string {
				docs := make([]string, manyRoutes)
				for i := range docs {
					docs[i] = routeFlow(i)
				}
				return docs
			},
			alone: &one,
		},
	}, guarded()...)
}

func routePath(i int) string { return fmt.Sprintf("/routes/r%05d/items/7", i) }

func routeFlow(i int) string {
	return forwardFlow(fmt.Sprintf("route-%05d", i), fmt.Sprintf("GET /routes/r%05d/items/{id}", i))
}

func forwardFlow(name, trigger string) string {
	return fmt.Sprintf(`flow: %s
trigger:
  http: %s
  gateway: bench
  deadline: %s
steps:
  - forward: backend
`, name, trigger, deadline)
}

var composeFlow = fmt.Sprintf(`flow: compose
trigger:
  http: GET /compose/{segment}/{id}
  gateway: bench
  deadline: %s
steps:
  - compose:
      user:
        call: GET backend /users/$(params.id)
      orders:
        call: GET backend /orders
        query: { user: $(params.id) }
      offers:
        call: GET backend /segments/$(params.segment)/offers
  - return:
      id: $(user.id)
      name: $(user.first) $(user.last)
      segment: $(user.segment)
      address: $(user.address)
      orders: $(orders)
      offers: $(offers?.items)
`, deadline)

var chainFlow = fmt.Sprintf(`flow: chain
trigger:
  http: GET /chain/{id}
  gateway: bench
  deadline: %s
steps:
  - id: user
    call: GET backend /users/$(params.id)
  - id: orders
    call: GET backend /orders
    query: { user: $(user.id) }
  - id: offers
    when: user.active
    call: GET backend /segments/$(user.segment)/offers
  - return:
      id: $(user.id)
      name: $(user.first) $(user.last)
      segment: $(user.segment)
      address: $(user.address)
      orders: $(orders)
      offers: $(offers?.items)
`, deadline)

// manyFlows are n flows with ten expressions each, no two flows with the same ones.
func manyFlows(n int) []string {
	docs := make([]string, n)
	for i := range docs {
		docs[i] = fmt.Sprintf(`flow: customer-%04[1]d
trigger:
  http: GET /customers-%04[1]d/{id}
  gateway: bench
  deadline: %[2]s
steps:
  - id: user
    call: GET backend /users/$(params.id)
  - id: orders
    when: user.active && user.segment != "s%04[1]d"
    call: GET backend /orders
    query: { user: $(user.id) }
  - return:
      id: $(user.id)
      name: $(user.first) $(user.last)
      city: $(user.address?.city ?? "none-%04[1]d")
      large: $(len(filter(orders ?? [], .qty > %[3]d)))
      value: $(sum(map(orders ?? [], .price * .qty)))
      segment: $(upper(user.segment) + "-%04[1]d")
`, i, deadline, i%7)
	}
	return docs
}

// writeFlows writes the flow documents into dir, a hundred to a file, and a file with the gateway and the service.
func writeFlows(dir string, docs []string, listen, backend string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	site := fmt.Sprintf("gateways:\n  bench: { listen: %q }\n---\nservices:\n  backend: { endpoints: [%q] }\n", listen, "http://"+backend)
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(site), 0o644); err != nil {
		return err
	}
	const perFile = 100
	for i := 0; i < len(docs); i += perFile {
		text := strings.Join(docs[i:min(i+perFile, len(docs))], "---\n")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("flows-%03d.yaml", i/perFile)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
