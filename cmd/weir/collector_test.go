package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestGarbageIsCollectedWhenThereIsEnoughOfIt(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 3200}, {1 << 20, 3200}, {5 << 20, 600}, {20 << 20, 150}, {32 << 20, 100}, {1 << 30, 100}, {math.MaxUint64, 100},
	} {
		if got := garbagePercent(c.live); got != c.want {
			t.Errorf("%d bytes alive: %d %%, want %d %%", c.live, got, c.want)
		}
	}
}

func TestEveryCycleIsSeen(t *testing.T) {
	cycles := make(chan struct{}, 100)
	afterCycles(func() {
		select {
		case cycles <- struct{}{}:
		default: // whoever counted is gone
		}
	})
	for range 3 {
		runtime.GC()
		<-cycles
	}
}

func TestTheLimitOfAContainer(t *testing.T) {
	const none = math.MaxInt64
	for _, c := range []struct {
		name, membership string
		files            map[string]string
		want             int64
	}{
		{name: "no control groups", want: none},
		{name: "version 1", membership: "5:memory:/docker/x\n", want: none},
		{name: "no limit", membership: "0::/\n", files: map[string]string{"memory.max": "max\n"}, want: none},
		{name: "in its own namespace", membership: "0::/\n", files: map[string]string{"memory.max": "268435456\n"}, want: 256 << 20},
		{name: "its own is less", membership: "0::/a/b\n", files: map[string]string{"a/memory.max": "2000\n", "a/b/memory.max": "1000\n"}, want: 1000},
		{name: "the one around is less", membership: "0::/a/b\n", files: map[string]string{"a/memory.max": "2000\n", "a/b/memory.max": "max\n"}, want: 2000},
		{name: "outside of what is mounted", membership: "0::/../../a\n", files: map[string]string{"memory.max": "3000\n"}, want: 3000},
		{name: "nonsense", membership: "0::/\n", files: map[string]string{"memory.max": "-1\n"}, want: none},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, membership := t.TempDir(), filepath.Join(t.TempDir(), "cgroup")
			write := func(name, text string) {
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.membership != "" {
				write(membership, c.membership)
			}
			for name, text := range c.files {
				write(filepath.Join(root, name), text)
			}
			if got := containerMemory(root, membership); got != c.want {
				t.Errorf("%d bytes, want %d", got, c.want)
			}
		})
	}
}
