package dsl

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, never negative. It is written with a unit, and
// may have several parts: 150ms, 2s, 1m30s, 7d.
type Duration time.Duration

// Size is a number of bytes, never negative. It is written with a unit: B; KB,
// MB, GB, TB (powers of 1000); KiB, MiB, GiB, TiB (powers of 1024).
type Size int64

// Percent is a share from 0 to 1, written from 0% to 100%.
type Percent float64

type unit struct {
	name string
	size int64
}

var (
	durationUnits = []unit{
		{"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)},
		{"s", int64(time.Second)}, {"ms", int64(time.Millisecond)}, {"us", int64(time.Microsecond)},
		{"ns", 1},
	}
	sizeUnits = []unit{
		{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
	}
)

// remedy is an error about a written value that knows what to write instead.
type remedy struct{ message, hint string }

func (e *remedy) Error() string {
	if e.hint == "" {
		return e.message
	}
	return e.message + "; " + e.hint
}

// ParseDuration reads a Duration as it is written in a flow.
func ParseDuration(text string) (Duration, error) {
	n, err := parseUnits(text, "duration", durationUnits, []string{"s", "ms"})
	return Duration(n), err
}

// ParseSize reads a Size as it is written in a flow.
func ParseSize(text string) (Size, error) {
	n, err := parseUnits(text, "size", sizeUnits, []string{"KB", "MB"})
	return Size(n), err
}

// ParsePercent reads a Percent as it is written in a flow.
func ParsePercent(text string) (Percent, error) {
	digits, ok := strings.CutSuffix(text, "%")
	whole, rest := cutNumber(digits)
	if whole == "" || rest != "" {
		return 0, &remedy{fmt.Sprintf("%q is not a percentage", text), percentHint(text)}
	}
	if !ok {
		return 0, &remedy{fmt.Sprintf("%q has no percent sign", text), percentHint(text)}
	}
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil || value > 100 {
		return 0, &remedy{fmt.Sprintf("%s is more than 100%%", text), "write 100% or less"}
	}
	return Percent(value / 100), nil
}

func percentHint(text string) string {
	value, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(value) || value < 0 || value > 100:
		return "write a percentage such as 20%"
	case value > 0 && value < 1:
		return fmt.Sprintf("write %s%%", strconv.FormatFloat(value*100, 'g', 6, 64))
	default:
		return fmt.Sprintf("write %s%%", text)
	}
}

// parseUnits adds up parts such as 1m and 30s. Units descend, so that 30s1m,
// which is a slip more often than a sum, is refused.
func parseUnits(text, what string, units []unit, usual []string) (int64, error) {
	write := fmt.Sprintf("write a %s such as 2%s or 150%s", what, usual[0], usual[1])
	if joined := strings.ReplaceAll(text, " ", ""); joined != text {
		if _, err := parseUnits(joined, what, units, usual); err == nil {
			write = "write " + joined
		}
	}
	if text == "" {
		return 0, &remedy{fmt.Sprintf("a %s is missing", what), write}
	}
	if number, rest := cutNumber(text); number == text && rest == "" {
		return 0, &remedy{
			fmt.Sprintf("%q has no unit", text),
			fmt.Sprintf("write %s%s or %s%s", text, usual[0], text, usual[1]),
		}
	}
	total, last := int64(0), int64(math.MaxInt64)
	for rest := text; rest != ""; {
		number, tail := cutNumber(rest)
		name := tail[:len(tail)-len(strings.TrimLeft(tail, unitLetters))]
		if number == "" || name == "" {
			return 0, &remedy{fmt.Sprintf("%q is not a %s", text, what), write}
		}
		u, ok := unitNamed(units, name)
		if !ok {
			return 0, &remedy{fmt.Sprintf("%q is not a unit of %s", name, what), unitHint(units, number, name)}
		}
		if u.size >= last {
			return 0, &remedy{fmt.Sprintf("the units of %q do not go from large to small", text), write}
		}
		n, err := scale(number, u)
		if err != nil {
			return 0, err
		}
		if total > math.MaxInt64-n {
			return 0, tooLarge(text)
		}
		total, last, rest = total+n, u.size, tail[len(name):]
	}
	return total, nil
}

const unitLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµμ"

func tooLarge(text string) error { return &remedy{fmt.Sprintf("%s is too large", text), ""} }

// scale is exact for whole numbers; a fraction must come to whole nanoseconds or
// bytes.
func scale(number string, u unit) (int64, error) {
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/u.size {
			return 0, tooLarge(number + u.name)
		}
		return n * u.size, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, tooLarge(number + u.name)
	}
	f = f * float64(u.size)
	switch {
	case f >= math.MaxInt64:
		return 0, tooLarge(number + u.name)
	case math.Abs(f-math.Round(f)) > 1e-6*max(1, f/float64(u.size)):
		return 0, &remedy{fmt.Sprintf("%s%s is not a whole number of %s", number, u.name, smallest(u)), "use a smaller unit"}
	}
	return int64(math.Round(f)), nil
}

func smallest(u unit) string {
	if strings.HasSuffix(u.name, "B") {
		return "bytes"
	}
	return "nanoseconds"
}

func unitNamed(units []unit, name string) (unit, bool) {
	if name == "µs" || name == "μs" {
		name = "us"
	}
	for _, u := range units {
		if u.name == name {
			return u, true
		}
	}
	return unit{}, false
}

// longUnits are other ways to write units, without the s of a plural.
var longUnits = map[string]string{
	"sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "msec": "ms", "milli": "ms", "millisecond": "ms",
	"byte": "B", "kilobyte": "KB", "megabyte": "MB", "gigabyte": "GB",
}

func unitHint(units []unit, number, name string) string {
	for _, u := range units {
		if strings.EqualFold(u.name, name) || strings.EqualFold(strings.TrimSuffix(u.name, "B"), name) && u.name != "B" {
			return fmt.Sprintf("write %s%s", number, u.name)
		}
	}
	if long, ok := longUnits[strings.TrimSuffix(strings.ToLower(name), "s")]; ok {
		if _, fits := unitNamed(units, long); fits {
			return fmt.Sprintf("write %s%s", number, long)
		}
	}
	names := make([]string, len(units))
	for i, u := range units {
		names[len(units)-1-i] = u.name
	}
	return "units are " + strings.Join(names, ", ")
}

// cutNumber splits off leading digits with at most one decimal point inside.
func cutNumber(text string) (number, rest string) {
	i := digits(text, 0)
	if i > 0 && i < len(text) && text[i] == '.' {
		if j := digits(text, i+1); j > i+1 {
			i = j
		}
	}
	return text[:i], text[i:]
}

func digits(text string, i int) int {
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i
}

// String writes the duration the way a flow does, in the largest units that keep
// it whole: 1m30s.
func (d Duration) String() string { return formatUnits(int64(d), durationUnits, "s") }

// String writes the size the way a flow does, in the largest unit that keeps it
// whole: 64KB, 1GiB.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.name
		}
	}
	return "0B"
}

// String writes the share the way a flow does: 20%.
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)*100, 'g', 6, 64) + "%"
}

func formatUnits(n int64, units []unit, zero string) string {
	if n == 0 {
		return "0" + zero
	}
	var b strings.Builder
	for _, u := range units {
		if k := n / u.size; k != 0 {
			b.WriteString(strconv.FormatInt(k, 10) + u.name)
			n -= k * u.size
		}
	}
	return b.String()
}

// UnmarshalText reads ParseDuration's notation.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// UnmarshalText reads ParseSize's notation.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// UnmarshalText reads ParsePercent's notation.
func (p *Percent) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePercent(string(text))
	return err
}
