package h1

import (
	"strings"
	"testing"
)

func TestValuesAreCheckedEightBytesAtATime(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				s := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("\xff", n-at-1)
				if got, want := validValue(s), all(s, charValue); got != want {
					t.Fatalf("%q: %v", s, got)
				}
			}
		}
	}
}
