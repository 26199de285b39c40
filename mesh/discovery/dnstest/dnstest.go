// Package dnstest serves DNS on sockets of this machine, for tests.
package dnstest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// Serve answers questions over UDP and TCP, at the address that it gives, until the
// test ends. network is "udp" or "tcp"; a question whose answer is nil stays without
// one over UDP, and over TCP has its connection closed. answer is called by two
// goroutines.
func Serve(t testing.TB, answer func(network string, question []byte) []byte) (addr string) {
	t.Helper()
	tcp, udp := listen(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		room := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(room)
			if err != nil {
				return
			}
			if reply := answer("udp", room[:n]); reply != nil {
				_, _ = udp.WriteTo(reply, from)
			}
		}
	})
	serving.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			_, _ = io.ReadFull(conn, size[:])
			question := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, question); err == nil {
				if reply := answer("tcp", question); reply != nil {
					_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
				}
			}
			conn.Close()
		}
	})
	t.Cleanup(func() {
		tcp.Close()
		udp.Close()
		serving.Wait()
	})
	return tcp.Addr().String()
}

// listen finds a port that is free for both.
func listen(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	var fault error
	for range 10 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp
		}
		tcp.Close()
		fault = err
	}
	t.Fatal(fault)
	return nil, nil
}
