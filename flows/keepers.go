package flows

import (
	"sync"

	"github.com/weir-run/weir/engine"
)

// keepers are what steps keep longer than a request, by engine.Place.Key, each
// with how many places of all generations have it.
type keepers struct {
	mu    sync.Mutex
	byKey map[string]*keeper
}

type keeper struct {
	engine.Keeper
	uses int
}

// held is one place of a generation and what is in it.
type held struct {
	key string
	engine.Keeper
}

// open fills the places of p, with what equal places have already. They are
// closed in the same order, flows before those that they run: what still works
// in one finds open what it leads to.
func (ks *keepers) open(p *Program) (all []held) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for _, places := range p.places() {
		for _, place := range places {
			key := place.Key()
			if key == "" {
				all = append(all, held{"", place.Open(nil)})
				continue
			}
			k := ks.byKey[key]
			if k == nil {
				k = &keeper{Keeper: place.Open(nil)}
				if ks.byKey == nil {
					ks.byKey = map[string]*keeper{}
				}
				ks.byKey[key] = k
			} else {
				place.Open(k.Keeper)
			}
			k.uses++
			all = append(all, held{key, k.Keeper})
		}
	}
	return all
}

// places are what the program needs for longer than a request: of policies, then
// of flows.
func (p *Program) places() (all [][]engine.Place) {
	for _, b := range p.bundles {
		all = append(all, b.Places)
	}
	for _, f := range callersFirst(p.Flows) {
		all = append(all, f.Places())
	}
	return all
}

// close ends what no other generation has. What works in it may take a while.
func (ks *keepers) close(all []held) {
	for _, k := range ks.drop(all) {
		k.Close()
	}
}

func (ks *keepers) drop(all []held) (last []engine.Keeper) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for _, one := range all {
		if one.key == "" {
			last = append(last, one.Keeper)
			continue
		}
		k := ks.byKey[one.key]
		if k.uses--; k.uses == 0 {
			delete(ks.byKey, one.key)
			last = append(last, one.Keeper)
		}
	}
	return last
}
