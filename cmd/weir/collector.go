package main

import (
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// What a request leaves behind is collected when the heap has doubled, and the
// heap of most programs is a few megabytes: it doubles every few hundred
// requests, and a tenth of the time goes into looking at the same few megabytes
// again. room is how much may lie about before that, in bytes, however small
// the heap is.
const room = 32 << 20

// tuneCollector has the collector run when garbage has come to room, or to as
// much as is alive if that is more. GOGC, if it is set, has the last word.
func tuneCollector(env func(string) (string, bool)) {
	if _, set := env("GOGC"); set {
		return
	}
	go debug.FreeOSMemory() // loading needs more than serving
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	current := 100
	afterCycles(func() {
		metrics.Read(live)
		if percent := garbagePercent(live[0].Value.Uint64()); percent != current {
			current = percent
			debug.SetGCPercent(percent)
		}
	})
}

// garbagePercent is GOGC for a heap of which live bytes are alive. It moves in
// steps, since setting it stops the world for a moment.
func garbagePercent(live uint64) int {
	percent := 100 * room / max(live, 1<<20)
	return int(max(100, percent/50*50))
}

// afterCycles calls f after each cycle of the collector, for ever.
func afterCycles(f func()) {
	type sentinel struct{ _ *int }
	var again func(*sentinel)
	again = func(s *sentinel) {
		f()
		runtime.SetFinalizer(s, again)
	}
	runtime.SetFinalizer(&sentinel{}, again)
}

// limitMemory has the collector work harder before a container's limit is
// reached, at nine tenths of it, rather than let the kernel end the process.
// GOMEMLIMIT, if it is set, has the last word. root is where the control groups
// of version 2 are mounted, membership the file that names the process's own.
func limitMemory(env func(string) (string, bool), root, membership string) {
	if _, set := env("GOMEMLIMIT"); set {
		return
	}
	if limit := containerMemory(root, membership); limit < math.MaxInt64 {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// containerMemory is the least limit on the process's control group and those
// around it, in bytes; math.MaxInt64 if there is none.
func containerMemory(root, membership string) int64 {
	limit := int64(math.MaxInt64)
	text, err := os.ReadFile(membership)
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		for ok {
			if b, err := os.ReadFile(path.Join(root, path.Clean("/"+group), "memory.max")); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
					limit = min(limit, n)
				}
			}
			if ok = group != "/" && group != "."; ok {
				group = path.Dir(group)
			}
		}
	}
	return limit
}
