package dsl

import "testing"

func TestPositionsCountRunes(t *testing.T) {
	src := NewSource("a.yaml", "\ufeffé: b\r\nc\rd\n")
	tests := []struct{ offset, line, column int }{
		{0, 1, 1}, {3, 1, 1}, {5, 1, 2}, {7, 1, 4}, {8, 1, 5}, {9, 1, 6}, {10, 2, 1}, {11, 2, 2}, {12, 3, 1}, {14, 4, 1},
	}
	for _, tt := range tests {
		line, column := Span{src, tt.offset, tt.offset}.Position()
		if line != tt.line || column != tt.column {
			t.Errorf("offset %d is at %d:%d, want %d:%d", tt.offset, line, column, tt.line, tt.column)
		}
	}
}

func TestSpansOutsideTheirSourceHaveNoAddress(t *testing.T) {
	src := NewSource("a.yaml", "abc")
	for _, s := range []Span{{}, {src, 2, 1}, {src, -1, 1}, {src, 0, 4}} {
		if line, column := s.Position(); s.Valid() || line != 0 || column != 0 || s.String() != "" || s.Text() != "" {
			t.Errorf("%d-%d has the address %d:%d", s.Start, s.End, line, column)
		}
	}
	if s := (Span{src, 1, 3}); s.String() != "a.yaml:1:2" || s.Text() != "bc" {
		t.Errorf("got %s %q", s, s.Text())
	}
}
