package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are those whose word counts on where requests come from.
type Proxies struct {
	// Trusted are their networks.
	Trusted []netip.Prefix
	// Forwarded takes the field Forwarded (RFC 7239) for their word, and not
	// X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto. What a proxy does
	// not write itself it passes on as its client wrote it, so that only one of
	// the two can be believed.
	Forwarded bool
}

func (p *Proxies) trusts(a netip.Addr) bool {
	for i := range p.Trusted {
		if p.Trusted[i].Contains(a) {
			return true
		}
	}
	return false
}

// origin is where a request comes from. A host or a scheme that nobody tells is
// "".
type origin struct{ remote, host, scheme string }

// maxHops bounds how many proxies are followed.
const maxHops = 64

// origin follows a request back from proxy to proxy, as long as they are trusted:
// each adds, on the right, who came to it. The first address that is not that of
// a trusted proxy is the client's, whatever stands to the left of it: that is
// what the client says.
func (p *Proxies) origin(r *http.Request) (o origin) {
	o.remote = remote(r)
	if len(p.Trusted) == 0 {
		return o
	}
	if !p.proxied(r) {
		return o
	}
	if p.Forwarded {
		p.forwarded(r.Header["Forwarded"], &o)
	} else {
		p.xForwarded(r.Header, &o)
	}
	if o.scheme = strings.ToLower(o.scheme); o.scheme != "http" && o.scheme != "https" {
		o.scheme = ""
	}
	if !validHost(o.host) {
		o.host = ""
	}
	return o
}

// proxied reports whether the connection of a request is that of a trusted proxy.
func (p *Proxies) proxied(r *http.Request) bool {
	peer, err := netip.ParseAddr(remote(r))
	return err == nil && p.trusts(peer.Unmap().WithZone(""))
}

func (p *Proxies) xForwarded(h http.Header, o *origin) {
	o.host, o.scheme = lastItem(h["X-Forwarded-Host"]), lastItem(h["X-Forwarded-Proto"])
	hops := 0
	for item := range itemsFromRight(h["X-Forwarded-For"]) {
		a, text, ok := nodeAddress(item)
		if hops++; !ok || hops > maxHops {
			return
		}
		if o.remote = text; !p.trusts(a) {
			return
		}
	}
}

func (p *Proxies) forwarded(values []string, o *origin) {
	hops := 0
	for element := range itemsFromRight(values) {
		var from, host, scheme string
		for rest := element; rest != ""; {
			var pair string
			pair, rest = cutUnquoted(rest, ';')
			name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			value = unquote(value)
			switch strings.ToLower(name) {
			case "for":
				from = value
			case "host":
				host = value
			case "proto":
				scheme = value
			}
		}
		// What the proxy nearest to the client tells is what the client asked for.
		if host != "" {
			o.host = host
		}
		if scheme != "" {
			o.scheme = scheme
		}
		a, text, ok := nodeAddress(from)
		if hops++; !ok || hops > maxHops {
			return
		}
		if o.remote = text; !p.trusts(a) {
			return
		}
	}
}

// nodeAddress reads the address of a node: with or without a port, IPv6 in brackets or,
// as some write it, without. It is false for "unknown", for names that hide an
// address, and for all else.
func nodeAddress(s string) (a netip.Addr, text string, ok bool) {
	if inner, found := strings.CutPrefix(s, "["); found {
		inner, port, closed := strings.Cut(inner, "]")
		if !closed || port != "" && port[0] != ':' {
			return a, "", false
		}
		s = inner
	} else if i := strings.IndexByte(s, ':'); i >= 0 && strings.LastIndexByte(s, ':') == i {
		s = s[:i]
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, "", false
	}
	if a.Is4In6() {
		a = a.Unmap()
		s = a.String()
	}
	return a, s, true
}

func lastItem(values []string) string {
	for item := range itemsFromRight(values) {
		return item
	}
	return ""
}

// itemsFromRight yields the items of a list that stands in one or several fields,
// the last first. A quoted text is never cut.
func itemsFromRight(values []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := len(values) - 1; i >= 0; i-- {
			for rest := values[i]; rest != ""; {
				cut := lastUnquoted(rest, ',')
				item := strings.Trim(rest[cut+1:], " \t")
				if item != "" && !yield(item) {
					return
				}
				rest = rest[:max(cut, 0)]
			}
		}
	}
}

// lastUnquoted is the place of the last c that stands outside of quotes, or -1.
func lastUnquoted(s string, c byte) int {
	if strings.IndexByte(s, '"') < 0 {
		return strings.LastIndexByte(s, c)
	}
	last, quoted := -1, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == c:
			last = i
		}
	}
	return last
}

func cutUnquoted(s string, c byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == c:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote takes the quotes off a text. No address, host or scheme has an escape
// in it; one that has stays as it is, and is none.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
