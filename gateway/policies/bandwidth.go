package policies

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"strings"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type bandwidthConfig struct {
	Request  dsl.Size `yaml:"request" doc:"How much of the bodies of requests is read in a second." min:"1KB" max:"1GB"`
	Response dsl.Size `yaml:"response" doc:"How much of the bodies of answers is written in a second, as it leaves: compressed, if compress does that." min:"1KB" max:"1GB"`
	Burst    dsl.Size `yaml:"burst" doc:"How much may pass at once, each way, when nothing has passed before. Default: as much as in a second." min:"1KB" max:"1GB"`
	byConfig
	Memory dsl.Size `yaml:"memory" doc:"How much the counters may take. It is taken as keys come: in about 24 bytes for each that is not idle. What has no room then takes that of the keys which have used least." default:"8MB" min:"64KB" max:"1GB"`
}

// Bandwidth is the Kind of the policy bandwidth.
var Bandwidth = Kind{
	Why:      "what is refused has no body that matters; compress further inside has made answers what they are on their way",
	Together: true,
	Kind: dsl.Define("bandwidth", "Limits how many bytes of bodies pass in a second: those of one caller have the limit in common. Bodies are not held: who is read slower sends slower, and backends whose answers are written slower are read slower. WebSockets, once they are open, are not limited.",
		func(c *Compiler, at *dsl.Node, cfg *bandwidthConfig) gateway.Middleware {
			p := &bandwidth{callers: c.callers(cfg.byConfig)}
			if at.Field("request") == nil && at.Field("response") == nil {
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "bandwidth limits nothing", Hint: "add request, response or both, such as response: 1MB"})
			}
			rates := [directions]int64{inward: int64(cfg.Request), outward: int64(cfg.Response)}
			c.Describe(cfg.describe())
			burst, memory := int64(cfg.Burst), cfg.Memory
			p.flow = Keep(c, func() *byteFlow { return openByteFlow(rates, burst, memory) })
			return p.wrap
		},
		dsl.Example{Name: "downloads, for each consumer or address", YAML: "response: 2MB\nburst: 20MB"},
		dsl.Example{Name: "uploads, each on its own", YAML: "request: 256KB\nby: $(request.id)"}),
}

func (cfg *bandwidthConfig) describe() string {
	var all []string
	if cfg.Request > 0 {
		all = append(all, fmt.Sprintf("%s/s of requests", cfg.Request))
	}
	if cfg.Response > 0 {
		all = append(all, fmt.Sprintf("%s/s of answers", cfg.Response))
	}
	by := "consumer or address"
	if n := cfg.By.Node; n != nil {
		by = n.Text
	}
	return strings.Join(all, ", ") + " by " + by
}

type bandwidth struct {
	callers callers
	flow    *engine.Kept[*byteFlow]
}

func (p *bandwidth) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := p.flow.It()
		reads := f.rates[inward] > 0 && r.Body != nil && r.Body != http.NoBody
		writes := f.rates[outward] > 0 && r.Method != http.MethodHead
		if !reads && !writes {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		s := &passage{byteFlow: f, ctx: ctx}
		s.hash = maphash.Bytes(f.seed, p.callers.append(ctx, gateway.FromContext(ctx), s.room[:0]))
		defer s.end()
		if reads {
			s.body = pacedBody{r.Body, s}
			r.Body = &s.body
		}
		if writes {
			s.writer = pacedWriter{w, s}
			w = &s.writer
		}
		next.ServeHTTP(w, r)
	})
}

// passage is the bodies of one request. It is all that a request costs in memory
// that does not wait.
type passage struct {
	*byteFlow
	ctx    context.Context
	hash   uint64
	body   pacedBody
	writer pacedWriter
	gone   chan struct{} // closed when the caller has left; nil: nothing has waited to be written
	stop   func() bool
	room   [64]byte
}

// end lets go of the caller's going.
func (s *passage) end() {
	if s.stop != nil {
		s.stop()
	}
}

// pacedBody is the body of a request that is read so fast and no faster. What the
// gateway asks of its client is judged where it is read, further outside: time
// that passes here is not the client's.
type pacedBody struct {
	io.ReadCloser
	*passage
}

// Read is what io.Reader asks for. What was read is given on when its time has
// come.
func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.pieces[inward])])
	if n > 0 {
		if wait := b.take(b.hash, inward, n, time.Now()); wait > grain {
			if late := b.pause(wait, b.ctx.Done(), nil); late {
				return n, context.Cause(b.ctx)
			}
		}
	}
	return n, err
}

// pacedWriter is the writer of an answer that is written so fast and no faster.
type pacedWriter struct {
	http.ResponseWriter
	*passage
}

// Write is what io.Writer asks for. A caller that leaves ends the wait; the
// deadline of the route does not: the answer is there, and it is the policy that
// holds it up.
func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for {
		piece := p[n:min(len(p), n+w.pieces[outward])]
		if wait := w.take(w.hash, outward, len(piece), time.Now()); wait > grain {
			if late := w.pause(wait, w.left(), w.ResponseWriter); late {
				return n, context.Canceled
			}
		}
		m, err := w.ResponseWriter.Write(piece)
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// WriteString is for io.WriteString, which would copy the text otherwise.
func (w *pacedWriter) WriteString(text string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // a writer never changes what it is given
}

// Unwrap is for http.ResponseController: flushing, and all else, is as it was.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// left is closed when the caller has left.
func (w *pacedWriter) left() <-chan struct{} {
	ctx, ok := w.ctx.(interface {
		AfterCancel(f func()) (stop func() bool)
	})
	if !ok {
		return w.ctx.Done()
	}
	if w.gone == nil {
		gone := make(chan struct{})
		w.gone, w.stop = gone, ctx.AfterCancel(func() { close(gone) })
	}
	return w.gone
}

// pause waits, unless something ends it before. A writer is told now and then that
// it is still needed: the time in which a client must take what is written is
// not to pass while nothing is.
func (s *passage) pause(wait time.Duration, ended <-chan struct{}, writer io.Writer) (late bool) {
	begin := time.Now()
	s.waiting.Add(1)
	defer func() {
		s.waiting.Add(-1)
		s.waited.Add(int64(time.Since(begin)))
	}()
	timer := time.NewTimer(min(wait, awake))
	defer timer.Stop()
	for {
		select {
		case <-ended:
			return true
		case <-timer.C:
		}
		wait -= awake
		if wait <= 0 {
			return false
		}
		if writer != nil {
			_, _ = writer.Write(nil) // what is wrong with it the next piece finds out
		}
		timer.Reset(min(wait, awake))
	}
}
