package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver asks name servers until one knows.
type resolver struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	system *resolvConf
	own    []string // servers to ask in place of the system's
}

// errNothing is the answer that a name has no such records: it does not exist
// (NXDOMAIN), or has others (NOERROR with an empty answer).
type errNothing struct {
	server string
	name   string
	kind   dnsmessage.Type
	exists bool
}

func (e *errNothing) Error() string {
	if e.exists {
		return fmt.Sprintf("%s: %s has no %s records", e.server, e.name, kindName(e.kind))
	}
	return fmt.Sprintf("%s: %s does not exist (NXDOMAIN)", e.server, e.name)
}

func kindName(k dnsmessage.Type) string { return strings.TrimPrefix(k.String(), "Type") }

func (r *resolver) conf() nameServers {
	c := r.system.read()
	if len(r.own) > 0 {
		c.servers = r.own
	}
	return c
}

// ask asks the servers in turn for the records of an absolute name. Servers
// that do not answer, or say that they cannot, are passed over; that a name
// does not exist is an answer.
func (r *resolver) ask(ctx context.Context, c nameServers, name string, kind dnsmessage.Type) (answer reply, server string, err error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return reply{}, "", fmt.Errorf("%s: %w", name, err)
	}
	for range c.attempts {
		for _, server := range c.servers {
			answer, failure := r.askServer(ctx, c, server, n, kind)
			switch {
			case ctx.Err() != nil:
				return reply{}, server, ctx.Err()
			case failure != nil:
				err = fmt.Errorf("%s: %w", server, plain(failure))
			case answer.rcode == dnsmessage.RCodeSuccess || answer.rcode == dnsmessage.RCodeNameError:
				return answer, server, nil
			default:
				err = fmt.Errorf("%s: %s for %s", server, rcodeName(answer.rcode), name)
			}
		}
	}
	return reply{}, "", err
}

// plain takes addresses out of a network's error, which ask puts before it.
func plain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func rcodeName(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeFormatError:
		return "FORMERR"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	}
	return fmt.Sprintf("RCODE %d", c)
}

// askServer asks one server over UDP, and over TCP where an answer is not to be
// trusted to be whole. Consul cuts answers without saying so
// (gitlab-ee#8979): SRV records, which list
// instances, are asked for over TCP first, and an answer that may not be kept,
// as Consul's by default, is asked for again.
func (r *resolver) askServer(ctx context.Context, c nameServers, server string, name dnsmessage.Name, kind dnsmessage.Type) (reply, error) {
	overTCP := func() (reply, error) { return r.exchange(ctx, "tcp", server, c.timeout, name, kind, true) }
	if c.tcp {
		return overTCP()
	}
	if kind == dnsmessage.TypeSRV {
		if answer, err := overTCP(); err == nil && understood(answer) || ctx.Err() != nil {
			return answer, err
		}
	}
	answer, err := r.exchange(ctx, "udp", server, c.timeout, name, kind, true)
	if err == nil && !understood(answer) {
		answer, err = r.exchange(ctx, "udp", server, c.timeout, name, kind, false)
	}
	switch {
	case err != nil:
		return answer, err
	case answer.truncated:
		whole, err := overTCP()
		if err != nil {
			err = fmt.Errorf("the answer is cut short, and over TCP: %w", plain(err))
		}
		return whole, err
	case kind != dnsmessage.TypeSRV && len(answer.answers) > 1 && answer.answers[0].ttl == 0:
		if whole, err := overTCP(); err == nil {
			return whole, nil
		}
	}
	return answer, nil
}

// understood reports whether a server could read a question with EDNS(0).
func understood(r reply) bool {
	return r.rcode != dnsmessage.RCodeFormatError && r.rcode != dnsmessage.RCodeNotImplemented
}

// maxChain is how many aliases lead to a name at most.
const maxChain = 8

// found are the records of one name and type.
type found struct {
	records []record
	extra   []record
	ttl     time.Duration // of the shortest-lived, the aliases on the way included
}

// resolve gives the records of an absolute name, following aliases. Records of
// names that were not asked for count for nothing.
func (r *resolver) resolve(ctx context.Context, c nameServers, name string, kind dnsmessage.Type) (found, error) {
	f := found{ttl: maxTTL}
	owner := strings.ToLower(name)
	for hops := 0; ; {
		asked := owner
		answer, server, err := r.ask(ctx, c, asked, kind)
		if err != nil {
			return f, err
		}
		for {
			alias := ""
			for _, rec := range answer.answers {
				switch {
				case rec.name != owner:
				case rec.kind == kind:
					f.records = append(f.records, rec)
					f.ttl = min(f.ttl, rec.ttl)
				case rec.kind == dnsmessage.TypeCNAME:
					alias = rec.target
					f.ttl = min(f.ttl, rec.ttl)
				}
			}
			if len(f.records) > 0 {
				f.extra = answer.extra
				return f, nil
			}
			if alias == "" {
				break
			}
			if hops++; hops > maxChain {
				return f, fmt.Errorf("%s: %s has more than %d aliases", server, name, maxChain)
			}
			owner = alias
		}
		if owner == asked || answer.rcode == dnsmessage.RCodeNameError {
			return f, &errNothing{server, owner, kind, answer.rcode == dnsmessage.RCodeSuccess}
		}
	}
}

// addresses gives the addresses of an absolute name: of the family that is
// asked for, or else the IPv4 ones, and the IPv6 ones if there are none. Those
// of both would be the same places twice. A question that failed is not taken
// for an empty answer, or places would change their family with it.
func (r *resolver) addresses(ctx context.Context, c nameServers, name, family string) ([]netip.Addr, time.Duration, error) {
	kinds := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	switch family {
	case "ipv4":
		kinds = kinds[:1]
	case "ipv6":
		kinds = kinds[1:]
	}
	var nothing error
	for _, kind := range kinds {
		f, err := r.resolve(ctx, c, name, kind)
		if _, empty := errors.AsType[*errNothing](err); err != nil && !empty {
			return nil, 0, err
		}
		if addrs := usable(f.records); len(addrs) > 0 {
			return addrs, f.ttl, nil
		}
		if nothing == nil {
			nothing = err
		}
	}
	if nothing == nil {
		nothing = fmt.Errorf("%s has only addresses that lead nowhere", name)
	}
	return nil, 0, nothing
}

// usable are the addresses of records that something can be sent to: block
// lists answer with 0.0.0.0.
func usable(records []record) (addrs []netip.Addr) {
	for _, r := range records {
		if a := r.addr; a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// search tries what a name can mean, as the C library does. Only that a name
// has no records leads to the next: a name that could not be looked up may be
// the one that is meant.
func search[T any](c nameServers, name string, try func(absolute string) (T, time.Duration, error)) (result T, ttl time.Duration, err error) {
	for i, absolute := range c.candidates(name) {
		var failure error
		if result, ttl, failure = try(absolute); failure == nil {
			return result, ttl, nil
		}
		_, empty := errors.AsType[*errNothing](failure)
		if !empty {
			return result, 0, failure
		}
		if i == 0 || absolute == name {
			err = failure
		}
	}
	return result, 0, err
}
