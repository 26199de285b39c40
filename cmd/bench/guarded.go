package main

import (
	"fmt"
	"strings"
)

// subjects is how many callers have tokens.
const subjects = 64

// guarded are the jobs with policies: the get job with one duty more each, which the other servers do by hand. Weir remembers
// tokens that it has verified, as policies do by default; they verify each anew.
func guarded() []job {
	s := newSigner()
	small, large := documentJSON(1<<10), documentJSON(10<<10)
	var list []job
	for _, algorithm := range algorithms {
		name := strings.ToLower(algorithm)
		path := "/guarded/" + name
		calls := make([]call, subjects)
		for i := range calls {
			calls[i] = request{method: "GET", path: path, token: s.token(algorithm, fmt.Sprintf("user-%d", i))}.expect(small, false)
		}
		list = append(list, job{
			name: name, about: "as get, with a token by " + algorithm + ", of which there are 64", requests: 10_000,
			calls: calls,
			flows: func() []string {
				return []string{guardedFlow(path, fmt.Sprintf("jwt: { issuer: %q, audience: %s, %s }", issuer, audience, s.keys().flow(algorithm)))}
			},
		})
	}
	flows := func(path, policy string) func() []string {
		return func() []string { return []string{guardedFlow(path, policy)} }
	}
	return append(list,
		job{
			name: "limit", about: "as get, with a limit for each tenant", requests: 16_000,
			calls: []call{newCall("GET", "/guarded/limit", "", small, false)},
			flows: flows("/guarded/limit", fmt.Sprintf(`rate_limit: { rate: %d/s, burst: %d, by: '$(headers["X-Tenant"])' }`, limitRate, limitBurst)),
		},
		job{
			name: "cache", about: "1 KB that is in the cache", requests: 16_000,
			calls: []call{request{method: "GET", path: "/guarded/cache", public: true}.expect(small, false)},
			flows: flows("/guarded/cache", "cache: {}"),
		},
		job{
			name: "gzip", about: "pass-through, 10 KB answer, compressed", requests: 4_000,
			calls: []call{request{method: "GET", path: "/guarded/gzip", fields: "Accept-Encoding: gzip\r\n"}.expect(large, false)},
			flows: flows("/guarded/gzip", "compress: { codings: [gzip] }"),
		})
}

func guardedFlow(path, policy string) string {
	return fmt.Sprintf(`flow: guarded
trigger:
  http: GET %s
  gateway: bench
  deadline: %s
  policies: [{ %s }]
steps:
  - forward: backend
`, path, deadline, policy)
}
