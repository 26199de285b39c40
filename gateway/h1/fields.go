package h1

import (
	"net/http"
	"strconv"
	"strings"
)

// appendStatus writes a status line.
func appendStatus(out []byte, old bool, status int) []byte {
	version := "HTTP/1.1 "
	if old {
		version = "HTTP/1.0 "
	}
	out = strconv.AppendInt(append(out, version...), int64(status), 10)
	out = append(append(out, ' '), http.StatusText(status)...)
	return append(out, "\r\n"...)
}

// appendFields writes all fields of a header.
func appendFields(out []byte, h http.Header) []byte {
	for name, values := range h {
		out = appendField(out, name, values)
	}
	return out
}

// appendField writes a field, a line for each value. What would be none is left
// out, or a space: who chose it must not be able to write a header (RFC 9110,
// section 5.5).
func appendField(out []byte, name string, values []string) []byte {
	if name == "" || !tokenChars.spells(name) {
		return out
	}
	for _, v := range values {
		v = strings.Trim(v, " \t\r\n")
		out = append(append(append(out, name...), ": "...), v...)
		if !valueChars.spells(v) {
			value := out[len(out)-len(v):]
			for i, b := range value {
				if !valueChars[b] {
					value[i] = ' '
				}
			}
		}
		out = append(out, "\r\n"...)
	}
	return out
}

// parseLength is -1 for what is no length.
func parseLength(values []string) int64 {
	if len(values) != 1 || len(values[0]) > maxLengthDigits || strings.Trim(values[0], "0123456789") != "" {
		return -1
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// mayTrail is RFC 9110, section 6.5.1: what says how a message is read comes
// before it.
func mayTrail(name string) bool {
	switch name {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Host", "Connection", "Content-Encoding", "Content-Type", "Content-Range":
		return false
	}
	return name != "" && tokenChars.spells(name)
}

// putSize writes the size of a chunk to the end of room, and gives where it begins.
func putSize(room []byte, size int) (from int) {
	from = len(room) - 2
	copy(room[from:], "\r\n")
	for {
		from--
		room[from] = "0123456789abcdef"[size&15]
		if size >>= 4; size == 0 {
			return from
		}
	}
}
