package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxTokenReply bounds what a token endpoint answers, in bytes.
const maxTokenReply = maxToken + 16<<10

// tokenReply is the answer of a token endpoint: RFC 6749 section 5.
type tokenReply struct {
	AccessToken string          `json:"access_token"`
	TokenType   string          `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`

	Error       string `json:"error"`
	Description string `json:"error_description"`

	lifetime time.Duration // 0: that is not known
}

// readTokenReply reads an answer. The error quotes nothing but what the server says
// of the error, and not that if the secret is in it.
func readTokenReply(resp *http.Response, body []byte, secret string) (*tokenReply, error) {
	var r tokenReply
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	isJSON := media == "application/json"
	var fault error
	if isJSON && len(body) <= maxTokenReply {
		fault = json.Unmarshal(body, &r)
	}
	if resp.StatusCode != http.StatusOK {
		said := quotable(r.Error, secret)
		if d := quotable(r.Description, secret); d != "" {
			said += ": " + d
		}
		switch {
		case said != "":
			return nil, fmt.Errorf("status %d, %s", resp.StatusCode, strings.TrimPrefix(said, ": "))
		case resp.StatusCode >= 300 && resp.StatusCode < 400:
			return nil, fmt.Errorf("status %d: a redirect is not followed, because the secret is for one place", resp.StatusCode)
		}
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	switch {
	case len(body) > maxTokenReply:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxTokenReply)
	case !isJSON:
		return nil, fmt.Errorf("the answer is not application/json, but %q", quotable(media, secret))
	case fault != nil:
		return nil, errors.New("the answer is not the JSON of a token")
	case r.AccessToken == "":
		return nil, errors.New("the answer has no access_token")
	case len(r.AccessToken) > maxToken || !validToken(r.AccessToken):
		return nil, errors.New("its access_token cannot be sent (RFC 6750 section 2.1)")
	case r.TokenType != "" && !strings.EqualFold(r.TokenType, "Bearer"):
		return nil, fmt.Errorf("the token is of the type %q, and not Bearer", quotable(r.TokenType, secret))
	}
	r.lifetime = lifetime(r.ExpiresIn)
	return &r, nil
}

// lifetime reads expires_in: a number of seconds, which some servers write as
// text. What makes no sense is not known.
func lifetime(text json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), !(seconds > 0):
		return 0
	case seconds >= maxLifetime.Seconds():
		return maxLifetime
	}
	return max(time.Duration(seconds*float64(time.Second)), time.Second)
}

// quotable is what of a server's words can be shown: one short line, and nothing
// if they hold the secret in any of the forms in which it was sent.
func quotable(text, secret string) string {
	if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
		return ""
	}
	const most = 200
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.TrimSpace(text)
}
