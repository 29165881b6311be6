package stream

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

func TestLogsAreReadDecrypted(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 2})
	w.startEncryption(name, ordersKey)
	w.put(name, text("secret"))
	logs, _, err := w.Logs(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range logs {
		records, err := l.Log.Read(t.Context(), 0, shard.Limit{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			got = append(got, string(r.Key)+"="+string(r.Value))
		}
	}
	if diff := cmp.Diff([]string{"key=secret"}, got); diff != "" {
		t.Error(diff)
	}
}

// scratchLog is a log that can read into scratch.
type scratchLog struct {
	shard.Log
	used *shard.Scratch
}

func (l *scratchLog) ReadInto(ctx context.Context, from shard.Offset, most shard.Limit, scratch *shard.Scratch) ([]shard.Record, error) {
	l.used = scratch
	return l.Read(ctx, from, shard.Limit{}) // as an engine may that reads whole appends
}

func TestReadsIntoScratchAreDecrypted(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	w.startEncryption(name, ordersKey)
	w.put(name, text("secret"), text("another"))
	logs, _, err := w.Logs(name)
	if err != nil {
		t.Fatal(err)
	}
	sealed := logs[0].Log.(*sealedLog)
	below := &scratchLog{Log: sealed.Log}
	var scratch shard.Scratch
	records, err := shard.ReadInto(t.Context(), &sealedLog{below, sealed.vault, sealed.index}, 0, shard.Limit{}, &scratch)
	if err != nil || len(records) != 2 || string(records[0].Value) != "secret" {
		t.Errorf("%+v, %v", records, err)
	}
	if below.used != &scratch {
		t.Error("the log below was not given the scratch")
	}
	records, err = shard.ReadInto(t.Context(), &sealedLog{below, sealed.vault, sealed.index}, 0, shard.Limit{Records: 1}, &scratch)
	if err != nil || len(records) != 1 {
		t.Errorf("%d records were decrypted of an append of two, %v", len(records), err)
	}
}

// Whatever a record of an encrypted stream is, reading it is an error or gives a record, and nothing else happens.
func FuzzSealedRecord(f *testing.F) {
	keys := newKeys(f, ordersKey)
	secret := bytes.Repeat([]byte{7}, dataKeyBytes)
	wrapped, err := keys.Wrap(ordersKey, secret, dataKeyBinding("id", 1))
	if err != nil {
		f.Fatal(err)
	}
	v := newVault(named("s"), "id", keys)
	v.learn([]dataKey{{Number: 1, KeyID: ordersKey, Wrapped: wrapped}})
	s, err := v.sealer(1)
	if err != nil {
		f.Fatal(err)
	}
	records := []shard.Record{{Key: []byte("k"), Value: []byte("v")}}
	if err := s.seal(0, records); err != nil {
		f.Fatal(err)
	}
	f.Add(records[0].Headers[0].Value, records[0].Value)
	f.Add([]byte{1, 1}, []byte{})
	f.Fuzz(func(t *testing.T, header, value []byte) {
		l := &sealedLog{oneRecord{shard.Record{Headers: []shard.Header{{Name: sealHeader, Value: header}}, Value: value}}, v, 0}
		got, err := l.Read(t.Context(), 0, shard.Limit{})
		if err == nil && (len(got) != 1 || string(got[0].Key) != "k" || string(got[0].Value) != "v") {
			t.Errorf("%x %x is read as %+v", header, value, got)
		}
		if err != nil && !errors.Is(err, ErrDecrypt) {
			t.Error(err)
		}
	})
}

// oneRecord is a log that always gives the same.
type oneRecord struct{ shard.Record }

func (o oneRecord) Read(context.Context, shard.Offset, shard.Limit) ([]shard.Record, error) {
	return []shard.Record{o.Record}, nil
}
func (oneRecord) Append(context.Context, []shard.Record) shard.Pending { return nil }
func (oneRecord) Wait(context.Context, shard.Offset) error             { return nil }
func (oneRecord) At(context.Context, time.Time) (shard.Offset, error)  { return 0, nil }
func (oneRecord) Bounds() (first, next shard.Offset)                   { return 0, 1 }
func (oneRecord) Trim(context.Context, shard.Offset) error             { return nil }
