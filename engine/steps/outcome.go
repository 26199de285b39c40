package steps

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/weir-run/weir/engine"
)

// outcome is what came of some steps: a value, or the answer that they returned.
type outcome struct {
	value  engine.Value
	answer *engine.Answer
	match  string // what it was made from; only for that it is good
	known  bool   // it was not made for who has it now
}

// An outcome in a store is a letter for what it is, the length of match and
// match, for an answer a line of JSON with its status and headers, and the value
// or the body.
const (
	outcomeValue  = 'v'
	outcomeAnswer = 'a'
)

type answerHead struct {
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"header,omitempty"`
}

func (o outcome) text() string {
	var b strings.Builder
	begin := func(letter byte) {
		b.WriteByte(letter)
		b.WriteByte(byte(len(o.match)))
		b.WriteString(o.match)
	}
	if o.answer == nil {
		begin(outcomeValue)
		b.WriteString(o.value.Stored())
		return b.String()
	}
	begin(outcomeAnswer)
	head, _ := json.Marshal(answerHead{o.answer.Status, o.answer.Header}) // numbers and texts
	b.Write(head)
	b.WriteByte('\n')
	b.WriteString(o.answer.Body.Stored())
	return b.String()
}

var errOutcome = errors.New("what the store has for the key is not an outcome of steps")

func parseOutcome(text string) (o outcome, err error) {
	if len(text) < 2 || len(text) < 2+int(text[1]) {
		return outcome{}, errOutcome
	}
	var ok bool
	letter, rest := text[0], text[2+int(text[1]):]
	o.match = text[2 : 2+int(text[1])]
	if letter == outcomeAnswer {
		head, body, _ := strings.Cut(rest, "\n")
		var h answerHead
		if json.Unmarshal([]byte(head), &h) != nil {
			return outcome{}, errOutcome
		}
		o.answer = &engine.Answer{Status: h.Status, Header: h.Header}
		o.answer.Body, ok = engine.Restored(body)
	} else {
		o.value, ok = engine.Restored(rest)
		ok = ok && letter == outcomeValue
	}
	if !ok {
		return outcome{}, errOutcome
	}
	return o, nil
}
