package h1

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
)

// exchange is one request with its answer, in one piece of memory. It is not used
// again: contexts, bodies and requests may be looked at long after the handler.
type exchange struct {
	conn    *conn
	request http.Request
	url     url.URL
	ctx     requestContext
	body    body
	answer  answer
	expects bool // the client waits for 100 (Continue)
}

// newExchange makes a request of a head that is complete; text is what it was
// parsed from.
func (c *conn) newExchange(text string) (*exchange, *Fault) {
	x := &exchange{conn: c}
	x.ctx.Context = c.ctx
	x.request = *c.template.WithContext(&x.ctx)
	h, r := &c.head, &x.request
	r.Method = text[:h.targetAt-1]
	r.RequestURI = text[h.targetAt : h.versionAt-1]
	r.Proto, r.ProtoMinor = "HTTP/1.1", 1
	if h.old {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	if fault := x.readTarget(); fault != nil {
		return x, fault
	}
	if fault := x.readFields(text); fault != nil {
		return x, fault
	}
	r.Close = h.old && !has(r.Header["Connection"], "keep-alive") || h.linked && has(r.Header["Connection"], "close")
	switch {
	case h.chunked:
		r.ContentLength, r.TransferEncoding = -1, chunkedCoding
		r.Body = &x.body
	case h.length > 0:
		r.ContentLength = h.length
		r.Body = &x.body
	default:
		r.Body = http.NoBody
	}
	if h.expects && !x.expect() {
		return x, badExpectation
	}
	x.body.begin(x, h)
	x.answer.begin(x)
	return x, nil
}

var chunkedCoding = []string{"chunked"}

// readTarget is RFC 9112, section 3.2, as net/http understands it.
func (x *exchange) readTarget() *Fault {
	r, target := &x.request, x.request.RequestURI
	r.URL = &x.url
	if path, query, asked := strings.Cut(target, "?"); target[0] == '/' && plainChars.spells(path) {
		x.url.Path, x.url.RawQuery, x.url.ForceQuery = path, query, asked && query == ""
		return nil
	}
	authority := r.Method == http.MethodConnect && target[0] != '/'
	if authority {
		target = "http://" + target
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return badEncoding
	}
	if x.url = *u; authority {
		x.url.Scheme = ""
	}
	return nil
}

// readFields makes the header. All values are in one array.
func (x *exchange) readFields(text string) *Fault {
	h, r := &x.conn.head, &x.request
	r.Header = make(http.Header, len(h.fields))
	values := make([]string, len(h.fields))
	for i := range h.fields {
		f := &h.fields[i]
		value := text[f.value:f.end]
		switch f.kind {
		case host:
			r.Host = value
			continue
		case transferEncoding:
			continue // said by ContentLength and TransferEncoding
		case trailer:
			if !h.chunked {
				break
			}
			if !x.announce(value) {
				return badTrailer
			}
			continue
		}
		add(r.Header, values, i, text[f.name:f.colon], value)
	}
	switch {
	case h.hosts > 1:
		return twoHosts
	case h.hosts == 0 && !h.old && r.Method != http.MethodConnect:
		return noHost
	case !hostChars.spells(r.Host):
		return badHost
	case x.url.Host != "":
		r.Host = x.url.Host // RFC 9112, section 3.2.2
	}
	return nil
}

// add puts a field into a header; values has a place for it.
func add(h http.Header, values []string, at int, name, value string) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if prior, repeated := h[name]; repeated {
		h[name] = append(prior, value)
		return
	}
	values[at] = value
	h[name] = values[at : at+1 : at+1]
}

// announce takes down the names of fields that are to come in the trailer.
func (x *exchange) announce(names string) bool {
	for names != "" {
		var name string
		if name, names = cut(names); name == "" {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch name {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return false
		}
		if x.request.Trailer == nil {
			x.request.Trailer = http.Header{}
		}
		x.request.Trailer[name] = nil
	}
	return true
}

// expect is RFC 9110, section 10.1.1.
func (x *exchange) expect() (known bool) {
	values := x.request.Header["Expect"]
	if len(values) != 1 || !same(values[0], "100-continue") {
		return false
	}
	x.expects = x.request.ProtoMinor == 1 && x.request.ContentLength != 0
	return true
}

// requestContext ends with the connection, or when the handler has returned.
// Most requests are answered without anyone waiting for that: it has a context of
// its own only when someone first does.
type requestContext struct {
	context.Context // the connection's

	mu     sync.Mutex
	ended  bool
	armed  context.Context
	cancel context.CancelFunc
}

// Done is what context.Context asks for.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed == nil {
		c.armed, c.cancel = context.WithCancel(c.Context)
		if c.ended {
			c.cancel()
		}
	}
	return c.armed.Done()
}

// Err is what context.Context asks for.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return context.Canceled
	}
	return c.Context.Err()
}

// Value is what context.Context asks for. Package context asks for its own parent
// here, to attach children to it.
func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	current := c.Context
	if c.armed != nil {
		current = c.armed
	}
	c.mu.Unlock()
	return current.Value(key)
}

func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = true; c.cancel != nil {
		c.cancel()
	}
}
