package policies

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

type compressConfig struct {
	Codings []string     `yaml:"codings" doc:"The codings, the best first: of those that a client likes equally it gets the first. One that likes another better gets that." default:"[zstd, br, gzip]" enum:"zstd|br|gzip"`
	MinSize dsl.Size     `yaml:"min_size" doc:"How large an answer must be. It does not pay for smaller ones." default:"1KB" min:"0B" max:"16MB"`
	Types   []dsl.String `yaml:"types" doc:"The types of media that are compressed: application/json, text/* for all of a kind, application/*+json for all of it that end so. text/event-stream must be named: each stream holds the memory of an encoder for as long as it is open." default:"[text/*, application/json, application/*+json, application/xml, application/*+xml, image/svg+xml, application/javascript, application/x-ndjson, application/yaml, application/wasm, font/otf, font/ttf]"`
}

// Compress is the Kind of the policy compress.
var Compress = Kind{
	Why: "a cache further inside keeps one form of an answer for all codings",
	Kind: dsl.Define("compress", "Compresses answers by a coding that the client takes (RFC 9110, 12.5.3), as they come. Backends are not asked to do so; "+
		"what they have encoded all the same is passed on as it is.",
		func(c *Compiler, at *dsl.Node, cfg *compressConfig) gateway.Middleware {
			p := &compress{minSize: int(cfg.MinSize)}
			for _, name := range cfg.Codings {
				if coding := codings[name]; !slices.Contains(p.codings, coding) {
					p.codings = append(p.codings, coding)
				}
			}
			if n := at.Field("codings"); n != nil && n.Kind == dsl.List && len(n.Items) == 0 {
				c.Report(dsl.Diagnostic{Span: at.Field("codings").KeySpan(), Code: "empty-policy", Message: "compress has no coding", Hint: "name one, such as gzip, or leave out codings"})
			}
			for _, t := range cfg.Types {
				m, ok := mediaOf(t.Value)
				if !ok {
					c.Report(dsl.Diagnostic{Span: t.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is not a type of media", t.Value), Hint: "write one such as application/json, text/* or application/*+json"})
				}
				p.media = append(p.media, m)
			}
			return p.wrap
		},
		dsl.Example{Name: "what is compressed elsewhere, too, by what all clients know", YAML: "codings: [gzip]\nmin_size: 4KB"},
		dsl.Example{Name: "streams of events", YAML: "types: [text/event-stream, application/json]"}),
}

type compress struct {
	codings []*coding // the best first
	media   []media
	minSize int
}

// media is a pattern of types of media, in lower case: what they begin with, and
// end with.
type media struct {
	before, after string
	whole         bool // before is all of it
}

func mediaOf(text string) (media, bool) {
	kind, name, ok := strings.Cut(strings.ToLower(text), "/")
	after, wild := strings.CutPrefix(name, "*")
	if !ok || !isToken(kind) || strings.Contains(kind+after, "*") || !isToken(name) || wild && after != "" && after[0] != '+' {
		return media{}, false
	}
	if wild {
		return media{before: kind + "/", after: after}, true
	}
	return media{before: kind + "/" + name, whole: true}, true
}

// compresses reports whether answers of a type are compressed.
func (p *compress) compresses(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind)) // most are, and are not copied then
	for i := range p.media {
		switch m := &p.media[i]; {
		case m.whole && kind == m.before:
			return true
		case !m.whole && strings.HasPrefix(kind, m.before) && strings.HasSuffix(kind, m.after) && kind != "text/event-stream":
			return true
		}
	}
	return false
}

func (p *compress) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := gateway.FromContext(r.Context())
		c := p.choose(r)
		// One form comes from inside, whoever asks: a cache there need not know any
		// other, and a backend does not do what is done here.
		delete(r.Header, "Accept-Encoding")
		if c == nil {
			q.BeforeAnswer(p)
			next.ServeHTTP(w, r)
			return
		}
		cw := &compressWriter{policy: p, coding: c, to: w, head: r.Method == http.MethodHead}
		q.BeforeAnswer(cw)
		next.ServeHTTP(cw, r)
		cw.end() // an answer that a panic cuts off stays cut off
	})
}

// choose is the coding for a request; nil is none.
func (p *compress) choose(r *http.Request) *coding {
	accepts := r.Header["Accept-Encoding"]
	if accepts == nil || isTelling(r) || hasDirective(r.Header["Cache-Control"], "no-transform") {
		return nil
	}
	return negotiate(accepts, p.codings)
}

// isTelling reports requests whose answers are better not compressed: the length
// of a compressed answer tells what parts of it are alike, and a page of another
// site that can cause requests with the cookies of its visitor, choose a part of
// the answer and see its length finds out the rest (BREACH).
func isTelling(r *http.Request) bool {
	if r.Header["Cookie"] == nil {
		return false
	}
	site := r.Header["Sec-Fetch-Site"]
	return len(site) == 1 && (site[0] == "cross-site" || site[0] == "same-site")
}

// hasDirective reports whether a field such as Cache-Control has a directive
// without a value.
func hasDirective(lines []string, name string) bool {
	for _, line := range lines {
		for d := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(d), name) {
				return true
			}
		}
	}
	return false
}

var varyAcceptEncoding = []string{"Accept-Encoding"}

// EditHeader is what gateway.HeaderEditor asks for: the answer to who takes no
// coding says that others would have got another form.
func (p *compress) EditHeader(_ *gateway.Request, status int, h http.Header) {
	if status == http.StatusNotModified || p.takes(status, h) {
		vary(h, "Accept-Encoding", varyAcceptEncoding)
	}
}

// takes reports whether an answer can be compressed: it has a body, all of it, of
// a type and a length for which it pays, in no coding so far, and nothing speaks
// of its very bytes.
func (p *compress) takes(status int, h http.Header) bool {
	if status < 200 || status == http.StatusNoContent || status == http.StatusPartialContent || status == http.StatusNotModified || status == http.StatusRequestedRangeNotSatisfiable {
		return false
	}
	kind := h["Content-Type"]
	if len(kind) == 0 || h["Content-Range"] != nil || h["Content-Digest"] != nil || h["Repr-Digest"] != nil || h["Digest"] != nil || h["Content-Md5"] != nil {
		return false
	}
	if e := h["Content-Encoding"]; e != nil && !(len(e) == 1 && strings.EqualFold(e[0], "identity")) {
		return false
	}
	if l := h["Content-Length"]; len(l) == 1 {
		if n, err := strconv.Atoi(l[0]); err != nil || n < p.minSize {
			return false
		}
	}
	return p.compresses(kind[0]) && !hasDirective(h["Cache-Control"], "no-transform")
}

// compressWriter is the writer of one answer. The answer begins when it is known
// whether it is compressed: at once if it says how long it is, otherwise when
// enough of it is there, when it is to be sent, or at its end. Until then it can
// still become another one.
type compressWriter struct {
	policy *compress
	coding *coding
	to     http.ResponseWriter
	head   bool

	status  int // 0: nothing was written
	begun   bool
	encoded bool
	short   bool    // that is all, and it is less than the least
	encoder encoder // nil until there is something to encode
	held    []byte  // what was written before it began
}

// Header is what http.ResponseWriter asks for.
func (w *compressWriter) Header() http.Header { return w.to.Header() }

// Unwrap is for http.ResponseController.
func (w *compressWriter) Unwrap() http.ResponseWriter { return w.to }

// WriteHeader is what http.ResponseWriter asks for.
func (w *compressWriter) WriteHeader(status int) {
	if status < 200 || w.begun {
		w.to.WriteHeader(status)
		return
	}
	w.status, w.held = status, w.held[:0]
	if w.head || w.to.Header()["Content-Length"] != nil || !w.policy.takes(status, w.to.Header()) {
		w.begin()
	}
}

func (w *compressWriter) begin() {
	w.begun = true
	w.to.WriteHeader(w.status) // which calls EditHeader
}

// EditHeader is what gateway.HeaderEditor asks for. It comes when the answer
// begins, with all that the policies further inside have to say.
func (w *compressWriter) EditHeader(_ *gateway.Request, status int, h http.Header) {
	if status == http.StatusNotModified {
		// It speaks of the form that the client would have got.
		vary(h, "Accept-Encoding", varyAcceptEncoding)
		weaken(h)
		return
	}
	if !w.begun || w.status != status || w.short || !w.policy.takes(status, h) {
		return // an answer that did not come by this writer is written past it
	}
	vary(h, "Accept-Encoding", varyAcceptEncoding)
	h["Content-Encoding"] = w.coding.field
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges") // they would be of the other form
	weaken(h)
	w.encoded = true
}

// weaken makes a validator weak: the same form in another coding is not the same
// byte by byte (RFC 9110, 8.8.1).
func weaken(h http.Header) {
	if tag := h["Etag"]; len(tag) == 1 && strings.HasPrefix(tag[0], `"`) {
		h["Etag"] = []string{"W/" + tag[0]}
	}
}

func (w *compressWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.begun {
		if len(w.held)+len(p) < w.policy.minSize {
			w.held = append(w.held, p...)
			return len(p), nil
		}
		if err := w.beginHeld(); err != nil {
			return 0, err
		}
	}
	return w.encode(p)
}

// encode writes on, behind what was held.
func (w *compressWriter) encode(p []byte) (int, error) {
	switch {
	case !w.encoded:
		return w.to.Write(p)
	case w.head:
		return len(p), nil
	case w.encoder == nil:
		w.encoder = w.coding.open(w.to)
	}
	return w.encoder.Write(p)
}

// WriteString is for io.WriteString, which would copy the text otherwise.
func (w *compressWriter) WriteString(text string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // a writer never changes what it is given
}

// beginHeld begins the answer with what was written before.
func (w *compressWriter) beginHeld() (err error) {
	w.begin()
	if len(w.held) > 0 {
		_, err = w.encode(w.held)
	}
	w.held = nil
	return err
}

// Flush is what http.Flusher asks for.
func (w *compressWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController: what was written reaches the
// client, and can be decoded there.
func (w *compressWriter) FlushError() error {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if !w.begun {
		if err := w.beginHeld(); err != nil {
			return err
		}
	}
	if w.encoder != nil {
		if err := w.encoder.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.to).Flush()
}

// end writes what is left. A client that has gone is no fault.
func (w *compressWriter) end() {
	if w.status != 0 && !w.begun {
		w.short = true
		_ = w.beginHeld()
	}
	if w.encoded && !w.head && w.encoder == nil {
		w.encoder = w.coding.open(w.to) // nothing has a form, too
	}
	if w.encoder != nil {
		_ = w.encoder.Close()
		w.coding.free(w.encoder)
	}
}
