package firehose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/sinks"
)

// An upload that shows no end is given up after uploadTimeout, and more for large objects, and repeated.
const (
	uploadTimeout = time.Minute
	uploadPace    = 256 << 10 // bytes per second that the slowest useful bucket takes
)

// upload carries out an intent in the background, however long that takes.
func (d *delivery) upload(ctx context.Context, in *intent) {
	d.done.Go(func() {
		c, err := d.uploadAtLast(ctx, in)
		if err != nil {
			return // repeated after the restart
		}
		select {
		case d.uploaded <- c:
		case <-ctx.Done():
		}
	})
}

// uploadAtLast tries until it has succeeded, or the process or the engine has come to its end.
func (d *delivery) uploadAtLast(ctx context.Context, in *intent) (committed, error) {
	for {
		leave, err := d.uploads.enter(ctx)
		if err != nil {
			return committed{}, err
		}
		c, err := d.attempt(ctx, in)
		if d.fatal(ctx, err) {
			leave()
			return committed{}, err
		}
		switch {
		case err == nil:
			d.uploads.ok()
			leave()
			return c, nil
		case errors.Is(err, errTrimmed): // less is left now, which is no fault of the bucket
			leave()
		default:
			row := d.uploads.failed(err, "bucket", in.Bucket, "key", in.Key)
			leave()
			if err := d.uploads.pause(ctx, row); err != nil {
				return committed{}, err
			}
		}
	}
}

// attempt tries once to bring the object into the bucket.
func (d *delivery) attempt(ctx context.Context, in *intent) (committed, error) {
	permit, err := d.service.lanes.acquire(ctx, d, d.uploads.failing)
	if err != nil {
		return committed{}, err
	}
	defer permit.release()
	limit := uploadTimeout + time.Duration(in.Bytes/uploadPace)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	sink, err := d.service.buckets.Open(in.Bucket)
	if err != nil {
		return committed{}, err
	}
	parts, left, whole := d.parts(in)
	if !whole {
		// An attempt that was cut off, perhaps by the death of the process, may have brought the whole
		// object there. It must not be replaced by less.
		_, err := sink.Stat(ctx, in.Key)
		if err == nil {
			return in.whole(), nil
		}
		if !errors.Is(err, sinks.ErrNotFound) {
			return committed{}, fmt.Errorf("look for the object: %w", err)
		}
	}
	if !left {
		d.lost(in, in.Records)
		return committed{Number: in.Number, Lost: in.Records}, nil
	}
	c := &content{
		ctx: ctx, parts: parts, expander: expander{expand: in.Expand, delimiter: in.Delimiter},
		compression: in.Compression, encoders: d.service.encoders,
	}
	if err := sink.Put(ctx, sinks.Object{Key: in.Key, Body: c, ContentType: contentType(in)}); err != nil {
		return committed{}, err
	}
	if whole {
		return in.whole(), nil
	}
	d.lost(in, in.Records-c.records)
	return committed{
		Number: in.Number, Objects: 1, Records: c.records, Bytes: c.bytes, Lost: in.Records - c.records,
	}, nil
}

func (d *delivery) lost(in *intent, records int64) {
	d.log.Warn("records were dropped by their source before they could be delivered", "key", in.Key, "records", records)
}

// whole is the outcome when nothing was lost.
func (in *intent) whole() committed {
	return committed{Number: in.Number, Objects: 1, Records: in.Records, Bytes: in.Bytes}
}

// parts finds the logs of an intent's ranges, and what is left in them.
func (d *delivery) parts(in *intent) (parts []part, left, whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	whole = true
	for _, r := range in.Ranges {
		p := part{of: r, from: r.To}
		if input := d.inputs[r.source]; input != nil && !input.gone.Load() {
			first, _ := input.log.Bounds()
			p.input, p.from = input, min(max(r.From, first), r.To)
		}
		p.whole = p.from == r.From
		whole = whole && p.whole
		left = left || p.from < r.To
		parts = append(parts, p)
	}
	return parts, left, whole
}

func contentType(in *intent) string {
	if in.Compression == GZIP {
		return "application/gzip"
	}
	return "application/octet-stream"
}
