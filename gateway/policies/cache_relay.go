package policies

import (
	"net/http"
	"strings"
	"time"
	"unsafe"
)

// relay passes on the answer to a request that has a flow of its own, and keeps
// what may be stored of it.
type relay struct {
	http.ResponseWriter
	v      *visit
	prior  *cached // what a HEAD tells of; nil: nothing
	asked  time.Time
	own    http.Header
	header http.Header // as it was when the answer began
	status int
	meta   judgement
	made   composed
	keep   bool
	body   []byte
}

// relay has the flow answer this one request.
func (p *cache) relay(w http.ResponseWriter, v *visit, prior *cached) {
	a := &relay{ResponseWriter: w, v: v, prior: prior, asked: time.Now(), own: http.Header{}}
	a.made.of(v.q)
	p.next.ServeHTTP(a, v.r)
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	for name, values := range a.own {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.Header()[name] = values
		}
	}
	a.end()
}

// Header is what http.ResponseWriter asks for.
func (a *relay) Header() http.Header { return a.own }

// WriteHeader is what http.ResponseWriter asks for.
func (a *relay) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.keep = a.made.describe(status, a.own, time.Now())
	}
	into := a.ResponseWriter.Header()
	for name, values := range a.own {
		setField(into, name, values)
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	if a.status == 0 {
		a.begin(status, time.Now())
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *relay) begin(status int, now time.Time) {
	a.status = status
	how, p, s := a.v.fwd, a.v.p, a.v.p.store.It()
	a.meta = p.judge(a.v, status, a.own, a.asked, now)
	if !a.keep {
		a.meta.store, a.meta.lasting = false, false
	}
	switch a.v.r.Method {
	case http.MethodHead:
		a.meta.store = false
		if a.prior != nil && status == http.StatusOK {
			a.compare(s, now)
		}
	default:
		if a.meta.lasting && !a.meta.store {
			s.passBy(a.v.key, a.v.url, now.Add(passFor))
		}
		if a.meta.store {
			a.header = a.own.Clone()
			how += "; stored"
		}
	}
	a.v.tell(a.ResponseWriter, how)
}

// compare holds a stored answer against what a HEAD tells of the present one
// (RFC 9111, section 4.3.5).
func (a *relay) compare(s *cacheStore, now time.Time) {
	for name, stored := range map[string]string{"Etag": a.prior.etag, "Last-Modified": a.prior.modified, "Content-Length": a.prior.length()} {
		if told := firstLine(a.own[name]); told != "" && told != stored {
			s.drop(a.v.at.own(), func(old *cached) bool { return old == a.prior })
			return
		}
	}
	if e, m := a.prior.freshened(a.v.p, a.v, a.own, a.asked, now); m.store {
		s.keep(a.v, e)
	}
}

// Write is what http.ResponseWriter asks for.
func (a *relay) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.meta.store {
		s := a.v.p.store.It()
		a.body = append(a.body, b...)
		if s.filling.Add(int64(len(b))) > int64(s.size) || int64(len(a.body)) > a.v.p.maxEntry {
			a.forget()
		}
	}
	return a.ResponseWriter.Write(b)
}

// WriteString is for io.WriteString.
func (a *relay) WriteString(text string) (int, error) {
	return a.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // a writer never changes what it is given
}

// FlushError is for http.ResponseController.
func (a *relay) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *relay) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *relay) forget() {
	a.v.p.store.It().filling.Add(-int64(len(a.body)))
	a.meta.store, a.body = false, nil
}

// end stores the answer, which is whole.
func (a *relay) end() {
	if !a.meta.store {
		return
	}
	body := append(make([]byte, 0, len(a.body)), a.body...)
	a.forget()
	e := newEntry(a.v, a.meta, a.status, a.header, body, time.Now())
	if told := a.header["Content-Length"]; told != nil && told[0] != e.length() {
		return // it is not whole (section 3.3)
	}
	a.v.p.store.It().keep(a.v, e)
}
