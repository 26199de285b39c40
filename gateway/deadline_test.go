package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestCallersTellHowLongTheyWait(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []string
		want   time.Duration // 0: it says nothing
	}{
		{"X-Left", []string{"250"}, 250 * time.Millisecond},
		{"X-Left", []string{"1"}, time.Millisecond},
		{"X-Left", []string{"00250"}, 250 * time.Millisecond},
		{"X-Left", []string{"99999999"}, 99_999_999 * time.Millisecond},
		{"Grpc-Timeout", []string{"250m"}, 250 * time.Millisecond},
		{"Grpc-Timeout", []string{"3S"}, 3 * time.Second},
		{"Grpc-Timeout", []string{"3M"}, 3 * time.Minute},
		{"Grpc-Timeout", []string{"2H"}, 2 * time.Hour},
		{"Grpc-Timeout", []string{"2u"}, 2 * time.Microsecond},
		{"Grpc-Timeout", []string{"2n"}, 2 * time.Nanosecond},
		{"Grpc-Timeout", []string{"99999999H"}, (1<<63 - 1) / time.Hour * time.Hour},

		{"X-Left", nil, 0},
		{"X-Left", []string{""}, 0},
		{"X-Left", []string{"0"}, 0},
		{"X-Left", []string{"-5"}, 0},
		{"X-Left", []string{"+5"}, 0},
		{"X-Left", []string{" 5"}, 0},
		{"X-Left", []string{"5 "}, 0},
		{"X-Left", []string{"5s"}, 0},
		{"X-Left", []string{"1e3"}, 0},
		{"X-Left", []string{"0x10"}, 0},
		{"X-Left", []string{"1_000"}, 0},
		{"X-Left", []string{"5.5"}, 0},
		{"X-Left", []string{"5, 6"}, 0},
		{"X-Left", []string{"5", "6"}, 0},
		{"X-Left", []string{"100000000"}, 0},
		{"X-Left", []string{"18446744073709551616"}, 0},
		{"X-Left", []string{strings.Repeat("9", 1<<20)}, 0},
		{"X-Left", []string{"٣"}, 0},
		{"Grpc-Timeout", []string{""}, 0},
		{"Grpc-Timeout", []string{"m"}, 0},
		{"Grpc-Timeout", []string{"250"}, 0},
		{"Grpc-Timeout", []string{"0m"}, 0},
		{"Grpc-Timeout", []string{"-5m"}, 0},
		{"Grpc-Timeout", []string{"5ms"}, 0},
		{"Grpc-Timeout", []string{"5s"}, 0},
		{"Grpc-Timeout", []string{"100000000n"}, 0},
	} {
		got, ok := waits(http.Header{c.name: c.values}, c.name)
		if ok != (c.want > 0) || ok && got != c.want {
			t.Errorf("%s: %.40q: %v, %v, want %v", c.name, c.values, got, ok, c.want)
		}
	}
}
