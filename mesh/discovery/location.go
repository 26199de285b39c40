package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Location says where the targets of a service are to be looked for. It is
// written as a URL; one whose scheme ends with "+https" has targets that speak
// TLS, the others plain HTTP:
//
//	dns://orders.shop:8080                 all A or AAAA records of a name
//	dns+srv://_orders._tcp.shop.local      SRV records, which tell the ports
//	k8s://shop/orders:http                 EndpointSlices of a Kubernetes service
//	consul://orders?tag=v2                 instances that pass Consul's checks
//	file:targets.json                      a file, which is watched
//
// A path behind it is put before the path of each request. The query says more:
// server, where to ask (name servers of dns; the URL of the API of k8s and
// consul); family, ipv4 or ipv6 (of dns and k8s); host, the name in the Host
// header and in TLS; tag and dc (of consul).
type Location struct {
	text   string
	scheme *scheme
	tls    bool

	namespace  string // k8s; empty is the pod's own
	name       string // of the service or domain; path of a file
	port       string // dns: a number; k8s: a name, a number, or empty
	base       string // escaped path without a slash at its end
	host       string
	servers    []string
	family     string
	tags       []string
	datacenter string
}

// Fault is why a text is no Location. Hint says what to write instead.
type Fault struct{ Message, Hint string }

func (f *Fault) Error() string { return f.Message + " (" + f.Hint + ")" }

func fault(hint, format string, args ...any) *Fault {
	return &Fault{Message: fmt.Sprintf(format, args...), Hint: hint}
}

// scheme is one way to look.
type scheme struct {
	name    string
	how     string // for people
	example string
	keys    []string // of the query
	parse   func(l *Location, u *url.URL) *Fault
	open    func(l Location, o Options) Source
}

var schemes = []*scheme{
	{"dns", "DNS A and AAAA records", "dns://orders.shop:8080", []string{"family", "host", "server"}, parseDNS,
		func(l Location, o Options) Source { return newDNS(l, o, false) }},
	{"dns+srv", "DNS SRV records", "dns+srv://_orders._tcp.shop.local", []string{"family", "host", "server"}, parseSRV,
		func(l Location, o Options) Source { return newDNS(l, o, true) }},
	{"k8s", "Kubernetes EndpointSlices", "k8s://NAMESPACE/SERVICE:PORT", []string{"family", "host", "server"}, parseKubernetes,
		func(l Location, o Options) Source { return newKubernetes(l, o) }},
	{"consul", "Consul's catalogue", "consul://SERVICE", []string{"dc", "host", "server", "tag"}, parseConsul,
		func(l Location, o Options) Source { return newConsul(l, o) }},
	{"file", "a file that is watched", "file:targets.json", nil, parseFile,
		func(l Location, o Options) Source { return newFile(l, o) }},
}

// mistaken are schemes that someone may write, and what is meant.
var mistaken = map[string]string{
	"srv": "dns+srv", "dnssrv": "dns+srv", "srv+dns": "dns+srv", "dns-srv": "dns+srv", "srv+http": "dns+srv", "srv+https": "dns+srv+https",
	"https+dns": "dns+https", "dns+http": "dns", "dns+srv+http": "dns+srv", "dnss": "dns+https", "dns+https+srv": "dns+srv+https",
	"kubernetes": "k8s", "kube": "k8s", "k8s+http": "k8s", "https+k8s": "k8s+https", "kubernetes+https": "k8s+https",
	"consul+http": "consul", "https+consul": "consul+https", "file+https": "file",
}

// Schemes are the schemes of locations, each with an example.
func Schemes() []string {
	var all []string
	for _, s := range schemes {
		all = append(all, s.example)
	}
	return all
}

// Is reports whether a text is meant to be a Location: it begins with one of
// the schemes, or with what is easily taken for one.
func Is(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	name = strings.ToLower(name)
	return ok && (mistaken[name] != "" || lookup(strings.TrimSuffix(name, "+https")) != nil)
}

