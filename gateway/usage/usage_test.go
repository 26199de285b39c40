package usage

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuantilesAreWithinTheirError(t *testing.T) {
	var a, b Latency
	for i := 1; i <= 100_000; i++ {
		half := &a
		if i%2 == 0 {
			half = &b
		}
		half.Add(time.Duration(i) * 37 * time.Microsecond)
	}
	a.Merge(&b)
	for _, q := range []float64{0, .01, .5, .95, .99, 1} {
		want := 37 * (1 + q*99_999)
		got := float64(a.Quantile(q).Nanoseconds()) / 1000
		if math.Abs(got-want) > latencyError*want+1 {
			t.Errorf("%v: got %v µs, want %v", q, got, want)
		}
	}
	var none Latency
	if none.Quantile(.5) != 0 {
		t.Error("there is a quantile of nothing")
	}
	none.Add(-time.Hour)
	none.Add(math.MaxInt64)
	if none.Quantile(1) < 10*time.Minute {
		t.Error("what is long is short")
	}
}

func TestDistinctIsWithinItsError(t *testing.T) {
	for _, n := range []int{0, 1, 10, 500, 3000, 100_000} {
		var a, b Distinct
		for i := range n {
			a.Add(fmt.Sprint("consumer-", i))
			b.Add(fmt.Sprint("consumer-", i/2))
			b.Add(fmt.Sprint("consumer-", i))
		}
		a.Merge(&b)
		if got := a.Count(); math.Abs(float64(got)-float64(n)) > .1*float64(n) { // three standard errors
			t.Errorf("%d of %d", got, n)
		}
	}
}

func TestWhoComesMostIsInTheTop(t *testing.T) {
	var a, b Top
	for i := range 20_000 {
		for _, half := range []*Top{&a, &b} {
			half.Add(fmt.Sprint("one of many ", i))
			if i%8 == 0 {
				half.Add("ada")
			}
		}
	}
	a.Merge(&b)
	i := -1
	for at, c := range a.Of {
		if c.Name == "ada" {
			i = at
		}
	}
	if i < 0 || len(a.Of) > mostTop {
		t.Fatalf("ada is not among %d: %v", len(a.Of), a.Of)
	}
	if c := a.Of[i]; c.Count < 5000 || c.Count-c.Over > 5000 {
		t.Errorf("ada came 5000 times, and not %+v", c)
	}
}

func open(t *testing.T, dir string) *Usage {
	t.Helper()
	u, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsageIsKeptAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		at := Route{"public", "GET", "/orders/{id}"}
		for range 3 { // three lives of a minute and a half
			u := open(t, dir)
			ctx, cancel := context.WithCancel(t.Context())
			go u.Run(ctx)
			u.Add(at, Request{Consumer: "ada", In: 1, Out: 10, Took: time.Millisecond})
			time.Sleep(90 * time.Second)
			u.Add(at, Request{Consumer: "bob", Failed: true, Took: 3 * time.Millisecond})
			cancel()
			synctest.Wait()
		}
		u := open(t, dir)
		rows, err := u.Rows(Day, 10, true)
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		if r := rows[0]; r.Requests != 6 || r.Errors != 3 || r.In != 3 || r.Out != 30 || r.Consumers != 2 || r.Top[0].Count != 3 || r.P99 < .00095 || r.P99 > .00316 {
			t.Errorf("%+v", r)
		}
		minutes, err := u.Rows(Minute, 100, false)
		if err != nil || len(minutes) < 4 || len(minutes) > 6 {
			t.Error(minutes, err)
		}
		time.Sleep(10 * 24 * time.Hour)
		u.prune(time.Now())
		for i, want := range []int{0, 0, 1} {
			if got := len(u.files(i)); got != want {
				t.Errorf("%d files of %s", got, periods[i].Period)
			}
		}
	})
}

func TestWhatIsInTheDirectoryIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	u := open(t, dir)
	name := u.name(Hour, time.Now().UTC().Format("20060102T15"))
	for _, text := range []string{"", "{", `[{"latency":{"-1":5,"99999":5},"consumers":"AAAA","requests":1}]`, strings.Repeat("[", 10000)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u.Add(Route{Gateway: "g"}, Request{})
		if _, err := u.Rows(Hour, 10, false); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if left, _ := filepath.Glob(dir + "/.usage-*"); len(left) > 0 {
		t.Error(left)
	}
	if _, err := u.Rows("week", 1, false); err == nil {
		t.Error("there is a week")
	}
}

func TestUsageIsBounded(t *testing.T) {
	u := open(t, t.TempDir())
	for i := range 3 * mostRoutes {
		u.Add(Route{Gateway: "g", Route: fmt.Sprint("/", i)}, Request{Consumer: strings.Repeat(fmt.Sprint(i), 1000)})
	}
	if n := len(u.now.routes); n > mostRoutes+2 {
		t.Errorf("%d routes", n)
	}
	if c := u.now.routes[Route{Gateway: "g", Route: Others}]; c == nil || c.Requests != 2*mostRoutes || len(c.Top.Of) > mostTop || len(c.Top.Of[0].Name) > maxName {
		t.Errorf("%+v", c)
	}
}
