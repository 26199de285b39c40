package discovery

import (
	"strings"
	"testing"
)

func TestLocationsAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range []struct{ text, namespace, name, port, host, named string }{
		{"dns://orders.shop:8080", "", "orders.shop", "8080", "orders.shop:8080", "http://x"},
		{"dns://orders", "", "orders", "80", "orders", "http://x"},
		{"dns+https://orders.shop.example./v2/", "", "orders.shop.example.", "443", "orders.shop.example", "https://x/v2"},
		{"dns://tasks.orders:8080?family=ipv6&server=10.0.0.2&server=[::1]:5353&host=orders.example", "", "tasks.orders", "8080", "orders.example", "http://x"},
		{"dns+srv://_orders._tcp.shop.local", "", "_orders._tcp.shop.local", "", "shop.local", "http://x"},
		{"dns+srv+https://_http._tcp.orders.shop.svc.cluster.local/api", "", "_http._tcp.orders.shop.svc.cluster.local", "", "orders.shop.svc.cluster.local", "https://x/api"},
		{"dns+srv://orders.service.consul", "", "orders.service.consul", "", "orders.service.consul", "http://x"},
		{"k8s://shop/orders:http", "shop", "orders", "http", "orders.shop.svc", "http://x"},
		{"k8s+https:///orders:8443/api/v1", "", "orders", "8443", "orders", "https://x/api/v1"},
		{"k8s://shop/orders", "shop", "orders", "", "orders.shop.svc", "http://x"},
		{"consul://orders?tag=v2&tag=eu&dc=dc1", "", "orders", "", "orders.service.consul", "http://x"},
		{"file:targets/orders.json", "", "targets/orders.json", "", "", "http://x"},
		{"file:///etc/weir/orders%20x.json", "", "/etc/weir/orders x.json", "", "", "http://x"},
	} {
		if !Is(c.text) {
			t.Errorf("%s is no location", c.text)
		}
		l := mustParse(t, c.text)
		if l.namespace != c.namespace || l.name != c.name || l.port != c.port || l.host != c.host || l.Named("x") != c.named || l.String() != c.text {
			t.Errorf("%s: %+v %s", c.text, l, l.Named("x"))
		}
	}
	for _, text := range []string{"http://a", "https://a", "ftp://a", "", "dns", "orders:80"} {
		if Is(text) {
			t.Errorf("%s is taken for a location", text)
		}
	}
}

func TestFaultsOfLocationsSayWhatToWrite(t *testing.T) {
	for _, c := range []struct{ text, message, hint string }{
		{"srv://_a._tcp.b", "no scheme", "write dns+srv://_a._tcp.b"},
		{"kubernetes://shop/orders", "no scheme", "write k8s://shop/orders"},
		{"dns+http://a", "no scheme", "write dns://a"},
		{"dns://", "no name", "dns://orders"},
		{"dns://10.0.0.1:80", "needs no DNS", "write http://10.0.0.1:80"},
		{"dns+https://[::1]:443", "needs no DNS", "write https://[::1]:443"},
		{"dns://_a._tcp.b", "SRV records", "write dns+srv://_a._tcp.b"},
		{"dns+https://_a._tcp.b", "SRV records", "write dns+srv+https://_a._tcp.b"},
		{"dns://a..b", "not a domain name", "write"},
		{"dns://" + strings.Repeat("a", 64), "not a domain name", "write"},
		{"dns://" + strings.Repeat("a.", 140) + "b", "not a domain name", "write"},
		{"dns://a:0", "not a port", "65535"},
		{"dns://a:99999", "not a port", "65535"},
		{"dns://u:p@a", "password", "dns://"},
		{"dns://a#x", "fragment", "dns://"},
		{"dns://a?x=1", `no option "x"`, "family, host, server"},
		{"dns://a?tag=1", `no option "tag"`, "family, host, server"},
		{"dns://a?family=4", "not a family", "family=ipv4"},
		{"dns://a?family=ipv4&family=ipv6", "twice", "one"},
		{"dns://a?server=", "empty", "leave it out"},
		{"dns://a?server=name", "not the address", "server=10.0.0.2"},
		{"dns://a?host=a/b", "not a host name", "host="},
		{"dns://a?%zz", "not a query", "?key=value"},
		{"dns+srv://_a._tcp.b:80", "come from its SRV records", "leave out :80"},
		{"k8s://shop", "names no service", "k8s://NAMESPACE/SERVICE:PORT"},
		{"k8s:orders", "names no service", "k8s://NAMESPACE/SERVICE:PORT"},
		{"k8s://Shop/orders", "not the name of a namespace", "k8s://"},
		{"k8s://shop/Orders", "not the name of a service", "k8s://"},
		{"k8s://shop/orders:", "no port", "k8s://"},
		{"k8s://shop/orders:0", "not a port", "65535"},
		{"k8s://shop/orders:Http", "neither", "k8s://"},
		{"k8s://shop:http/orders", "not a namespace", "k8s://NAMESPACE/SERVICE:PORT"},
		{"k8s://shop/orders?server=127.0.0.1", "URL of an API", "server=http://"},
		{"consul://", "names no service", "consul://SERVICE"},
		{"consul://orders:8080", "come from Consul", "server=http://HOST:PORT"},
		{"consul://orders?server=http://a&server=http://b", "twice", "one"},
		{"file://targets.json", "no host", "write file:targets.json, or file:///targets.json"},
		{"file:", "names no file", "file:targets.json"},
		{"file:///", "names no file", "file:targets.json"},
		{"file+https:a", "no scheme", "write file:a"},
		{"file:a?x=1", "no option", "none"},
	} {
		_, err := Parse(c.text)
		f, ok := err.(*Fault)
		if !ok || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: %v", c.text, err)
		}
		if !Is(c.text) {
			t.Errorf("%s is not told from other text", c.text)
		}
	}
}
