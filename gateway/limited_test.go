package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-run/weir/engine"
)

func TestWhatLimitsRefuseIsKeptForAMinuteOrTwo(t *testing.T) {
	var l Limited
	begun := time.Unix(1000, 0)
	add := func(after time.Duration, limit, consumer string) {
		q := &Request{}
		q.Limit(limit, "")
		q.Limit("another", "that comes later")
		q.input.Remote = "192.0.2.1"
		if consumer != "" {
			q.input.Consumer = &engine.Consumer{Name: consumer}
		}
		l.add("public", q, begun.Add(after))
	}
	add(0, "rate_limit", "ada")
	add(70*time.Second, "rate_limit", "ada")
	add(70*time.Second, "rate_limit", "")
	add(80*time.Second, "quota", "bob")
	all := l.All(begun.Add(90 * time.Second))
	if len(all) != 2 || all[0].Limit != "rate_limit" || all[0].Requests != 3 || fmt.Sprint(all[0].Callers) != "[{ada 2 0} {192.0.2.1 1 0}]" || all[0].Last.Unix() != 1070 {
		t.Errorf("%+v", all)
	}
	if all = l.All(begun.Add(130 * time.Second)); len(all) != 2 || all[0].Requests != 2 {
		t.Errorf("in the third minute: %+v", all)
	}
	if all = l.All(begun.Add(time.Hour)); len(all) != 0 {
		t.Errorf("after an hour: %+v", all)
	}
	(*Limited)(nil).add("public", &Request{}, begun)
}

func TestWhatIsKeptOfLimitsIsBounded(t *testing.T) {
	var l Limited
	now := time.Now()
	for i := range 3 * mostLimits {
		q := &Request{Route: &Route{Name: fmt.Sprint("flow-", i)}, Limited: "rate_limit"}
		for j := range 50 {
			q.limitedAs = fmt.Sprint(i, j)
			l.add("public", q, now)
		}
	}
	all := l.All(now)
	if len(all) > mostLimits+1 || all[0].Flow != "" || all[0].Requests != 2*mostLimits*50 {
		t.Errorf("%d limits, the first of them %+v", len(all), all[0])
	}
	for _, one := range all {
		if len(one.Callers) > 32 {
			t.Fatalf("%d callers", len(one.Callers))
		}
	}
}
