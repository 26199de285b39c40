package dsl

import (
	"strings"
	"unicode/utf8"
)

// What text means to YAML without quotes, and how it is written in them.

// plainNumber is the number that digits with underscores or leading zeros (1_000,
// 0777) are likely meant to be, if text is such.
func plainNumber(text string) (plain string, ok bool) {
	sign, body := "", text
	if text != "" && (text[0] == '-' || text[0] == '+') {
		sign, body = strings.Trim(text[:1], "+"), text[1:]
	}
	if body == "" || body[0] < '0' || body[0] > '9' || strings.Trim(body, "0123456789_.") != "" || strings.Count(body, ".") > 1 {
		return "", false
	}
	plain = strings.ReplaceAll(body, "_", "")
	plain = strings.TrimLeft(plain, "0")
	if plain == "" || plain[0] == '.' {
		plain = "0" + plain
	}
	return sign + strings.TrimSuffix(plain, "."), plain != body
}

// quoted writes text in the quotes that Format gives it, if it is short enough
// to show.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) > 80 {
		return "'...'"
	}
	return inQuotes(text)
}

// inQuotes is text as YAML has it in quotes, double ones if they need no escape.
func inQuotes(text string) string {
	if !strings.ContainsAny(text, "\"\\") {
		return `"` + text + `"`
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// quoting is the fix of a value that YAML would take apart.
func quoting(value Span) Fix {
	return Fix{Title: "quote the value", Edits: []Edit{{value, inQuotes(value.Text())}}, Certain: true}
}

// resolve is the type of a plain scalar.
func resolve(text string) ScalarType {
	if text == "" {
		return Null
	}
	switch text[0] {
	case '~', 'n', 'N':
		switch text {
		case "~", "null", "Null", "NULL":
			return Null
		}
	case 't', 'T', 'f', 'F':
		switch text {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			return Bool
		}
	case '+', '-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return resolveNumber(text)
	}
	return Str
}

func resolveNumber(text string) ScalarType {
	if len(text) > 2 && text[0] == '0' {
		switch text[1] {
		case 'o':
			return onlyIf(strings.Trim(text[2:], "01234567") == "", Int)
		case 'x':
			return onlyIf(strings.Trim(text[2:], "0123456789abcdefABCDEF") == "", Int)
		}
	}
	body := strings.TrimLeft(text[:1], "+-") + text[1:]
	switch body {
	case ".inf", ".Inf", ".INF":
		return Float
	case ".nan", ".NaN", ".NAN":
		return onlyIf(body == text, Float)
	}
	whole := digits(body, 0)
	if whole > 1 && body[0] == '0' {
		return Str
	}
	if whole == len(body) {
		return onlyIf(whole > 0, Int)
	}
	end := whole
	if body[end] == '.' {
		end = digits(body, end+1)
		if end == 1 {
			return Str
		}
	}
	if end < len(body) && (body[end] == 'e' || body[end] == 'E') && end > 0 {
		exponent := strings.TrimPrefix(strings.TrimPrefix(body[end+1:], "-"), "+")
		return onlyIf(exponent != "" && digits(exponent, 0) == len(exponent) && len(body)-end-len(exponent) <= 2, Float)
	}
	return onlyIf(end == len(body), Float)
}

func onlyIf(ok bool, t ScalarType) ScalarType {
	if ok {
		return t
	}
	return Str
}
