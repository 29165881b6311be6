package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Config is what an operator can set. The zero value is not valid; start from DefaultConfig.
type Config struct {
	// JournalFileBytes is the size of one journal file. It must hold the biggest append with its overhead.
	JournalFileBytes int64 `yaml:"journal_file_bytes" env:"JOURNAL_FILE_BYTES"`
	// JournalFiles is how many journal files there may be; they are made when first needed, and written
	// over in turn. Records are moved from there to segments when two thirds of the files are in use; what is trimmed or
	// deleted before is written once, and no more. Small records of a log that retains much more than that are moved
	// before they leave the cache. There are fewer files where there is little space.
	JournalFiles int `yaml:"journal_files" env:"JOURNAL_FILES"`
	// CacheBytes bounds the memory for records that wait for the disk or are kept for readers near the end,
	// over all logs. Appends wait when it is full of records that are not in their segments yet. About an eighth as much beside it,
	// 16 MiB at most, is taken while small records of many logs are moved to segments.
	CacheBytes int64 `yaml:"cache_bytes" env:"CACHE_BYTES"`
	// SegmentBytes is the size at which a segment is sealed and the next one begun. Trimming frees whole
	// segments.
	SegmentBytes int64 `yaml:"segment_bytes" env:"SEGMENT_BYTES"`
	// SegmentAge is the age of a segment's first record at which the segment is sealed by the next write,
	// so that the records of a slow log can be dropped in time.
	SegmentAge time.Duration `yaml:"segment_age" env:"SEGMENT_AGE"`
	// MaxOpenFiles bounds the segment files that are open at one time. It is lowered to half of what the process may open,
	// for the rest of which there are other uses. With fewer than there are logs that records come to, each move of records
	// to a segment opens and closes one.
	MaxOpenFiles int `yaml:"max_open_files" env:"MAX_OPEN_FILES"`
	// MinFreeBytes of disk space are left alone: with less than that, appends fail with shard.ErrNoSpace, so
	// that trimming and deleting always have the little room that they need.
	MinFreeBytes int64 `yaml:"min_free_bytes" env:"MIN_FREE_BYTES"`
	// WarnFreeBytes is the free disk space, beside what is still to be moved from the journal, below which the engine
	// warns, in its log and its metrics; at least twice MinFreeBytes, however little is set.
	WarnFreeBytes int64 `yaml:"warn_free_bytes" env:"WARN_FREE_BYTES"`
	// Compression is how sealed segments are compressed, in the background: zstd, or off. What is compressed
	// stays so.
	Compression string `yaml:"compression" env:"COMPRESSION"`
	// ScrubInterval is the time from the beginning of one verification of all sealed segments to that of the next.
	// 0: they are verified when they are read, and never else.
	ScrubInterval time.Duration `yaml:"scrub_interval" env:"SCRUB_INTERVAL"`
	// ScrubBytesPerSecond bounds what the verification reads.
	ScrubBytesPerSecond int64 `yaml:"scrub_bytes_per_second" env:"SCRUB_BYTES_PER_SECOND"`
}

const (
	compressionZstd = "zstd"
	compressionOff  = "off"
)

func (c *Config) compresses() bool { return c.Compression == compressionZstd }

const (
	// leastOpenFiles is how many segments must be allowed to be open.
	leastOpenFiles = 8
	// minSegmentAge keeps every flush from making a segment of its own.
	minSegmentAge = 100 * time.Millisecond
	// maxFreeBytes is more than any disk has, and little enough to reckon with.
	maxFreeBytes = 1 << 60
)

// DefaultConfig returns the settings for a server of moderate size.
func DefaultConfig() Config {
	return Config{
		JournalFileBytes: 64 << 20,
		JournalFiles:     16,
		CacheBytes:       128 << 20,
		SegmentBytes:     64 << 20,
		SegmentAge:       time.Hour,
		MaxOpenFiles:     16 << 10,
		MinFreeBytes:     64 << 20,
		WarnFreeBytes:    512 << 20,
		Compression:      compressionZstd,

		ScrubInterval:       7 * 24 * time.Hour,
		ScrubBytesPerSecond: 16 << 20,
	}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	err := c.validate(shard.MaxAppendBytes)
	if c.ScrubInterval > 0 && c.ScrubInterval < time.Minute { // tests are in a hurry, operators are not
		err = errors.Join(err, fmt.Errorf("scrub_interval %v: must be at least a minute; 0s turns it off", c.ScrubInterval))
	}
	return err
}

