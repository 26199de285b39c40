package steps_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

const tapped = `
- tap:
    - call: GET g /$(body.name)
  at_once: 2
  queue: 1
- return: took $(body.name)`

func TestTap(t *testing.T) {
	one := flowtest.JSON(200, "1")
	serve := func(t *testing.T, text string) (*crowd, *flowtest.Gate) {
		g := &flowtest.Gate{}
		return newCrowd(t, flowtest.Serve(t, flowtest.Flow(text), flowtest.Backends{"g": g})), g
	}
	counted := func(t *testing.T, c *crowd, event string, want float64) {
		t.Helper()
		synctest.Wait()
		if got := measured(t, c.world, "event", event); got != want {
			t.Errorf("%s: %v, want %v", event, got, want)
		}
	}
	for name, test := range map[string]func(t *testing.T){
		"the request does not wait": func(t *testing.T) {
			c, g := serve(t, tapped)
			c.comes("a", "")
			c.answer("a").Is(t, 200, "took a")
			if got := waiting(g); got != "/a" {
				t.Errorf("%q are at work", got)
			}
			g.Let("/a", one)
			counted(t, c, "tap_done", 1)
		},
		"some at a time, some wait, the rest is dropped and counted": func(t *testing.T) {
			c, g := serve(t, tapped)
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				c.comes(name, "")
				c.answer(name).Is(t, 200, "took "+name)
			}
			counted(t, c, "tap_dropped", 2)
			for _, name := range []string{"a", "b", "c"} {
				g.Let("/"+name, one)
				synctest.Wait()
			}
			counted(t, c, "tap_done", 3)
			if g.Arrived() != 3 {
				t.Errorf("%d calls, want 3", g.Arrived())
			}
		},
		"a failure is logged and counted": func(t *testing.T) {
			c, g := serve(t, tapped)
			c.comes("a", "")
			c.answer("a").Is(t, 200, "took a")
			g.Let("/a", unavailable)
			counted(t, c, "tap_failed", 1)
			if !strings.Contains(c.world.Log(), "a tap failed") {
				t.Errorf("not logged: %s", c.world.Log())
			}
		},
		"it has its own time": func(t *testing.T) {
			c, _ := serve(t, strings.Replace(tapped, "queue: 1", "queue: 1\n  within: 5s", 1))
			c.comes("a", "")
			c.answer("a").Is(t, 200, "took a")
			time.Sleep(5*time.Second - time.Nanosecond)
			counted(t, c, "tap_failed", 0)
			time.Sleep(time.Nanosecond)
			counted(t, c, "tap_failed", 1)
		},
		"it goes on when its program is replaced, and what it calls with it": func(t *testing.T) {
			c, g := serve(t, tapped)
			for _, name := range []string{"a", "b", "c"} {
				c.comes(name, "")
				c.answer(name)
			}
			if err := c.world.Apply(flowtest.Flow("- return: new")); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b", "c"} {
				synctest.Wait()
				g.Let("/"+name, one)
			}
			c.comes("d", "")
			c.answer("d").Is(t, 200, "new")
		},
		"Shutdown waits for it": func(t *testing.T) {
			c, g := serve(t, tapped)
			c.comes("a", "")
			c.answer("a")
			done := make(chan error)
			go func() { done <- c.world.Host.Shutdown(context.Background()) }()
			synctest.Wait()
			select {
			case <-done:
				t.Error("it did not wait")
			default:
			}
			g.Let("/a", one)
			if err := <-done; err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// What a tap reads is what was there when it was set off, whatever becomes of
// the request and of those that come after it.
func TestATapKeepsWhatItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &shop{script: map[string]http.Handler{"GET /held": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.WriteHeader(204)
		})}}
		w := flowtest.Serve(t, `
flow: a
trigger: { http: "GET /things/{id}" }
steps:
  - { id: made, set: { n: "value of $(params.id)" } }
  - id: list
    each: i in [1, 2]
    limit: 1
    steps:
      - try:
          - { id: inner, set: $(i * 10) }
          - tap:
              - { call: GET s /held }
              - { id: own, set: "$(inner)" }
              - log: $(params.id) $(query.q) $(headers["x-agent"]) $(made.n) $(i) $(own) $(steps.made.status) $(request.path)
          - { fail: again, when: query.q == "fail" }
        retry: { on: [fail], attempts: 2, backoff: 1ns }
        fallback: null
    yield: $(i)
  - return: $(list)`, flowtest.Backends{"s": s})
		ask := func(id, q string) {
			r := w.Request("GET", "/things/"+id+"?q="+q, "")
			r.Header.Set("X-Agent", "agent-"+id)
			w.Send(r)
		}
		ask("1", "fail")
		for _, id := range []string{"2", "3", "4"} {
			ask(id, "x")
		}
		close(release)
		synctest.Wait()
		log := said(w)
		for _, want := range []string{
			"1 fail agent-1 value of 1 1 10 0 /things/1", "1 fail agent-1 value of 1 2 20 0 /things/1",
			"2 x agent-2 value of 2 1 10 0 /things/2", "4 x agent-4 value of 4 2 20 0 /things/4",
		} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in %s", want, log)
			}
		}
	})
}

func TestTemplate(t *testing.T) {
	const mail = `
- id: mail
  template: |
    Dear {{ .name }},
    {{ range .items -}}
    - {{ .qty }} of {{ .sku }}{{ if .note }} ({{ .note }}){{ end }}
    {{ end -}}
    Total: {{ .total }}{{ .none }}
  data: { name: $(body.name), items: $(body.items), total: $(body.total), none: null }
- return: $(mail)`
	for _, s := range []scenario{
		{name: "values", steps: mail, post: `{"name":"Ada & Co","total":10.50,"items":[{"qty":1,"sku":"a","note":"x"},{"qty":12345678901234567,"sku":"b","note":null}]}`, status: 200,
			body: "Dear Ada & Co,\n- 1 of a (x)\n- 12345678901234567 of b\nTotal: 10.50\n"},
		{name: "a field that is not there", steps: mail, post: `{"name":"Ada","total":1,"items":[{"qty":1,"sku":"a"}]}`, status: 500, code: "expression-failed"},
		{name: "HTML is escaped for its place", steps: `
- id: page
  template: |
    <p title="{{ .t }}">{{ .t }}</p><script>let x = {{ .t }}</script>
  data: { t: $(body.t) }
  media_type: text/html; charset=utf-8
- return: $(page)`, post: `{"t":"<b>\"&"}`, status: 200,
			body: `<p title="&lt;b&gt;&#34;&amp;">&lt;b&gt;&#34;&amp;</p><script>let x = "\u003cb\u003e\"\u0026"</script>` + "\n"},
		{name: "functions", steps: `
- id: text
  template: |-
    {{ join ", " .list }} {{ upper .a }} {{ default "none" .b }} {{ printf "%05.2f" .f }}
  data: $(body)
- return: $(text)`, post: `{"list":[1,"two"],"a":"x","b":null,"f":1.5}`, status: 200, body: "1, two X none 01.50"},
		{name: "a width that the data says", steps: `
- id: text
  template: |-
    {{ printf .f 1 }}
  data: $(body)
- return: $(text)`, post: `{"f":"%999999999d"}`, status: 500, code: "expression-failed"},
	} {
		s.run(t)
	}
}
