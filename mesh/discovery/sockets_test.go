package discovery

import (
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/mesh/discovery/dnstest"
)

// TestOverSockets asks a name server that the kernel leads to, over UDP and TCP.
func TestOverSockets(t *testing.T) {
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
	addr := dnstest.Serve(t, answer)
	l := mustParse(t, "dns+srv://_a._tcp.b.?server="+addr)
	d := newDNS(l, Options{ResolvConf: "/nonexistent"}.withDefaults(), true)
	targets, _, err := d.look(t.Context())
	if got := shown(targets); err != nil || strings.Join(strings.Fields(got), " ") != "http://10.0.0.1:8001 host=b http://10.0.0.2:8001 host=b" {
		t.Errorf("found %s, %v", got, err)
	}
}
