package dsl

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is how often something may happen, written as a whole number for each
// second, minute or hour: 100/s, 90/m, 5000/h.
type Rate struct {
	Count int64         // from 1
	Per   time.Duration // a second, a minute or an hour
}

// MaxRate is how much a Rate may be in a second. It is what keeps an Interval
// from being off by more than a thousandth.
const MaxRate = 1_000_000

var rateUnits = []unit{{"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)}}

// ParseRate reads a Rate as it is written in a flow.
func ParseRate(text string) (Rate, error) {
	write := "write a rate such as 100/s, 90/m or 5000/h"
	if joined := strings.ReplaceAll(text, " ", ""); joined != text {
		if _, err := ParseRate(joined); err == nil {
			write = "write " + joined
		}
		return Rate{}, &remedy{fmt.Sprintf("%q is not a rate", text), write}
	}
	number, rest := cutNumber(text)
	per, slash := strings.CutPrefix(rest, "/")
	switch {
	case number == "":
		return Rate{}, &remedy{fmt.Sprintf("%q is not a rate", text), write}
	case !slash || per == "":
		return Rate{}, &remedy{fmt.Sprintf("%q does not say in which time", text), fmt.Sprintf("write %s/s, %s/m or %s/h", number, number, number)}
	}
	u, ok := unitNamed(rateUnits, per)
	if !ok {
		return Rate{}, &remedy{fmt.Sprintf("%q is not a time that rates are for", per), rateHint(number, per)}
	}
	count, err := strconv.ParseInt(number, 10, 64)
	if err != nil && strings.Contains(number, ".") {
		return Rate{}, &remedy{fmt.Sprintf("%s is not a whole number", number), wholeRate(number, u)}
	}
	r := Rate{count, time.Duration(u.size)}
	switch {
	case err == nil && count == 0:
		return Rate{}, &remedy{text + " lets nothing through", "write 1/h or more"}
	case err != nil || count > MaxRate*int64(r.Per/time.Second):
		return Rate{}, &remedy{text + " is too much", fmt.Sprintf("write %d/s or less", MaxRate)}
	}
	return r, nil
}

func rateHint(number, per string) string {
	long := strings.TrimSuffix(strings.ToLower(per), "s")
	if short, ok := longUnits[long]; ok {
		long = short
	}
	if long == "" {
		long = "s"
	}
	if _, ok := unitNamed(rateUnits, long); ok {
		return fmt.Sprintf("write %s/%s", number, long)
	}
	return "rates are for a second, a minute or an hour: " + fmt.Sprintf("%s/s, %s/m, %s/h", number, number, number)
}

// wholeRate says the same rate with a whole number, if there is one.
func wholeRate(number string, u unit) string {
	f, err := strconv.ParseFloat(number, 64)
	for i := len(rateUnits) - 1; i >= 0 && err == nil; i-- {
		other := rateUnits[i]
		if n := f * float64(other.size) / float64(u.size); n >= 1 && n == math.Trunc(n) && n <= MaxRate {
			return fmt.Sprintf("write %d/%s", int64(n), other.name)
		}
	}
	return "write a whole number, for a longer time"
}

// String writes the rate the way a flow does: 100/s.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if u.size == int64(r.Per) {
			return strconv.FormatInt(r.Count, 10) + "/" + u.name
		}
	}
	return ""
}

// Interval is the time from one to the next, rounded up to a nanosecond: the
// rate is never exceeded.
func (r Rate) Interval() time.Duration {
	return (r.Per + time.Duration(r.Count) - 1) / time.Duration(r.Count)
}

// UnmarshalText reads ParseRate's notation.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}
