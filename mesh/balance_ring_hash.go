package mesh

import (
	"cmp"
	"slices"
	"sort"
)

// ringHash puts each endpoint on many places of a ring, as many as its weight
// says, and takes the first one from the hash of the request on: when an
// endpoint leaves, what went to it is shared by the others, and nothing else
// changes its place (Karger et al., "Consistent Hashing and Random Trees", 1997).
type ringHash struct {
	hasher
	ring []ringPlace // by at
}

type ringPlace struct {
	at       uint64
	endpoint int32
}

// ringPlaces is how many places an endpoint of the mean weight has. Its share of
// the requests strays from what it should be by about 1 in the root of them: 6 %.
const ringPlaces = 256

// ringWalk bounds how far a pick goes around the ring, per endpoint.
const ringWalk = 4

func newRingHash(c Candidates) Balancer {
	r := &ringHash{hasher: newHasher(c)}
	weights := 0
	for _, e := range c.Endpoints {
		weights += e.weight()
	}
	for i, e := range c.Endpoints {
		for k := range max(1, ringPlaces*e.weight()*len(c.Endpoints)/weights) {
			r.ring = append(r.ring, ringPlace{hashText(e.identity(), uint64(k)), int32(i)})
		}
	}
	slices.SortFunc(r.ring, func(a, b ringPlace) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.endpoint, b.endpoint))
	})
	return r
}

func (r *ringHash) Pick(c Choice) int {
	hash := r.hash(c.Request)
	start := sort.Search(len(r.ring), func(i int) bool { return r.ring[i].at >= hash })
	for k := range min(len(r.ring), ringWalk*len(c.Endpoints)) {
		if i := int(r.ring[(start+k)%len(r.ring)].endpoint); r.takes(c, i) {
			return i
		}
	}
	return firstUsable(c, int(hash%uint64(len(c.Endpoints))))
}
