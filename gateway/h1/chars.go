package h1

// charset is a set of bytes.
type charset [256]bool

var (
	tokenChars  = chars("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	targetChars = visible("")
	valueChars  = visible(" \t")
	// plainChars are those of a path that are themselves, however it is escaped.
	plainChars = chars("/-_.~$&+,:;=@0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	// hostChars are RFC 3986's of a host and a port. Which hosts are served is for
	// others to say.
	hostChars = chars("!$%&'()*+,-.:;=[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
)

func chars(all string) *charset {
	c := new(charset)
	for i := range len(all) {
		c[all[i]] = true
	}
	return c
}

// visible is all but blanks and control characters, and what is given.
func visible(and string) *charset {
	c := chars(and)
	for i := range len(c) {
		c[i] = c[i] || i > ' ' && i != 0x7f
	}
	return c
}

// spells reports whether s is made of the set's characters.
func (c *charset) spells(s string) bool {
	for i := range len(s) {
		if !c[s[i]] {
			return false
		}
	}
	return true
}

// skip gives where what follows is not of the set.
func (c *charset) skip(p []byte, at int) int {
	for at < len(p) && c[p[at]] {
		at++
	}
	return at
}
