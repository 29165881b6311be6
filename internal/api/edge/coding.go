package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// A body that is compressed is read as a whole, since its signature is over what is sent, and then decompressed into
// memory of its own, all of it accounted for.

const (
	gzipState = 64 << 10 // what a decompressor holds beside what it gives

	// A body may become so many times larger than it was sent, or as large as freeSize in any case, and never larger
	// than its operation allows. JSON with base64 in it becomes some ten times larger.
	maxRatio = 256
	freeSize = 1 << 20
)

var decompressors sync.Pool // of *gzip.Reader

// decode undoes a body's content coding.
func (m *memory) decode(ctx context.Context, r *http.Request, body []byte, limit int) ([]byte, error) {
	values := r.Header["Content-Encoding"]
	if len(values) == 0 {
		return body, nil
	}
	switch coding := strings.ToLower(strings.TrimSpace(strings.Join(values, ","))); coding {
	case "", "identity":
		return body, nil
	case "gzip":
	default:
		return nil, &wire.Fault{Code: "UnsupportedMediaTypeException", Status: http.StatusUnsupportedMediaType,
			Message: "The content encoding is none that is understood here; gzip is."}
	}
	if err := m.request.Grow(ctx, gzipState); err != nil {
		return nil, err
	}
	reader, ok := decompressors.Get().(*gzip.Reader)
	if !ok {
		reader = new(gzip.Reader)
	}
	defer func() {
		_ = reader.Reset(bytes.NewReader(nil)) // lets go of the body
		decompressors.Put(reader)
	}()
	if err := reader.Reset(bytes.NewReader(body)); err != nil {
		return nil, badCoding()
	}
	return m.decompress(ctx, reader, min(limit, max(freeSize, maxRatio*len(body))))
}

func (m *memory) decompress(ctx context.Context, reader io.Reader, limit int) ([]byte, error) {
	for n := 0; ; {
		if m.decoded.bytes == nil || n == len(*m.decoded.bytes) {
			if err := m.decoded.grow(ctx, &m.request, max(smallestBuffer, n+1), n); err != nil {
				return nil, err
			}
		}
		read, err := reader.Read((*m.decoded.bytes)[n:])
		n += read
		switch {
		case n > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return (*m.decoded.bytes)[:n], nil
		case err != nil:
			return nil, badCoding()
		}
	}
}

func badCoding() *wire.Fault {
	return &wire.Fault{Code: "SerializationException", Message: "The request body is not valid gzip, which its Content-Encoding says that it is."}
}
