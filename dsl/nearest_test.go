package dsl

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	among := []string{"timeout", "retry", "fallback", "id", "when", "query", "Gateway"}
	tests := map[string]string{
		"timout": "timeout", "tiemout": "timeout", "TIMEOUT": "timeout", "time_out": "timeout", "retyr": "retry",
		"fallbak": "fallback", "falbak": "fallback", "gateway": "Gateway", "wehn": "when", "quer": "query",
		"body": "", "x": "", "": "", "timeouts_of_all": "", "ID": "id", "i": "",
		strings.Repeat("é", 5000): "",
	}
	for name, want := range tests {
		if got, ok := Nearest(name, among); got != want || ok != (want != "") {
			t.Errorf("Nearest(%.20q) is %q, %t; want %q", name, got, ok, want)
		}
	}
	if got, _ := Nearest("ab1", []string{"ab2", "ab3"}); got != "ab2" {
		t.Errorf("of equals %q wins, want the first", got)
	}
}
