package steps

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

var roomy = bounds{Entries: 1000, Memory: 1 << 20}

func TestAClaimIsOfOne(t *testing.T) {
	ctx := context.Background() // of every bubble
	claim := func(t *testing.T, s engine.Store, ctx context.Context) chan string {
		t.Helper()
		got := make(chan string, 1)
		go func() {
			switch text, kept, err := s.Claim(ctx, "k", time.Minute); {
			case err != nil:
				got <- "gone"
			case kept:
				got <- "kept " + text
			default:
				got <- "claimed"
			}
		}()
		synctest.Wait()
		return got
	}
	is := func(t *testing.T, got chan string, want string) {
		t.Helper()
		synctest.Wait()
		select {
		case g := <-got:
			if g != want {
				t.Errorf("got %q, want %q", g, want)
			}
		default:
			if want != "" {
				t.Errorf("it waits, want %q", want)
			}
		}
	}
	for name, test := range map[string]func(t *testing.T, s engine.Store){
		"others wait for what is put": func(t *testing.T, s engine.Store) {
			is(t, claim(t, s, ctx), "claimed")
			second, third := claim(t, s, ctx), claim(t, s, ctx)
			is(t, second, "")
			_ = s.Put(ctx, "k", "x", time.Second)
			is(t, second, "kept x")
			is(t, third, "kept x")
			time.Sleep(time.Second)
			is(t, claim(t, s, ctx), "claimed")
		},
		"one of them has it when it is released": func(t *testing.T, s engine.Store) {
			is(t, claim(t, s, ctx), "claimed")
			second := claim(t, s, ctx)
			_ = s.Release(ctx, "k")
			is(t, second, "claimed")
			is(t, claim(t, s, ctx), "")
			_ = s.Release(ctx, "k")
		},
		"it does not outlive its owner": func(t *testing.T, s engine.Store) {
			is(t, claim(t, s, ctx), "claimed")
			second := claim(t, s, ctx)
			time.Sleep(time.Minute - time.Nanosecond)
			is(t, second, "")
			time.Sleep(time.Nanosecond)
			is(t, second, "claimed")
			_ = s.Release(ctx, "k")
		},
		"who waits can leave": func(t *testing.T, s engine.Store) {
			is(t, claim(t, s, ctx), "claimed")
			short, leave := context.WithCancel(ctx)
			second := claim(t, s, short)
			leave()
			is(t, second, "gone")
			_ = s.Release(ctx, "k")
			is(t, claim(t, s, ctx), "claimed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newMemory(roomy, false)) })
		})
	}
}

// Two processes that share a store do things once between them.
func TestLeadersOfOneStoreWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(roomy, false)
		here, there := newRecollection(store), newRecollection(store)
		made := 0
		work := func(fails bool) func(context.Context) (outcome, error) {
			return func(context.Context) (outcome, error) {
				time.Sleep(time.Second)
				made++
				if fails {
					return outcome{}, errors.New("failed")
				}
				return outcome{value: engine.JSON(fmt.Sprint(made))}, nil
			}
		}
		var wg sync.WaitGroup
		ask := func(r *recollection, fails bool, want string) {
			wg.Go(func() {
				o, err := r.recall(t.Context(), "k", "", time.Minute, work(fails))
				if got := o.value.JSON(); err == nil && got != want || (err != nil) != (want == "") {
					t.Errorf("got %s, %v, want %s", got, err, want)
				}
			})
			synctest.Wait()
		}
		ask(here, true, "")
		ask(there, false, "2") // waits for the one that fails, and makes it then
		ask(here, false, "")   // joins the one that fails
		wg.Wait()
		ask(here, false, "2")
		wg.Wait()
		if made != 2 {
			t.Errorf("made %d times", made)
		}
	})
}

// Whoever leaves or fails when: what succeeded is not made again, and no key is
// left behind.
func TestARecollectionMakesOneOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(roomy, false)
		both := []*recollection{newRecollection(store), newRecollection(store)}
		var made [20]atomic.Int32
		var wg sync.WaitGroup
		for i := range 2000 {
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(1+rand.IntN(8))*time.Millisecond)
			key := i % len(made)
			wg.Go(func() {
				defer leave()
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
				defer func() { _ = recover() }() // of what panics below
				o, err := both[i%2].recall(ctx, fmt.Sprint(key), "", time.Hour, func(ctx context.Context) (outcome, error) {
					select {
					case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
					case <-ctx.Done():
						return outcome{}, context.Cause(ctx)
					}
					switch rand.IntN(4) {
					case 0:
						return outcome{}, errors.New("failed")
					case 1:
						panic("in the work")
					}
					made[key].Add(1)
					return outcome{value: engine.Go(key)}, nil
				})
				if err == nil && o.value.JSON() != fmt.Sprint(key) {
					t.Errorf("key %d gave %s", key, o.value.JSON())
				}
			})
			if rand.IntN(3) == 0 {
				leave()
			}
		}
		wg.Wait()
		for key := range made {
			if n := made[key].Load(); n > 1 {
				t.Errorf("key %d: made %d times", key, n)
			}
		}
		if len(store.claims) != 0 || len(both[0].flights)+len(both[1].flights) != 0 {
			t.Errorf("left: %d claims, %d and %d flights", len(store.claims), len(both[0].flights), len(both[1].flights))
		}
	})
}

