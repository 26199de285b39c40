package policies

import (
	"bytes"
	"io"
	"net/http"
)

// holdBody reads the body of a request into memory and puts it back, for all who
// read it further inside. One that is longer than most is put back, too, as it
// comes, and over is true.
func holdBody(r *http.Request, most int64) (body []byte, over bool, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, false, nil
	}
	if r.ContentLength > most {
		return nil, true, nil
	}
	body, err = io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, false, err
	}
	if int64(len(body)) > most {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		return nil, true, nil
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(body))
	return body, false, nil
}
