package usage

import (
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// BenchmarkAdd is what a request pays: of one route or many, and of few consumers
// or a million.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct{ routes, consumers int }{{1, 0}, {1, 10}, {1, 1_000_000}, {100, 1000}} {
		b.Run(fmt.Sprintf("%d routes, %d consumers", c.routes, c.consumers), func(b *testing.B) {
			u, err := Open(b.TempDir(), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			routes := make([]Route, c.routes)
			for i := range routes {
				routes[i] = Route{"public", "GET", fmt.Sprint("/orders/", i, "/{id}")}
			}
			names := make([]string, min(c.consumers, 100_000))
			for i := range names {
				names[i] = fmt.Sprint("consumer-", i)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					r := Request{In: 100, Out: 1000, Took: time.Duration(i%1000) * time.Microsecond}
					if len(names) > 0 {
						r.Consumer = names[i*7919%len(names)]
					}
					u.Add(routes[i%len(routes)], r)
				}
			})
		})
	}
}
