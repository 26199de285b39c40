package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// GRPCCheck asks with grpc.health.v1.Health/Check, the health checking protocol
// of gRPC, over HTTP/2.
type GRPCCheck struct {
	// Service is the name that is asked about. Empty is the server as a whole.
	Service string
}

// maxCheckReply bounds the reply to a check, in bytes: a message of one number.
const maxCheckReply = 4 << 10

func (c GRPCCheck) over(t transport, timeout time.Duration) func(ctx context.Context) error {
	body := c.message()
	u := &url.URL{Path: "/grpc.health.v1.Health/Check"}
	return func(ctx context.Context) error {
		req := (&http.Request{
			Method: http.MethodPost,
			URL:    u,
			Header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {userAgent}},
			Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
		}).WithContext(ctx)
		o := checkOptions(timeout)
		o.Remaining = "Grpc-Timeout"
		resp, err := t.roundTrip(req, o)
		if err != nil {
			return failedCheck(err)
		}
		defer resp.Body.Close()
		kind := resp.Header.Get("Content-Type")
		switch {
		case resp.ProtoMajor == 1:
			return errors.New("the server speaks HTTP/1.1, and gRPC is spoken over HTTP/2")
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("the status is %d, and not 200", resp.StatusCode)
		case !strings.HasPrefix(kind, "application/grpc"):
			return fmt.Errorf("the answer is %.100q, and not application/grpc", kind)
		}
		reply, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckReply+1))
		switch {
		case err != nil:
			return failedCheck(err)
		case len(reply) > maxCheckReply:
			return fmt.Errorf("the answer is larger than %d bytes", maxCheckReply)
		}
		if err := statusOf(resp); err != nil {
			return err
		}
		status, err := readServing(reply)
		switch {
		case err != nil:
			return err
		case status != serving:
			return errors.New("the service is " + servingName(status))
		}
		return nil
	}
}

// message is a HealthCheckRequest: the name of the service in field 1, behind
// the frame of an uncompressed gRPC message.
func (c GRPCCheck) message() []byte {
	var m []byte
	if c.Service != "" {
		m = append(m, 1<<3|wireBytes)
		m = binary.AppendUvarint(m, uint64(len(c.Service)))
		m = append(m, c.Service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// statusOf is the failure that a reply which has been read to its end ends with.
// One that has no message says so in its header.
func statusOf(resp *http.Response) error {
	end := resp.Trailer
	if end.Get("Grpc-Status") == "" {
		end = resp.Header
	}
	code := end.Get("Grpc-Status")
	if code == "0" {
		return nil
	}
	name := fmt.Sprintf("%.10q", code)
	if n, err := strconv.Atoi(code); err == nil && n > 0 && n < len(grpcCodes) {
		name = grpcCodes[n]
	} else if code == "" {
		name = "missing"
	}
	text := "the gRPC status is " + name
	if message := end.Get("Grpc-Message"); message != "" {
		text += fmt.Sprintf(": %.100q", message)
	}
	return errors.New(text)
}

var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// serving is the ServingStatus of a service that is well.
const serving = 1

func servingName(status uint64) string {
	names := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if status < uint64(len(names)) {
		return names[status]
	}
	return fmt.Sprintf("%d", status)
}

// Wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errNotHealth = errors.New("the answer is not one message of grpc.health.v1.HealthCheckResponse")

// readServing reads the status, field 1, of a HealthCheckResponse in its frame.
// As protocol buffers want it, other fields do not matter, and of several the
// last one counts.
func readServing(frame []byte) (status uint64, err error) {
	const head = 5
	if len(frame) < head || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-head) {
		return 0, errNotHealth
	}
	for m := frame[head:]; len(m) > 0; {
		key, n := binary.Uvarint(m)
		if n <= 0 || key>>3 == 0 {
			return 0, errNotHealth
		}
		m = m[n:]
		var value uint64
		size := 0
		switch key & 7 {
		case wireVarint:
			value, size = binary.Uvarint(m)
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			length, n := binary.Uvarint(m)
			if n <= 0 || length > uint64(len(m)-n) {
				return 0, errNotHealth
			}
			size = n + int(length)
		}
		if size <= 0 || size > len(m) {
			return 0, errNotHealth
		}
		if m = m[size:]; key == 1<<3|wireVarint {
			status = value
		}
	}
	return status, nil
}
