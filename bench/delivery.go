package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/bench/baseline"
	"github.com/seed-462d9463/sluice/bench/child"
	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// delivering is the scenario in which delivery streams turn what they have buffered into gzip objects in a
// directory. Putting the records is not part of it: each delivery stream is filled up to just below its
// buffer's size, then gets the few records that are missing, and the time and CPU from there to the last
// object are measured.
type delivering struct {
	streams int
	size    int // bytes in a record
	buffer  int // MiB in an object before compression, the buffer's size
	batch   int // records in a PutRecordBatch
}

// sluiceLevel is the level at which delivery compresses: the encoder's default, which is its level 5.
const sluiceLevel = gzip.DefaultCompression

func delivery() delivering { return delivering{streams: 8, size: 1 << 10, buffer: 128, batch: 500} }

func (d delivering) scenario() scenario {
	return scenario{
		name: "delivery",
		title: fmt.Sprintf("delivery to gzip objects in a directory, %d objects of %d MiB before compression",
			d.streams, d.buffer),
		rate:    megabyteRate,
		unit:    "MB/s",
		prepare: d.prepare,
		budgets: []budget{
			{contestant: signedName, what: "share of the bare encoder's payload for a second of CPU", least: 0.9,
				value: func(c contest) float64 { return c.CPURatio }},
			{contestant: signedName, what: "share of the bare encoder's payload for a second of time", least: 0.9,
				value: func(c contest) float64 { return c.RateRatio }},
		},
	}
}

func (d delivering) bytes() int64 { return int64(d.streams) * int64(d.buffer) << 20 }

// batches is what each delivery stream gets, in order; the last one, which is smaller, fills the buffer. After a
// few MiB the records repeat themselves, far outside the window in which gzip sees repetitions.
func (d delivering) batches() (all [][][]byte) {
	const distinct = 32
	records := payload(d.size, d.batch*distinct)
	left := d.buffer << 20 / d.size
	for i := 0; left > d.batch; i++ {
		at := i % distinct * d.batch
		all = append(all, records[at:at+d.batch])
		left -= d.batch
	}
	return append(all, records[:left])
}

func (d delivering) prepare(ctx context.Context, s *stage) ([]contestant, error) {
	batches := d.batches()
	parts := make([][]byte, len(batches)) // the very same bytes for the bare encoder
	sum := sha256.New()
	for i, batch := range batches {
		for _, record := range batch {
			parts[i] = append(parts[i], record...)
		}
		sum.Write(parts[i])
	}
	target, err := s.sluice(ctx, true)
	if err != nil {
		return nil, err
	}
	encoder := func(name string, level int) contestant {
		return contestant{name: name, round: func(ctx context.Context, _ int) (measurement, error) {
			return d.encode(ctx, s, parts, level)
		}}
	}
	return []contestant{
		encoder(encoderName, sluiceLevel),
		encoder("gzip at level 6", 6),
		{name: signedName, target: target, round: func(ctx context.Context, _ int) (measurement, error) {
			return d.round(ctx, s, target, batches, hex.EncodeToString(sum.Sum(nil)))
		}},
	}, nil
}

// encode has as many encoders at work as there are cores.
func (d delivering) encode(ctx context.Context, s *stage, parts [][]byte, level int) (measurement, error) {
	return s.measure(ctx, nil, func() (loadgen.Result, error) {
		encoded, err := baseline.Encode(parts, level, d.streams, runtime.GOMAXPROCS(0))
		if err == nil && encoded.In != d.bytes() {
			err = fmt.Errorf("the encoder was given %d bytes, not %d", encoded.In, d.bytes())
		}
		return d.result(encoded.Elapsed), err
	})
}

func (d delivering) result(elapsed time.Duration) loadgen.Result {
	return loadgen.Result{Elapsed: elapsed, Requests: int64(d.streams),
		Worth: loadgen.Worth{Records: int(d.bytes() / int64(d.size)), Bytes: d.bytes()}}
}

