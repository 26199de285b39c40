package mesh

import (
	"os"
	"path/filepath"
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
		expect := func(want string, failures int64) {
			t.Helper()
			got := token.Authorization()[0]
			if st := token.Stats(); got != want || st.Failures != failures || (st.Failure != nil) != (failures > 0) {
				t.Errorf("%q, %+v", got, st)
			}
		}
		write("second")
		expect("Bearer first", 0)
		time.Sleep(tokenInterval)
		expect("Bearer second", 0)
		for i, unusable := range []string{"", "two words", "line\r\nx-injected: 1", strings.Repeat("x", maxToken+1)} {
			write(unusable)
			time.Sleep(tokenInterval)
			expect("Bearer second", int64(i+1))
		}
		write("third")
		time.Sleep(tokenInterval)
		if got := token.Authorization()[0]; got != "Bearer third" || token.Stats().Failure != nil {
			t.Error(got, token.Stats())
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
