package firehose

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/seed-462d9463/sluice/shard"
)

// incoming counts what was put since the start.
type incoming struct{ records, bytes, requests atomic.Int64 }

// Put appends records to a delivery stream of type DirectPut, all or none of them, and returns when they are
// durable, with an id for each. Errors: *RecordTooLargeError, ErrInvalidSource, ErrNotFound, and those of
// shard.Pending, of which shard.ErrNoSpace is worth a try later.
func (s *Service) Put(ctx context.Context, name Name, records [][]byte) ([]string, error) {
	d, err := s.delivery(name)
	if err != nil {
		return nil, err
	}
	if d.own == nil {
		return nil, fmt.Errorf("%w: %s reads a data stream", ErrInvalidSource, name.Name)
	}
	if len(records) == 0 {
		return nil, nil
	}
	var bytes int64
	batch := make([]shard.Record, len(records))
	for i, r := range records {
		if len(r) > MaxRecordBytes {
			return nil, &RecordTooLargeError{Index: i, Bytes: len(r)}
		}
		batch[i].Value = r
		bytes += int64(len(r))
	}
	at, err := d.own.Append(ctx, batch).Wait(ctx)
	if errors.Is(err, shard.ErrNotFound) { // deleted since
		return nil, notFound(name)
	}
	if err != nil {
		return nil, fmt.Errorf("put to %s: %w", name.Name, err)
	}
	d.incoming.requests.Add(1)
	d.incoming.records.Add(int64(len(records)))
	d.incoming.bytes.Add(bytes)
	ids := make([]string, len(records))
	for i := range ids {
		ids[i] = recordID(d.id, at.First+shard.Offset(i))
	}
	return ids, nil
}

// recordID names a record for ever: its delivery stream's id and its offset there.
func recordID(stream uuid.UUID, at shard.Offset) string {
	var b [24]byte
	copy(b[:], stream[:])
	binary.BigEndian.PutUint64(b[16:], uint64(at))
	return base64.RawURLEncoding.EncodeToString(b[:])
}
