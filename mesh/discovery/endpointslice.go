package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// endpointSlice is what discovery reads of an EndpointSlice of
// discovery.k8s.io/v1.
type endpointSlice struct {
	Metadata struct {
		Name            string
		ResourceVersion string
	}
	AddressType string
	Endpoints   []struct {
		Addresses  []string
		Conditions struct{ Ready, Serving, Terminating *bool }
		Zone       string
		Hints      struct {
			ForZones []struct{ Name string }
		}
	}
	Ports []struct {
		Name     string
		Port     int
		Protocol string
	}
}

// targets merges the slices of a service. An endpoint that is ready is a target;
// one that is ending and still serves is a draining one; others are left out.
// A place that is in two slices, as happens while it moves from one to the
// other, counts as the better of the two.
//
// A zone is the one that the cluster's routing hints give an endpoint to, if
// they do, so that who prefers its own zone spreads load as the hints mean it.
func (k *kubernetes) targets(all map[string]endpointSlice) ([]Target, error) {
	family := k.family(all)
	found := map[string]Target{}
	offered := map[string]bool{}
	matched := false
	for _, name := range sortedKeys(all) {
		s := all[name]
		if s.AddressType != family {
			continue
		}
		port, ok := k.port(s, offered)
		if !ok {
			continue
		}
		matched = true
		for _, e := range s.Endpoints {
			ready := isTrue(e.Conditions.Ready, true)
			serving := isTrue(e.Conditions.Serving, ready)
			ending := isTrue(e.Conditions.Terminating, false)
			if !ready && !(serving && ending) || len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0]) // the others are not to be used (API reference)
			if err != nil {
				continue
			}
			t := Target{URL: k.location.at(addr.String(), strconv.Itoa(port)), Host: k.location.host, Zone: e.Zone, Draining: ending}
			if zones := e.Hints.ForZones; len(zones) == 1 {
				t.Zone = zones[0].Name
			}
			if old, twice := found[t.URL]; !twice || old.Draining {
				found[t.URL] = t
			}
		}
	}
	if !matched && len(offered) > 0 {
		return nil, fmt.Errorf("the service has no port %s: it has %s; write k8s://%s/%s:PORT",
			first(k.location.port, "that is the only one"), strings.Join(sortedKeys(offered), ", "), k.location.namespace, k.location.name)
	}
	return slices.Collect(maps.Values(found)), nil
}

// family is the type of addresses that is used: the one asked for, or IPv4 if
// there is any, and IPv6 otherwise. A service of both has the same pods in
// slices of both.
func (k *kubernetes) family(all map[string]endpointSlice) string {
	switch k.location.family {
	case "ipv4":
		return "IPv4"
	case "ipv6":
		return "IPv6"
	}
	for _, s := range all {
		if s.AddressType == "IPv4" {
			return s.AddressType
		}
	}
	return "IPv6"
}

// port is the port that the location means in a slice: by its name or by its
// number, which is the one that pods listen on, or the only one. What a slice
// offers is collected.
func (k *kubernetes) port(s endpointSlice, offered map[string]bool) (int, bool) {
	only, tcp := 0, 0
	if n, err := strconv.Atoi(k.location.port); err == nil && len(s.Ports) == 0 {
		return n, true // a headless service need not name its ports
	}
	for _, p := range s.Ports {
		if p.Protocol != "" && p.Protocol != "TCP" || p.Port < 1 || p.Port > 65535 {
			continue
		}
		number := strconv.Itoa(p.Port)
		if k.location.port != "" && (p.Name == k.location.port || number == k.location.port) {
			return p.Port, true
		}
		only, tcp = p.Port, tcp+1
		if p.Name != "" {
			number = p.Name + " (" + number + ")"
		}
		offered[number] = true
	}
	return only, k.location.port == "" && tcp == 1
}

func isTrue(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}
