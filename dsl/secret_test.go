package dsl

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// aSecret is found in whatever is made of it, but not by chance.
const aSecret = "q8Zx-42ab, \"W\" = ö7"

// secretScope is testScope with the name secret.
func secretScope(body string) *values {
	s := testScope(body)
	s.names["secret"] = SecretName([]SecretValue{{Name: "KEY", Text: aSecret}, {Name: "NUMBER", Text: "8812650037"}}, true)
	return s
}

// shows compiles an expression and evaluates it. If nobody is told that its value
// holds a secret, and no function that says how much may be seen takes part, the
// value shows none: neither as it is nor in another form.
func shows(t *testing.T, expr string) {
	t.Helper()
	var ds Diagnostics
	x := NewExpressions(&ds)
	defer x.Close()
	scope := secretScope(exprBody)
	n := &Node{Kind: Scalar, Type: Str, Text: expr, Span: Span{Source: NewSource("EXPR", expr), End: len(expr)}}
	e := x.Compile(n, scope)
	if e == nil || x.StaticType(e).Held() != nil || strings.Contains(expr, "mask") {
		return
	}
	b, err := e.AppendJSON(context.Background(), scope, nil)
	text := string(b)
	if err != nil {
		text = err.Error()
	}
	var r Redactor
	r.Add(map[string]string{"secret.KEY": aSecret, "secret.NUMBER": "8812650037"})
	if found := r.Found(text); found != nil {
		t.Errorf("%s: nobody is told, and it shows %v: %s", expr, found, text)
	}
}

var literal = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// TestNoFunctionLosesASecret gives secrets to every function, in the place of
// every text of its examples.
func TestNoFunctionLosesASecret(t *testing.T) {
	tried := 0
	for _, f := range Functions() {
		for _, example := range f.Examples {
			for _, at := range literal.FindAllStringIndex(example.Expr, -1) {
				for _, secret := range []string{"secret.KEY", "secret.NUMBER", `(secret.KEY + "")`, `{"a": [secret.NUMBER]}.a[0]`} {
					shows(t, example.Expr[:at[0]]+secret+example.Expr[at[1]:])
					tried++
				}
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d calls were tried", tried)
	}
}

// FuzzSecretsAreFollowed looks for expressions that hide what they make.
func FuzzSecretsAreFollowed(f *testing.F) {
	for _, expr := range []string{
		`secret.KEY`, `[secret.KEY][0]`, `{"a": secret.KEY}["a"]`, `let k = secret.KEY; k + "x"`, `true ? secret.KEY : ""`,
		`secret.KEY ?? ""`, `map([secret.KEY], # + "")`, `filter([{"k": secret.KEY}], .k != "")[0].k`, `reduce([1], #acc + "a", secret.KEY)`,
		`keys({(secret.KEY): 1})`, `toPairs({"a": secret.KEY})`, `groupBy([secret.KEY], #)`, `sortBy([{"a": secret.KEY}], .a)[0].a`,
		`int(secret.NUMBER) + 0`, `-int(secret.NUMBER)`, `secret.KEY[0:100]`, `join([secret.KEY], "")`, `find([secret.KEY], # != "")`,
		`get({"a": secret.KEY}, lower("A"))`, `first([secret.KEY])`, `concat(["a"], [secret.KEY])`, `fromJSON(toJSON({"a": secret.KEY})).a`,
		`{"a": {"b": [secret.KEY]}}.a.b[0]`, `uniq([secret.KEY, secret.KEY])[0]`, `values({"x": secret.KEY})[0]`, `sum([int(secret.NUMBER)])`,
		`max(int(secret.NUMBER), 1)`, `int(secret.NUMBER) .. int(secret.NUMBER)`, `secret.KEY in [secret.KEY]`, `count([secret.KEY], # != "")`,
		`body.items[len(secret.KEY)]`, `(false || true) ? [secret.KEY] : []`, `let m = {"s": secret.KEY, "p": 1}; m.p`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if len(expr) < 500 {
			shows(t, expr)
		}
	})
}

// TestFaultsQuoteNoSecrets is about the messages of expressions that read one.
func TestFaultsQuoteNoSecrets(t *testing.T) {
	for _, expr := range []string{
		`int(secret.KEY)`, `decimal(secret.KEY)`, `fromJSON(secret.KEY)`, `parseTime(secret.KEY, "2006")`, `date(secret.KEY)`, `duration(secret.KEY)`,
		`fromHex(secret.KEY)`, `fromBase64(secret.KEY)`, `timezone(secret.KEY)`, `semverCompare(secret.KEY, "1.0.0")`, `float(secret.KEY)`,
		`let k = secret.KEY; {"a": 1}[k].b`, `user.none[secret.KEY].x`, `secret.KEY.foo()`, `user.first[secret.KEY]`,
	} {
		scope := secretScope(exprBody)
		e := NewExpressions(&Diagnostics{}).Compile(scalar(t, expr), scope)
		if e == nil {
			continue // told when it is loaded, where there are no values
		}
		_, err := e.Eval(context.Background(), scope)
		if err != nil && strings.Contains(err.Error(), aSecret[:4]) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestSecretsCannotBeReadUnlessLookedFor(t *testing.T) {
	scope := testScope("{}")
	scope.names["secret"] = SecretName([]SecretValue{{Name: "KEY", Unknown: true}}, true)
	for _, expr := range []string{`secret.KEY`, `sameSecret("", secret.KEY)`, `secret.KEY ?? ""`, `"x" + secret.KEY`} {
		e := NewExpressions(&Diagnostics{}).Compile(scalar(t, expr), scope)
		if e == nil {
			t.Fatalf("%s cannot be compiled", expr)
		}
		if v, err := e.Eval(context.Background(), scope); err == nil {
			t.Errorf("%s is %v", expr, v)
		}
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	s := Secret{text: "s3cret-value"}
	type config struct {
		Name   string
		Header map[string]Secret
	}
	c := config{"a", map[string]Secret{"authorization": s}}
	inJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %q %s %x", s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprintf("%v", &c), string(inJSON),
	} {
		if strings.Contains(got, "s3cret") || strings.Contains(got, hex.EncodeToString([]byte("s3cret"))) || !strings.Contains(got, concealed) {
			t.Error(got)
		}
	}
	if s.Reveal() != "s3cret-value" {
		t.Error("it is lost")
	}
}
