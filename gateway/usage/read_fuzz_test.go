package usage

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzRead holds that no file that is found where usage is kept ends the process,
// and that what is taken of it can be added to.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[{"route":"a","requests":1,"latency":{"7":2,"-1":3,"99999":4},"consumers":"AAAA","top":[{"consumer":"x"}]}]`, `{`, `[{"Requests":-1,"Latency":{"1":-5}}]`, `[null]`,
	} {
		f.Add([]byte(seed))
	}
	name := filepath.Join(f.TempDir(), "usage.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		begin := time.Unix(0, 0)
		one, err := read(name, begin)
		if err != nil {
			return
		}
		sum := span{begin, map[Route]*count{}}
		for range 2 {
			for route, c := range one.routes {
				sum.of(route).merge(c)
			}
		}
	})
}
