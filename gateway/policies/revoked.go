package policies

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
)

type revokedConfig struct {
	File  dsl.String   `yaml:"file" doc:"A file, relative to this one. It is looked at every 2s."`
	URL   dsl.String   `yaml:"url" doc:"Where the list is fetched, instead."`
	Every dsl.Duration `yaml:"every" doc:"How often it is fetched." default:"10s" min:"1s"`
	Stale dsl.Duration `yaml:"stale" doc:"For how long it is believed when it cannot be fetched. Then tokens are refused with status 503. 0s: without end." default:"1h" min:"0s"`
}

// revocations are the tokens that no longer hold, though they are signed and have
// not expired. In their list nobody finds a token or a name: it holds hashes.
type revocations struct {
	list  atomic.Pointer[revokedList] // nil: it was never had
	fresh *fresh
	stale time.Duration
}

// revokedList is a list as it was at one moment. It is immutable.
type revokedList struct {
	tokens   map[[sha256.Size]byte]bool
	subjects map[[sha256.Size]byte]int64 // issued before, in seconds since 1970
}

// marks are what a token can be revoked by.
type marks struct {
	id, subject       [sha256.Size]byte
	hasID, hasSubject bool
	issued            int64
}

const (
	maxRevoked = 64 << 20 // bytes
	always     = 1<<63 - 1
)

// readRevoked reads a list: one line for each that is revoked,
//
//	jti SHA256         a token, by its jti
//	sub SHA256 [TIME]  all tokens of a subject; with a time, those issued before
//
// where SHA256 is of the claim's text, in hex, and TIME is in seconds since 1970
// or as in RFC 3339. Lines that are empty or begin with # say nothing. A line that
// cannot be read makes the whole list none: what it was to revoke is not known.
func readRevoked(text []byte) (*revokedList, error) {
	list := &revokedList{tokens: map[[sha256.Size]byte]bool{}, subjects: map[[sha256.Size]byte]int64{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		var sum [sha256.Size]byte
		if len(words) < 2 || len(words[1]) != hex.EncodedLen(len(sum)) {
			return nil, fmt.Errorf("line %d is neither jti nor sub and a hash", number)
		}
		if _, err := hex.Decode(sum[:], []byte(words[1])); err != nil {
			return nil, fmt.Errorf("line %d has no hash in hex", number)
		}
		switch {
		case words[0] == "jti" && len(words) == 2:
			list.tokens[sum] = true
		case words[0] == "sub" && len(words) == 2:
			list.subjects[sum] = always
		case words[0] == "sub" && len(words) == 3:
			before, err := strconv.ParseInt(words[2], 10, 64)
			if err != nil {
				t, err := time.Parse(time.RFC3339, words[2])
				if err != nil {
					return nil, fmt.Errorf("line %d has no time", number)
				}
				before = t.Unix()
			}
			list.subjects[sum] = max(before, list.subjects[sum])
		default:
			return nil, fmt.Errorf("line %d is neither jti nor sub and a hash", number)
		}
	}
	return list, lines.Err()
}

func (l *revokedList) has(m *marks) bool {
	if m.hasID && l.tokens[m.id] {
		return true
	}
	if !m.hasSubject {
		return false
	}
	before, ok := l.subjects[m.subject]
	return ok && m.issued < before
}

func marksOf(claims map[string]any) (m marks) {
	var id, subject string
	id, m.hasID = claims["jti"].(string)
	subject, m.hasSubject = claims["sub"].(string)
	m.id, m.subject = sha256.Sum256([]byte(id)), sha256.Sum256([]byte(subject))
	m.issued = -always // who does not say when it was issued was, long ago
	if at, ok := date(claims["iat"]); ok {
		m.issued = at.Unix()
	}
	return m
}

// current is the list. Who finds none waits for it.
func (r *revocations) current(ctx context.Context, now time.Time, client http.RoundTripper) (*revokedList, error) {
	r.fresh.recent(ctx, now, client)
	if list := r.usable(time.Now()); list != nil {
		return list, nil
	}
	err := r.fresh.wait(ctx, now, client)
	if list := r.usable(time.Now()); list != nil {
		return list, nil
	}
	return nil, fmt.Errorf("it is not known which tokens are revoked: %w", err)
}

func (r *revocations) usable(now time.Time) *revokedList {
	if r.stale != 0 && now.UnixNano()-r.fresh.had.Load() >= int64(r.stale) {
		return nil
	}
	return r.list.Load()
}

func (r *revocations) read(text []byte) error {
	list, err := readRevoked(text)
	if err == nil {
		r.list.Store(list)
	}
	return err
}

// revocationsOf compiles where the list is: what opens it, and what fetches it.
func (c *Compiler) revocationsOf(at *dsl.Node, cfg *revokedConfig) (open func() *revocations, client func() http.RoundTripper) {
	if cfg == nil {
		return func() *revocations { return nil }, nil
	}
	if (cfg.File.Value == "") == (cfg.URL.Value == "") {
		c.Report(dsl.Diagnostic{Span: at.Field("revoked").KeySpan(), Code: "bad-policy", Message: "the list of revoked tokens is in one place", Hint: "write file or url"})
		return nil, nil
	}
	if cfg.File.Value != "" {
		path, log := cfg.File.Path(), c.Log()
		return func() *revocations {
			r := &revocations{}
			r.fresh = freshFile(log, path, maxRevoked, r.read)
			r.fresh.open()
			return r
		}, nil
	}
	client, u, ok := c.Fetch(cfg.URL)
	if !ok {
		return nil, nil
	}
	every, stale, log := time.Duration(cfg.Every), time.Duration(cfg.Stale), c.Log()
	return func() *revocations {
		r := &revocations{stale: stale}
		r.fresh = freshFrom(log, every, func(ctx context.Context, client http.RoundTripper) error {
			text, err := download(ctx, client, u, "text/plain", maxRevoked)
			if err == nil {
				err = r.read(text)
			}
			return err
		})
		return r
	}, client
}
