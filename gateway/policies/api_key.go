package policies

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type apiKeyConfig struct {
	Header dsl.String `yaml:"header" doc:"The header that holds the key. Default, without cookie and query: X-API-Key."`
	Cookie dsl.String `yaml:"cookie" doc:"The cookie that holds it, instead."`
	Query  dsl.String `yaml:"query" doc:"The parameter of the query that holds it, instead. URLs end up in logs and histories."`
	File   dsl.String `yaml:"file" doc:"A file with the hashes of the keys, relative to this one: what weir key writes, a line for each. It is looked at every 2s." required:"true"`
	Hide   bool       `yaml:"hide" doc:"Whether backends do not get the key." default:"true"`
	tellConfig
	realmConfig
	optionalConfig
}

// APIKey is the Kind of the policy api_key.
var APIKey = Kind{
	Why:        "all further inside may ask who calls",
	Identifies: true,
	Kind: dsl.Define("api_key", "Lets in who brings a key that is known: a random text that stands for one consumer. Only its SHA-256 is kept, which is enough for keys that nobody can guess, and for no others.",
		func(c *Compiler, at *dsl.Node, cfg *apiKeyConfig) gateway.Middleware {
			p := &apiKey{from: tokenFrom{http.CanonicalHeaderKey(cfg.Header.Value), cfg.Cookie.Value, cfg.Query.Value}, hide: cfg.Hide, teller: c.teller(at, cfg.tellConfig)}
			switch {
			case p.from == tokenFrom{}:
				p.from.header = "X-Api-Key"
			case p.from.places() > 1:
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "bad-policy", Message: "a key is in one place", Hint: "write header, cookie or query"})
			}
			p.asks = "ApiKey " + cfg.checked(c)
			path, log := cfg.File.Path(), c.Log()
			p.keys = Keep(c, func() *apiKeys { return openAPIKeys(log, path) })
			return c.identified(p, cfg.optionalConfig)
		},
		dsl.Example{Name: "programs of partners", YAML: `
file: partners.keys
headers: { X-Partner: $(consumer.name) }
`}),
}

type apiKey struct {
	teller
	from tokenFrom
	hide bool
	asks string
	keys *engine.Kept[*apiKeys]
}

// challenge is what identifier asks for. The scheme is registered nowhere, as
// there is none for keys.
func (p *apiKey) challenge() string { return p.asks }

// identify is what identifier asks for.
func (p *apiKey) identify(_ *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	text, err := p.from.read(r)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, err: err, detail: "This request does not say in one way who sends it."}
	}
	if text == "" {
		return nil, nil
	}
	if p.hide {
		p.from.hide(r)
	}
	now, keys := time.Now(), p.keys.It()
	keys.fresh.recent(r.Context(), now, nil)
	known := keys.known.Load()
	if known == nil {
		return nil, unavailable(keys.fresh.failing())
	}
	// A lookup by the hash tells nothing by the time that it takes: who cannot
	// choose the hash cannot come closer to one that is there.
	k := (*known)[sha256.Sum256([]byte(text))]
	if k == nil || !k.lasts(now) {
		keys.refused.Add(1)
		return nil, &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: "The key does not hold."}
	}
	return k.consumer, nil
}

// apiKeys are the keys of a file.
type apiKeys struct {
	fresh   *fresh
	known   atomic.Pointer[map[[sha256.Size]byte]*listed]
	refused atomic.Int64
}

const maxKeyFile = 64 << 20 // bytes

func openAPIKeys(log *slog.Logger, path string) *apiKeys {
	k := &apiKeys{}
	k.fresh = freshFile(log, path, maxKeyFile, func(text []byte) error {
		known, err := readAPIKeys(text)
		if err == nil {
			k.known.Store(&known)
		}
		return err
	})
	k.fresh.open()
	return k
}

// readAPIKeys reads the hashes of keys: a line for each,
//
//	SHA256 PREFIX CONSUMER [plan=PLAN] [expires=TIME]
//
// where SHA256 is of the key, in hex, PREFIX is what it begins with, for those who
// look for its line, and TIME is as in RFC 3339. Lines that are empty or begin
// with # say nothing.
func readAPIKeys(text []byte) (map[[sha256.Size]byte]*listed, error) {
	known := map[[sha256.Size]byte]*listed{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		var sum [sha256.Size]byte
		if n, err := hex.Decode(sum[:], []byte(words[0][:min(len(words[0]), 2*len(sum))])); err != nil || n != len(sum) || len(words[0]) != 2*n || len(words) < 3 {
			return nil, fmt.Errorf("line %d is not a hash, a prefix and a consumer", number)
		}
		k, err := readListed(words[2:], "api_key")
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if known[sum] != nil {
			return nil, fmt.Errorf("line %d is of a key that stands there already", number)
		}
		known[sum] = k
	}
	return known, lines.Err()
}

// Observe is what engine.Observed asks for.
func (k *apiKeys) Observe(show func(name string, total bool, value int64)) {
	show("keys_refused", true, k.refused.Load())
	if known := k.known.Load(); known != nil {
		show("keys", false, int64(len(*known)))
	}
	k.fresh.observe("file", show)
}

// Close is what engine.Keeper asks for.
func (k *apiKeys) Close() { k.fresh.close() }

// NewAPIKey makes a key of 256 random bits for a consumer, and the line of a file
// of keys that it is known by. The plan may be empty, and expires be zero.
func NewAPIKey(consumer, plan string, expires time.Time) (key, line string, err error) {
	if strings.ContainsAny(consumer+plan, " \t\r\n") || consumer == "" {
		return "", "", fmt.Errorf("a consumer and a plan are a word each, without spaces")
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it does not fail
	key = "wk_" + base64.RawURLEncoding.EncodeToString(secret)
	line = fmt.Sprintf("%x %s %s", sha256.Sum256([]byte(key)), key[:11], consumer)
	if plan != "" {
		line += " plan=" + plan
	}
	if !expires.IsZero() {
		line += " expires=" + expires.UTC().Format(time.RFC3339)
	}
	return key, line, nil
}
