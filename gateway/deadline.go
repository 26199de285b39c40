package gateway

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// waits reads how long the caller still waits for its answer, in the form in which
// package mesh tells it: milliseconds, or what gRPC's Grpc-Timeout has, digits with
// a unit. Both are at most eight digits and more than 0, in one field. It is false
// for all else, which says nothing: a caller can only have less time than its route
// gives, so that there is nothing to be had by saying it in another way. name is
// canonical.
func waits(h http.Header, name string) (left time.Duration, ok bool) {
	values := h[name]
	if len(values) != 1 {
		return 0, false
	}
	digits, unit := values[0], time.Millisecond
	if name == grpcTimeout {
		last := len(digits) - 1
		if last < 0 {
			return 0, false
		}
		if unit, ok = grpcUnits[digits[last]]; !ok {
			return 0, false
		}
		digits = digits[:last]
	}
	const mostDigits = 8
	if len(digits) > mostDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32) // takes no sign and no space
	return time.Duration(min(n, uint64(math.MaxInt64/unit))) * unit, err == nil && n > 0
}

const grpcTimeout = "Grpc-Timeout"

// grpcUnits are those of gRPC over HTTP/2, "Requests".
var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}
