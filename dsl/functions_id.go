package dsl

import (
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"time"
)

// idFunctions make identifiers that nobody can guess. They give another one
// each time.
var idFunctions = []definition{
	{
		"uuid() text",
		"A random UUID (RFC 9562, version 4).",
		func(call) (any, error) {
			var id [16]byte
			_, _ = rand.Read(id[:]) // never fails
			return formatUUID(id, 4), nil
		},
		[]FunctionExample{{`uuid() matches "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"`, `true`}},
	},
	{
		"uuid7() text",
		"A UUID that begins with the time (RFC 9562, version 7), so that later ones sort behind earlier ones, to the microsecond.",
		func(call) (any, error) { return uuid7(time.Now()), nil },
		[]FunctionExample{{`uuid7() matches "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"`, `true`}},
	},
	{
		"ulid() text",
		"A ULID: 26 letters and digits that begin with the time, to the millisecond.",
		func(call) (any, error) { return ulid(time.Now()), nil },
		[]FunctionExample{{`ulid() matches "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"`, `true`}},
	},
}

func formatUUID(id [16]byte, version byte) string {
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], id[0:4])
	hex.Encode(out[9:13], id[4:6])
	hex.Encode(out[14:18], id[6:8])
	hex.Encode(out[19:23], id[8:10])
	hex.Encode(out[24:], id[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

func uuid7(now time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[8:]) // never fails
	putMilliseconds(id[:6], now)
	// The 12 bits behind the version are the fraction of the millisecond (section
	// 6.2, method 3).
	fraction := now.Nanosecond() % 1e6 * 4096 / 1e6
	id[6], id[7] = byte(fraction>>8), byte(fraction)
	return formatUUID(id, 7)
}

// putMilliseconds writes the 48 bits of time that both kinds begin with.
func putMilliseconds(dst []byte, now time.Time) {
	for i, ms := 5, now.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		dst[i] = byte(ms)
	}
}

// crockford is the alphabet of https://github.com/ulid/spec.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func ulid(now time.Time) string {
	var id [16]byte
	putMilliseconds(id[:6], now)
	_, _ = rand.Read(id[6:]) // never fails
	n, five := new(big.Int).SetBytes(id[:]), new(big.Int)
	var out [26]byte
	for i := range out {
		out[25-i] = crockford[five.And(n, big.NewInt(31)).Uint64()]
		n.Rsh(n, 5)
	}
	return string(out[:])
}
