package policies

import (
	"io"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is a coding of content (RFC 9110, 8.4.1).
type coding struct {
	name     string
	field    []string // of Content-Encoding
	encoders *sync.Pool
}

// encoder is what all of the libraries' writers are.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(to io.Writer)
}

func (c *coding) open(to io.Writer) encoder {
	e := c.encoders.Get().(encoder)
	e.Reset(to)
	return e
}

// free gives an encoder back, without what it wrote to.
func (c *coding) free(e encoder) {
	e.Reset(io.Discard)
	c.encoders.Put(e)
}

// window is how far back encoders look, as a power of 2: answers are small, and
// there may be many at a time.
const window = 17

// The levels are those at which a further percent begins to cost several times
// as much: BenchmarkCompress has the numbers.
var codings = map[string]*coding{
	"zstd": newCoding("zstd", func() encoder {
		e, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedFastest), // the options are known
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<window), zstd.WithLowerEncoderMem(true))
		return e
	}),
	"br": newCoding("br", func() encoder {
		return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: 3, LGWin: window})
	}),
	"gzip": newCoding("gzip", func() encoder {
		e, _ := gzip.NewWriterLevel(io.Discard, 5) // the level is known
		return e
	}),
}

func newCoding(name string, open func() encoder) *coding {
	return &coding{name: name, field: []string{name}, encoders: &sync.Pool{New: func() any { return open() }}}
}

// negotiate is the coding of offered, the best first, that a client likes most
// (RFC 9110, 12.5.3). Nil is identity, which it is for a client that likes that
// more than all others, and for one that takes nothing at all: an answer that it
// may be able to read serves it better than status 406.
func negotiate(accepts []string, offered []*coding) *coding {
	const unsaid = -1
	var room [3]int // as many as there are codings
	weights := room[:len(offered)]
	for i := range weights {
		weights[i] = unsaid
	}
	identity, others := unsaid, unsaid
	for _, line := range accepts {
		for member := range strings.SplitSeq(line, ",") {
			name, q, ok := acceptMember(member)
			switch {
			case !ok:
			case name == "*":
				others = q
			case strings.EqualFold(name, "identity"):
				identity = q
			default:
				for i, c := range offered {
					if strings.EqualFold(name, c.name) || c.name == "gzip" && strings.EqualFold(name, "x-gzip") {
						weights[i] = q
					}
				}
			}
		}
	}
	var best *coding
	most := max(identity, 0)
	for i, c := range offered {
		q := weights[i]
		if q == unsaid {
			q = others
		}
		if q > most || best == nil && q > 0 && q == most {
			best, most = c, q
		}
	}
	return best
}

// acceptMember reads a member of Accept-Encoding. Its weight is in thousandths.
// One that cannot be read is none.
func acceptMember(text string) (name string, q int, ok bool) {
	name, parameter, weighted := strings.Cut(text, ";")
	name = strings.Trim(name, " \t")
	if !isToken(name) {
		return "", 0, false
	}
	if !weighted {
		return name, 1000, true
	}
	parameter = strings.Trim(parameter, " \t")
	if len(parameter) < 3 || parameter[0]|0x20 != 'q' || parameter[1] != '=' {
		return "", 0, false
	}
	q, ok = qvalue(parameter[2:])
	return name, q, ok
}

// qvalue is RFC 9110, 12.4.2: 0 or 1, with up to three decimals.
func qvalue(text string) (thousandths int, ok bool) {
	if len(text) > 5 || text[0] != '0' && text[0] != '1' || len(text) > 1 && text[1] != '.' {
		return 0, false
	}
	q := int(text[0]-'0') * 1000
	for i, unit := 2, 100; i < len(text); i, unit = i+1, unit/10 {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		q += int(text[i]-'0') * unit
	}
	return q, q <= 1000
}
