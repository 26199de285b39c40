package dsl

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// timeFunctions work on times: those that parseTime, now and date give, and
// texts of messages.
var timeFunctions = []definition{
	{
		"parseTime(text text, [layout layout], [zone zone]) time",
		"The time that a text says, read by a layout (rfc3339 if none is given). A text that does not say its zone is in the one given, or in UTC.",
		func(c call) (any, error) {
			return argumentOr(c, 1, rfc3339).parse(argument[string](c, 0), argumentOr(c, 2, time.UTC))
		},
		[]FunctionExample{
			{`parseTime("2026-01-31T08:00:00.5+01:00")`, `"2026-01-31T08:00:00.5+01:00"`},
			{`parseTime("Sat, 31 Jan 2026 07:00:00 GMT", "http")`, `"2026-01-31T07:00:00Z"`},
			{`parseTime("31.01.2026 08:00", "02.01.2006 15:04", "Europe/Berlin")`, `"2026-01-31T08:00:00+01:00"`},
		},
	},
	{
		"formatTime(time time, [layout layout], [zone zone]) text",
		"A time as text, by a layout (rfc3339 if none is given) and in a zone (its own if none is given).",
		func(c call) (any, error) {
			t := argument[time.Time](c, 0)
			return argumentOr(c, 1, rfc3339).format(t.In(argumentOr(c, 2, t.Location()))), nil
		},
		[]FunctionExample{
			{`formatTime("2026-01-31T23:30:00Z", "date")`, `"2026-01-31"`},
			{`formatTime("2026-01-31T23:30:00Z", "date", "Asia/Tokyo")`, `"2026-02-01"`},
			{`formatTime("2026-01-31T23:30:00Z", "http")`, `"Sat, 31 Jan 2026 23:30:00 GMT"`},
			{`formatTime("2026-01-31T23:30:00Z", "2.1.2006, 15:04")`, `"31.1.2026, 23:30"`},
		},
	},
	{
		"addTime(time time, amount amount) time",
		"A time that is later, or with - earlier. Years, months, weeks and days follow the calendar of the time's zone, and a day that a month lacks becomes its last.",
		func(c call) (any, error) { return argument[*amount](c, 1).addTo(argument[time.Time](c, 0)) },
		[]FunctionExample{
			{`addTime("2026-01-31T08:00:00Z", "90m")`, `"2026-01-31T09:30:00Z"`},
			{`addTime("2026-01-31T08:00:00Z", "1mo")`, `"2026-02-28T08:00:00Z"`},
			{`addTime("2026-01-31T08:00:00Z", "-1y2w")`, `"2025-01-17T08:00:00Z"`},
			{`addTime("2026-01-31T08:00:00Z", "P1DT12H")`, `"2026-02-01T20:00:00Z"`},
			{`addTime(inZone("2026-03-28T08:00:00+01:00", "Europe/Berlin"), "1d")`, `"2026-03-29T08:00:00+02:00"`},
		},
	},
	{
		"inZone(time time, zone zone) time",
		"The same moment as the clocks of a zone show it.",
		func(c call) (any, error) { return argument[time.Time](c, 0).In(argument[*time.Location](c, 1)), nil },
		[]FunctionExample{
			{`inZone("2026-07-01T12:00:00Z", "Europe/Berlin")`, `"2026-07-01T14:00:00+02:00"`},
			{`inZone("2026-07-01T12:00:00Z", "-05:00")`, `"2026-07-01T07:00:00-05:00"`},
		},
	},
	{
		"truncateTime(time time, unit unit) time",
		"The beginning of the unit that a time is in, by the clocks of its zone. Weeks begin on Monday.",
		func(c call) (any, error) { return (*argument[*truncation](c, 1))(argument[time.Time](c, 0)), nil },
		[]FunctionExample{
			{`truncateTime("2026-05-17T13:45:10Z", "hour")`, `"2026-05-17T13:00:00Z"`},
			{`truncateTime("2026-05-17T13:45:10Z", "week")`, `"2026-05-11T00:00:00Z"`},
			{`truncateTime("2026-05-17T13:45:10+02:00", "month")`, `"2026-05-01T00:00:00+02:00"`},
		},
	},
	{
		"unix(time time, [resolution resolution]) int",
		"How many seconds, or smaller units, have passed since 1970 began in UTC.",
		func(c call) (any, error) {
			t, digits := argument[time.Time](c, 0), *argumentOr(c, 1, &seconds)
			switch digits {
			case 9:
				if t.Year() < 1679 || t.Year() > 2261 {
					return nil, errTimeRange
				}
				return int(t.UnixNano()), nil
			case 6:
				return int(t.UnixMicro()), nil
			case 3:
				return int(t.UnixMilli()), nil
			}
			return int(t.Unix()), nil
		},
		[]FunctionExample{
			{`unix("2026-01-31T08:00:00Z")`, `1769846400`},
			{`unix("2026-01-31T08:00:00.25Z", "ms")`, `1769846400250`},
		},
	},
	{
		"fromUnix(number decimal, [resolution resolution]) time",
		"The time, in UTC, that is so many seconds, or smaller units, after 1970 began.",
		func(c call) (any, error) { return fromUnix(argument[*decimal](c, 0), *argumentOr(c, 1, &seconds)) },
		[]FunctionExample{
			{`fromUnix(1769846400)`, `"2026-01-31T08:00:00Z"`},
			{`fromUnix(1769846400250, "ms")`, `"2026-01-31T08:00:00.25Z"`},
			{`fromUnix("1769846400.5")`, `"2026-01-31T08:00:00.5Z"`},
		},
	},
}

