package policies

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type basicConfig struct {
	File dsl.String `yaml:"file" doc:"A file with users and the bcrypt hashes of their passwords, relative to this one: what htpasswd -B writes. It is looked at every 2s." required:"true"`
	Hide bool       `yaml:"hide" doc:"Whether backends do not get the user and the password." default:"true"`
	tellConfig
	realmConfig
	optionalConfig
}

// Basic is the Kind of the policy basic.
var Basic = Kind{
	Why:        "all further inside may ask who calls",
	Identifies: true,
	Kind: dsl.Define("basic", "Lets in who brings a user and a password that are known (RFC 7617). What was found right is remembered for 5 minutes, since a password takes as long to verify as its hash was made to.",
		func(c *Compiler, at *dsl.Node, cfg *basicConfig) gateway.Middleware {
			p := &basic{hide: cfg.Hide, teller: c.teller(at, cfg.tellConfig), asks: "Basic " + cfg.checked(c) + `, charset="UTF-8"`}
			c.wants("Basic", cfg.optionalConfig)
			path, log := cfg.File.Path(), c.Log()
			p.users = Keep(c, func() *users { return openUsers(log, path) })
			return c.identified(p, cfg.optionalConfig)
		},
		dsl.Example{Name: "a few users", YAML: "file: users.htpasswd\nrealm: reports"}),
}

type basic struct {
	teller
	hide  bool
	asks  string
	users *engine.Kept[*users]
}

// challenge is what identifier asks for.
func (p *basic) challenge() string { return p.asks }

// identify is what identifier asks for.
func (p *basic) identify(_ *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return nil, nil // several are nobody's
	}
	encoded, is := credentials(values[0], "Basic")
	if !is {
		return nil, nil
	}
	if p.hide {
		delete(r.Header, "Authorization")
	}
	no := &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: "The user and the password do not hold."}
	pair, err := base64.StdEncoding.DecodeString(encoded)
	name, password, whole := bytes.Cut(pair, []byte{':'})
	if err != nil || !whole {
		return nil, no
	}
	consumer, err := p.users.It().verify(r.Context(), string(name), password)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case consumer == nil:
		return nil, no
	}
	return consumer, nil
}

// users are those of a file, and which of their passwords were right of late.
type users struct {
	fresh *fresh
	known atomic.Pointer[userList]
	work  chan struct{} // who computes holds a place

	verified, cached, refused atomic.Int64

	secret []byte // of the hashes below: nobody learns a password from them
	mu     sync.Mutex
	right  map[[sha256.Size]byte]*rightPassword
}

// userList is a file as it was at one moment. It is immutable.
type userList struct {
	hashes map[string][]byte
	any    []byte // takes as long to compare with as that of a user
}

type rightPassword struct {
	of       *userList
	consumer *engine.Consumer
	until    time.Time
}

const (
	maxUserFile = 16 << 20 // bytes
	maxPassword = 72       // bytes: bcrypt reads no more
	maxUser     = 256      // bytes
	maxBcrypt   = 14       // about a second
	maxRight    = 10000
	rightFor    = 5 * time.Minute
)

func openUsers(log *slog.Logger, path string) *users {
	u := &users{work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), right: map[[sha256.Size]byte]*rightPassword{}, secret: make([]byte, 32)}
	_, _ = rand.Read(u.secret) // it does not fail
	u.fresh = freshFile(log, path, maxUserFile, func(text []byte) error {
		list, err := readUsers(text)
		if err == nil {
			u.known.Store(list)
		}
		return err
	})
	u.fresh.open()
	return u
}

// readUsers reads NAME:HASH, a line for each user, with the hash by bcrypt.
func readUsers(text []byte) (*userList, error) {
	list := &userList{hashes: map[string][]byte{}}
	most := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case name == "" || err != nil:
			return nil, fmt.Errorf("line %d is not a user and a hash by bcrypt, as htpasswd -B writes it", number)
		case cost > maxBcrypt:
			return nil, fmt.Errorf("line %d: a hash of cost %d takes too long to compare, the most is %d", number, cost, maxBcrypt)
		case list.hashes[name] != nil:
			return nil, fmt.Errorf("line %d is of a user who stands there already", number)
		}
		list.hashes[name] = []byte(hash)
		if cost > most {
			most, list.any = cost, []byte(hash)
		}
	}
	return list, lines.Err()
}

// verify gives the consumer that a user is, or nil. The error says that it cannot
// be known.
func (u *users) verify(ctx context.Context, name string, password []byte) (*engine.Consumer, error) {
	now := time.Now()
	u.fresh.recent(ctx, now, nil)
	list := u.known.Load()
	if list == nil {
		return nil, u.fresh.failing()
	}
	if len(password) == 0 || len(password) > maxPassword || len(name) > maxUser {
		u.refused.Add(1)
		return nil, nil
	}
	sum := u.sum(name, password)
	if c := u.remembered(sum, list, now); c != nil {
		u.cached.Add(1)
		return c, nil
	}
	select {
	case u.work <- struct{}{}:
		defer func() { <-u.work }()
	case <-ctx.Done():
		return nil, errors.New("too many passwords are to be verified")
	}
	hash := list.hashes[name]
	known := hash != nil
	if !known { // who asks is not told by the time whether there is such a user
		hash = list.any
	}
	u.verified.Add(1)
	if bcrypt.CompareHashAndPassword(hash, password) != nil || !known {
		u.refused.Add(1)
		return nil, nil
	}
	c := &engine.Consumer{Name: name, By: "basic"}
	u.remember(sum, &rightPassword{list, c, now.Add(rightFor)})
	return c, nil
}

func (u *users) sum(name string, password []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, u.secret)
	_, _ = fmt.Fprintf(h, "%d:%s", len(name), name)
	_, _ = h.Write(password)
	h.Sum(sum[:0])
	return sum
}

func (u *users) remembered(sum [sha256.Size]byte, list *userList, now time.Time) *engine.Consumer {
	u.mu.Lock()
	defer u.mu.Unlock()
	right := u.right[sum]
	if right == nil || right.of != list || !now.Before(right.until) {
		delete(u.right, sum)
		return nil
	}
	return right.consumer
}

func (u *users) remember(sum [sha256.Size]byte, right *rightPassword) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.right) >= maxRight {
		clear(u.right)
	}
	u.right[sum] = right
}

// Observe is what engine.Observed asks for.
func (u *users) Observe(show func(name string, total bool, value int64)) {
	show("passwords_cached", true, u.cached.Load())
	show("passwords_verified", true, u.verified.Load())
	show("passwords_refused", true, u.refused.Load())
	u.fresh.observe("file", show)
}

// Close is what engine.Keeper asks for.
func (u *users) Close() { u.fresh.close() }