// Keys are what callers choose: as many as they like, and as long.
func TestKeysOfCallersTakeBoundedRoom(t *testing.T) {
	const many = 1_000_000
	t.Run("a memory", func(t *testing.T) {
		m := newMemory(bounds{Entries: 5000, Memory: 1 << 20}, true)
		for i := range many {
			key := fmt.Sprint(i)
			_, _, _ = m.Claim(t.Context(), key, time.Minute)
			_ = m.Put(t.Context(), key, "text", time.Hour)
		}
		if len(m.byKey) > 5000 || m.bytes > 1<<20 || m.evicted != int64(many-len(m.byKey)) || len(m.claims) != 0 {
			t.Errorf("%d entries, %d bytes, %d evicted, %d claims", len(m.byKey), m.bytes, m.evicted, len(m.claims))
		}
	})
	t.Run("gates", func(t *testing.T) {
		g := newGates()
		for i := range many {
			key := fmt.Sprint(i)
			if e := g.enter(t.Context(), key, 1, 1); e != nil {
				t.Fatal(e)
			}
			g.leave(key)
		}
		if len(g.byKey) != 0 {
			t.Errorf("%d keys are left", len(g.byKey))
		}
	})
	t.Run("groups", func(t *testing.T) {
		s := newGroups(completion{size: 3, age: time.Hour}, groupBounds{Groups: 1000, Memory: 1 << 20})
		refused := 0
		for i := range many {
			if _, _, err := s.add(&engine.Input{}, fmt.Sprint(i), "1", nil); err != nil {
				refused++
			}
		}
		if refused != many-1000 || s.all != 1000 || s.bytes > 1<<20 {
			t.Errorf("%d refused, %d groups, %d bytes", refused, s.all, s.bytes)
		}
		for _, g := range s.byKey {
			g.clock.Stop()
		}
	})
	t.Run("a long one", func(t *testing.T) {
		m := newMemory(bounds{Entries: 10, Memory: 4096}, true)
		r := newRecollection(m)
		made := 0
		for range 2 {
			for _, end := range []string{"a", "b"} {
				_, err := r.recall(t.Context(), strings.Repeat("x", 20<<20)+end, "", time.Hour, func(context.Context) (outcome, error) {
					made++
					return outcome{}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
		if made != 2 || m.bytes > 4096 {
			t.Errorf("made %d times, %d bytes", made, m.bytes)
		}
	})
}

// A condition that does not end as it should leaves the group as it was.
func TestAPanicOfAConditionLeavesTheGroup(t *testing.T) {
	s := newGroups(completion{size: 3, age: time.Hour}, groupBounds{Groups: 10, Memory: 1 << 20})
	add := func(until func(string, []string) (bool, error)) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("%v", v)
			}
		}()
		_, _, err = s.add(&engine.Input{}, "k", "1", until)
		return err
	}
	panics := func(string, []string) (bool, error) { panic("in the condition") }
	if add(panics) == nil || s.all != 0 || s.bytes != 0 || s.items != 0 {
		t.Errorf("%d groups, %d items, %d bytes", s.all, s.items, s.bytes)
	}
	if err := add(nil); err != nil {
		t.Fatal(err)
	}
	before := s.bytes
	if add(panics) == nil || s.all != 1 || s.items != 1 || s.bytes != before {
		t.Errorf("%d groups, %d items, %d bytes", s.all, s.items, s.bytes)
	}
	if err := add(nil); err != nil || s.items != 2 {
		t.Errorf("%v, %d items", err, s.items)
	}
	s.byKey["k"].clock.Stop()
}

func TestOutcomesAreStored(t *testing.T) {
	header := http.Header{"X-A": {"1", "ü\n2"}}
	for name, o := range map[string]outcome{
		"null":           {},
		"JSON":           {value: engine.JSON(`{"a":1.50}`)},
		"text":           {value: engine.Go("j\n")},
		"no text":        {value: engine.Go("")},
		"bytes":          {value: engine.Bytes("\x00\n\xff", "image/png")},
		"with match":     {value: engine.JSON("1"), match: strings.Repeat("\x00v\n", 10)},
		"an answer":      {answer: &engine.Answer{Status: 201, Header: header, Body: engine.JSON("[1]")}, match: "m"},
		"an empty one":   {answer: &engine.Answer{}},
		"one with bytes": {answer: &engine.Answer{Body: engine.Bytes("a\nb", "text/csv; header=present")}},
	} {
		if got, err := parseOutcome(o.text()); err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, o)
		}
	}
	// What an expression made is what its JSON says, for who made it and for who gets it.
	decimal, err := parseOutcome(outcome{value: engine.Go([]any{dsl.DecodeJSON("1.50"), nil})}.text())
	if err != nil || decimal.value.JSON() != "[1.50,null]" {
		t.Errorf("got %s, %v", decimal.value.JSON(), err)
	}
}

func FuzzParseOutcome(f *testing.F) {
	for _, o := range []outcome{{}, {value: engine.Go("x"), match: "m"}, {answer: &engine.Answer{Status: 200, Header: http.Header{"A": {"b"}}, Body: engine.Bytes("x", "y/z")}}} {
		f.Add(o.text())
	}
	f.Add("v\xffabc")
	f.Add("a\x00{\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOutcome(text)
		if err != nil {
			return
		}
		again, err := parseOutcome(o.text())
		if err != nil || again.text() != o.text() {
			t.Errorf("%q became %+v, %v, and was %+v", text, again, err, o)
		}
	})
}