var errTimeRange = errors.New("the time is out of range")

// inRange keeps times to the years that texts of times can say.
func inRange(t time.Time) (any, error) {
	if t.Year() < 0 || t.Year() > 9999 {
		return nil, errTimeRange
	}
	return t, nil
}

func fromUnix(d *decimal, digits int) (any, error) {
	nano, err := d.round(9-digits, roundFloor)
	if err != nil {
		return nil, err
	}
	seconds, rest := new(big.Int).DivMod(nano.digits, big.NewInt(1e9), new(big.Int))
	if !seconds.IsInt64() || seconds.CmpAbs(big.NewInt(1<<40)) > 0 {
		return nil, errTimeRange
	}
	return inRange(time.Unix(seconds.Int64(), rest.Int64()).UTC())
}

// timeKind takes a time, or a text that says one.
var timeKind = prepared[time.Time]("a time", "a time such as now() gives, or text such as `2026-01-31T08:00:00Z` (RFC 3339), or `2026-01-31` for the beginning of that day in UTC",
	func(text string) (any, error) {
		t, err := rfc3339.parse(text, time.UTC)
		if err == nil {
			return t, nil
		}
		if t, err = dateOnly.parse(text, time.UTC); err == nil {
			return t, nil
		}
		return nil, &remedy{excerpt(text) + " is not a time", "write 2026-01-31T08:00:00Z or 2026-01-31, or read other forms with parseTime(text, layout)"}
	})

// layout is a way to write times.
type layout struct {
	name string
	read []string // the layouts, in Go's notation, that are read; the first is written
	utc  bool     // what is written is in UTC
}

var (
	rfc3339  = &layout{name: "rfc3339", read: []string{time.RFC3339Nano}}
	dateOnly = &layout{name: "date", read: []string{time.DateOnly}}
	layouts  = []*layout{
		rfc3339,
		dateOnly,
		{name: "time", read: []string{time.TimeOnly}},
		{name: "datetime", read: []string{"2006-01-02T15:04:05"}},
		{name: "basic", read: []string{"20060102T150405Z0700"}},
		{name: "http", utc: true, read: []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}},
		{name: "mail", read: []string{time.RFC1123Z, "2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 -0700"}},
	}
)

