package main

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyPagesThatAreAsInTheFileAreReleased(t *testing.T) {
	const smaps = `00400000-00f30000 r-xp 00000000 fe:00 7 /bin/weir
Size:              11456 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00f30000-01b6b000 r--p 00b30000 fe:00 7 /bin/weir
Anonymous:             0 kB
01b6b000-01c00000 r--p 0176b000 fe:00 7 /bin/weir
Anonymous:            12 kB
01c00000-01c6e000 rw-p 0176b000 fe:00 7 /bin/weir
Anonymous:             0 kB
c0bbc00000-c0bc000000 ---p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 8 /lib/libc.so
Anonymous:             0 kB
7f0000002000-7f0000003000 r--s 00000000 fe:00 7 /bin/weir
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0xf30000}, {0xf30000, 0x1b6b000}}
	if got := untouched(strings.NewReader(smaps), "/bin/weir"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestAProgramGoesOnWithoutItsPages(t *testing.T) {
	for range 3 {
		releasePages()
	}
}
