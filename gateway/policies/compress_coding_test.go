package policies

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

func offered() []*coding {
	return []*coding{codings["zstd"], codings["br"], codings["gzip"]}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct{ name, accept, want string }{
		{"RFC 9110 12.5.3: an empty field is identity only", "", ""},
		{"RFC 9110 12.5.3: one that is listed", "gzip", "gzip"},
		{"RFC 9110 12.5.3: none that is listed", "compress, deflate", ""},
		{"RFC 9110 12.5.3: of equals the server's first", "gzip, br, zstd", "zstd"},
		{"RFC 9110 12.5.3: the highest weight", "gzip;q=1.0, br;q=0.8, zstd;q=0.5", "gzip"},
		{"RFC 9110 12.5.3: weight 0 is not acceptable", "gzip;q=0, br;q=0.000", ""},
		{"RFC 9110 12.5.3: the star is for what is not listed", "zstd;q=0, *", "br"},
		{"RFC 9110 12.5.3: the star has a weight", "*;q=0.5, gzip;q=0.6", "gzip"},
		{"RFC 9110 12.5.3: the star that excludes", "*;q=0, gzip;q=0.1", "gzip"},
		{"RFC 9110 12.5.3: identity that is liked more", "identity, gzip;q=0.9", ""},
		{"RFC 9110 12.5.3: identity that is liked as much", "identity, gzip", "gzip"},
		{"RFC 9110 12.5.3: identity that is excluded, and nothing else", "identity;q=0", ""},
		{"RFC 9110 8.4.1: names of codings have no case", "GZip", "gzip"},
		{"RFC 9110 8.4.1.3: x-gzip is gzip", "x-gzip", "gzip"},
		{"RFC 9110 12.4.2: white space around the weight", "gzip \t; \tq=0.2 ,br;q=0.1", "gzip"},
		{"RFC 9110 12.4.2: the name of the weight has no case", "gzip;Q=0.5", "gzip"},
		{"RFC 9110 12.4.2: three decimals", "gzip;q=0.001", "gzip"},
		{"RFC 9110 12.4.2: what is no weight is no member", "gzip;q=0.0001, br;q=2, zstd;q=-1", ""},
		{"RFC 9110 12.4.2: more than 1 is no weight", "gzip;q=1.001", ""},
		{"RFC 9110 5.6.1: empty members are none", ", ,gzip,,", "gzip"},
		{"a parameter that is no weight", "gzip;level=9, br;q=0.1", "br"},
		{"the last of two weights counts", "gzip;q=0, gzip", "gzip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if chosen := negotiate([]string{c.accept}, offered()); chosen != nil {
				got = chosen.name
			}
			if got != c.want {
				t.Errorf("%q, not %q", got, c.want)
			}
		})
	}
}

// FuzzNegotiate: whatever comes is read, what is chosen was named or covered by a
// star, and the order of lines is that of one line.
func FuzzNegotiate(f *testing.F) {
	for _, seed := range []string{"gzip;q=0.5,*", "x-gzip;q=1.000", ";;;,q=", "br;q=", "identity;q=0.1,zstd;q=0.05", "\x00gzip", "*;q=0"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		c := negotiate([]string{one, two}, offered())
		if c != negotiate([]string{one + "," + two}, offered()) {
			t.Error("two lines are not one")
		}
		if all := strings.ToLower(one + "," + two); c != nil && !strings.Contains(all, c.name) && !strings.Contains(all, "*") {
			t.Errorf("%s was not asked for in %q", c.name, all)
		}
	})
}

// sink is a connection.
type sink struct {
	header http.Header
	bytes  int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return len(p), nil }

// sample is 10 KB of JSON as it is served: keys that come again, values that do
// not.
var sample = func() []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"orders":[`)
	for i := 0; b.Len() < 10_000; i++ {
		fmt.Fprintf(&b, `{"id":%d,"customer":"c-%x","state":%q,"total":%d.%02d,"at":"2026-0%d-%02dT%02d:%02d:00Z"},`, 70000+i, rnd.Uint64(),
			[]string{"open", "paid", "sent"}[rnd.IntN(3)], rnd.IntN(500), rnd.IntN(100), 1+rnd.IntN(9), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60))
	}
	b.WriteString(`null]}`)
	return b.Bytes()
}()

// TestCompressAllocations: an encoder that has made one answer makes the next
// with the memory that it has.
func TestCompressAllocations(t *testing.T) {
	for name, c := range codings {
		to, e := &sink{header: http.Header{}}, c.open(io.Discard)
		run := func() {
			e.Reset(to)
			_, _ = e.Write(sample)
			_ = e.Close()
		}
		run()
		if got := testing.AllocsPerRun(50, run); got > 0 {
			t.Errorf("%s: %v allocations for an answer", name, got)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, name := range []string{"zstd", "br", "gzip"} {
		c := codings[name]
		b.Run(name, func(b *testing.B) {
			to := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				to.bytes = 0
				e := c.open(to)
				_, _ = e.Write(sample)
				_ = e.Close()
				c.free(e)
			}
			b.ReportMetric(float64(to.bytes), "B/answer")
		})
		b.Run(name+", a new encoder", func(b *testing.B) { // what an open stream holds
			b.ReportAllocs()
			for b.Loop() {
				e := c.encoders.New().(encoder)
				e.Reset(io.Discard)
				_, _ = e.Write(sample)
				_ = e.Flush()
			}
		})
	}
	b.Run("floor: gzip of the standard library", func(b *testing.B) {
		e, to := stdgzip.NewWriter(io.Discard), &sink{}
		b.ReportAllocs()
		for b.Loop() {
			to.bytes = 0
			e.Reset(to)
			_, _ = e.Write(sample)
			_ = e.Close()
		}
		b.ReportMetric(float64(to.bytes), "B/answer")
	})
}