func (l *layout) parse(text string, zone *time.Location) (time.Time, error) {
	if l.utc {
		zone = time.UTC
	}
	for _, read := range l.read {
		if t, err := time.ParseInLocation(read, text, zone); err == nil {
			if t.Location() == time.Local { // an offset that happens to be the one of this machine
				_, offset := t.Zone()
				t = t.In(fixedZone(offset))
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time in the layout %s", excerpt(text), l.name)
}

func (l *layout) format(t time.Time) string {
	if l.utc {
		t = t.UTC()
	}
	return t.Format(l.read[0])
}

var layoutKind = prepared[*layout]("a layout",
	"`rfc3339` (`2026-01-31T08:00:00.5+01:00`), `date` (`2026-01-31`), `time` (`08:00:00`), `datetime` (`2026-01-31T08:00:00`), `basic` (`20260131T080000Z`), "+
		"`http` (RFC 9110), `mail` (RFC 5322), or 3:04:05 pm of Monday, January 2 2006 at -07:00 written in the layout, such as `02.01.2006 15:04`",
	func(text string) (any, error) {
		names := make([]string, len(layouts))
		for i, l := range layouts {
			if names[i] = l.name; l.name == text {
				return l, nil
			}
		}
		d := &remedy{excerpt(text) + " is not a layout of times", "write the time 3:04:05 pm of January 2 2006 as the layout would, such as 2006-01-02 15:04:05"}
		if near, ok := Nearest(text, names); ok {
			d.hint = fmt.Sprintf("did you mean %q?", near)
			return nil, d
		}
		for _, foreign := range []string{"YY", "yy", "DD", "dd", "HH", "hh", "mm", "MM", "ss", "SS", "%"} {
			if strings.Contains(text, foreign) {
				return nil, d
			}
		}
		if strings.Contains(text, "MST") {
			return nil, &remedy{"abbreviations of zones can mean several zones", "write -07:00 where the offset stands"}
		}
		one, other := time.Date(2001, 2, 3, 4, 5, 6, 7e8, time.UTC), time.Date(2012, 11, 22, 13, 14, 15, 9e8, time.UTC)
		if one.Format(text) == other.Format(text) {
			return nil, d
		}
		return &layout{name: text, read: []string{text}}, nil
	})

var zoneKind = prepared[*time.Location]("a time zone", "a name such as `Europe/Berlin`, `UTC`, or an offset such as `+02:00`",
	func(text string) (any, error) {
		if t, err := time.Parse("-07:00", text); err == nil {
			_, offset := t.Zone()
			return fixedZone(offset), nil
		}
		if text != "" && text != "Local" {
			if zone, err := time.LoadLocation(text); err == nil {
				return zone, nil
			}
		}
		return nil, &remedy{excerpt(text) + " is not a time zone", "write a name such as Europe/Berlin, UTC, or an offset such as +02:00"}
	})

func fixedZone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}

// truncation gives the beginning of a unit.
type truncation func(t time.Time) time.Time

var unitKind = oneOf("a unit of time",
	word[truncation]{"year", func(t time.Time) time.Time { return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, t.Location()) }},
	word[truncation]{"month", func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location()) }},
	word[truncation]{"week", func(t time.Time) time.Time { return midnight(t, -(int(t.Weekday())+6)%7) }},
	word[truncation]{"day", func(t time.Time) time.Time { return midnight(t, 0) }},
	// A clock that is set back shows an hour twice, so these do not ask it.
	word[truncation]{"hour", func(t time.Time) time.Time {
		return t.Add(-time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	}},
	word[truncation]{"minute", func(t time.Time) time.Time {
		return t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	}},
	word[truncation]{"second", func(t time.Time) time.Time { return t.Add(-time.Duration(t.Nanosecond())) }},
)

func midnight(t time.Time, days int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, t.Location())
}

// A resolution is how many digits of a second it counts.
var (
	seconds        = 0
	resolutionKind = oneOf("a resolution of times", word[int]{"s", 0}, word[int]{"ms", 3}, word[int]{"us", 6}, word[int]{"ns", 9})
)

