package mesh

// maglev looks up the hash of a request in a table that the endpoints have
// filled in turn, each by an order of its own: a lookup takes constant time and
// the shares are even, for which a few more requests than with a ring change
// their place when the endpoints do (Eisenbud et al., "Maglev: A Fast and
// Reliable Software Network Load Balancer", 2016, section 3.4).
type maglev struct {
	hasher
	table []int32
}

// maglevSize is the paper's: a prime, so that every step goes around the table.
const maglevSize = 65537

func newMaglev(c Candidates) Balancer {
	type order struct {
		next, step uint64
		owed       int // turns by weight, in units of the largest
	}
	m := &maglev{hasher: newHasher(c), table: make([]int32, maglevSize)}
	for i := range m.table {
		m.table[i] = -1
	}
	orders, largest := make([]order, len(c.Endpoints)), 0
	for i, e := range c.Endpoints {
		orders[i] = order{next: hashText(e.identity(), 0) % maglevSize, step: hashText(e.identity(), 1)%(maglevSize-1) + 1}
		largest = max(largest, e.weight())
	}
	for filled := 0; ; {
		for i, e := range c.Endpoints {
			o := &orders[i]
			if o.owed += e.weight(); o.owed < largest {
				continue
			}
			o.owed -= largest
			for m.table[o.next] >= 0 {
				o.next = (o.next + o.step) % maglevSize
			}
			m.table[o.next] = int32(i)
			if filled++; filled == maglevSize {
				return m
			}
		}
	}
}

func (m *maglev) Pick(c Choice) int {
	hash := m.hash(c.Request)
	// What is not usable is replaced by another look, so that its requests are
	// shared by all the others.
	for k := range uint64(2 * len(c.Endpoints)) {
		if i := int(m.table[mix(hash+k)%maglevSize]); m.takes(c, i) {
			return i
		}
	}
	return firstUsable(c, int(hash%uint64(len(c.Endpoints))))
}