func lookup(name string) *scheme {
	for _, s := range schemes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Parse reads a Location. The error is a [*Fault].
func Parse(text string) (Location, error) {
	l, f := parse(text)
	if f != nil {
		return Location{}, f
	}
	return l, nil
}

func parse(text string) (Location, *Fault) {
	u, err := url.Parse(text)
	if err != nil && strings.HasPrefix(text, "k8s") && strings.Count(text, ":") > 1 {
		return Location{}, fault("write k8s://NAMESPACE/SERVICE:PORT", "%q is not a namespace, a service and a port", text)
	}
	if err != nil {
		return Location{}, fault("write for example "+strings.Join(Schemes(), ", "), "%q cannot be read as a URL", text)
	}
	name, tls := strings.CutSuffix(u.Scheme, "+https")
	l := Location{text: text, scheme: lookup(name), tls: tls}
	if meant := mistaken[u.Scheme]; meant != "" {
		return l, fault("write "+meant+strings.TrimPrefix(text, u.Scheme), "there is no scheme %q", u.Scheme)
	}
	switch {
	case l.scheme == nil:
		return l, fault("write for example "+strings.Join(Schemes(), ", "), "there is no scheme %q", u.Scheme)
	case u.User != nil:
		return l, fault("write "+l.scheme.example, "a user and a password have no place in an endpoint")
	case u.Fragment != "":
		return l, fault("write "+l.scheme.example, "an endpoint has no fragment")
	}
	l.base = strings.TrimRight(u.EscapedPath(), "/")
	if f := l.scheme.parse(&l, u); f != nil {
		return l, f
	}
	return l, l.query(u)
}

// query reads what stands behind the question mark.
func (l *Location) query(u *url.URL) *Fault {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fault("write ?key=value&key=value", "%q is not a query", u.RawQuery)
	}
	for _, key := range sortedKeys(query) {
		values := query[key]
		value := values[0]
		switch {
		case !slices.Contains(l.scheme.keys, key):
			hint := "it has " + strings.Join(l.scheme.keys, ", ")
			if len(l.scheme.keys) == 0 {
				hint = "it has none"
			}
			return fault(hint, "%s has no option %q", l.scheme.name, key)
		case slices.Contains(values, ""):
			return fault("write "+key+"=... or leave it out", "%s is empty", key)
		case len(values) > 1 && key != "tag" && key != "server":
			return fault("keep one of them", "%s is written twice", key)
		}
		switch key {
		case "family":
			if value != "ipv4" && value != "ipv6" {
				return fault("write family=ipv4 or family=ipv6", "%q is not a family of addresses", value)
			}
			l.family = value
		case "host":
			if !validHost(value) {
				return fault("write host=orders.shop.example", "%q is not a host name", value)
			}
			l.host = value
		case "tag":
			l.tags = values
		case "dc":
			l.datacenter = value
		case "server":
			for _, v := range values {
				if f := l.addServer(v); f != nil {
					return f
				}
			}
		}
	}
	return nil
}

func (l *Location) addServer(v string) *Fault {
	if l.scheme.name == "k8s" || l.scheme.name == "consul" {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fault("write server=http://127.0.0.1:8001", "%q is not the URL of an API", v)
		}
		if len(l.servers) > 0 {
			return fault("keep one of them", "server is written twice")
		}
		l.servers = []string{strings.TrimRight(v, "/")}
		return nil
	}
	if addr, err := netip.ParseAddr(v); err == nil {
		v = netip.AddrPortFrom(addr, 53).String()
	}
	if _, err := netip.ParseAddrPort(v); err != nil {
		return fault("write server=10.0.0.2 or server=127.0.0.1:8600", "%q is not the address of a name server", v)
	}
	l.servers = append(l.servers, v)
	return nil
}

func parseDNS(l *Location, u *url.URL) *Fault {
	l.name, l.port = u.Hostname(), u.Port()
	if _, err := netip.ParseAddr(l.name); err == nil {
		return fault("write "+l.proto()+"://"+u.Host, "%s is an address, which needs no DNS", l.name)
	}
	if f := l.domain(); f != nil {
		return f
	}
	if strings.HasPrefix(l.name, "_") {
		return fault("write dns+srv"+strings.TrimPrefix(u.Scheme, "dns")+"://"+l.name, "%s is the name of SRV records", l.name)
	}
	l.host = strings.TrimSuffix(l.name, ".")
	if l.port == "" {
		l.port = map[bool]string{false: "80", true: "443"}[l.tls]
	} else if f := checkPort(l.port); f != nil {
		return f
	} else {
		l.host += ":" + l.port
	}
	return nil
}

func parseSRV(l *Location, u *url.URL) *Fault {
	l.name = u.Hostname()
	if u.Port() != "" {
		return fault("leave out :"+u.Port(), "the ports of %s come from its SRV records", l.name)
	}
	if f := l.domain(); f != nil {
		return f
	}
	l.host = sourceDomain(l.name)
	return nil
}

