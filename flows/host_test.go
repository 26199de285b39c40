package flows_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/mesh"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// version is a program that says three times which version it is: in the first
// and the last step, and by the backend that its own service leads to. The
// service same is the same in all versions.
func version(v string) string {
	return fmt.Sprintf(`
flow: f
trigger: { http: GET / }
steps:
  - { id: first, set: %[1]s }
  - { id: mine, call: GET mine / }
  - { id: same, call: GET same / }
  - return: { first: $(first), mine: $(mine), last: %[1]s }
---
services:
  mine: { endpoints: ["http://mine/%[1]s"] }
  same: { endpoints: ["http://same"] }
`, v)
}

func answerOf(v string) string {
	return fmt.Sprintf(`{"first":"%[1]s","mine":"%[1]s","last":"%[1]s"}`, v)
}

// backends answer with the version that their path begins with.
func backends() flowtest.Backends {
	return flowtest.Backends{
		"mine": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, strings.Trim(r.URL.Path, "/"))
		}),
		"same": flowtest.JSON(200, "1"),
	}
}

func service(p *flows.Program, name string) *mesh.Service {
	for _, s := range p.Services {
		if s.Name.Value == name {
			return s.Client()
		}
	}
	return nil
}

// open is how many connections a service has.
func open(s *mesh.Service) (n int64) {
	for _, e := range s.Stats().Endpoints {
		n += e.Dialed - e.Closed
	}
	return n
}

func TestSwapsUnderLoad(t *testing.T) {
	const swaps, clients = 200, 4
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, version("a"), backends())
		answers := make(chan flowtest.Answer)
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for range clients {
			client := w.NewClient()
			asking.Go(func() {
				defer client.CloseIdleConnections()
				for ctx.Err() == nil {
					a := flowtest.Read(client.Do(w.Request("GET", "/", "")))
					select {
					case answers <- a:
					case <-ctx.Done():
					}
				}
			})
		}
		seen := map[string]int{}
		same := service(w.Host.Program(), "same")
		var retired []*mesh.Service
		var goroutines int
		for i := range swaps {
			for range 2 * clients {
				a := <-answers
				if a.Err != nil || a.Status != 200 || a.Body != answerOf("a") && a.Body != answerOf("b") {
					t.Fatalf("after %d swaps: got %d %s, %v", i, a.Status, a.Body, a.Err)
				}
				seen[a.Body]++
			}
			retired = append(retired, service(w.Host.Program(), "mine"))
			if err := w.Apply(version([]string{"b", "a"}[i%2])); err != nil {
				t.Fatal(err)
			}
			if service(w.Host.Program(), "same") != same {
				t.Fatal("a service that has not changed got another client")
			}
			if i == clients {
				synctest.Wait()
				goroutines = runtime.NumGoroutine()
			}
		}
		synctest.Wait()
		// A connection that is needed for the first time only now has two.
		if n := runtime.NumGoroutine(); n > goroutines+2*clients {
			t.Errorf("%d goroutines after %d swaps, %d after %d", n, swaps, goroutines, clients)
		}
		stop()
		asking.Wait()
		synctest.Wait()
		if seen[answerOf("a")] < swaps || seen[answerOf("b")] < swaps {
			t.Errorf("the versions were not both seen: %v", seen)
		}
		if n := w.Dialed("same:80"); n > clients {
			t.Errorf("%d connections to a service that has not changed, want at most one for each of %d clients", n, clients)
		}
		current := service(w.Host.Program(), "mine") // may be one that was taken over while it drained
		for i, s := range retired {
			if s != current && (open(s) != 0 || s.Stats().InFlight != 0) {
				t.Fatalf("the service of program %d is not closed: %+v", i, s.Stats())
			}
		}
	})
}

func TestARequestKeepsItsGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := backends()
		quick := b["same"]
		b["same"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			quick.ServeHTTP(w, r)
		})
		w := flowtest.Serve(t, version("a"), b)
		old := service(w.Host.Program(), "mine")
		done := make(chan flowtest.Answer)
		go func() { done <- w.Get("/") }()
		synctest.Wait()
		for _, v := range []string{"b", "c", "d"} {
			if err := w.Apply(version(v)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if open(old) != 1 {
			t.Errorf("%d connections of the old service, want it open while a request may need it", open(old))
		}
		close(release)
		(<-done).Is(t, 200, answerOf("a"))
		synctest.Wait()
		if open(old) != 0 {
			t.Error("the old service is open after its last request")
		}
		w.Get("/").Is(t, 200, answerOf("d"))
	})
}

const twoGateways = `
flow: one
trigger: { http: GET /, gateway: one }
steps: [{ call: GET b / }, { return: 1 }]
---
flow: two
trigger: { http: GET /, gateway: two }
steps: [{ call: GET b / }, { return: 2 }]
---
services: { b: { endpoints: ["http://b"], timeout: 1m } }
---
gateways: { one: { listen: "public:80" }, two: { listen: "%s" } }`

const oneGateway = `
flow: one
trigger: { http: GET /, gateway: one }
steps: [{ call: GET b / }, { return: again }]
---
services: { b: { endpoints: ["http://b"], timeout: 1m } }
---
gateways: { one: { listen: "public:80" } }`

func at(w *flowtest.World, addr string) flowtest.Answer {
	return flowtest.Read(w.NewClient().Get("http://" + addr))
}

func TestWhatCannotBeOpenedChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, oneGateway, flowtest.Backends{"b": flowtest.JSON(200, "1")})
		taken, err := w.Listen("memory", "taken:80")
		if err != nil {
			t.Fatal(err)
		}
		w.Get("/").Is(t, 200, "again")
		before := w.Host.Program()
		text := fmt.Sprintf(twoGateways, "taken:80") + "\n---\ngateways: { three: { listen: \"free:80\" } }"
		err = w.Apply(text)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "two") {
			t.Errorf("got %v, want the gateway and the reason", err)
		}
		w.Get("/").Is(t, 200, "again")
		if w.Host.Program() != before {
			t.Error("another program is served")
		}
		if a := at(w, "free:80"); !errors.Is(a.Err, syscall.ECONNREFUSED) {
			t.Errorf("an address of the program that failed is open: %d, %v", a.Status, a.Err)
		}
		if n := w.Dialed("b:80"); n != 1 {
			t.Errorf("%d connections to the backend, want the first one kept", n)
		}
		taken.Close()
		if err := w.Apply(text); err != nil {
			t.Error(err)
		}
		at(w, "taken:80").Is(t, 200, "2")
	})
}

func TestAGatewayThatGoesDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := flowtest.Serve(t, fmt.Sprintf(twoGateways, "two:80"), flowtest.Backends{
			"b": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				<-release
				_, _ = io.WriteString(w, "1")
			}),
		})
		done := make(chan flowtest.Answer)
		go func() { done <- at(w, "two:80") }()
		synctest.Wait()
		if err := w.Apply(oneGateway); err != nil {
			t.Fatal(err)
		}
		if a := at(w, "two:80"); !errors.Is(a.Err, syscall.ECONNREFUSED) {
			t.Errorf("the gateway still takes connections: %d, %v", a.Status, a.Err)
		}
		synctest.Wait()
		time.Sleep(5 * time.Second) // less than the request may take to drain
		close(release)
		(<-done).Is(t, 200, "2")
	})
}

func TestAGatewayThatGoesIsCutOffInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := &flowtest.Stall{}
		w := flowtest.Serve(t, fmt.Sprintf(twoGateways, "two:80"), flowtest.Backends{"b": stall})
		done := make(chan flowtest.Answer)
		go func() { done <- at(w, "two:80") }()
		synctest.Wait()
		begin := time.Now()
		if err := w.Apply(oneGateway); err != nil {
			t.Fatal(err)
		}
		if a := <-done; a.Err == nil {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("cut off after %v, want the 10s of Drain", took)
		}
		synctest.Wait()
		if stall.Gone.Load() != 1 {
			t.Error("the backend was not told")
		}
	})
}

// An address may come back before its listener has gone.
func TestAGatewayComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, oneGateway, flowtest.Backends{"b": flowtest.JSON(200, "1")})
		for range 20 {
			if err := w.Apply(fmt.Sprintf(twoGateways, "two:80")); err != nil {
				t.Fatal(err)
			}
			at(w, "two:80").Is(t, 200, "2")
			if err := w.Apply(oneGateway); err != nil {
				t.Fatal(err)
			}
		}
		w.Get("/").Is(t, 200, "again")
	})
}

func TestAnAddressSpelledOtherwiseStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first = `
flow: f
trigger: { http: GET / }
steps: [{ return: 1 }]
---
gateways: { one: { listen: "0.0.0.0:80" } }`
		w := flowtest.Serve(t, first, nil)
		second := strings.Replace(first, `"0.0.0.0:80"`, `":80"`, 1)
		for _, text := range []string{second, first, second} {
			at(w, "0.0.0.0:80").Is(t, 200, "1")
			if err := w.Apply(text); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		at(w, "0.0.0.0:80").Is(t, 200, "1")
	})
}

func TestShutdown(t *testing.T) {
	t.Run("waits for what is in progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(3 * time.Second)
				_, _ = io.WriteString(w, "1")
			})
			w := flowtest.Serve(t, oneGateway, flowtest.Backends{"b": slow})
			b := service(w.Host.Program(), "b")
			done := make(chan flowtest.Answer, 1)
			go func() { done <- w.Get("/") }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := w.Host.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			(<-done).Is(t, 200, "again")
			if open(b) != 0 {
				t.Error("the service is still open")
			}
			if err := w.Apply(oneGateway); err == nil {
				t.Error("a host that has shut down took another program")
			}
		})
	})
	t.Run("is bounded, also by what drains already", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stall := &flowtest.Stall{}
			w := flowtest.Serve(t, fmt.Sprintf(twoGateways, "two:80"), flowtest.Backends{"b": stall})
			done := make(chan flowtest.Answer, 2)
			go func() { done <- at(w, "two:80") }()
			go func() { done <- at(w, "public:80") }()
			synctest.Wait()
			if err := w.Apply(oneGateway); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := w.Host.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want what was cut off", err)
			}
			if took := time.Since(begin); took < 2*time.Second || took > 3*time.Second {
				t.Errorf("it took %v, want the 2s of its context and the time of a look", took)
			}
			for range 2 {
				if a := <-done; a.Err == nil {
					t.Errorf("got %d %s", a.Status, a.Body)
				}
			}
			synctest.Wait()
			if stall.Gone.Load() != 2 {
				t.Error("the backend was not told")
			}
		})
	})
}
