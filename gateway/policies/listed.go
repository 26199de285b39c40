package policies

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weir-run/weir/engine"
)

// listed is a consumer as a file names it.
type listed struct {
	consumer *engine.Consumer
	expires  time.Time // zero: never
}

// readListed reads the words of a line that say whom its first ones stand for:
//
//	CONSUMER [plan=PLAN] [expires=TIME]
//
// where TIME is as in RFC 3339.
func readListed(words []string, by string) (*listed, error) {
	if len(words) == 0 {
		return nil, errors.New("it does not say which consumer it is of")
	}
	l := &listed{consumer: &engine.Consumer{Name: words[0], By: by}}
	for _, more := range words[1:] {
		name, value, _ := strings.Cut(more, "=")
		var err error
		switch name {
		case "plan":
			l.consumer.Plan = value
		case "expires":
			l.expires, err = time.Parse(time.RFC3339, value)
		default:
			err = fmt.Errorf("there is no %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *listed) lasts(now time.Time) bool { return l.expires.IsZero() || now.Before(l.expires) }
