package h1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"time"
)

// Hijack is what http.Hijacker asks for. What was read already is in the buffer.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.hijacked || a.ended {
		return nil, nil, http.ErrHijacked
	}
	if a.status != 0 {
		if err := a.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	x, c := a.x, a.x.conn
	if c.state.Swap(isGone) == isGone {
		return nil, nil, net.ErrClosed
	}
	a.hijacked = true
	x.body.abandon()
	c.takeOver()
	c.server.forget(c)
	var from io.Reader = c.nc
	rest := bytes.Clone(c.in[c.r:c.w])
	if len(rest) > 0 {
		from = io.MultiReader(bytes.NewReader(rest), c.nc)
	}
	read := bufio.NewReaderSize(from, max(len(rest), firstRoom))
	_, _ = read.Peek(len(rest)) // so that it counts as buffered
	return c.nc, bufio.NewReadWriter(read, bufio.NewWriterSize(c.nc, firstRoom)), nil
}

// SetReadDeadline is for http.ResponseController.
func (a *answer) SetReadDeadline(d time.Time) error {
	if !a.hijacked && !a.ended {
		a.x.conn.setReadDeadline(d)
	}
	return nil
}

// SetWriteDeadline is for http.ResponseController.
func (a *answer) SetWriteDeadline(d time.Time) error {
	if !a.hijacked && !a.ended {
		a.x.conn.setWriteDeadline(d)
	}
	return nil
}

// EnableFullDuplex is for http.ResponseController. It is always so.
func (a *answer) EnableFullDuplex() error { return nil }