// sourceDomain is the domain that SRV records are asked of (RFC 6125 section
// 1.8): the name without its _service._proto labels.
func sourceDomain(name string) string {
	name = strings.TrimSuffix(name, ".")
	for strings.HasPrefix(name, "_") {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return strings.TrimPrefix(name, "_")
		}
		name = rest
	}
	return name
}

func (l *Location) domain() *Fault {
	const maxName, maxLabel = 253, 63 // RFC 1035 section 2.3.4
	name := strings.TrimSuffix(l.name, ".")
	if name == "" {
		return fault("write "+l.scheme.example, "there is no name to look up")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(name) > maxName || label == "" || len(label) > maxLabel || !validHost(label) || strings.Contains(label, ":") {
			return fault("write a name such as orders.shop.local", "%q is not a domain name", l.name)
		}
	}
	return nil
}

func parseKubernetes(l *Location, u *url.URL) *Fault {
	const hint = "write k8s://NAMESPACE/SERVICE:PORT, or k8s:///SERVICE:PORT for the namespace of the pod"
	first, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	l.namespace = u.Host
	l.name, l.port, _ = strings.Cut(first, ":")
	l.base = ""
	if rest = strings.TrimRight(rest, "/"); rest != "" {
		l.base = "/" + rest
	}
	switch {
	case u.Opaque != "" || l.name == "":
		return fault(hint, "%q names no service", l.text)
	case l.namespace != "" && !validLabel(l.namespace):
		return fault(hint, "%q is not the name of a namespace", l.namespace)
	case !validLabel(l.name):
		return fault(hint, "%q is not the name of a service", l.name)
	case strings.HasSuffix(first, ":"):
		return fault(hint, "there is no port behind the colon")
	case l.port != "" && strings.Trim(l.port, "0123456789") == "":
		if f := checkPort(l.port); f != nil {
			return f
		}
	case l.port != "" && !validLabel(l.port):
		return fault(hint, "%q is neither the name of a port nor its number", l.port)
	}
	l.host = l.name
	if l.namespace != "" {
		l.host += "." + l.namespace + ".svc"
	}
	return nil
}

func parseConsul(l *Location, u *url.URL) *Fault {
	l.name = u.Host
	switch {
	case u.Opaque != "" || l.name == "":
		return fault("write consul://SERVICE", "%q names no service", l.text)
	case u.Port() != "":
		return fault("leave out :"+u.Port()+"; server=http://HOST:PORT says where Consul is", "the ports of a service come from Consul")
	case !validHost(l.name):
		return fault("write consul://SERVICE", "%q is not the name of a service", l.name)
	}
	l.host = l.name + ".service.consul"
	return nil
}

func parseFile(l *Location, u *url.URL) *Fault {
	l.base = ""
	switch {
	case l.tls:
		return fault("write file:targets.json", "the URLs in the file say whether its targets speak TLS")
	case u.Host != "":
		return fault("write file:"+u.Host+u.Path+", or file:///"+u.Host+u.Path, "a file has no host: two slashes begin one")
	case u.Opaque != "":
		path, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return fault("write file:targets.json", "%q is not the path of a file", u.Opaque)
		}
		l.name = path
	default:
		l.name = u.Path
	}
	if strings.TrimRight(l.name, "/") == "" || strings.HasSuffix(l.name, "/") || strings.ContainsRune(l.name, 0) {
		return fault("write file:targets.json or file:///etc/weir/targets.json", "%q names no file", l.text)
	}
	return nil
}

func checkPort(p string) *Fault {
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
		return fault("write a number from 1 to 65535", "%q is not a port", p)
	}
	return nil
}

// validHost reports whether s may stand in a Host header as it is.
func validHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':') {
			return false
		}
	}
	return s != ""
}

// validLabel reports whether s is a name as Kubernetes gives them (RFC 1123).
func validLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
}

// String returns the location as it was written.
func (l Location) String() string { return l.text }

// How says in a few words what is looked at.
func (l Location) How() string { return l.scheme.how }

// IsFile reports whether the location is a file.
func (l Location) IsFile() bool { return l.scheme.name == "file" }

// Named is the base URL of the service under a name of its own, where nothing
// is looked up: it has the scheme and the path that the targets have.
func (l Location) Named(name string) string { return l.proto() + "://" + name + l.base }

// Open makes the source that looks there. It touches nothing until it is
// watched.
func (l Location) Open(o Options) Source { return l.scheme.open(l, o.withDefaults()) }

func (l Location) proto() string {
	if l.tls {
		return "https"
	}
	return "http"
}

// at is the URL of a target.
func (l Location) at(host, port string) string {
	return l.proto() + "://" + net.JoinHostPort(host, port) + l.base
}
