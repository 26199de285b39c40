package discovery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// This file is one question to one name server. net.Resolver would do, but for
// two things that it does not tell: how long an answer may be kept
// (golang.org/issue/72000), and that it was cut short.

// record is one of an answer, as far as discovery knows its type.
type record struct {
	name string // lower case, without a dot at the end
	ttl  time.Duration
	kind dnsmessage.Type

	addr             netip.Addr // A, AAAA
	target           string     // CNAME, SRV
	priority, weight uint16
	port             uint16
}

// reply is what a name server said.
type reply struct {
	rcode     dnsmessage.RCode
	truncated bool
	answers   []record
	extra     []record // addresses of the targets of SRV records, maybe
}

// udpSize is how large a datagram we take: one that no usual path cuts into
// fragments (DNS flag day 2020).
const udpSize = 1232

// question packs a question. Without EDNS(0) it is what servers understood in
// 1987; some still send FORMERR for more (RFC 6891 section 7).
func question(id uint16, name dnsmessage.Name, kind dnsmessage.Type, edns bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 2, 512), dnsmessage.Header{ID: id, RecursionDesired: true})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// errForeign is a message that is no answer to our question: it is not the
// server's failure but someone's attempt to answer for it, or a late answer.
var errForeign = errors.New("not an answer to the question")

// parseReply reads the answer to a question. What is not understood is an
// error; what is of no concern is passed over.
func parseReply(msg []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 {
		return reply{}, errForeign
	}
	q, err := p.Question()
	if err == dnsmessage.ErrSectionDone && h.RCode == dnsmessage.RCodeFormatError {
		return reply{rcode: h.RCode}, nil // it could not read so far
	}
	if err != nil || q.Type != kind || q.Class != dnsmessage.ClassINET || fold(q.Name) != fold(name) {
		return reply{}, errForeign
	}
	r := reply{rcode: h.RCode, truncated: h.Truncated}
	if h.Truncated {
		return r, nil // what there is of it may end anywhere
	}
	if err := p.SkipAllQuestions(); err != nil {
		return r, err
	}
	if r.answers, err = records(&p, p.AnswerHeader, p.SkipAnswer); err != nil {
		return r, err
	}
	if err := p.SkipAllAuthorities(); err != nil {
		return r, err
	}
	r.extra, err = records(&p, p.AdditionalHeader, p.SkipAdditional)
	return r, err
}

// records reads a section.
func records(p *dnsmessage.Parser, header func() (dnsmessage.ResourceHeader, error), skip func() error) (all []record, err error) {
	for {
		h, err := header()
		if err == dnsmessage.ErrSectionDone {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		r := record{name: fold(h.Name), ttl: time.Duration(h.TTL) * time.Second, kind: h.Type}
		if h.TTL > 1<<31-1 { // RFC 2181 section 8
			r.ttl = 0
		}
		if h.Class != dnsmessage.ClassINET { // of an OPT record it is a size
			if err := skip(); err != nil {
				return nil, err
			}
			continue
		}
		switch h.Type {
		case dnsmessage.TypeA:
			var a dnsmessage.AResource
			a, err = p.AResource()
			r.addr = netip.AddrFrom4(a.A)
		case dnsmessage.TypeAAAA:
			var a dnsmessage.AAAAResource
			a, err = p.AAAAResource()
			r.addr = netip.AddrFrom16(a.AAAA).Unmap()
		case dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			r.target = fold(c.CNAME)
		case dnsmessage.TypeSRV:
			var s dnsmessage.SRVResource
			s, err = p.SRVResource()
			r.priority, r.weight, r.port, r.target = s.Priority, s.Weight, s.Port, fold(s.Target)
		default:
			if err := skip(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
}

// fold makes names comparable.
func fold(n dnsmessage.Name) string { return strings.ToLower(strings.TrimSuffix(n.String(), ".")) }

// exchange asks one server. Over UDP, what is not an answer to the question is
// waited past, so that nobody can answer in the server's place by sending first.
func (r *resolver) exchange(ctx context.Context, network, server string, timeout time.Duration, name dnsmessage.Name, kind dnsmessage.Type, edns bool) (reply, error) {
	id := uint16(rand.Uint32())
	msg, err := question(id, name, kind, edns)
	if err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := r.dial(ctx, network, server)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return reply{}, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return overTCP(conn, msg, id, name, kind)
	}
	if _, err := conn.Write(msg[2:]); err != nil {
		return reply{}, err
	}
	in := make([]byte, 64<<10)
	for {
		n, err := conn.Read(in)
		if err != nil {
			return reply{}, err
		}
		answer, err := parseReply(in[:n], id, name, kind)
		if err != errForeign {
			return answer, err
		}
	}
}

// overTCP sends a message behind its length, RFC 1035 section 4.2.2; two bytes
// of msg are free for it.
func overTCP(conn net.Conn, msg []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (reply, error) {
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-2))
	if _, err := conn.Write(msg); err != nil {
		return reply{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return reply{}, err
	}
	in := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		return reply{}, err
	}
	answer, err := parseReply(in, id, name, kind)
	if err == nil && answer.truncated {
		err = fmt.Errorf("the answer is cut short over TCP, too")
	}
	return answer, err
}
