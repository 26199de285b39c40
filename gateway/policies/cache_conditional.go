package policies

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/gateway"
)

// notModified reports whether the caller has the answer already, by what it says
// of it (RFC 9110, section 13.2.2; RFC 9111, section 4.3.2).
func notModified(asked http.Header, etag, modified, date string) bool {
	if lines := asked["If-None-Match"]; lines != nil {
		return etag != "" && listsTag(lines, etag) || strings.TrimSpace(lines[0]) == "*"
	}
	if asked["If-Modified-Since"] == nil {
		return false
	}
	since, ok := httpDate(firstLine(asked["If-Modified-Since"]))
	if !ok {
		return false
	}
	if modified == "" {
		modified = date
	}
	changed, ok := httpDate(modified)
	return ok && !changed.After(since)
}

// listsTag reports whether one of a list of entity tags is etag, by the weak
// comparison (RFC 9110, section 8.8.3.2).
func listsTag(lines []string, etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	for _, line := range lines {
		for s := line; ; {
			s = strings.TrimPrefix(strings.TrimLeft(s, " \t,"), "W/")
			if !strings.HasPrefix(s, `"`) {
				break
			}
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				break
			}
			if s[:end+2] == opaque {
				return true
			}
			s = s[end+2:]
		}
	}
	return false
}

// sameStrongly reports whether If-Range is about this very representation
// (RFC 9110, section 13.1.5). A time is, if the answer was made a second after it
// at least: in the same second it may have changed again (section 8.8.2.2).
func sameStrongly(ifRange, etag, modified, date string) bool {
	if strings.HasPrefix(ifRange, `"`) {
		return ifRange == etag
	}
	changed, ok := httpDate(modified)
	made, known := httpDate(date)
	return ok && known && ifRange == modified && made.Sub(changed) >= time.Second
}

// byteRange reads a Range that asks for one range of bytes of a body. ok is false
// for what is answered by the whole instead: another unit, several ranges, or
// what cannot be read. A range that no byte is in is empty.
func byteRange(text string, size int64) (from, to int64, ok bool) {
	spec, found := strings.CutPrefix(text, "bytes=")
	if !found || strings.Contains(spec, ",") {
		return 0, 0, false
	}
	start, end, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found {
		return 0, 0, false
	}
	position := func(s string) (int64, bool) {
		if s == "" || s[0] < '0' || s[0] > '9' {
			return 0, false
		}
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	if start == "" {
		n, ok := position(end)
		return max(size-n, 0), size, ok
	}
	if from, ok = position(start); !ok {
		return 0, 0, false
	}
	if end == "" {
		return min(from, size), size, true
	}
	if to, ok = position(end); !ok || to < from {
		return 0, 0, false
	}
	if from >= size {
		return size, size, true
	}
	return from, min(to, size-1) + 1, true
}

// partOf answers with a part of a stored answer.
func partOf(w http.ResponseWriter, r *http.Request, e *cached, from, to int64) {
	size := int64(len(e.body))
	if from >= to {
		gateway.FromContext(r.Context()).BeforeAnswer(contentRange(size))
		gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusRequestedRangeNotSatisfiable, Code: CodeBadRange, Detail: "The answer has no bytes in this range."})
		return
	}
	h := w.Header()
	h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", from, to-1, size)}
	h["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(e.body[from:to]) // a client that has gone is no fault
}

// contentRange tells how long an answer is of which a part was asked for that is
// not there.
type contentRange int64

// EditHeader is what gateway.HeaderEditor asks for.
func (size contentRange) EditHeader(_ *gateway.Request, _ int, h http.Header) {
	h["Content-Range"] = []string{fmt.Sprintf("bytes */%d", int64(size))}
}
