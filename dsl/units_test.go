package dsl

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := map[string]struct {
		want time.Duration
		err  string
	}{
		"150ms":                           {150 * time.Millisecond, ""},
		"1m30s":                           {90 * time.Second, ""},
		"7d":                              {7 * 24 * time.Hour, ""},
		"1.5s":                            {1500 * time.Millisecond, ""},
		"0.1us":                           {100, ""},
		"20µs":                            {20 * time.Microsecond, ""},
		"0s":                              {0, ""},
		"2":                               {0, `"2" has no unit; write 2s or 2ms`},
		"2.5":                             {0, `"2.5" has no unit; write 2.5s or 2.5ms`},
		"":                                {0, "a duration is missing; write a duration such as 2s or 150ms"},
		"fast":                            {0, `"fast" is not a duration; write a duration such as 2s or 150ms`},
		"-2s":                             {0, `"-2s" is not a duration; write a duration such as 2s or 150ms`},
		"2 s":                             {0, `"2 s" is not a duration; write 2s`},
		"2S":                              {0, `"S" is not a unit of duration; write 2s`},
		"2min":                            {0, `"min" is not a unit of duration; write 2m`},
		"30s1m":                           {0, `the units of "30s1m" do not go from large to small; write a duration such as 2s or 150ms`},
		"1s1s":                            {0, `the units of "1s1s" do not go from large to small; write a duration such as 2s or 150ms`},
		"0.5ns":                           {0, "0.5ns is not a whole number of nanoseconds; use a smaller unit"},
		"1000000d":                        {0, "1000000d is too large"},
		"99999999999999999999s":           {0, "99999999999999999999s is too large"},
		"106751d23h47m16s854ms775us808ns": {0, "106751d23h47m16s854ms775us808ns is too large"},
		"106751d23h47m16s854ms775us807ns": {1<<63 - 1, ""},
	}
	for text, tt := range tests {
		got, err := ParseDuration(text)
		if message := errorText(err); time.Duration(got) != tt.want && err == nil || message != tt.err {
			t.Errorf("%q is %v, %q; want %v, %q", text, time.Duration(got), message, tt.want, tt.err)
		}
	}
}

func TestParseSize(t *testing.T) {
	tests := map[string]struct {
		want Size
		err  string
	}{
		"64KB":       {64_000, ""},
		"1GiB":       {1 << 30, ""},
		"10B":        {10, ""},
		"1.5KiB":     {1536, ""},
		"0B":         {0, ""},
		"10":         {0, `"10" has no unit; write 10KB or 10MB`},
		"10kb":       {0, `"kb" is not a unit of size; write 10KB`},
		"10M":        {0, `"M" is not a unit of size; write 10MB`},
		"10Mi":       {0, `"Mi" is not a unit of size; write 10MiB`},
		"10PB":       {0, `"PB" is not a unit of size; units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB`},
		"0.5B":       {0, "0.5B is not a whole number of bytes; use a smaller unit"},
		"9999999TiB": {0, "9999999TiB is too large"},
	}
	for text, tt := range tests {
		got, err := ParseSize(text)
		if message := errorText(err); got != tt.want || message != tt.err {
			t.Errorf("%q is %d, %q; want %d, %q", text, got, message, tt.want, tt.err)
		}
	}
}

func TestParsePercent(t *testing.T) {
	tests := map[string]struct {
		want Percent
		err  string
	}{
		"20%":   {0.2, ""},
		"0%":    {0, ""},
		"100%":  {1, ""},
		"12.5%": {0.125, ""},
		"20":    {0, `"20" has no percent sign; write 20%`},
		"0.2":   {0, `"0.2" has no percent sign; write 20%`},
		"150%":  {0, "150% is more than 100%; write 100% or less"},
		"-1%":   {0, `"-1%" is not a percentage; write a percentage such as 20%`},
		"most":  {0, `"most" is not a percentage; write a percentage such as 20%`},
		"500":   {0, `"500" has no percent sign; write a percentage such as 20%`},
	}
	for text, tt := range tests {
		got, err := ParsePercent(text)
		if message := errorText(err); got != tt.want || message != tt.err {
			t.Errorf("%q is %v, %q; want %v, %q", text, float64(got), message, tt.want, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestUnitsAreWrittenAsTheyAreRead(t *testing.T) {
	for text, value := range map[string]interface{ String() string }{
		"1m30s": Duration(90 * time.Second), "0s": Duration(0), "1d1ms": Duration(24*time.Hour + time.Millisecond),
		"64KB": Size(64_000), "1GiB": Size(1 << 30), "1001B": Size(1001), "0B": Size(0), "20%": Percent(0.2), "12.5%": Percent(0.125),
	} {
		if value.String() != text {
			t.Errorf("got %s, want %s", value, text)
		}
	}
}