// amount is how much later a time shall be.
type amount struct {
	months, days int
	clock        time.Duration
}

const mostUnits = 1_000_000 // of a calendar unit

func (a *amount) addTo(t time.Time) (any, error) {
	if a.months != 0 {
		day := t.Day()
		first := time.Date(t.Year(), t.Month()+time.Month(a.months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
		last := time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		t = first.AddDate(0, 0, min(day, last)-1)
	}
	if a.days != 0 {
		t = t.AddDate(0, 0, a.days)
	}
	return inRange(t.Add(a.clock))
}

var amountKind = func() *paramKind {
	k := prepared[*amount]("an amount of time", "a duration such as `1h30m`, also with `y`, `mo`, `w` and `d` in front, and a - before all of it: `1y6mo`, `-2w`, `1d12h`; or as ISO 8601 has it: `P1Y6M`, `P1DT12H`",
		func(text string) (any, error) { return parseAmount(text) })
	fits, of := k.fits, k.of
	return &paramKind{
		words: k.words, doc: k.doc, prepare: k.prepare,
		fits: func(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() || fits(t) },
		of: func(v any) (any, error) {
			if d, ok := v.(time.Duration); ok {
				return &amount{clock: d}, nil
			}
			return of(v)
		},
	}
}()

// parseAmount reads 1y2mo, -3w and 1d12h, and P1Y2M3DT4H of ISO 8601.
func parseAmount(text string) (*amount, error) {
	bad := &remedy{excerpt(text) + " is not an amount of time", "write 90m, 2d, 3w, 1mo or 1y6mo, with a - in front for earlier"}
	rest, negative := strings.CutPrefix(text, "-")
	a := &amount{}
	var ok bool
	if iso, is := strings.CutPrefix(rest, "P"); is {
		ok = a.iso(iso)
	} else {
		ok = a.units(rest)
	}
	if !ok {
		return nil, bad
	}
	if negative {
		a.months, a.days, a.clock = -a.months, -a.days, -a.clock
	}
	return a, nil
}

// units reads the notation of durations with calendar units in front.
func (a *amount) units(text string) bool {
	rest := text
	for _, u := range []struct {
		name         string
		months, days int
	}{{"y", 12, 0}, {"mo", 1, 0}, {"w", 0, 7}, {"d", 0, 1}} {
		end := digits(rest, 0)
		tail, ok := strings.CutPrefix(rest[end:], u.name)
		if end == 0 || !ok || tail != "" && digits(tail, 0) == 0 { // mo is not m
			continue
		}
		if !a.calendar(rest[:end], u.months, u.days) {
			return false
		}
		rest = tail
	}
	if rest == "" {
		return text != ""
	}
	d, err := ParseDuration(rest)
	a.clock = time.Duration(d)
	return err == nil && !strings.Contains(rest, "d")
}

// iso reads what stands behind the P of ISO 8601.
func (a *amount) iso(text string) bool {
	date, clock, hasClock := strings.Cut(text, "T")
	if date == "" && !hasClock || hasClock && clock == "" {
		return false
	}
	for _, u := range []struct {
		name         string
		months, days int
	}{{"Y", 12, 0}, {"M", 1, 0}, {"W", 0, 7}, {"D", 0, 1}} {
		end := digits(date, 0)
		if tail, ok := strings.CutPrefix(date[end:], u.name); ok {
			if !a.calendar(date[:end], u.months, u.days) {
				return false
			}
			date = tail
		}
	}
	if !hasClock {
		return date == ""
	}
	d, err := ParseDuration(strings.ToLower(clock))
	a.clock = time.Duration(d)
	return date == "" && err == nil && strings.Trim(clock, "0123456789.HMS") == ""
}

func (a *amount) calendar(number string, months, days int) bool {
	n, err := strconv.Atoi(number)
	if err != nil || n > mostUnits {
		return false
	}
	a.months += n * months
	a.days += n * days
	return true
}
