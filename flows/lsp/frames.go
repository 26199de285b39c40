package lsp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// frames is the base protocol: each message stands behind a header that says how
// long it is. It is the library's channel.Channel, stricter than the library's
// own against what is hostile or broken: a message that is announced too long,
// or whose header cannot be read, is passed over and becomes an invalid one,
// which is answered; reading goes on with the next.
type frames struct {
	in   *bufio.Reader
	out  io.WriteCloser
	skip int64 // of a message that was too long
	left bool  // the client has said exit: nothing is read behind it
}

// The largest file that the language has, escaped as badly as JSON can, and what
// is around it.
const maxFrame = 32 << 20

var invalid = []byte("!") // no JSON

func newFrames(in io.Reader, out io.WriteCloser) *frames {
	return &frames{in: bufio.NewReader(in), out: out}
}

// Recv is what channel.Channel asks for.
func (f *frames) Recv() ([]byte, error) {
	if f.left {
		return nil, io.EOF
	}
	if _, err := io.CopyN(io.Discard, f.in, f.skip); err != nil {
		return nil, ended(err)
	}
	f.skip = 0
	length, err := f.header()
	switch {
	case err != nil:
		return nil, ended(err)
	case length < 0:
		return invalid, nil
	case length > maxFrame:
		f.skip = length
		return invalid, nil
	}
	var message bytes.Buffer // grows with what comes, not with what is announced
	if _, err := io.CopyN(&message, f.in, length); err != nil {
		return nil, ended(err)
	}
	f.left = isExit(message.Bytes())
	return message.Bytes(), nil
}

// ended makes an end in the middle of a message the end that it is.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return io.EOF
	}
	return err
}

// header reads to the empty line before a message and gives its length, which is
// negative if the header does not tell.
func (f *frames) header() (length int64, err error) {
	length = -1
	for some := false; ; {
		line, err := f.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			some = true
			continue // part of a line that is no header
		}
		if err != nil {
			return 0, err
		}
		field := strings.TrimRight(string(line), "\r\n")
		if field == "" && some {
			return length, nil
		}
		some = some || field != ""
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				length = -1
			}
		}
	}
}

// Send is what channel.Channel asks for.
func (f *frames) Send(message []byte) error {
	b := make([]byte, 0, len(message)+32)
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(message)), 10)
	b = append(b, "\r\n\r\n"...)
	_, err := f.out.Write(append(b, message...))
	return err
}

// Close is what channel.Channel asks for.
func (f *frames) Close() error { return f.out.Close() }

func isExit(message []byte) bool {
	var m struct{ Method string }
	return bytes.Contains(message, []byte(`"exit"`)) && json.Unmarshal(message, &m) == nil && m.Method == "exit"
}
