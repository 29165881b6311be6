package ingest

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// What decoders hold beside what they give: gzip its window and tables, zstd a frame's window, which may be larger
// than the body. Frames with a larger one are refused; zstd's own tool stays below it up to level 19.
const (
	gzipMemory = 64 << 10
	zstdWindow = 8 << 20
	zstdMemory = zstdWindow + 1<<20
)

var (
	gzips sync.Pool // of *gzip.Reader
	zstds sync.Pool // of *zstd.Decoder, which have no goroutines
)

// readBody reads and decompresses a request's body.
func readBody(w http.ResponseWriter, r *http.Request, v *edge.Visit, limit int) ([]byte, error) {
	ctx := r.Context()
	switch coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); coding {
	case "", "identity":
		return v.ReadBody(w, r, limit, nil)
	case "gzip", "x-gzip":
		if err := v.Hold(ctx, gzipMemory); err != nil {
			return nil, err
		}
		reader, _ := gzips.Get().(*gzip.Reader)
		if reader == nil {
			reader = new(gzip.Reader)
		}
		body, err := v.ReadBody(w, r, limit, func(source io.Reader) (io.Reader, error) { return reader, reader.Reset(source) })
		_ = reader.Reset(strings.NewReader("")) // lets go of the request
		gzips.Put(reader)
		return body, err
	case "zstd":
		if err := v.Hold(ctx, zstdMemory); err != nil {
			return nil, err
		}
		reader, _ := zstds.Get().(*zstd.Decoder)
		if reader == nil {
			var err error
			reader, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, err
			}
		}
		body, err := v.ReadBody(w, r, limit, func(source io.Reader) (io.Reader, error) { return reader, reader.Reset(source) })
		_ = reader.Reset(nil) // lets go of the request
		zstds.Put(reader)
		return body, err
	}
	return nil, &wire.Fault{Code: "UnsupportedEncoding", Status: http.StatusUnsupportedMediaType,
		Message: "The content encoding must be gzip, zstd or identity."}
}
