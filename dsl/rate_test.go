package dsl

import (
	"strings"
	"testing"
	"time"
)

func TestRatesAreWholeNumbersInATime(t *testing.T) {
	for text, want := range map[string]Rate{
		"100/s":     {100, time.Second},
		"1/h":       {1, time.Hour},
		"90/m":      {90, time.Minute},
		"1000000/s": {1_000_000, time.Second},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestARateThatIsNoneSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `"" is not a rate; write a rate such as 100/s, 90/m or 5000/h`,
		"fast":                   `"fast" is not a rate; write a rate such as 100/s, 90/m or 5000/h`,
		"-1/s":                   `"-1/s" is not a rate; write a rate such as 100/s, 90/m or 5000/h`,
		"100":                    `"100" does not say in which time; write 100/s, 100/m or 100/h`,
		"100/":                   `"100/" does not say in which time; write 100/s, 100/m or 100/h`,
		"100rps":                 `"100rps" does not say in which time; write 100/s, 100/m or 100/h`,
		"100 / s":                `"100 / s" is not a rate; write 100/s`,
		"100/seconds":            `"seconds" is not a time that rates are for; write 100/s`,
		"100/MIN":                `"MIN" is not a time that rates are for; write 100/m`,
		"100/d":                  `"d" is not a time that rates are for; rates are for a second, a minute or an hour: 100/s, 100/m, 100/h`,
		"100/10s":                `"10s" is not a time that rates are for; rates are for a second, a minute or an hour: 100/s, 100/m, 100/h`,
		"1.5/s":                  `1.5 is not a whole number; write 90/m`,
		"0.3333333/h":            `0.3333333 is not a whole number; write a whole number, for a longer time`,
		"0/s":                    `0/s lets nothing through; write 1/h or more`,
		"1000001/s":              `1000001/s is too much; write 1000000/s or less`,
		"99999999999999999999/h": `99999999999999999999/h is too much; write 1000000/s or less`,
	} {
		if _, err := ParseRate(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func TestTheIntervalOfARateNeverExceedsIt(t *testing.T) {
	for text, want := range map[string]time.Duration{"100/s": 10 * time.Millisecond, "3/s": 333_333_334, "7/h": 514_285_714_286, "1000000/s": time.Microsecond, "999999/s": 1001} {
		r, err := ParseRate(text)
		if got := r.Interval(); err != nil || got != want || got*time.Duration(r.Count) < r.Per {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"100/s", "1.5/h", "0/m", " 7 / s", "1e3/s", "100/µs", "9223372036854775807/h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("no words")
			}
			return
		}
		again, err := ParseRate(r.String())
		if err != nil || again != r || strings.TrimLeft(text, "0") != r.String() {
			t.Errorf("%q is %v, which reads as %v, %v", text, r, again, err)
		}
		if i := r.Interval(); i < time.Microsecond || i > time.Hour {
			t.Errorf("%q: an interval of %v", text, i)
		}
	})
}

// FuzzUnits holds that what is read of a duration, a size or a percentage is never
// negative, and that a message says what to write.
func FuzzUnits(f *testing.F) {
	for _, text := range []string{"1m30s", "30s1m", "9223372036854775807h", "1.5MB", "1 KiB", "20%", "100.0001%", "1e3s", "-1s", "5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		duration, err := ParseDuration(text)
		if duration < 0 || err != nil && err.Error() == "" {
			t.Errorf("%q: %v, %v", text, duration, err)
		}
		size, err := ParseSize(text)
		if size < 0 || err != nil && err.Error() == "" {
			t.Errorf("%q: %v, %v", text, size, err)
		}
		percent, err := ParsePercent(text)
		if !(percent >= 0 && percent <= 1) || err != nil && err.Error() == "" {
			t.Errorf("%q: %v, %v", text, percent, err)
		}
	})
}