func (d delivering) round(ctx context.Context, s *stage, target *server, batches [][][]byte, sum string) (
	_ measurement, err error,
) {
	bucket := s.name("bench-bucket")
	dir := filepath.Join(target.data, "buckets", bucket)
	names := make([]string, d.streams)
	for i := range names {
		names[i] = s.name("delivery")
		if err := d.create(ctx, target, names[i], bucket); err != nil {
			return measurement{}, err
		}
	}
	defer func() {
		for _, name := range names {
			err = errors.Join(err, target.call(ctx, firehose, "DeleteDeliveryStream",
				map[string]any{"DeliveryStreamName": name}, nil))
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()

	last := len(batches) - 1
	if err := d.put(ctx, target, names, batches[:last]); err != nil {
		return measurement{}, err
	}
	// Else the objects would wait for a disk that is still writing what was put before.
	if err := child.SettleDisk(ctx, s.dataDir, settleLimit); err != nil {
		return measurement{}, err
	}
	var objects []string
	m, err := s.measure(ctx, target, func() (loadgen.Result, error) {
		start := time.Now()
		if err := d.put(ctx, target, names, batches[last:]); err != nil {
			return loadgen.Result{}, err
		}
		err := target.await(ctx, func() (err error) {
			objects, err = objectsIn(dir)
			if err == nil && len(objects) < d.streams {
				err = fmt.Errorf("%d of %d objects are there", len(objects), d.streams)
			}
			return err
		})
		return d.result(time.Since(start)), err
	})
	if err != nil {
		return measurement{}, err
	}
	return m, verify(objects, sum, d.streams)
}

func (d delivering) create(ctx context.Context, target *server, name, bucket string) error {
	return target.call(ctx, firehose, "CreateDeliveryStream", map[string]any{
		"DeliveryStreamName": name,
		"DeliveryStreamType": "DirectPut",
		"ExtendedS3DestinationConfiguration": map[string]any{
			"BucketARN":         "arn:aws:s3:::" + bucket,
			"RoleARN":           "arn:aws:iam::000000000000:role/bench",
			"CompressionFormat": "GZIP",
			"BufferingHints":    map[string]any{"SizeInMBs": d.buffer, "IntervalInSeconds": 900},
		},
	}, nil)
}

// put sends the batches to every delivery stream, to each over one connection, so that they stay in order.
func (d delivering) put(ctx context.Context, target *server, names []string, batches [][][]byte) error {
	clients, err := loadgen.Connect(ctx, target.addr, len(names))
	if err != nil {
		return err
	}
	defer clients.Close()
	scripts := make([]loadgen.Script, len(names))
	for i, name := range names {
		scripts[i] = &producer{endpoint: &target.endpoint, name: name, batches: batches,
			repeat: repeat{want: []byte(`"FailedPutCount":0`)}}
	}
	_, err = clients.Run(ctx, sendLimit, scripts)
	return err
}

// producer puts batches to one delivery stream, each once. Its requests are built as they are sent: all at once
// they would take a GiB.
type producer struct {
	repeat
	endpoint *endpoint
	name     string
	batches  [][][]byte
}

var _ loadgen.Script = (*producer)(nil)

func (p *producer) Next() ([]byte, error) {
	if len(p.batches) == 0 {
		return nil, loadgen.ErrFinished
	}
	body := putRecordBatchBody(p.name, p.batches[0])
	p.batches = p.batches[1:]
	return p.endpoint.request(firehose, "PutRecordBatch", body)
}

// objectsIn lists the finished objects of a bucket that is a directory.
func objectsIn(dir string) (objects []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // the bucket before its first object, or a temporary name that has just become final
		case err != nil:
			return err
		case entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), "delivery-") &&
			strings.HasSuffix(entry.Name(), ".gz"):
			objects = append(objects, path)
		}
		return nil
	})
	return objects, err
}

// verify decompresses the objects and checks that each holds all records, in order, and nothing else.
func verify(objects []string, sum string, count int) error {
	if len(objects) != count {
		return fmt.Errorf("there are %d objects, not %d", len(objects), count)
	}
	for _, path := range objects {
		h := sha256.New()
		if err := gunzip(path, h); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != sum {
			return fmt.Errorf("%s does not hold the records that were put", path)
		}
	}
	return nil
}

func gunzip(path string, to hash.Hash) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, z)
	return errors.Join(err, z.Close())
}
