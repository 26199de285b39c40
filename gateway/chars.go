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
