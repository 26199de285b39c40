package connectors_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestTheLogTellsWhatChangesOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 503
		w := flowtest.Serve(t, `
flow: orders
trigger: { http: GET / }
steps: [ { call: GET b / } ]
---
services: { b: { endpoints: ["http://b"], breaker: { failures: 2 } } }`, flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
		})})
		for range 3 {
			w.Get("/")
		}
		status = 200
		time.Sleep(10 * time.Second)
		w.Get("/")
		log := w.Log()
		for _, line := range []string{
			`"level":"WARN","msg":"breaker open","service":"b","endpoint":"http://b","reason":"2 attempts failed in a row","until":"2000-01-01T00:00:10`,
			`"level":"INFO","msg":"breaker half-open","service":"b","endpoint":"http://b"}`,
			`"level":"INFO","msg":"breaker closed","service":"b","endpoint":"http://b"}`,
		} {
			if strings.Count(log, line) != 1 {
				t.Errorf("%s\nis not there once in\n%s", line, log)
			}
		}
	})
}
