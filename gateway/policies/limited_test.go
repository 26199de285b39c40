package policies_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway"
)

// limitsState is what operators see of limits.
type limitsState struct {
	Limits []struct {
		Policy string
		Counts map[string]int64
	}
	Refused []gateway.LimitedBy
}

func limits(t *testing.T, w *flowtest.World) (state limitsState, text string) {
	t.Helper()
	answer := httptest.NewRecorder()
	w.Host.LimitsHandler().ServeHTTP(answer, httptest.NewRequest("GET", "/limits", nil))
	if err := json.Unmarshal(answer.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	return state, answer.Body.String()
}

func TestOperatorsSeeWhomLimitsRefuseNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, limited(`rate: 1/h, also: [{ rate: 2/h, burst: 1 }], by: '$(headers["X-Client"])'`), nil)
		for range 3 {
			ask(t, w, "GET", "/open", "X-Client", "s3cret-key")
		}
		ask(t, w, "GET", "/open", "X-Client", "another")
		for range 4 {
			ask(t, w, "GET", "/open")
		}
		state, text := limits(t, w)
		if len(state.Limits) != 1 || state.Limits[0].Policy != "rate_limit" || state.Limits[0].Counts["granted"] != 3 || state.Limits[0].Counts["refused"] != 5 || state.Limits[0].Counts["bytes"] == 0 {
			t.Errorf("%+v", state.Limits)
		}
		if len(state.Refused) != 1 || state.Refused[0].Limit != "rate_limit 1/h 2/h" || state.Refused[0].Requests != 5 || len(state.Refused[0].Callers) != 2 {
			t.Fatalf("%+v", state.Refused)
		}
		first, second := state.Refused[0].Callers[0], state.Refused[0].Callers[1]
		if first.Requests != 3 || strings.HasPrefix(first.Caller, "sha256:") || second.Requests != 2 || !strings.HasPrefix(second.Caller, "sha256:") || strings.Contains(text, "s3cret") {
			t.Errorf("%+v", state.Refused[0].Callers)
		}
		time.Sleep(3 * time.Minute)
		if state, _ := limits(t, w); len(state.Refused) != 0 || state.Limits[0].Counts["refused"] != 5 {
			t.Errorf("later: %+v", state)
		}
	})
}

func TestAShadowIsSeenToo(t *testing.T) {
	w := flowtest.Serve(t, limited("rate: 1/h, shadow: true"), nil)
	for range 3 {
		if got := ask(t, w, "GET", "/open"); got.status != 200 {
			t.Errorf("%d", got.status)
		}
	}
	if state, _ := limits(t, w); len(state.Refused) != 1 || state.Refused[0].Limit != "rate_limit 1/h shadow" || state.Refused[0].Requests != 2 {
		t.Errorf("%+v", state.Refused)
	}
}
