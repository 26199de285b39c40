package dsl

import (
	"regexp"
	"strings"
)

// A secret that is written into a file is everyone's who can read the file, and
// stays in the history of its repository. What looks like one is told, and not
// shown where lines of the file are. To be believed it must hardly ever be wrong:
// a value is told by a form that nothing else has, or by its key if no word of a
// language is written like it.

// known are forms that nothing but secrets has, each with a part of it that is
// looked for first.
var knownSecrets = []struct {
	part string
	form *regexp.Regexp
	what string
}{
	{"PRIVATE KEY", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`), "a private key"},
	{"gh", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{36,}`), "a token of GitHub"},
	{"github_pat_", regexp.MustCompile(`\bgithub_pat_[A-Za-z0-9_]{50,}`), "a token of GitHub"},
	{"glpat-", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`), "a token of GitLab"},
	{"xox", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}`), "a token of Slack"},
	{"AKIA", regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), "a key of AWS"},
	{"AIza", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}`), "a key of Google"},
	{"_live_", regexp.MustCompile(`\b[sr]k_live_[0-9A-Za-z]{16,}`), "a key of Stripe"},
	{"sk-", regexp.MustCompile(`\bsk-[A-Za-z0-9_-]*[A-Za-z0-9]{20,}`), "an API key"},
	{"SG.", regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`), "a key of SendGrid"},
	{"npm_", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`), "a token of npm"},
	{"eyJ", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`), "a JSON Web Token"},
	{"://", regexp.MustCompile(`://[^/\s:@$]+:([^/\s@$]{4,})@`), "a URL with a password"},
}

// secretKeys are the keys of secrets, in lower-case letters only, and
// secretEndings what such a key may end with.
var (
	secretKeys = map[string]string{
		"secret": "a secret", "token": "a token", "authorization": "credentials", "proxyauthorization": "credentials",
	}
	secretEndings = []struct{ ending, what string }{
		{"password", "a password"}, {"passwd", "a password"}, {"passphrase", "a password"},
		{"clientsecret", "a secret"}, {"secretkey", "a secret"}, {"privatekey", "a private key"},
		{"apikey", "an API key"}, {"accesskey", "an access key"},
		{"apitoken", "a token"}, {"accesstoken", "a token"}, {"authtoken", "a token"}, {"refreshtoken", "a token"},
	}
)

// secretKey is what the values of a key are, if they are secrets.
func secretKey(key string) (what string, ok bool) {
	key = letters.Replace(strings.ToLower(key))
	for _, e := range secretEndings {
		if strings.HasSuffix(key, e.ending) {
			return e.what, true
		}
	}
	what, ok = secretKeys[key]
	return what, ok
}

var (
	letters     = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")
	scheme      = regexp.MustCompile(`(?i)^(bearer|basic|token|apikey)\s+`)
	secretWord  = regexp.MustCompile(`^[!-~]{8,}$`)
	placeholder = regexp.MustCompile(`(?i)example|placeholder|xxx|\*\*\*|^<.*>$|^\{.*\}$`)
)

// LiteralSecret reports whether a text looks like a secret, by itself or by the
// key that it is the value of: what it looks like, and a name for it.
func LiteralSecret(key, text string) (what, name string, ok bool) {
	what, keyed := secretKey(key)
	name = "NAME"
	if keyed && len(key) > len("secret") {
		name = strings.ToUpper(strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace(key))
	}
	for _, k := range knownSecrets {
		if strings.Contains(text, k.part) && k.form.MatchString(text) {
			return k.what, name, true
		}
	}
	if !keyed || !looksSecret(text) {
		return "", "", false
	}
	return what, name, true
}

// looksSecret reports whether the value of a key of secrets looks like one.
func looksSecret(text string) bool {
	word := scheme.ReplaceAllString(text, "")
	if strings.Contains(text, "$(") || !secretWord.MatchString(word) || placeholder.MatchString(word) {
		return false
	}
	return strings.ContainsAny(word, "0123456789") && strings.ContainsFunc(word, func(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' })
}

// keyed is a key and a value in a line of YAML.
var keyed = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_.-]*)["']?\s*:\s*("[^"]*"|'[^']*'|[^\s,{}\[\]"'#][^,{}\[\]#]*)`)

// withoutLiterals is a line of a file with * in the place of what looks like a
// secret, byte for byte.
func withoutLiterals(line string) string {
	out := line
	hide := func(from, to int) { out = out[:from] + strings.Repeat("*", to-from) + out[to:] }
	for _, k := range knownSecrets {
		if !strings.Contains(line, k.part) || k.part == "PRIVATE KEY" {
			continue
		}
		for _, m := range k.form.FindAllStringSubmatchIndex(line, -1) {
			hide(m[len(m)-2], m[len(m)-1])
		}
	}
	for _, m := range keyed.FindAllStringSubmatchIndex(line, -1) {
		value := strings.TrimRight(line[m[4]:m[5]], " ")
		if _, keyed := secretKey(line[m[2]:m[3]]); keyed && looksSecret(strings.Trim(value, `"'`)) {
			hide(m[4], m[4]+len(value))
		}
	}
	return out
}
