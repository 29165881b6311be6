package main

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/seed-462d9463/sluice/internal/clickstream"
)

// payload makes count records of exactly size bytes each: a web shop's clickstream, cut every size bytes
// without regard for its lines, so that it compresses as such events do. The same arguments give the same
// bytes.
func payload(size, count int) [][]byte {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := clickstream.New(clickstream.Options{Seed: 1, Now: func() time.Time {
		now = now.Add(3 * time.Millisecond)
		return now
	}})
	text := make([]byte, 0, size*count+4<<10)
	for len(text) < size*count {
		text, _ = events.Append(text)
		text = append(text, '\n')
	}
	records := make([][]byte, count)
	for i := range records {
		records[i] = text[i*size : (i+1)*size : (i+1)*size]
	}
	return records
}

// partitionKey is the i-th of a series of keys that look random and spread evenly over shards.
func partitionKey(i int) string {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(i))
	sum := md5.Sum(number[:])
	return hex.EncodeToString(sum[:8])
}

// The bodies below are what an AWS SDK sends: compact JSON, blobs in base64.

func putRecordBody(stream, key string, data []byte) []byte {
	b := appendRecord([]byte("{"), data, key)
	b = append(b, `,"StreamName":"`...)
	b = append(b, stream...)
	return append(b, `"}`...)
}

// putRecordsBody takes the keys from the series that partitionKey makes, from firstKey on.
func putRecordsBody(stream string, records [][]byte, firstKey int) []byte {
	b := make([]byte, 0, 256+len(records)*(64+base64.StdEncoding.EncodedLen(len(records[0]))))
	b = append(b, `{"Records":[`...)
	for i, data := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendRecord(b, data, partitionKey(firstKey+i))
		b = append(b, '}')
	}
	b = append(b, `],"StreamName":"`...)
	b = append(b, stream...)
	return append(b, `"}`...)
}

func appendRecord(b, data []byte, key string) []byte {
	b = append(b, `"Data":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	b = append(b, `","PartitionKey":"`...)
	b = append(b, key...)
	return append(b, '"')
}

func putRecordBatchBody(deliveryStream string, records [][]byte) []byte {
	b := make([]byte, 0, 256+len(records)*(16+base64.StdEncoding.EncodedLen(len(records[0]))))
	b = append(b, `{"DeliveryStreamName":"`...)
	b = append(b, deliveryStream...)
	b = append(b, `","Records":[`...)
	for i, data := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Data":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, `"}`...)
	}
	return append(b, `]}`...)
}
