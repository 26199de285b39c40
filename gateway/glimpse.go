package gateway

import (
	"sync"
	"unicode/utf8"
)

// glimpse is the begin of a body, kept as it goes by. Bodies may be read in other
// goroutines, and on when the request is over. A nil glimpse sees nothing.
type glimpse struct {
	most int // bytes

	mu   sync.Mutex
	text []byte
	cut  bool
}

func (g *glimpse) see(p []byte) {
	if g == nil || len(p) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(p), g.most-len(g.text))
	g.text = append(g.text, p[:n]...)
	g.cut = g.cut || n < len(p)
}

// RecentBody is the begin of a body, as it was sent.
type RecentBody struct {
	Text string `json:"text"`
	Cut  bool   `json:"cut,omitempty"` // there was more
}

// seen is nil where there was no body, or one that is no text.
func (g *glimpse) seen() *RecentBody {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	text := g.text
	for range utf8.UTFMax - 1 { // the last character may be cut
		if r, size := utf8.DecodeLastRune(text); !g.cut || r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	if len(text) == 0 || !utf8.Valid(text) {
		return nil
	}
	return &RecentBody{Text: string(text), Cut: g.cut}
}
