package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

const (
	ordersKey = "alias/orders"
	otherKey  = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// testKeys are keys by id.
type testKeys map[string]tink.AEAD

func (k testKeys) Wrap(keyID string, dataKey, associated []byte) ([]byte, error) {
	if k[keyID] == nil {
		return nil, fmt.Errorf("%w: %s", ErrKeyNotFound, keyID)
	}
	return k[keyID].Encrypt(dataKey, associated)
}

func (k testKeys) Unwrap(keyID string, wrapped, associated []byte) ([]byte, error) {
	if k[keyID] == nil {
		return nil, fmt.Errorf("%w: %s", ErrKeyNotFound, keyID)
	}
	dataKey, err := k[keyID].Decrypt(wrapped, associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrWrongKey, keyID, err)
	}
	return dataKey, nil
}

// newKeys makes a key for each id.
func newKeys(t testing.TB, ids ...string) testKeys {
	t.Helper()
	keys := testKeys{}
	for _, id := range ids {
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			t.Fatal(err)
		}
		if keys[id], err = aead.New(handle); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// newEncrypting starts a service with keys.
func newEncrypting(t testing.TB, engine shard.Engine, keys Keys) *world {
	t.Helper()
	w := newWorld(t, engine, limitsOffIn)
	w.keys = keys
	w.restart()
	return w
}

func (w *world) startEncryption(name Name, keyID string) {
	w.t.Helper()
	if err := w.StartEncryption(context.Background(), name, keyID); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stopEncryption(name Name) {
	w.t.Helper()
	if err := w.StopEncryption(context.Background(), name); err != nil {
		w.t.Fatal(err)
	}
}

// contents are the records of a shard from its beginning: partition key, data, and whether they are kept encrypted.
func (w *world) contents(name Name, shardID string) []string {
	w.t.Helper()
	var out []string
	at := w.startAt(name, shardID, StartAt{Type: TrimHorizon})
	for {
		result := w.read(name, at)
		if len(result.Records) == 0 {
			return out
		}
		for i := range result.Records {
			r := &result.Records[i]
			out = append(out, fmt.Sprintf("%s=%s %v", r.Key, r.Value, Encrypted(r)))
		}
		at = result.Next
	}
}

// raw is the log of a shard as the engine has it.
func (w *world) raw(name Name, index int) shard.Log {
	w.t.Helper()
	st, err := w.lookup(name)
	if err != nil {
		w.t.Fatal(err)
	}
	log, err := w.engine.Open(context.Background(), st.definition.Topic, index)
	if err != nil {
		w.t.Fatal(err)
	}
	return log
}

func TestRecordsAreEncryptedWhileEncryptionIsStarted(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	w.put(name, Entry{PartitionKey: "k1", Data: []byte("before")})
	w.startEncryption(name, ordersKey)
	if d, err := w.Describe(name); err != nil || d.EncryptionKey != ordersKey {
		t.Errorf("%+v %v", d, err)
	}
	results := w.put(name, Entry{PartitionKey: "k2", Data: []byte("secret")}, Entry{PartitionKey: "k3"})
	if !results[0].Encrypted || !results[1].Encrypted {
		t.Errorf("%+v", results)
	}
	w.stopEncryption(name)
	if d, err := w.Describe(name); err != nil || d.EncryptionKey != "" {
		t.Errorf("%+v %v", d, err)
	}
	if w.put(name, Entry{PartitionKey: "k4", Data: []byte("after")})[0].Encrypted {
		t.Error("encrypted after the stop")
	}
	want := []string{"k1=before false", "k2=secret true", "k3= true", "k4=after false"}
	if diff := cmp.Diff(want, w.contents(name, ShardID(0))); diff != "" {
		t.Error(diff)
	}
	kept, err := w.raw(name, 0).Read(t.Context(), 0, shard.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range kept {
		plain := i == 0 || i == 3
		if all := fmt.Sprintf("%s %s %v", r.Key, r.Value, r.Headers); plain != (len(r.Headers) == 0) || !plain && strings.ContainsAny(all, "k") && bytes.Contains(r.Value, []byte("secret")) {
			t.Errorf("record %d is kept as %q", i, all)
		}
		if !plain && len(r.Key) > 0 {
			t.Errorf("record %d is kept with the key %q", i, r.Key)
		}
	}
	w.restart()
	if diff := cmp.Diff(want, w.contents(name, ShardID(0))); diff != "" {
		t.Error("after a restart", diff)
	}
}

// Delivery streams and pushed subscriptions read the logs that Logs gives out.
func TestAStreamWithoutItsKeyIsRefusedAndOthersGoOn(t *testing.T) {
	keys := newKeys(t, ordersKey, otherKey)
	w := newEncrypting(t, nil, keys)
	lost, kept := w.create("lost", CreateOptions{Shards: 1}), w.create("kept", CreateOptions{Shards: 1})
	w.put(lost, text("plain"))
	w.startEncryption(lost, ordersKey)
	w.startEncryption(kept, otherKey)
	w.put(lost, text("secret"))
	w.put(kept, text("secret"))

	for want, without := range map[error]Keys{
		ErrKeyNotFound: testKeys{otherKey: keys[otherKey]},
		ErrWrongKey:    testKeys{otherKey: keys[otherKey], ordersKey: newKeys(t, ordersKey)[ordersKey]},
	} {
		w.keys = without
		w.restart()
		refused := func(err error) {
			t.Helper()
			if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), ordersKey) || !strings.Contains(fmt.Sprint(err), lost.Name) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		_, err := w.Put(t.Context(), lost, []Entry{text("more")})
		refused(err)
		result := w.read(lost, w.startAt(lost, ShardID(0), StartAt{Type: TrimHorizon}))
		if len(result.Records) != 1 || string(result.Records[0].Value) != "plain" {
			t.Errorf("%+v", result)
		}
		_, err = w.Read(t.Context(), lost, result.Next, 0, nil)
		refused(err)
		w.put(kept, text("more"))
		if got := w.contents(kept, ShardID(0)); len(got) < 2 || got[0] != "key=secret true" {
			t.Errorf("%q", got)
		}
	}
	w.keys = nil // no keys at all
	w.restart()
	if _, err := w.Put(t.Context(), kept, []Entry{text("more")}); !errors.Is(err, ErrKeyNotFound) {
		t.Error(err)
	}
	if err := w.StartEncryption(t.Context(), kept, otherKey); !errors.Is(err, ErrKeyNotFound) {
		t.Errorf("a stream with encrypted records is only shown to be encrypted: %v", err)
	}
	w.stopEncryption(kept)
	if w.put(kept, text("plain"))[0].Encrypted {
		t.Error("encrypted")
	}
}

// A client like Terraform wants to see what it has asked for; nothing is encrypted, and nothing said to be.
func TestWithoutKeysOnlyTheStateIsKept(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	w.startEncryption(name, ordersKey)
	w.restart()
	if d, err := w.Describe(name); err != nil || d.EncryptionKey != ordersKey {
		t.Errorf("%+v %v", d, err)
	}
	if w.put(name, text("plain"))[0].Encrypted {
		t.Error("said to be encrypted")
	}
	w.keys = newKeys(t, ordersKey)
	w.restart()
	if w.put(name, text("plain"))[0].Encrypted {
		t.Error("said to be encrypted")
	}
	w.startEncryption(name, ordersKey)
	if !w.put(name, text("secret"))[0].Encrypted {
		t.Error("not encrypted though asked for again")
	}
}

func TestKeyIDsAreChecked(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	for _, id := range []string{"", "orders", "alias/", "alias/a b", "1234", "arn:aws:kms:eu-west-1:123456789012:alias", "alias/unknown", otherKey, strings.Repeat("alias/a", 400)} {
		if err := w.StartEncryption(t.Context(), name, id); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{
		"alias/aws/kinesis", "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab", otherKey,
		"arn:aws-cn:kms:cn-north-1:123456789012:alias/x",
	} {
		if err := CheckKeyID(id); err != nil {
			t.Error(err)
		}
	}
	if got := KeyName(otherKey); got != "1234abcd-12ab-34cd-56ef-1234567890ab" {
		t.Error(got)
	}
	if got := KeyName("arn:aws:kms:eu-west-1:123456789012:alias/a/b"); got != "alias/a/b" {
		t.Error(got)
	}
	if err := w.StartEncryption(t.Context(), named("nobody"), ordersKey); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestNewKeysAreLimitedAsOnAWS(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	for range maxNewDataKeys {
		w.startEncryption(name, ordersKey)
		w.put(name, text("x"))
	}
	if err := w.StartEncryption(t.Context(), name, ordersKey); !errors.Is(err, ErrKeyLimit) {
		t.Error(err)
	}
	if got := w.contents(name, ShardID(0)); len(got) != maxNewDataKeys {
		t.Errorf("%d records", len(got))
	}
}

func TestDataKeysGoWhenTheirRecordsAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEncrypting(t, nil, newKeys(t, ordersKey))
		name := w.create("s", CreateOptions{Shards: 1})
		for i := range 5 { // one key a day
			w.startEncryption(name, ordersKey)
			w.put(name, text(fmt.Sprint(i)))
			time.Sleep(24 * time.Hour)
		}
		time.Sleep(time.Hour)
		w.restart()
		var numbers []int
		for _, k := range w.definitionOf(name).Encryption.Keys {
			numbers = append(numbers, k.Number)
		}
		// The second one was in use until 48 hours before the last was made, the first one until 72 hours before.
		if diff := cmp.Diff([]int{2, 3, 4, 5}, numbers); diff != "" {
			t.Error(diff)
		}
		w.put(name, text("now"))
		if diff := cmp.Diff([]string{"key=now true"}, w.contents(name, ShardID(0))); diff != "" {
			t.Error(diff)
		}
	})
}

// Records do not only have to be those that were written, but where they were written.
func TestChangedAndMovedRecordsAreNamed(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name, other := w.create("s", CreateOptions{Shards: 2}), w.create("other", CreateOptions{Shards: 2})
	w.startEncryption(name, ordersKey)
	w.startEncryption(other, ordersKey)
	low := Entry{PartitionKey: "k", HashKey: &HashKey{}, Data: []byte("secret")}
	w.put(name, low)
	sealed, err := w.raw(name, 0).Read(t.Context(), 0, shard.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(r *shard.Record)) shard.Record {
		r := sealed[0]
		r.Value, r.Headers = slices.Clone(r.Value), []shard.Header{{Name: sealHeader, Value: slices.Clone(r.Headers[0].Value)}}
		change(&r)
		return r
	}
	for what, c := range map[string]struct {
		record shard.Record
		to     Name
		index  int
	}{
		"changed at its end":   {changed(func(r *shard.Record) { r.Value[len(r.Value)-1] ^= 1 }), name, 0},
		"cut":                  {changed(func(r *shard.Record) { r.Value = r.Value[:5] }), name, 0},
		"another salt":         {changed(func(r *shard.Record) { r.Headers[0].Value[5] ^= 1 }), name, 0},
		"an unknown data key":  {changed(func(r *shard.Record) { r.Headers[0].Value[1] = 7 }), name, 0},
		"an unknown version":   {changed(func(r *shard.Record) { r.Headers[0].Value[0] = 9 }), name, 0},
		"a header cut":         {changed(func(r *shard.Record) { r.Headers[0].Value = r.Headers[0].Value[:4] }), name, 0},
		"an empty header":      {changed(func(r *shard.Record) { r.Headers[0].Value = nil }), name, 0},
		"moved between shards": {sealed[0], name, 1},
		"moved to a stream":    {sealed[0], other, 0},
	} {
		high := HashKey{}
		if c.index == 1 {
			high = MaxHashKey
		}
		w.put(c.to, Entry{PartitionKey: "k", HashKey: &high, Data: []byte("good")})
		at, err := w.raw(c.to, c.index).Append(t.Context(), []shard.Record{c.record}).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		from := w.startAt(c.to, ShardID(c.index), StartAt{Type: TrimHorizon})
		from.Offset = at.First - 1
		before := w.read(c.to, from)
		if len(before.Records) != 1 || string(before.Records[0].Value) != "good" {
			t.Errorf("%s: %d records before it", what, len(before.Records))
		}
		_, err = w.Read(t.Context(), c.to, before.Next, 0, nil)
		var named *DecryptError
		if !errors.As(err, &named) || named.Stream != c.to || named.ShardID != ShardID(c.index) || named.Offset != int64(at.First) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestASessionEndsAfterItsRecords(t *testing.T) {
	w := newEncrypting(t, nil, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	w.startEncryption(name, ordersKey)
	var want []string
	for i := range 6 {
		w.put(name, text(fmt.Sprint(i)), text(fmt.Sprint(i)))
		want = append(want, fmt.Sprintf("key=%d true", i), fmt.Sprintf("key=%d true", i))
		st, err := w.lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		st.sealer.now.Load().left.Store(int64(i % 3)) // room for two more, or not
	}
	if diff := cmp.Diff(want, w.contents(name, ShardID(0))); diff != "" {
		t.Error(diff)
	}
	kept, err := w.raw(name, 0).Read(t.Context(), 0, shard.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	sessions := map[string]bool{}
	for _, r := range kept {
		sessions[string(r.Headers[0].Value)] = true
	}
	if len(sessions) != 5 { // only after the third put was there room
		t.Errorf("%d sessions", len(sessions))
	}
}

func TestNothingOfAnEncryptedRecordIsInTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	open := func() shard.Engine {
		engine, err := journal.Open(journal.Options{
			FS: vfs.OS(), Dir: dir, MaxAppendBytes: 1 << 20,
			Config: journal.Config{JournalFileBytes: 4 << 20, JournalFiles: 3, CacheBytes: 8 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		return engine
	}
	engine := open()
	t.Cleanup(func() { _ = engine.Close() })
	w := newEncrypting(t, engine, newKeys(t, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	w.put(name, Entry{PartitionKey: "open-key", Data: []byte("open-data")})
	w.startEncryption(name, ordersKey)
	for range 20 {
		w.put(name, Entry{PartitionKey: "hidden-key", Data: bytes.Repeat([]byte("hidden-data"), 20_000)})
	}
	w.stopAll()
	if err := engine.Close(); err != nil { // everything is in segments
		t.Fatal(err)
	}
	found := markers(t, dir, "open-key", "open-data", "hidden-key", "hidden-data")
	if found["open-key"] == 0 || found["open-data"] == 0 {
		t.Errorf("the search finds nothing: %v", found)
	}
	if found["hidden-key"] != 0 || found["hidden-data"] != 0 {
		t.Errorf("the data directory has %v", found)
	}
	engine = open()
	w.engine = engine
	w.start()
	if got := w.contents(name, ShardID(0)); len(got) != 21 || !strings.HasPrefix(got[20], "hidden-key=hidden-data") {
		t.Errorf("%d records after the restart", len(got))
	}
}

// markers counts how often texts are in the files of a directory.
func markers(t *testing.T, dir string, texts ...string) map[string]int {
	t.Helper()
	found := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			found[text] += bytes.Count(content, []byte(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWhateverIsEncryptedWhenIsReadAsItWasPut(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newEncrypting(t, nil, newKeys(t, ordersKey, otherKey))
		name := w.create("s", CreateOptions{Shards: 1})
		encrypted := false
		var want []string
		for i := range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.IntRange(0, 6).Draw(r, "step") {
			case 0:
				if len(w.definitionOf(name).Encryption.Keys) < maxNewDataKeys {
					w.startEncryption(name, rapid.SampledFrom([]string{ordersKey, otherKey}).Draw(r, "key"))
					encrypted = true
				}
			case 1:
				w.stopEncryption(name)
				encrypted = false
			case 2:
				w.restart()
			default:
				var entries []Entry
				for j := range rapid.IntRange(1, 4).Draw(r, "records") {
					key := rapid.StringN(1, 5, -1).Draw(r, "partition key")
					entries = append(entries, Entry{PartitionKey: key, Data: fmt.Append(nil, i, j)})
					want = append(want, fmt.Sprintf("%s=%s %v", key, entries[j].Data, encrypted))
				}
				w.put(name, entries...)
			}
		}
		if diff := cmp.Diff(want, w.contents(name, ShardID(0))); diff != "" {
			r.Fatal(diff)
		}
	})
}

func (w *world) definitionOf(name Name) *definition {
	w.t.Helper()
	st, err := w.lookup(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.definition
}

// wrapping are keys that can wrap and, when they are told so, not unwrap.
type wrapping struct {
	testKeys
	broken *bool
}

func (k wrapping) Unwrap(keyID string, wrapped, associated []byte) ([]byte, error) {
	if *k.broken {
		return nil, ErrWrongKey
	}
	return k.testKeys.Unwrap(keyID, wrapped, associated)
}

func TestARecordThatWaitsAtAGateIsNotWrittenInClearWhenItsKeyCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		w := newEncrypting(t, nil, wrapping{newKeys(t, ordersKey), &broken})
		name := w.create("s", CreateOptions{Shards: 1})
		st, err := w.lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		st.partitions[0].gate.shut()
		done := make(chan []Result)
		go func() {
			results, _ := w.Put(t.Context(), name, []Entry{text("secret")})
			done <- results
		}()
		synctest.Wait()
		broken = true
		w.startEncryption(name, ordersKey)
		st.partitions[0].gate.reopen()
		if results := <-done; len(results) != 1 || !errors.Is(results[0].Err, ErrWrongKey) {
			t.Errorf("%+v", results)
		}
		if _, next := w.raw(name, 0).Bounds(); next != 0 {
			t.Error("something was written")
		}
	})
}

func TestRecordsThatCannotBeDecryptedAreDroppedWhenTheirRetentionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEncrypting(t, nil, newKeys(t, ordersKey))
		name := w.create("s", CreateOptions{Shards: 1})
		w.startEncryption(name, ordersKey)
		w.put(name, text("lost"))
		time.Sleep(12 * time.Hour)
		w.put(name, text("lost too"))
		w.keys = newKeys(t, otherKey)
		w.restart()
		// A longer retention first drops what is too old.
		if err := w.Amend(t.Context(), name, func(s *Settings) error { s.RetentionHours = 30; return nil }); err != nil {
			t.Error(err)
		}
		time.Sleep(18*time.Hour + 2*time.Minute)
		if first, next := w.raw(name, 0).Bounds(); first != 1 || next != 2 {
			t.Errorf("%d to %d are left", first, next)
		}
		time.Sleep(12 * time.Hour)
		if first, next := w.raw(name, 0).Bounds(); first != 2 || next != 2 {
			t.Errorf("%d to %d are left", first, next)
		}
	})
}
