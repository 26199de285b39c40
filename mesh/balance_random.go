package mesh

// random takes any usable endpoint by chance, by weight.
type random struct {
	lots
	random func() uint64
}

func newRandom(c Candidates) Balancer { return &random{newLots(c.Endpoints), c.random} }

func (r *random) Pick(c Choice) int {
	// Drawn again rather than taken from the neighbor of one that is not
	// usable, which would get the shares of both.
	const draws = 4
	i := 0
	for range draws {
		if i = r.draw(r.random()); c.Usable(i) {
			return i
		}
	}
	return firstUsable(c, i)
}

// lots draws endpoints by weight in constant time: Vose's alias method ("A
// Linear Algorithm For Generating Random Numbers With a Given Distribution",
// 1991). Each of n slots of equal size holds a part of the share of its own
// endpoint, and for the rest a part of that of another.
type lots struct {
	n     int
	slots []slot // none if the weights are equal
}

type slot struct {
	own   uint32 // its own endpoint's part, of 2^32
	other int32
}

func newLots(endpoints []*Endpoint) lots {
	n := len(endpoints)
	if equalWeights(endpoints) {
		return lots{n: n}
	}
	total := 0.0
	for _, e := range endpoints {
		total += float64(e.weight())
	}
	slots, size := make([]slot, n), make([]float64, n) // size: what is left to place, in slots
	var small, large []int
	for i, e := range endpoints {
		if size[i] = float64(e.weight()) * float64(n) / total; size[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		slots[s] = slot{uint32(size[s] * (1 << 32)), int32(l)}
		if size[l] -= 1 - size[s]; size[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // whole slots, but for rounding
		slots[i].other = int32(i)
	}
	return lots{n, slots}
}

// draw gives an endpoint for 64 random bits.
func (l lots) draw(bits uint64) int {
	i := below(uint32(bits>>32), l.n)
	if l.slots != nil && uint32(bits) >= l.slots[i].own {
		return int(l.slots[i].other)
	}
	return i
}

// two draws two endpoints, which differ if there is more than one.
func (l lots) two(random func() uint64) (first, second int) {
	if l.n == 1 {
		return 0, 0
	}
	bits := random()
	if l.slots != nil {
		first, second = l.draw(bits), l.draw(random())
		if first == second {
			second = (first + 1 + below(uint32(bits), l.n-1)) % l.n
		}
		return first, second
	}
	first, second = below(uint32(bits>>32), l.n), below(uint32(bits), l.n-1)
	if second >= first {
		second++
	}
	return first, second
}

// lighter draws two endpoints and gives the usable one of them whose load is
// less; if again and again neither is usable, the one of least load of all that are.
// Two are enough for the largest load to be near the mean, and the difference
// from looking at all is that many clients who look at all go to the same one
// at once (Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing", 2001).
func (l lots) lighter(c Choice, random func() uint64, load func(*Endpoint) float64) int {
	const draws = 4 // before all are looked at
	first := 0
	for range draws {
		var second int
		first, second = l.two(random)
		switch a, b := c.Usable(first), c.Usable(second); {
		case a && b:
			if first != second && load(c.Endpoints[second]) < load(c.Endpoints[first]) {
				return second
			}
			return first
		case a:
			return first
		case b:
			return second
		}
	}
	best, least := -1, 0.0
	for k := range c.Endpoints {
		i := (first + k) % len(c.Endpoints)
		if !c.Usable(i) {
			continue
		}
		if load := load(c.Endpoints[i]); best < 0 || load < least {
			best, least = i, load
		}
	}
	return best
}
