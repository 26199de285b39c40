package trace

import (
	"slices"
	"strings"
)

// The limits of tracestate.
const (
	maxMembers = 32
	maxKey     = 256
	maxValue   = 256
	// maxState is how much of a valid tracestate is passed on, in bytes: what the
	// specification has everyone pass on at least. A caller can thus not have each
	// of its requests carry 16 KB to every service behind.
	maxState = 512
	// largeMember is the length above which a member goes first.
	largeMember = 128
)

// ParseState combines the values of a request's tracestate fields, in their
// order. It is not ok if they break the grammar, name a key twice, or have more
// than 32 members: then all of it is dropped. What is longer than 512 bytes loses
// whole members: those above 128 bytes first, and always the last before others.
func ParseState(values []string) (state string, ok bool) {
	var room [maxMembers]string
	members := room[:0]
	for _, v := range values {
		for m := range strings.SplitSeq(v, ",") {
			m = strings.Trim(m, " \t")
			if m == "" {
				continue // fields that were combined can leave them
			}
			key, value, ok := strings.Cut(m, "=")
			if !ok || !validKey(key) || !validValue(value) || len(members) == maxMembers || named(members, key) {
				return "", false
			}
			members = append(members, m)
		}
	}
	length := max(0, len(members)-1)
	for _, m := range members {
		length += len(m)
	}
	for _, above := range []int{largeMember, 0} {
		for i := len(members) - 1; i >= 0 && length > maxState; i-- {
			if len(members[i]) > above {
				length -= len(members[i]) + 1
				members = slices.Delete(members, i, i+1)
			}
		}
	}
	if len(values) == 1 && length == len(values[0]) {
		return values[0], true // as it came
	}
	return strings.Join(members, ","), true
}

// named reports whether one of the members has this key.
func named(members []string, key string) bool {
	for _, m := range members {
		if strings.HasPrefix(m, key) && m[len(key)] == '=' {
			return true
		}
	}
	return false
}

// validKey is the rule of level 2: that of level 1 allows @ at one place only,
// and all that it allows is valid here, too.
func validKey(key string) bool {
	if key == "" || len(key) > maxKey || !lowerOrDigit(key[0]) {
		return false
	}
	for i := range len(key) {
		if c := key[i]; !lowerOrDigit(c) && c != '_' && c != '-' && c != '*' && c != '/' && c != '@' {
			return false
		}
	}
	return true
}

func lowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// validValue takes a value whose trailing space has been cut off.
func validValue(value string) bool {
	if value == "" || len(value) > maxValue {
		return false
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}
