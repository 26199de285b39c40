package dsl

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const awkward = "p\"4ss/w+rd=<ä>&\\€ \n#"

func TestRedactorKnowsASecretInEveryForm(t *testing.T) {
	var r Redactor
	r.Add(map[string]string{"secret.KEY": awkward})
	inJSON, _ := json.Marshal(map[string]string{"k": awkward})
	var inXML bytes.Buffer
	_ = xml.EscapeText(&inXML, []byte(awkward))
	for form, text := range map[string]string{
		"as it is":            "x" + awkward + "y",
		"twice":               awkward + awkward,
		"in a query":          "?a=" + url.QueryEscape(awkward),
		"in a path":           "/" + url.PathEscape(awkward),
		"in JSON":             string(inJSON),
		"in JSON of ours":     string(AppendJSONString(nil, awkward)),
		"quoted by Go":        strconv.Quote(awkward),
		"in XML":              inXML.String(),
		"in HTML":             html.EscapeString(awkward),
		"in hex":              hex.EncodeToString([]byte(awkward)),
		"in upper-case hex":   fmt.Sprintf("%X", awkward),
		"in Base64":           base64.StdEncoding.EncodeToString([]byte(awkward)),
		"in Base64 for URLs":  base64.RawURLEncoding.EncodeToString([]byte(awkward)),
		"behind a user":       base64.StdEncoding.EncodeToString([]byte("ada:" + awkward)),
		"behind another user": base64.StdEncoding.EncodeToString([]byte("grace:" + awkward + "!")),
		"behind a third":      base64.StdEncoding.EncodeToString([]byte("alan1:" + awkward + "!!")),
	} {
		got := r.String(text)
		if !strings.Contains(got, "[secret.KEY]") || strings.Contains(got, awkward) {
			t.Errorf("%s: %q became %q", form, text, got)
		}
	}
	if got := r.String("nothing of it, p4ssw0rd"); got != "nothing of it, p4ssw0rd" {
		t.Errorf("what is no secret became %q", got)
	}
}

func TestRedactorKnowsTheLinesOfAKey(t *testing.T) {
	var r Redactor
	r.Add(map[string]string{"secret.PEM": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"})
	if got := r.String(" 3 |   MIIEvQIBADANBgkqhkiG9w0BAQEF"); got != " 3 |   [secret.PEM]" {
		t.Error(got)
	}
}

func TestRedactorOfSecretsInEachOther(t *testing.T) {
	var r Redactor
	r.Add(map[string]string{"secret.LONG": "abcd-1234", "secret.SHORT": "abcd", "secret.SAME": "abcd", "secret.TINY": "abc"})
	for text, want := range map[string]string{"abcd-1234": "[secret.LONG]", "abcd-12": "[secret.SAME]-12", "abc": "abc"} {
		if got := r.String(text); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
	if got := r.Found("abcd-1234 and abcd"); strings.Join(got, " ") != "secret.LONG secret.SAME" {
		t.Error(got)
	}
	if got := r.Found("[secret.LONG]"); got != nil {
		t.Error("a mark is none of its secrets:", got)
	}
}

func TestRedactorKeepsWhatWasASecret(t *testing.T) {
	var r Redactor
	r.Add(map[string]string{"secret.KEY": "the-old-one"})
	r.Add(map[string]string{"secret.KEY": "the-new-one"})
	if got := r.String("the-old-one, the-new-one"); got != "[secret.KEY], [secret.KEY]" {
		t.Error(got)
	}
	for i := range mostRedacted + 1 {
		r.order, r.known["filler-"+strconv.Itoa(i)] = append(r.order, "filler-"+strconv.Itoa(i)), "secret.F"
		if len(r.order) >= mostRedacted {
			break
		}
	}
	r.Add(map[string]string{"secret.KEY": "the-newest"})
	if got := r.String("the-old-one, the-newest"); got != "the-old-one, [secret.KEY]" {
		t.Error("the oldest goes first:", got)
	}
}

func TestRedactorWriter(t *testing.T) {
	var r Redactor
	var out bytes.Buffer
	w := r.Writer(&out)
	for _, text := range []string{"before: s3cret-value\n", "after: s3cret-value\n"} {
		if n, err := io.WriteString(w, text); n != len(text) || err != nil {
			t.Error(n, err)
		}
		r.Add(map[string]string{"secret.KEY": "s3cret-value"})
	}
	if got := out.String(); got != "before: s3cret-value\nafter: [secret.KEY]\n" {
		t.Error(got)
	}
	if around, ok := w.(interface{ Unwrap() io.Writer }); !ok || around.Unwrap() != io.Writer(&out) {
		t.Error("the writer behind it is not to be had")
	}
}

// TestRedactorCostsNothingWithoutSecrets holds for nil, too.
func TestRedactorCostsNothingWithoutSecrets(t *testing.T) {
	text := strings.Repeat("nothing to hide ", 20)
	for name, r := range map[string]*Redactor{"none": nil, "empty": {}} {
		w := r.Writer(io.Discard)
		line := []byte(text)
		if n := testing.AllocsPerRun(100, func() {
			_ = r.String(text)
			_ = r.Bytes(line)
			_, _ = w.Write(line)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestRedactorByManyAtOnce(t *testing.T) {
	var r Redactor
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret := fmt.Sprintf("secret-number-%d!", i)
			for range 20 {
				r.Add(map[string]string{fmt.Sprintf("secret.K%d", i): secret})
				if got := r.String("x " + secret); strings.Contains(got, secret) {
					t.Error(got)
				}
				r.Found(secret)
			}
		})
	}
	wg.Wait()
}

func FuzzRedactor(f *testing.F) {
	f.Add("s3cret", "a ", " b")
	f.Add("\x00\xff\xfe\xfd", "", "")
	f.Add("aaaa", "aa", "a")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		var r Redactor
		r.Add(map[string]string{"secret.KEY": secret})
		got := r.String(before + secret + after)
		if len(secret) >= ShortestSecret && !strings.Contains("[secret.KEY]", secret) && !strings.Contains(got, "[secret.KEY]") {
			t.Errorf("%q in %q became %q", secret, before+secret+after, got)
		}
	})
}
