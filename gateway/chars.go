package gateway

// charset is a set of bytes.
type charset [256]bool

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func chars(all string) *charset {
	c := new(charset)
	for i := range len(all) {
		c[all[i]] = true
	}
	return c
}

// except is all but control characters, without those of a text: a tab is none
// where a space is allowed.
func except(these string) *charset {
	c := new(charset)
	for i := range len(c) {
		c[i] = i >= ' ' && i != 0x7f
	}
	c['\t'] = true
	for i := range len(these) {
		c[these[i]] = false
		c['\t'] = c['\t'] && these[i] != ' '
	}
	return c
}

// spells reports whether s is made of the set's characters, and of at least
// one.
func (c *charset) spells(s string) bool {
	for i := range len(s) {
		if !c[s[i]] {
			return false
		}
	}
	return s != ""
}
