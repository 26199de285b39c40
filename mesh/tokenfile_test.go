package mesh

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestATokenIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("first\n")
		token, err := OpenTokenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		token.watch(func(c Change) { told = append(told, c.What) })
		failing := false
		expect := func(want string, failures int64) {
			t.Helper()
			header, _ := token.Authorization(t.Context())
			got := header[0]
			if st := token.Stats(); got != want || st.Failures != failures || (st.Failure != nil) != failing {
				t.Errorf("%q, %+v", got, st)
			}
		}
		write("second")
		expect("Bearer first", 0)
		time.Sleep(tokenInterval)
		expect("Bearer second", 0)
		failing = true
		for i, unusable := range []string{"", "two words", "line\r\nx-injected: 1", strings.Repeat("x", maxToken+1)} {
			write(unusable)
			time.Sleep(tokenInterval)
			expect("Bearer second", int64(i+1))
		}
		write("third")
		time.Sleep(tokenInterval)
		failing = false
		expect("Bearer third", 4)
		if !slices.Equal(told, []string{CredentialsFailed, CredentialsBack}) {
			t.Errorf("told %q", told)
		}
	})
}

// A server that does not take the token is a reason to look at once.
func TestARefusedTokenIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		os.WriteFile(path, []byte("first"), 0o600)
		token, err := OpenTokenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b := &guarded{taken: "second"}
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: b, Credentials: token})
		for _, want := range []int{401, 401} { // there is no other, and no file is read for every call
			if resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); err != nil || resp.StatusCode != want {
				t.Error(resp, err)
			}
		}
		os.WriteFile(path, []byte("second"), 0o600)
		time.Sleep(refusedInterval)
		if resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); err != nil || resp.StatusCode != 200 {
			t.Error(resp, err)
		}
		if st := s.Stats().Credentials; st.Refused != 3 || st.Refreshes != 2 || st.Kind != "token_file" || b.calls.Load() != 4 {
			t.Errorf("%+v, %d calls", st, b.calls.Load())
		}
	})
}

func TestATokenIsNeededToOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := OpenTokenFile(path); err == nil {
		t.Error("there is none")
	}
	if err := os.WriteFile(path, []byte("hush hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTokenFile(path); err == nil || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}
