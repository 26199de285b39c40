package main

import (
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// hybrid is the fastest service that still has a net/http server: a synchronous client, and JSON that is cut and spliced
// with gjson instead of decoded. It shows how much room there is below the floor.
type hybrid struct {
	upstream *upstream
	buffers  sync.Pool
}

// scratch is what one composition needs: three bodies and the answer.
type scratch struct {
	user, orders, offers, out []byte
}

func newHybrid(backend string, d *duties) http.Handler {
	h := &hybrid{upstream: &upstream{host: backend}}
	h.buffers.New = func() any { return new(scratch) }
	return routes(d, h.upstream, http.HandlerFunc(h.compose), http.HandlerFunc(h.chain))
}

func (h *hybrid) compose(w http.ResponseWriter, r *http.Request) {
	due := time.Now().Add(deadline)
	s := h.buffers.Get().(*scratch)
	defer h.buffers.Put(s)
	id, segment := r.PathValue("id"), r.PathValue("segment")
	var group sync.WaitGroup
	var failed [3]error
	group.Go(func() {
		s.orders, failed[0] = h.upstream.get(due, s.orders[:0], "/orders?user=", url.QueryEscape(id))
	})
	group.Go(func() {
		s.offers, failed[1] = h.upstream.get(due, s.offers[:0], "/segments/", url.PathEscape(segment), "/offers")
	})
	s.user, failed[2] = h.upstream.get(due, s.user[:0], "/users/", url.PathEscape(id))
	group.Wait()
	for _, err := range failed {
		if err != nil {
			http.Error(w, "upstream failed", http.StatusBadGateway)
			return
		}
	}
	s.answer(w)
}

func (h *hybrid) chain(w http.ResponseWriter, r *http.Request) {
	due := time.Now().Add(deadline)
	s := h.buffers.Get().(*scratch)
	defer h.buffers.Put(s)
	s.offers = s.offers[:0]
	var err error
	s.user, err = h.upstream.get(due, s.user[:0], "/users/", url.PathEscape(r.PathValue("id")))
	if err == nil {
		id := gjson.GetBytes(s.user, "id").Raw
		s.orders, err = h.upstream.get(due, s.orders[:0], "/orders?user=", url.QueryEscape(id))
	}
	if err == nil && gjson.GetBytes(s.user, "active").Bool() {
		segment := gjson.GetBytes(s.user, "segment").String()
		s.offers, err = h.upstream.get(due, s.offers[:0], "/segments/", url.PathEscape(segment), "/offers")
	}
	if err != nil {
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	s.answer(w)
}

func (s *scratch) answer(w http.ResponseWriter) {
	if !gjson.ValidBytes(s.user) || !gjson.ValidBytes(s.orders) || len(s.offers) > 0 && !gjson.ValidBytes(s.offers) {
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	fields := gjson.GetManyBytes(s.user, "id", "first", "last", "segment", "address")
	out := append(append(s.out[:0], `{"id":`...), fields[0].Raw...)
	out = append(out, `,"name":`...)
	out = gjson.AppendJSONString(out, fields[1].String()+" "+fields[2].String())
	out = append(append(out, `,"segment":`...), fields[3].Raw...)
	out = append(append(out, `,"address":`...), fields[4].Raw...)
	out = append(append(out, `,"orders":`...), s.orders...)
	out = append(out, `,"offers":`...)
	if items := gjson.GetBytes(s.offers, "items"); items.Exists() {
		out = append(out, items.Raw...)
	} else {
		out = append(out, "null"...)
	}
	s.out = append(out, '}')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(s.out)))
	w.Write(s.out)
}
