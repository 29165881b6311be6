// Package shard is the contract of the log that everything in Sluice rides on: one shard, an ordered,
// durable, append-only sequence of records.
//
// Two engines are meant to implement it: the embedded one on the machine's own disks (shard/journal) and
// Apache Kafka (shard/kafka). What the comments here promise, shard/shardtest checks. A caller may rely on
// nothing else: in particular offsets may have gaps, so a position is resolved as "at or after", never by
// equality.
package shard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Offset is a record's position in one log. The first record of a log has an offset ≥ 0, every later one a
// greater offset than the one before it. The embedded engine leaves no gaps; Kafka may.
type Offset int64

// Header is a named value beside the payload, for the layer that wrote the record. Names are UTF-8 and at
// most 255 bytes long.
type Header struct {
	Name  string
	Value []byte
}

// Record is what a log keeps. Kafka clients see the same parts as key, headers and value.
//
// Key, Headers and Value of a record that Read returned are shared and immutable: they may be kept as long as
// the caller likes, and must not be written to.
type Record struct {
	Offset  Offset    // given by Append; ignored on the way in
	Time    time.Time // arrival, whole milliseconds, UTC, never decreasing within a log; ignored on the way in
	Key     []byte    // partition key, message group, …; at most MaxKeyBytes
	Headers []Header
	Value   []byte // the payload, untouched
}

// Sizes that every engine accepts. An Append whose records exceed one of them fails with ErrTooLarge and
// leaves nothing behind.
const (
	MaxKeyBytes    = 4 << 10
	MaxHeaders     = 64
	maxNameBytes   = 255      // of a header
	MaxAppendBytes = 16 << 20 // the sum of Size over the records of one Append
)

