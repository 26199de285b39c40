package policies

import (
	"net/url"
	"slices"
	"strings"
)

// No-Vary-Search says which parameters of the query an answer does not depend on,
// and whether it depends on their order (draft-ietf-httpbis-no-vary-search).
//
// What is stored of an answer that says so is kept under its URL without what does
// not matter, and the path remembers what its answers said last. A request is
// looked for under its own URL, and then under what this makes of it. Answers that
// said something else before are not found any more, which the draft allows.

// searchVariance is what an answer says in No-Vary-Search. Two are the same only
// if they are one: who finds an answer by its path has the one it was stored with.
type searchVariance struct {
	all      bool     // parameters do not matter, but for those that are listed
	listed   []string // that do not matter, or, of all, those that do
	anyOrder bool
}

func (s *searchVariance) same(other *searchVariance) bool {
	return s.all == other.all && s.anyOrder == other.anyOrder && slices.Equal(s.listed, other.listed)
}

// matters reports whether an answer depends on a parameter.
func (s *searchVariance) matters(name string) bool { return slices.Contains(s.listed, name) == s.all }

// searchVarianceOf reads a No-Vary-Search field. It is nil for one that changes
// nothing, and for one that cannot be read in any part that counts: to depend on
// all of the query is always right.
func searchVarianceOf(lines []string) *searchVariance {
	if lines == nil {
		return nil
	}
	all, err := readDictionary(strings.Join(lines, ","), mostMembers)
	if err != nil {
		return nil
	}
	s := &searchVariance{}
	var except *sfMember
	for i := range all {
		m := &all[i]
		isBoolean := !m.inner && m.bare.kind == sfBoolean
		isStrings := m.inner && len(stringsOf(m.list)) == len(m.list)
		switch {
		case m.key == "key-order" && isBoolean:
			s.anyOrder = m.bare.number == 1
		case m.key == "params" && isBoolean:
			s.all = m.bare.number == 1
		case m.key == "params" && isStrings:
			s.listed = parameterNames(stringsOf(m.list))
		case m.key == "except" && isStrings:
			except = m
		case m.key == "key-order" || m.key == "params" || m.key == "except":
			return nil
		}
	}
	if except != nil {
		if !s.all {
			return nil
		}
		s.listed = parameterNames(stringsOf(except.list))
	}
	if !s.all && !s.anyOrder && len(s.listed) == 0 {
		return nil
	}
	return s
}

// parameterNames are written as in a URL, since a field holds ASCII alone.
func parameterNames(written []string) (names []string) {
	for _, name := range written {
		names = append(names, formDecoded(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// formDecoded decodes a name or value of application/x-www-form-urlencoded as
// browsers do: what is no escape stays as it is, what is no UTF-8 is U+FFFD.
func formDecoded(text string) string {
	if !strings.ContainsAny(text, "+%") {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '+':
			b = append(b, ' ')
		case text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			b = append(b, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
		default:
			b = append(b, text[i])
		}
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// query is what is left of a query, in the one way to write it.
func (s *searchVariance) query(text string) string {
	type pair struct{ name, value string }
	var all []pair
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		if name = formDecoded(name); s.matters(name) {
			all = append(all, pair{name, formDecoded(value)})
		}
	}
	if s.anyOrder {
		slices.SortStableFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	}
	var b strings.Builder
	for _, p := range all {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value))
	}
	return b.String()
}

// of gives the URL, or the key of one, that stands for all which are the same to s.
func (s *searchVariance) of(key string) string {
	path, query, _ := strings.Cut(key, "?") // neither a host nor a path has one
	if query = s.query(query); query != "" {
		return path + "?" + query
	}
	return path
}

// pathKey is under what a path keeps its searchVariance: no key of an answer
// begins so.
func pathKey(base string) string {
	path, _, _ := strings.Cut(base, "?")
	return "\x00" + path
}

// searchOf is what answers of a path said last; nil if nothing.
func (s *cacheStore) searchOf(base string) *searchVariance {
	if !s.searches.Load() {
		return nil
	}
	if r, _ := s.byKey.GetIfPresent(pathKey(base)); r != nil {
		return r.search
	}
	return nil
}

// learn has a path remember what an answer said, and gives the one that it
// remembers.
func (s *cacheStore) learn(base string, said *searchVariance) *searchVariance {
	s.searches.Store(true)
	if known := s.searchOf(base); known != nil && known.same(said) {
		return known
	}
	s.change(cacheKey{base: pathKey(base)}, "", func(r *resource) { r.search = said })
	return said
}
