package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// releasePages takes the pages of the program's own file out of memory. Code that
// loads and checks is most of what has been touched by then and is not what
// serves; what is needed again is mapped again, from the system's cache.
func releasePages() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, m := range untouched(smaps, program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED) // it is no loss if they stay
	}
}

type mapping struct{ start, end uintptr }

// untouched gives the mappings of a file that hold what the file holds: they
// cannot be written to, and no page of them has been (as a position-independent
// program's are when it starts).
func untouched(smaps io.Reader, file string) []mapping {
	var found []mapping
	var m mapping
	ours := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		var next mapping
		var flags, offset, device, inode, name string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &next.start, &next.end, &flags, &offset, &device, &inode, &name); n >= 6 {
			m, ours = next, name == file && len(flags) == 4 && flags[1] == '-' && flags[3] == 'p'
			continue
		}
		if kept, ok := strings.CutPrefix(line, "Anonymous:"); ok && ours && strings.TrimSpace(kept) == "0 kB" {
			found = append(found, m)
		}
	}
	return found
}
