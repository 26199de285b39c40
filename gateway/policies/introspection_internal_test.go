package policies

import (
	"testing"
	"time"
)

// FuzzIntrospection holds that nobody is let in but by an answer that says active,
// and that who is has a name.
func FuzzIntrospection(f *testing.F) {
	for _, seed := range []string{`{"active":true,"sub":"ada"}`, `{"active":true,"sub":"ada","exp":1e400}`, `{"active":false,"sub":"ada"}`, `{"active":true,"aud":[1]}`, `{"active":true,"sub":{"a":[{}]}}`, `[]`} {
		f.Add(seed)
	}
	p := &introspection{audience: audience{anyone: true}, consumer: claimPathOf("sub"), maxAge: time.Minute, stale: time.Hour}
	f.Fuzz(func(t *testing.T, text string) {
		answer, err := readObject(text)
		if err != nil {
			return
		}
		active, now := answer["active"], time.Now()
		v, err := p.read(answer, now)
		if v == nil || err != nil {
			return
		}
		if active != true || v.consumer.Name == "" || v.size <= 0 || v.until.After(now.Add(time.Minute)) || v.last.Before(v.until) {
			t.Errorf("%s is taken as %+v", text, v)
		}
	})
}
