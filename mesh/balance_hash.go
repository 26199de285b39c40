package mesh

import (
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"strings"
)

// Hash says what of a request decides where it goes, for the balancers
// "ring_hash" and "maglev". A request that does not have it goes anywhere.
type Hash struct {
	// Header and Cookie name what is hashed. Set one of them.
	Header, Cookie string
	// Load bounds the attempts under way at one endpoint, as a multiple of the
	// mean; what is above goes to the next endpoint in the order of the hash. 0 is
	// no bound. It is at least 1 (Mirrokni, Thorup and Zadimoghaddam, "Consistent
	// Hashing with Bounded Loads", 2018, has 1.25).
	Load float64
}

func (h Hash) enabled() bool { return h.Header != "" || h.Cookie != "" }

func (h Hash) validate(f *faults, balance string) {
	hashes := balance == balanceRingHash || balance == balanceMaglev
	const write = `write hash: { header: x-user } or hash: { cookie: session }`
	switch {
	case h.Header != "" && h.Cookie != "":
		f.add("hash", "hash is of either a header or a cookie", write)
	case hashes && !h.enabled():
		f.add("balance", fmt.Sprintf("the balancer %s needs to know what to hash", balance), write)
	case !hashes && h != (Hash{}):
		f.add("hash", "nothing is hashed", fmt.Sprintf("write balance: %s, or %s", balanceRingHash, balanceMaglev))
	}
	if h.Load != 0 && !(h.Load >= 1 && h.Load <= 100) {
		f.add("hash.load", "a bound for the load of one endpoint lies between 1 and 100 times the mean", "write load: 1.25")
	}
	if h.Header != "" && !isToken(h.Header) {
		f.add("hash.header", fmt.Sprintf("%q is not the name of a header", h.Header), "write a name such as x-user")
	}
	if h.Cookie != "" && !isToken(h.Cookie) {
		f.add("hash.cookie", fmt.Sprintf("%q is not the name of a cookie", h.Cookie), "write a name such as session")
	}
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// hasher finds the hash of a request.
type hasher struct {
	header string // canonical
	cookie string
	bound  float64
	random func() uint64
}

func newHasher(c Candidates) hasher {
	return hasher{textproto.CanonicalMIMEHeaderKey(c.hash.Header), c.hash.Cookie, c.hash.Load, c.random}
}

func (h *hasher) hash(req *http.Request) uint64 {
	value := hashed(req.Header, h.header, h.cookie)
	if value == "" {
		return h.random()
	}
	return hashText(value, 0)
}

// hashed is the value of a cookie, or of a header field whose canonical name is
// given; empty if there is none.
func hashed(header http.Header, name, cookieName string) string {
	switch {
	case cookieName != "":
		return cookie(header, cookieName)
	case len(header[name]) > 0:
		return header[name][0]
	}
	return ""
}

// cookie is the value of the first cookie called name; empty if there is none.
// It does what http.Request.Cookie does without making a list of all.
func cookie(header http.Header, name string) string {
	for _, line := range header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if n, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
				return strings.Trim(value, `"`)
			}
		}
	}
	return ""
}

// hashText is FNV-1a with the end of MurmurHash3, which spreads what texts that
// are nearly equal have in common. It is the same in every process, so that
// several that run side by side agree, and not for keeping anyone out.
func hashText(s string, seed uint64) uint64 {
	h := 0xcbf29ce484222325 ^ seed
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// identity is what an endpoint's place in the order of a hash depends on.
func (e *Endpoint) identity() string { return e.target.URL + " " + e.target.Host }

// takes reports whether an endpoint is usable and within the bound of its load.
func (h *hasher) takes(c Choice, i int) bool {
	if !c.Usable(i) {
		return false
	}
	inFlight := c.Endpoints[i].inFlight.Load()
	if h.bound == 0 || inFlight == 0 {
		return true
	}
	total, weights := int64(1), 0
	for _, e := range c.Endpoints {
		total += e.inFlight.Load()
		weights += e.weight()
	}
	share := float64(total) * float64(c.Endpoints[i].weight()) / float64(weights)
	return float64(inFlight) < math.Ceil(h.bound*share)
}
