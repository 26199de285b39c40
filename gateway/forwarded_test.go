package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestTheClientIsTheFirstFromTheRightThatIsNoTrustedProxy(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "fd00::/8")
	for _, c := range []struct {
		name, peer string
		rfc        bool
		header     []string
		want       origin
	}{
		{"nobody is trusted to speak", "192.0.2.1:1", false, []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "https"}, origin{remote: "192.0.2.1"}},
		{"nothing is told", "10.0.0.1:1", false, nil, origin{remote: "10.0.0.1"}},
		{"one proxy", "10.0.0.1:1", false, []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Host", "shop.example:8443", "X-Forwarded-Proto", "HTTPS"}, origin{"192.0.2.7", "shop.example:8443", "https"}},
		{"two proxies", "10.0.0.1:1", false, []string{"X-Forwarded-For", "192.0.2.7, 10.0.0.2"}, origin{remote: "192.0.2.7"}},
		{"what the client says does not count", "10.0.0.1:1", false, []string{"X-Forwarded-For", "10.0.0.9, 127.0.0.1, 192.0.2.7, 10.0.0.2"}, origin{remote: "192.0.2.7"}},
		{"several fields", "10.0.0.1:1", false, []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-For", "10.0.0.2"}, origin{remote: "192.0.2.7"}},
		{"all are proxies", "10.0.0.1:1", false, []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}, origin{remote: "10.0.0.3"}},
		{"an address that is none ends the way", "10.0.0.1:1", false, []string{"X-Forwarded-For", "192.0.2.7, unknown, 10.0.0.2"}, origin{remote: "10.0.0.2"}},
		{"nothing but garbage", "10.0.0.1:1", false, []string{"X-Forwarded-For", ", ,;,\"", "X-Forwarded-Proto", "javascript", "X-Forwarded-Host", "a/b"}, origin{remote: "10.0.0.1"}},
		{"with ports", "10.0.0.1:1", false, []string{"X-Forwarded-For", "192.0.2.7:4711"}, origin{remote: "192.0.2.7"}},
		{"IPv6", "[fd00::1]:1", false, []string{"X-Forwarded-For", "2001:db8::7"}, origin{remote: "2001:db8::7"}},
		{"IPv6 in brackets", "[fd00::1]:1", false, []string{"X-Forwarded-For", "[2001:db8::7]:4711"}, origin{remote: "2001:db8::7"}},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", false, []string{"X-Forwarded-For", "::ffff:192.0.2.7"}, origin{remote: "192.0.2.7"}},
		{"a zone", "10.0.0.1:1", false, []string{"X-Forwarded-For", "fe80::1%eth0"}, origin{remote: "10.0.0.1"}},
		{"the last scheme", "10.0.0.1:1", false, []string{"X-Forwarded-Proto", "https, http"}, origin{remote: "10.0.0.1", scheme: "http"}},
		{"Forwarded is not asked", "10.0.0.1:1", false, []string{"Forwarded", "for=192.0.2.7"}, origin{remote: "10.0.0.1"}},

		{"RFC 7239 4: for, proto and host", "10.0.0.1:1", true, []string{"Forwarded", "for=192.0.2.7;proto=https;host=shop.example;by=203.0.113.43"}, origin{"192.0.2.7", "shop.example", "https"}},
		{"RFC 7239 4: names in any case", "10.0.0.1:1", true, []string{"Forwarded", "For=192.0.2.7;PROTO=https"}, origin{remote: "192.0.2.7", scheme: "https"}},
		{"RFC 7239 4: quoted, with a port", "10.0.0.1:1", true, []string{"Forwarded", `for="192.0.2.7:4711"`}, origin{remote: "192.0.2.7"}},
		{"RFC 7239 6: IPv6", "10.0.0.1:1", true, []string{"Forwarded", `for="[2001:db8:cafe::17]:4711"`}, origin{remote: "2001:db8:cafe::17"}},
		{"RFC 7239 6.3: hidden", "10.0.0.1:1", true, []string{"Forwarded", "for=_gazonk, for=10.0.0.2"}, origin{remote: "10.0.0.2"}},
		{"RFC 7239 6.2: unknown", "10.0.0.1:1", true, []string{"Forwarded", "for=unknown"}, origin{remote: "10.0.0.1"}},
		{"RFC 7239 7.1: several fields", "10.0.0.1:1", true, []string{"Forwarded", "for=198.51.100.9", "Forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"}, origin{remote: "192.0.2.7", scheme: "https"}},
		{"a comma in quotes", "10.0.0.1:1", true, []string{"Forwarded", `for=198.51.100.1;ext="a, for=192.0.2.9", for=10.0.0.2`}, origin{remote: "198.51.100.1"}},
		{"a quote that does not end", "10.0.0.1:1", true, []string{"Forwarded", `for="192.0.2.7, for=10.0.0.2`}, origin{remote: "10.0.0.1"}},
		{"X-Forwarded-For is not asked", "10.0.0.1:1", true, []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil"}, origin{remote: "10.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Add(c.header[i], c.header[i+1])
			}
			p := Proxies{Trusted: trusted, Forwarded: c.rfc}
			if got := p.origin(r); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestChainsOfProxiesAreFollowedSoFar(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "192.0.2.7"+strings.Repeat(", 10.0.0.2", maxHops+10))
	p := Proxies{Trusted: prefixes("10.0.0.0/8")}
	if got := p.origin(r); got.remote != "10.0.0.2" {
		t.Errorf("got %+v", got)
	}
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"192.0.2.7, 10.0.0.2", `for="[2001:db8::1]:80";proto=https`, `a="\",b",for=1.2.3.4`, "[", "::ffff:1.2.3.4", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, rfc := range []bool{false, true} {
			p := Proxies{Trusted: prefixes("10.0.0.0/8"), Forwarded: rfc}
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"Forwarded": {text}, "X-Forwarded-For": {text}, "X-Forwarded-Host": {text}, "X-Forwarded-Proto": {text}}}
			o := p.origin(r)
			if a, err := netip.ParseAddr(o.remote); err != nil || a.Zone() != "" || a.Is4In6() {
				t.Errorf("%q gives the address %q", text, o.remote)
			}
			if o.host != "" && !validHost(o.host) || o.scheme != "" && o.scheme != "http" && o.scheme != "https" {
				t.Errorf("%q gives %+v", text, o)
			}
		}
	})
}
