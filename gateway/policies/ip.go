package policies

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

type ipConfig struct {
	Allow []dsl.String `yaml:"allow" doc:"Addresses and networks (CIDR) that may come in. All others are refused."`
	Deny  []dsl.String `yaml:"deny" doc:"Addresses and networks (CIDR) that are refused, also if allow has them."`
}

// IP is the Kind of the policy ip.
var IP = Kind{
	Why:      "it needs nothing but the address, and keeps who may not come in from costing anything",
	Together: true,
	Kind: dsl.Define("ip", "Lets requests in by the address of their sender, as request.remote tells it.",
		func(c *Compiler, at *dsl.Node, cfg *ipConfig) gateway.Middleware {
			p := &ip{allow: Networks(c, cfg.Allow), deny: Networks(c, cfg.Deny)}
			if len(cfg.Allow) == 0 && len(cfg.Deny) == 0 {
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "ip neither allows nor denies anything", Hint: "add allow or deny, with addresses such as 10.0.0.0/8"})
			}
			if len(p.allow) > 0 && len(p.allow) == len(cfg.Allow) && !slices.ContainsFunc(p.allow, func(a netip.Prefix) bool { return !covered(a, p.deny) }) {
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Severity: dsl.Warning, Code: "lets-nobody-in", Message: "ip lets nobody in: deny has all that allow has", Hint: "take out of deny what may come in"})
			}
			return p.wrap
		},
		dsl.Example{Name: "a company's own networks", YAML: "allow: [10.0.0.0/8, 2001:db8::/32]\ndeny: [10.9.0.0/16]"}),
}

type ip struct{ allow, deny []netip.Prefix }

// Networks reads addresses and networks. An address is a network of one.
func Networks(r dsl.Reporter, texts []dsl.String) (all []netip.Prefix) {
	for _, t := range texts {
		p, err := netip.ParsePrefix(t.Value)
		if a, one := netip.ParseAddr(t.Value); one == nil {
			p, err = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()), nil
		}
		d := dsl.Diagnostic{Span: t.Span, Code: "bad-network"}
		switch {
		case err != nil:
			d.Message, d.Hint = fmt.Sprintf("%q is neither an address nor a network", t.Value), "write one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
			r.Report(d)
		case p != p.Masked():
			d.Message, d.Hint = fmt.Sprintf("%s is an address inside of a network", t.Value), fmt.Sprintf("write %s for the network, or %s for the address", p.Masked(), p.Addr())
			r.Report(d)
		case p.Addr().Is4In6():
			d.Message, d.Hint = fmt.Sprintf("%s is a network of IPv4 in the clothes of IPv6", t.Value), "write it as one of IPv4"
			r.Report(d)
		default:
			all = append(all, p)
		}
	}
	return all
}

// covered reports whether one of the networks has all addresses of another.
func covered(p netip.Prefix, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) })
}

func holds(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sender is the address that a request comes from; what is none is on no
// network.
func sender(remote string) (netip.Addr, bool) {
	remote, _, _ = strings.Cut(remote, "%")
	a, err := netip.ParseAddr(remote)
	return a.Unmap(), err == nil
}

// admits refuses what is no address at all.
func (p *ip) admits(remote string) bool {
	a, ok := sender(remote)
	return ok && !holds(p.deny, a) && (len(p.allow) == 0 || holds(p.allow, a))
}

func (p *ip) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.admits(gateway.FromContext(r.Context()).Input().Remote) {
			gateway.Refuse(w, r, "ip", gateway.Problem{Status: http.StatusForbidden, Code: CodeForbidden, Detail: "Requests from this address are not taken here."})
			return
		}
		next.ServeHTTP(w, r)
	})
}
