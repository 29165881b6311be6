package firehose

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// An object's key is "<prefix><stream>-<version>-<yyyy-MM-dd-HH-mm-ss>-<uuid><extension>", as in AWS's "Amazon
// S3 object name format". The time is the arrival of the oldest record, in the delivery stream's time zone.

const (
	maxKeyBytes      = 1024 // S3's limit
	objectTimeLayout = "2006-01-02-15-04-05"
	longestVersion   = 10 // digits
)

func objectName(stream string, version int, oldest time.Time, id uuid.UUID, extension string) string {
	return fmt.Sprintf("%s-%d-%s-%s%s", stream, version, oldest.Format(objectTimeLayout), id, extension)
}

func longestObjectName(stream string, d *S3Destination) int {
	return len(stream) + longestVersion + len(objectTimeLayout) + 36 + 3 + len(d.extension())
}

// objectID is the UUIDv5 of what is in an object: the same records of the same delivery stream give the same
// one, no others do.
func objectID(stream uuid.UUID, ranges []sourceRange) uuid.UUID {
	var b []byte
	for _, r := range ranges {
		b = binary.AppendUvarint(b, uint64(len(r.Generation)))
		b = append(b, r.Generation...)
		b = binary.AppendUvarint(b, uint64(r.Partition))
		b = binary.AppendUvarint(b, uint64(r.From))
		b = binary.AppendUvarint(b, uint64(r.To))
	}
	return uuid.NewSHA1(stream, b)
}
