package dsl

import (
	"strings"
	"testing"
)

func TestLiteralSecrets(t *testing.T) {
	for _, tt := range []struct{ key, text, what, name string }{
		{"password", "hunter2-hunter2", "a password", "PASSWORD"},
		{"db-password", "hunter2-hunter2", "a password", "DB_PASSWORD"},
		{"X-Api-Key", "0123456789abcdef", "an API key", "X_API_KEY"},
		{"Authorization", "Bearer abcdefgh12345678", "credentials", "AUTHORIZATION"},
		{"secret", "abcdefgh12345678", "a secret", "NAME"},
		{"log", "it is ghp_" + strings.Repeat("a1", 18), "a token of GitHub", "NAME"},
		{"set", "-----BEGIN EC PRIVATE KEY-----\nx", "a private key", "NAME"},
		{"url", "postgres://ada:hunter2@db/shop", "a URL with a password", "NAME"},
	} {
		if what, name, ok := LiteralSecret(tt.key, tt.text); !ok || what != tt.what || name != tt.name {
			t.Errorf("%s: %s is %q, %q, %t", tt.key, tt.text, what, name, ok)
		}
	}
	for key, text := range map[string]string{
		"password": "required", "passwd": "$(secret.PASSWORD)", "token": "access_token", "api_key": "your-key-example-1",
		"apikey": "<key 1234567>", "authorization": "Bearer $(secret.TOKEN)", "secret": "two words 12", "access_token": "short1",
		"auth_token": "12345678", "client_secret": "xxxxxxxxx1", "id": "0123456789abcdef", "grant_type": "password1", "monkey": "banana12345",
		"hint": "see https://ada@example.com:8080/x", "path": "/users/a:b@c", "tokens": "abcdefgh12345678", "log": "sk-8",
	} {
		if what, _, ok := LiteralSecret(key, text); ok {
			t.Errorf("%s: %s is taken for %s", key, text, what)
		}
	}
}

func TestLiteralSecretsAreHiddenInLines(t *testing.T) {
	for line, want := range map[string]string{
		`  password: hunter2-hunter2  # of the door`:         `  password: ***************  # of the door`,
		`  headers: { x-api-key: "k3y-of-door", a: $(usr) }`: `  headers: { x-api-key: *************, a: $(usr) }`,
		`  url: postgres://ada:hunter2@db/shop`:              `  url: postgres://ada:*******@db/shop`,
		`  token: $(body.tokn1234)`:                          `  token: $(body.tokn1234)`,
		`  - log: xoxb-1234567890-abc`:                       `  - log: *******************`,
		`  password: größe-12345 ä`:                          `  password: größe-12345 ä`,
	} {
		if got := withoutLiterals(line); got != want {
			t.Errorf("%q became %q, not %q", line, got, want)
		}
		if got := withoutLiterals(line); len(got) != len(line) {
			t.Errorf("%q has changed its length", line)
		}
	}
}

func FuzzWithoutLiterals(f *testing.F) {
	f.Add("password: hunter2-hunter2")
	f.Add("a://b:cdefg@h eyJ sk-")
	f.Fuzz(func(t *testing.T, line string) {
		if got := withoutLiterals(line); len(got) != len(line) {
			t.Errorf("%q became %q", line, got)
		}
	})
}
