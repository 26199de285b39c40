package discovery

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// TestOverSockets asks a name server that the kernel leads to, over UDP and TCP.
func TestOverSockets(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		tcp.Close()
		t.Skip("another process has the UDP port of a free TCP port: ", err)
	}
	answer := func(network string, msg []byte) []byte {
		var p dnsmessage.Parser
		h, err := p.Start(msg)
		if err != nil {
			t.Error(err)
			return nil
		}
		question, err := p.Question()
		if err != nil {
			t.Error(err)
			return nil
		}
		q := asked{network: network, id: h.ID, name: question.Name.String(), kind: question.Type}
		reply := zone(t, "_a._tcp.b. 9 SRV 0 0 8001 one.", "one. 9 A 10.0.0.1", "one. 9 A 10.0.0.2")(q)[0]
		if network == "udp" {
			reply[2] |= 2 // cut
		}
		return reply
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(answer("udp", buf[:n]), from)
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
			msg := make([]byte, binary.BigEndian.Uint16(size[:]))
			_, _ = io.ReadFull(conn, msg)
			reply := answer("tcp", msg)
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			conn.Close()
		}
	})
	t.Cleanup(func() {
		tcp.Close()
		udp.Close()
		serving.Wait()
	})
	l := mustParse(t, "dns+srv://_a._tcp.b.?server="+tcp.Addr().String())
	d := newDNS(l, Options{ResolvConf: "/nonexistent"}.withDefaults(), true)
	targets, _, err := d.look(t.Context())
	if got := shown(targets); err != nil || strings.Join(strings.Fields(got), " ") != "http://10.0.0.1:8001 host=b http://10.0.0.2:8001 host=b" {
		t.Errorf("found %s, %v", got, err)
	}
}