func (c Config) validate(maxAppend int) error {
	frame := maxFrameBytes(maxAppend)
	smallest := alignUp(batchHeaderBytes+frame) * 8 / 7
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.JournalFileBytes%blockBytes == 0, "journal_file_bytes %d: must be a multiple of %d bytes", c.JournalFileBytes, blockBytes)
	check(c.JournalFileBytes >= smallest, "journal_file_bytes %d: must be at least %d bytes, to hold the biggest append", c.JournalFileBytes, smallest)
	check(c.JournalFileBytes <= 4<<30, "journal_file_bytes %d: at most 4 GiB", c.JournalFileBytes)
	check(c.JournalFiles >= 2 && c.JournalFiles <= maxJournalFiles, "journal_files %d: must be 2 to %d", c.JournalFiles, maxJournalFiles)
	check(c.CacheBytes >= 2*frame, "cache_bytes %d: must be at least %d bytes, twice the biggest append", c.CacheBytes, 2*frame)
	check(c.SegmentBytes >= 4<<10 && c.SegmentBytes <= 1<<30, "segment_bytes %d: must be 4 KiB to 1 GiB", c.SegmentBytes)
	check(c.SegmentAge >= minSegmentAge, "segment_age %v: must be at least %v; a number needs a unit, as in 1h", c.SegmentAge, minSegmentAge)
	check(c.MaxOpenFiles >= leastOpenFiles, "max_open_files %d: must be at least %d", c.MaxOpenFiles, leastOpenFiles)
	check(c.Compression == compressionZstd || c.Compression == compressionOff, "compression %q: must be %s or %s",
		c.Compression, compressionZstd, compressionOff)
	check(c.ScrubInterval >= 0, "scrub_interval %v: must not be negative; 0s turns it off", c.ScrubInterval)
	check(c.ScrubBytesPerSecond >= 64<<10, "scrub_bytes_per_second %d: must be at least 64 KiB; scrub_interval: 0s turns it off",
		c.ScrubBytesPerSecond)
	check(c.MinFreeBytes >= 0 && c.MinFreeBytes <= maxFreeBytes, "min_free_bytes %d: must be 0 to %d", c.MinFreeBytes, int64(maxFreeBytes))
	check(c.WarnFreeBytes >= 0 && c.WarnFreeBytes <= maxFreeBytes, "warn_free_bytes %d: must be 0 to %d", c.WarnFreeBytes, int64(maxFreeBytes))
	return errors.Join(errs...)
}

// Options says how to open an engine. FS and Dir are needed; every zero field of Config takes its default, but for
// ScrubInterval.
type Options struct {
	FS  vfs.FS
	Dir string // made if it is not there
	Config

	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics
	Progress   func(Progress)        // nil: nobody looks; called by Open's goroutine only

	// MaxAppendBytes lowers shard.MaxAppendBytes, so that tests can have small journal files. 0 leaves it.
	MaxAppendBytes int
	// SpaceRetry is how long appends are refused, once the disk was full, before one of them makes the
	// engine look again. 0: a second.
	SpaceRetry time.Duration

	// eager makes tests see the disk: everything is flushed, checkpointed and evicted as soon as it is durable, and
	// compressed, however small, as soon as it is sealed.
	eager bool
	// treeFrom is the number of files to be synced from which all are synced together. 0: 64.
	treeFrom int
	// placeBytes bounds the frames of one place, see place.go. 0: the constant.
	placeBytes int64
	// bufferedFrame is the shortest frame that passes through a buffer, see buffers.go. 0: the constant.
	bufferedFrame int
	// lentShare is how long the shares of a log are whose small appends lie in slabs that are lent, see lend.go. 0: the constant.
	lentShare int64
	// summedShare is from which mean length of its shares on the committer sums the small frames of a log, see lend.go. 0: the constant.
	summedShare int64
	// placesBytes is the memory for places from which on records are moved to segments; a start may take twice as much.
	// 0: a quarter of CacheBytes.
	placesBytes int64
	// aheadShares is how many shares of a log in the cache are worth moving ahead, see ahead.go. 0: the constant.
	aheadShares int
	// fewPlaces is how many places a log must have to be moved together with others, see together.go. 0: the constant.
	fewPlaces int
	// yield lets others run, see gather.go. nil: runtime.Gosched.
	yield func()
}

// The phases of Open, as operators read them, and what is counted.
const (
	phaseScan, unitScan         = "reading the journal", "bytes"
	phaseReplay, unitReplay     = "applying the journal", "batches"
	phaseSegments, unitSegments = "looking for segments", "directories"
)

// Progress says how far Open has come.
type Progress struct {
	Phase string // what is being done
	Done  int64  // of Total
	Total int64
	Unit  string // of both
}

func (o *Options) complete() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("journal: Options needs FS and Dir")
	}
	d := DefaultConfig()
	if o.JournalFileBytes == 0 {
		o.JournalFileBytes = d.JournalFileBytes
	}
	if o.JournalFiles == 0 {
		o.JournalFiles = d.JournalFiles
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = d.CacheBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = d.SegmentBytes
	}
	if o.SegmentAge == 0 {
		o.SegmentAge = d.SegmentAge
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = d.MaxOpenFiles
	}
	o.MaxOpenFiles = min(o.MaxOpenFiles, max(leastOpenFiles, vfs.FileLimit()/2))
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = d.MinFreeBytes
	}
	if o.WarnFreeBytes == 0 {
		o.WarnFreeBytes = d.WarnFreeBytes
	}
	if o.ScrubBytesPerSecond == 0 {
		o.ScrubBytesPerSecond = d.ScrubBytesPerSecond
	}
	if o.Compression == "" {
		o.Compression = d.Compression
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.MaxAppendBytes <= 0 || o.MaxAppendBytes > shard.MaxAppendBytes {
		o.MaxAppendBytes = shard.MaxAppendBytes
	}
	if o.SpaceRetry == 0 {
		o.SpaceRetry = time.Second
	}
	if o.treeFrom == 0 {
		o.treeFrom = 64
	}
	if o.placeBytes == 0 {
		o.placeBytes = placeBytes
	}
	if o.bufferedFrame == 0 {
		o.bufferedFrame = bufferedFrame
	}
	if o.yield == nil {
		o.yield = runtime.Gosched
	}
	if o.lentShare == 0 {
		o.lentShare = lentShare
	}
	if o.summedShare == 0 {
		o.summedShare = summedShare
	}
	if o.aheadShares == 0 {
		o.aheadShares = aheadShares
	}
	if o.fewPlaces == 0 {
		o.fewPlaces = fewPlaces
	}
	if o.placesBytes == 0 {
		o.placesBytes = o.CacheBytes / 4
	}
	return o.validate(o.MaxAppendBytes)
}
