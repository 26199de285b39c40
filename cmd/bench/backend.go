package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// backend answers canned bodies by path on raw connections, so that it costs its core next to nothing:
//
//	GET /users/N   GET /orders?user=N   GET /segments/S/offers   GET /get   GET /routes/...   GET /blob   POST /echo   GET /guarded/...
type backend struct {
	users    [people][]byte
	orders   [people][]byte
	segments map[string][]byte
	document []byte
	blob     []byte
	fresh    []byte // may be kept for a day
	large    []byte // 10 KB
}

var notFound = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

func newBackend() *backend {
	b := &backend{
		segments: map[string][]byte{},
		document: appendResponse(nil, []byte(documentJSON(1024))),
		blob:     appendResponse(nil, []byte(documentJSON(blobSize))),
		fresh:    appendCacheable(nil, []byte(documentJSON(1<<10)), "max-age=86400"),
		large:    appendResponse(nil, []byte(documentJSON(10<<10))),
	}
	for id := range people {
		b.users[id] = appendResponse(nil, []byte(userJSON(id)))
		b.orders[id] = appendResponse(nil, []byte(ordersJSON(id)))
		b.segments[segment(id)] = appendResponse(nil, []byte(offersJSON(segment(id))))
	}
	return b
}

// serve answers connections until ctx ends, then closes them and returns nil.
func (b *backend) serve(ctx context.Context, l net.Listener) error {
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("backend: %w", err)
		}
		open.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			b.converse(conn)
		})
	}
}

// converse answers the requests of one connection until the other side closes it or sends what is not HTTP/1.1.
func (b *backend) converse(conn io.ReadWriter) {
	in := newStream(conn, 32<<10)
	var body, echo []byte
	for {
		h, err := in.next()
		if err != nil {
			return
		}
		method, path, err := h.target()
		if err != nil {
			return
		}
		answer := b.answer(path)
		echoes := answer == nil && string(method) == "POST" && string(path) == "/echo"
		closes := h.closes
		body = body[:0]
		for {
			p, err := in.piece()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			if echoes {
				body = append(body, p...)
			}
		}
		switch {
		case echoes:
			echo = appendResponse(echo[:0], body)
			answer = echo
		case answer == nil:
			answer = notFound
		}
		if _, err := conn.Write(answer); err != nil || closes {
			return
		}
	}
}

// answer is the canned answer of a path, nil where there is none.
func (b *backend) answer(path []byte) []byte {
	switch {
	case string(path) == "/get", bytes.HasPrefix(path, []byte("/routes/")):
		return b.document
	case string(path) == "/blob":
		return b.blob
	case string(path) == "/guarded/cache":
		return b.fresh
	case string(path) == "/guarded/gzip":
		return b.large
	case bytes.HasPrefix(path, []byte("/guarded/")):
		return b.document
	}
	if id, ok := bytes.CutPrefix(path, []byte("/users/")); ok {
		return person(&b.users, id)
	}
	if id, ok := bytes.CutPrefix(path, []byte("/orders?user=")); ok {
		return person(&b.orders, id)
	}
	if rest, ok := bytes.CutPrefix(path, []byte("/segments/")); ok {
		name, _ := bytes.CutSuffix(rest, []byte("/offers"))
		return b.segments[string(name)]
	}
	return nil
}

func person(answers *[people][]byte, id []byte) []byte {
	n, ok := number(id, 10)
	if !ok || n >= people {
		return nil
	}
	return answers[n]
}
