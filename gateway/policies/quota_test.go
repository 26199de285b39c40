package policies

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/engine"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestPeriodsOfQuotasAreThoseOfTheCalendar(t *testing.T) {
	for _, c := range []struct{ name, per, zone, at, begin, end string }{
		{"an hour", "hour", "UTC", "2026-03-29T01:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"an hour where they begin at half past", "hour", "Asia/Kolkata", "2026-03-29T01:45:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"},
		{"the second of two hours of one name", "hour", "Europe/Berlin", "2026-10-25T01:20:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"a day", "day", "UTC", "2026-02-28T23:59:59Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"a day elsewhere", "day", "America/New_York", "2026-02-28T03:00:00Z", "2026-02-27T05:00:00Z", "2026-02-28T05:00:00Z"},
		{"a day of 23 hours", "day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a month", "month", "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"the last month of a year", "month", "Europe/Berlin", "2026-12-31T22:59:59Z", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := allowance{per: c.per, zone: zone(t, c.zone)}
			at, _ := time.Parse(time.RFC3339, c.at)
			p := l.period(at)
			if begin, end := time.Unix(p.begin, 0).UTC().Format(time.RFC3339), time.Unix(p.end, 0).UTC().Format(time.RFC3339); begin != c.begin || end != c.end {
				t.Errorf("from %s to %s, not from %s to %s", begin, end, c.begin, c.end)
			}
		})
	}
}

// quotaAt is a ledger of quotas, asked at moments.
func quotaAt(limits ...allowance) func(at time.Time, key string, cost int64) (bool, []engine.Balance) {
	c := newCounts(limits, 64<<10, [16]byte{1})
	return func(at time.Time, key string, cost int64) (bool, []engine.Balance) {
		left := make([]engine.Balance, len(limits))
		return c.Take(context.Background(), []byte(key), cost, at, left), left
	}
}

func TestAQuotaBeginsAnewWithItsPeriod(t *testing.T) {
	take := quotaAt(allowance{most: 3, per: "day", zone: time.UTC}, allowance{most: 4, per: "month", zone: time.UTC})
	at := time.Date(2026, 5, 30, 18, 0, 0, 0, time.UTC)
	for range 3 {
		take(at, "k", 1)
	}
	if ok, left := take(at, "k", 1); ok || left[0] != (engine.Balance{Left: 0, Next: 6 * time.Hour, Wait: 6 * time.Hour}) || left[1].Left != 1 || left[1].Wait != 0 {
		t.Errorf("%t %+v", ok, left)
	}
	if ok, _ := take(at, "other", 3); !ok {
		t.Error("another key")
	}
	at = at.Add(6 * time.Hour)
	if ok, left := take(at, "k", 1); !ok || left[0].Left != 2 || left[1].Left != 0 {
		t.Errorf("%t %+v", ok, left)
	}
	if ok, left := take(at, "k", 1); ok || left[1].Wait != 24*time.Hour || left[0].Left != 2 {
		t.Errorf("%t %+v", ok, left)
	}
	if ok, _ := take(at.Add(-12*time.Hour), "k", 1); ok {
		t.Error("a clock that is set back gives the quota back")
	}
	if ok, left := take(at.Add(24*time.Hour), "k", 2); !ok || left[1].Left != 2 {
		t.Errorf("%t %+v", ok, left)
	}
	if ok, left := take(at.Add(24*time.Hour), "k", 50); ok || left[0].Left != 1 {
		t.Errorf("%t %+v", ok, left)
	}
}

func TestASlidingQuotaForgetsByAndBy(t *testing.T) {
	take := quotaAt(allowance{most: 100, per: "hour", sliding: true})
	at := time.Date(2026, 5, 30, 18, 30, 0, 0, time.UTC)
	if ok, _ := take(at, "k", 100); !ok {
		t.Fatal("at first")
	}
	if ok, left := take(at, "k", 10); ok || left[0].Wait != 36*time.Minute {
		t.Errorf("%t %+v", ok, left)
	}
	at = at.Add(36 * time.Minute)
	if ok, left := take(at, "k", 10); !ok || left[0].Left != 0 {
		t.Errorf("after as long as it said: %t %+v", ok, left)
	}
	if ok, left := take(at, "k", 1); ok || left[0].Wait != 36*time.Second {
		t.Errorf("%t %+v", ok, left)
	}
	if ok, left := take(at.Add(2*time.Hour), "k", 0); !ok || left[0].Left != 100 {
		t.Errorf("in the end: %t %+v", ok, left)
	}
}

func TestQuotaRefusesAndSaysUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time begins at midnight, UTC, of the first of January 2000
		h := guarded(t, "{ quota: { limit: 2, per: day, also: [{ limit: 3, per: month }], zone: Europe/Berlin } }")
		from(h, "192.0.2.1:1", "", "")
		got := from(h, "192.0.2.1:1", "", "")
		if got.Code != 200 || got.Header().Get("RateLimit") != `"2/day";r=0;t=82800, "3/month";r=1;t=2674800` || got.Header().Get("RateLimit-Policy") != `"2/day";q=2;w=86400, "3/month";q=3;w=2678400` {
			t.Errorf("%d %v", got.Code, got.Header())
		}
		got = from(h, "192.0.2.1:1", "", "")
		if got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") != "82800" || !strings.Contains(got.Body.String(), `"code":"quota-exceeded"`) || !strings.Contains(got.Body.String(), `["2/day"]`) {
			t.Errorf("%d %v %s", got.Code, got.Header(), got.Body)
		}
		time.Sleep(23 * time.Hour)
		if got := from(h, "192.0.2.1:1", "", ""); got.Code != 200 {
			t.Errorf("%d %v", got.Code, got.Header())
		}
	})
}

func TestAQuotaOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state", "daily")
		bundle := func(limit int) string {
			return fmt.Sprintf("{ caller: {}, quota: { limit: %d, per: day, file: %q, plans: { gold: { limit: 5, per: month } } } }", limit, path)
		}
		h, end := opened(t, bundle(3))
		for range 3 {
			from(h, "192.0.2.1:1", "", "")
		}
		from(h, "192.0.2.1:1", "ada", "gold")
		end()

		h, end = opened(t, bundle(3))
		if got := from(h, "192.0.2.1:1", "", ""); got.Code != 429 {
			t.Errorf("after a restart: %d", got.Code)
		}
		if got := from(h, "192.0.2.1:1", "ada", "gold"); !strings.HasPrefix(got.Header().Get("RateLimit"), `"5/month";r=3;`) {
			t.Errorf("after a restart: %v", got.Header())
		}
		time.Sleep(saveEvery + time.Second) // no end: the process crashes
		h2, end2 := opened(t, bundle(4))
		if got := from(h2, "192.0.2.1:1", "", ""); got.Code != 200 || !strings.HasPrefix(got.Header().Get("RateLimit"), `"4/day";r=0;`) {
			t.Errorf("a quota that was raised: %d %v", got.Code, got.Header())
		}
		if got := from(h2, "192.0.2.1:1", "ada", "gold"); !strings.HasPrefix(got.Header().Get("RateLimit"), `"5/month";r=2;`) {
			t.Errorf("after a crash: %v", got.Header())
		}
		end2()
		end()
		time.Sleep(24 * time.Hour)
		h, end = opened(t, bundle(3))
		if got := from(h, "192.0.2.1:1", "", ""); got.Code != 200 {
			t.Errorf("the next day: %d", got.Code)
		}
		end()
		if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
			t.Errorf("what else is there: %v", all)
		}
	})
}

func TestAFileOfAQuotaThatIsDamagedIsPutAside(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	bundle := func(path string) string { return fmt.Sprintf("{ quota: { limit: 1, per: month, file: %q } }", path) }
	h, end := opened(t, bundle(whole))
	from(h, "192.0.2.1:1", "", "")
	end()
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"empty": {}, "cut": good[:len(good)-9], "flipped": flipped, "other": []byte(strings.Repeat("something else\n", 10)), "longer": append(good[:len(good):len(good)], 0)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			l := openQuota(slog.New(slog.NewTextHandler(&log, nil)), path, []quotaPlan{{"month", []allowance{{most: 1, per: "month", zone: time.UTC}}}}, 64<<10)
			told := map[string]int64{}
			l.Observe(func(name string, _ bool, value int64) { told[name] = value })
			if told["broken"] != 1 || told["keys"] != 0 {
				t.Errorf("%v", told)
			}
			if !strings.Contains(log.String(), `level=ERROR msg="the file of a quota cannot be read: it is put aside, and counting begins anew" file=`+path) {
				t.Errorf("operators do not hear of it: %s", &log)
			}
			left := make([]engine.Balance, 1)
			if !l.all[0].Take(context.Background(), []byte("k"), 1, time.Now(), left) {
				t.Error("it does not begin anew")
			}
			l.Close()
			if aside, err := os.ReadFile(path + ".broken"); err != nil || string(aside) != string(data) {
				t.Errorf("it is not put aside: %v", err)
			}
			again := openQuota(slog.New(slog.DiscardHandler), path, []quotaPlan{{"month", []allowance{{most: 1, per: "month", zone: time.UTC}}}}, 64<<10)
			defer again.Close()
			if again.all[0].Take(context.Background(), []byte("k"), 1, time.Now(), left) {
				t.Error("it is not written anew")
			}
		})
	}
}

func TestAFileThatCannotBeWrittenStopsNobody(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	l := openQuota(slog.New(slog.NewTextHandler(&log, nil)), filepath.Join(blocked, "below"), []quotaPlan{{"day", []allowance{{most: 1, per: "day", zone: time.UTC}}}}, 64<<10)
	if !l.all[0].Take(context.Background(), []byte("k"), 1, time.Now(), make([]engine.Balance, 1)) {
		t.Error("refused")
	}
	l.Close()
	told := map[string]int64{}
	l.Observe(func(name string, _ bool, value int64) { told[name] = value })
	if told["unsaved"] != 1 || strings.Count(log.String(), `level=WARN msg="a quota cannot be written to its file"`) != 1 {
		t.Errorf("%v %s", told, &log)
	}
}

func FuzzRestoreQuota(f *testing.F) {
	plans := []quotaPlan{{"day, month", []allowance{{most: 9, per: "day", zone: time.UTC}, {most: 99, per: "month", sliding: true}}}}
	now := time.Date(2026, 5, 30, 18, 30, 0, 0, time.UTC)
	open := func() *quotaState {
		c := newCounts(plans[0].limits, 64<<10, [16]byte{})
		return &quotaState{labels: []string{plans[0].label}, tables: []*counts{c}}
	}
	q := open()
	for i := range 5 {
		q.tables[0].Take(context.Background(), fmt.Append(nil, i), 2, now, make([]engine.Balance, 2))
	}
	picture := q.picture(now)
	f.Add(picture[len(quotaMagic)+16 : len(picture)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		q := open()
		if q.restore(data, now) != nil {
			return
		}
		again := open()
		again.salt = q.salt
		first := q.picture(now)
		if err := again.restore(first[len(quotaMagic)+16:len(first)-4], now); err != nil {
			t.Fatalf("what was restored cannot be restored again: %v", err)
		}
	})
}