// Size is what a record counts for in MaxAppendBytes and in Limit.Bytes: the bytes of key, header names,
// header values and value, and 16 more.
func (r *Record) Size() int {
	n := 16 + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// Appended is where the records of one Append stand: the i-th record has the offset First+i, in every engine,
// and all of them have the same time.
type Appended struct {
	First Offset
	Time  time.Time
}

// Pending is the outcome of an Append that has been queued.
type Pending interface {
	// Wait blocks until the records are durable, and says where they are. Any error means that they were
	// not acknowledged: after ErrTooLarge, ErrNoSpace and ErrNotFound they are not in the log; after any
	// other, the end of ctx included, they may be there or not, wholly or not at all. Wait may be called
	// once, and again when it has returned because ctx had ended: so one can learn when all is decided
	// whose caller went away.
	Wait(ctx context.Context) (Appended, error)
}

// Limit bounds one Read. A field that is zero or negative does not limit. The first record is returned
// whatever its size, so that no record can block a reader.
type Limit struct {
	Records int
	Bytes   int // sum of Size
}

// Cut returns those of the records that Read would have stopped behind.
func (m Limit) Cut(records []Record) []Record {
	bytes := 0
	for i := range records {
		bytes += records[i].Size()
		if i > 0 && (m.Records > 0 && i == m.Records || m.Bytes > 0 && bytes > m.Bytes) {
			return records[:i]
		}
	}
	return records
}

// Log is one shard: an ordered, durable, append-only sequence of records. All methods may be called
// concurrently. After the log was deleted they fail with ErrNotFound, after the engine was closed with
// ErrClosed; those that wait return then too.
type Log interface {
	// Append queues records, in order and without others between them, behind whatever was appended before.
	// Two Appends by one goroutine keep their order. It copies what it needs: the caller may reuse the
	// records and all that they point to as soon as Append returns. It blocks only while the engine's
	// memory or disk has no room, and ends then with ctx. Appending no records is a programming error and
	// panics.
	Append(ctx context.Context, records []Record) Pending

	// Read returns durable records from the first one at or after from, in order. It does not wait: no
	// records and no error means that there are none yet. A from below the first offset starts at the first
	// record that is left. Damaged data gives a *CorruptError, never other bytes than were appended.
	Read(ctx context.Context, from Offset, max Limit) ([]Record, error)

	// Wait blocks until there is a durable record at or after from that has not been trimmed.
	Wait(ctx context.Context, from Offset) error

	// At returns the offset of the first durable record whose time is not before t, or the next offset if
	// there is none.
	At(ctx context.Context, t time.Time) (Offset, error)

	// Bounds returns the offset of the first record that is left and the one past the last durable record.
	// They are equal when the log is empty. Neither ever decreases.
	Bounds() (first, next Offset)

	// Trim drops the records before the given offset. When it returns, the new first offset is durable: no
	// dropped record is seen again. An offset below the first is no change; one past the next offset trims
	// all that is durable. Disk space is freed later, by whole segments.
	Trim(ctx context.Context, before Offset) error
}

// Trimmed returns the offset up to which records of the log have been dropped: none of those before it is left, and
// all that were ever at or behind it are. It is the first offset of Bounds, or less where an engine leaves gaps between
// offsets and therefore has a method Trimmed: there may be a gap before the first record. So who comes to a log with a
// position has missed records only if the position is before Trimmed.
func Trimmed(l Log) Offset {
	if l, ok := l.(interface{ Trimmed() Offset }); ok {
		return l.Trimmed()
	}
	first, _ := l.Bounds()
	return first
}

// Lost tells whether records of the log were damaged and given up by a repair, or may have been, and have not been
// trimmed since. Readers pass over them, so what is left must not be taken for all that was ever said.
func Lost(l Log) bool {
	damaged, ok := l.(interface{ Lost() bool })
	return ok && damaged.Lost()
}

// Topic names a group of logs that are created and deleted together: a Kafka topic with its partitions.
type Topic struct {
	Name       string
	Partitions int
}

// Settings are what an operator may want for the logs of one topic. The zero value is what a topic begins with.
type Settings struct {
	// RetentionBytes bounds what each log of the topic takes: when more is there, its oldest records are dropped, as
	// by a Trim, but never so many that less than the bound is left. Bytes are counted as the engine keeps them,
	// with its overhead, or compressed. Records go in units of the engine's own, some time after others were
	// appended, so a log may take more than the bound by one such unit and what was appended lately. Zero or less:
	// no bound.
	RetentionBytes int64

	// Plain asks the engine not to compress what it keeps. An engine that does not compress ignores it, and what is
	// compressed already may stay so.
	Plain bool
}

// Engine keeps logs by topic and partition. All methods may be called concurrently.
type Engine interface {
	// Create makes sure, durably, that the topic has the partitions 0 … partitions−1, each with a log. A
	// topic never shrinks: asking for fewer than there are changes nothing. The name follows Kafka's rule,
	// [a-zA-Z0-9._-]{1,249} and neither "." nor "..".
	Create(ctx context.Context, topic string, partitions int) error

	// Open returns the log of a partition, the same one for every call. ErrNotFound if Create has not made
	// it. With a context from Essential the log is essential from then on, until the engine is closed.
	Open(ctx context.Context, topic string, partition int) (Log, error)

	// Delete drops a topic with all its logs, durably. Deleting what is not there is no error. A topic
	// created later under the same name starts empty.
	Delete(ctx context.Context, topic string) error

	// Configure sets the settings of a topic's logs, those that a later Create adds too. ErrNotFound if there is
	// no such topic. They hold until the next Configure of the topic, its deletion, or the end of the engine: they
	// are not durable, so whoever wants them says so again at every start. (An engine that keeps them longer does
	// no harm.) Records are never lost by it but as RetentionBytes says.
	Configure(ctx context.Context, topic string, settings Settings) error

	// Topics lists the topics by name.
	Topics(ctx context.Context) ([]Topic, error)

	// Failed is closed when the engine cannot go on (a write or sync failed, so that what is on disk is
	// unknown). Everything that waits fails with Err, and so does whatever comes later. The process must
	// then be restarted; what was acknowledged is recovered.
	Failed() <-chan struct{}

	// Err is why the engine failed; nil while it works.
	Err() error

	// Close waits until what was queued is durable, fails all waiting readers with ErrClosed, and releases
	// the engine.
	Close() error
}

type essential struct{}

// Essential returns a context with which Engine.Open gives a log whose appends may use the room on the disk that is
// kept back while others get ErrNoSpace. It is for the few small records without which no room can be made: that
// something has been deleted, or has been delivered and may go.
func Essential(ctx context.Context) context.Context { return context.WithValue(ctx, essential{}, true) }

// IsEssential tells an engine whether the context comes from Essential.
func IsEssential(ctx context.Context) bool { return ctx.Value(essential{}) != nil }

var (
	// ErrNotFound: there is no such topic or partition, or it has been deleted.
	ErrNotFound = errors.New("log not found")
	// ErrClosed: the engine has been closed.
	ErrClosed = errors.New("log engine closed")
	// ErrTooLarge: the records of one Append exceed what a log accepts. Not worth a retry.
	ErrTooLarge = errors.New("records too large")
	// ErrNoSpace: the disk has no room for more records. Reads, trims and deletes go on; appends work again
	// as soon as there is room.
	ErrNoSpace = errors.New("no space left for records")
	// ErrInvalidTopic: the name breaks Kafka's rule for topic names.
	ErrInvalidTopic = errors.New("invalid topic name")
)

// CorruptError says that durable data is damaged, and where.
type CorruptError struct {
	File   string // path as the engine knows it
	Offset int64  // byte position in the file
	Reason string
	Remedy string // what to do about it, for people; may be empty
}

func (e *CorruptError) Error() string {
	message := fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
	if e.Remedy != "" {
		message += " (" + e.Remedy + ")"
	}
	return message
}

// CheckTopic returns an error that wraps ErrInvalidTopic unless name follows the rule in Engine.Create.
func CheckTopic(name string) error {
	if name == "" || len(name) > 249 || name == "." || name == ".." {
		return fmt.Errorf("%w: %q (1 to 249 characters)", ErrInvalidTopic, name)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("%w: %q (only a-z, A-Z, 0-9, '.', '_' and '-')", ErrInvalidTopic, name)
		}
	}
	return nil
}

// CheckRecords returns an error that wraps ErrTooLarge if the records exceed what one Append accepts.
func CheckRecords(records []Record) error {
	total := 0
	for i := range records {
		r := &records[i]
		if len(r.Key) > MaxKeyBytes {
			return tooLarge("key of %d bytes, at most %d", len(r.Key), MaxKeyBytes)
		}
		if len(r.Headers) > MaxHeaders {
			return tooLarge("%d headers, at most %d", len(r.Headers), MaxHeaders)
		}
		for j := range r.Headers {
			if len(r.Headers[j].Name) > maxNameBytes {
				return tooLarge("header name of %d bytes, at most %d", len(r.Headers[j].Name), maxNameBytes)
			}
		}
		total += r.Size()
	}
	if total > MaxAppendBytes {
		return tooLarge("%d bytes, at most %d", total, MaxAppendBytes)
	}
	return nil
}

// tooLarge is apart from CheckRecords, whose stack every append goes over, so that this takes no room on it.
func tooLarge(what string, is, most int) error {
	return fmt.Errorf("%w: "+what, ErrTooLarge, is, most)
}
