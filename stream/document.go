package stream

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// kind is what streams are filed under in the catalog.
const kind = "stream"

// documentFormat is the version of the document that this code writes. It reads the one before, too. A document
// of another version is refused: better no stream than one misunderstood.
const documentFormat = 2

// document is a stream's definition as the catalog keeps it. Hash keys stand in their own list, each once,
// because neighbors share them, and shards are lists of small numbers: so a stream of 10,000 shards fits the
// catalog's limit of 1 MiB together with as many that were closed within the retention.
type document struct {
	Format         int               `json:"format"`
	ID             string            `json:"id"`
	Topic          string            `json:"topic"`
	Created        int64             `json:"created"` // milliseconds since 1970
	OnDemand       bool              `json:"onDemand,omitempty"`
	RetentionHours int               `json:"retentionHours"`
	MaxRecordBytes int               `json:"maxRecordBytes"`
	Tags           map[string]string `json:"tags,omitempty"`
	Monitoring     []string          `json:"monitoring,omitempty"` // names of metrics
	Policy         string            `json:"policy,omitempty"`
	// WarmMiBps is the least that an on-demand stream is to take per second at any time, in MiB.
	WarmMiBps int `json:"warmMiBps,omitempty"`
	// CountUpdates and ModeUpdates are when the number of shards and the capacity mode were set within the last
	// 24 hours, which is limited: milliseconds since 1970.
	CountUpdates []int64 `json:"countUpdates,omitempty"`
	ModeUpdates  []int64 `json:"modeUpdates,omitempty"`
	// Encryption is left out if the stream never was encrypted.
	Encryption *documentEncryption `json:"encryption,omitempty"`
	// Keys are the shards' boundaries in ascending order, 32 hexadecimal digits each, the last one excepted,
	// which is 2^128 and left out.
	Keys   []string        `json:"keys"`
	Shards []documentShard `json:"shards"` // by number
}

type documentEncryption struct {
	KeyID   string            `json:"keyId,omitempty"`
	Current int               `json:"current,omitempty"`
	Keys    []documentDataKey `json:"keys,omitempty"`
}

type documentDataKey struct {
	Number  int    `json:"n"`
	KeyID   string `json:"keyId"`
	Created int64  `json:"c"` // milliseconds since 1970
	Wrapped []byte `json:"w"`
}

// documentShard is one shard, without the zeros at its end.
type documentShard []int64

// The places in a documentShard.
const (
	placeGap      = iota // shards between the one before and this one that are no more
	placeFrom            // it takes the hash keys from Keys[From]
	placeWidth           // up to, not including, Keys[From+Width]
	placeCreated         // whole seconds since the stream's creation
	placeClosed          // milliseconds since the stream's creation, plus one; 0 while it is open
	placeParent          // its number less that of the shard that it replaced; 0 without one
	placeAdjacent        // the same for the second one, after a merge
	documentPlaces
)

// documentV1 is the format before: a shard is an object, and none is left out.
type documentV1 struct {
	document
	Shards []documentShardV1 `json:"shards"`
}

// documentShardV1 takes the hash keys from Keys[From] up to, not including, Keys[To].
type documentShardV1 struct {
	From    int     `json:"f"`
	To      int     `json:"t"`
	Created int64   `json:"c"` // seconds since 1970
	Closed  int64   `json:"x"` // milliseconds since 1970; 0 while open
	Parents []int64 `json:"p"` // numbers of the shards that it replaced, two after a merge
}

// definition is a document decoded.
type definition struct {
	ID             string
	Topic          string
	Created        time.Time
	OnDemand       bool
	RetentionHours int
	MaxRecordBytes int
	Tags           map[string]string
	Monitoring     ShardMetrics
	Policy         string
	WarmMiBps      int
	CountUpdates   []time.Time // whole milliseconds
	ModeUpdates    []time.Time // whole milliseconds
	Encryption     encryption
	Shards         []Shard // by number; numbers may be missing
}

func (d *definition) document() document {
	doc := document{
		Format: documentFormat, ID: d.ID, Topic: d.Topic, Created: d.Created.UnixMilli(), OnDemand: d.OnDemand,
		RetentionHours: d.RetentionHours, MaxRecordBytes: d.MaxRecordBytes, Tags: d.Tags, Policy: d.Policy,
		WarmMiBps: d.WarmMiBps, CountUpdates: toMillis(d.CountUpdates), ModeUpdates: toMillis(d.ModeUpdates),
	}
	if d.Monitoring != 0 {
		doc.Monitoring = d.Monitoring.Names()
	}
	doc.Encryption = d.Encryption.document()
	keys := make([]HashKey, 0, 2*len(d.Shards))
	for i := range d.Shards {
		keys = append(keys, d.Shards[i].Range.Start)
		if end := d.Shards[i].Range.End; end != MaxHashKey {
			keys = append(keys, end.Next())
		}
	}
	slices.SortFunc(keys, HashKey.Compare)
	keys = slices.Compact(keys)
	for _, k := range keys {
		doc.Keys = append(doc.Keys, k.hex())
	}
	next := 0
	for i := range d.Shards {
		doc.Shards = append(doc.Shards, d.documentShard(&d.Shards[i], next, keys))
		next = d.Shards[i].Index + 1
	}
	return doc
}

// documentShard encodes a shard that would have the number next if none were missing.
func (d *definition) documentShard(s *Shard, next int, keys []HashKey) documentShard {
	from, _ := slices.BinarySearchFunc(keys, s.Range.Start, HashKey.Compare)
	to := len(keys)
	if s.Range.End != MaxHashKey {
		to, _ = slices.BinarySearchFunc(keys, s.Range.End.Next(), HashKey.Compare)
	}
	ds := make(documentShard, documentPlaces)
	ds[placeGap] = int64(s.Index - next)
	ds[placeFrom], ds[placeWidth] = int64(from), int64(to-from)
	ds[placeCreated] = s.Created.Unix() - d.Created.Unix()
	if !s.Open() {
		ds[placeClosed] = max(0, s.Closed.Sub(d.Created).Milliseconds()) + 1 // never 0, wherever the clock was set
	}
	for i, parent := range s.Parents() {
		index, _ := ParseShardID(parent)
		ds[placeParent+i] = int64(s.Index - index)
	}
	last := len(ds)
	for last > 0 && ds[last-1] == 0 {
		last--
	}
	return ds[:last]
}

// decodeDefinition reads a document. What it returns has not been checked to make a shard map.
func decodeDefinition(value []byte) (*definition, error) {
	var doc documentV1
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(value, &version); err != nil {
		return nil, fmt.Errorf("stream document: %w", err)
	}
	var into any = &doc
	switch version.Format {
	case documentFormat:
		into = &doc.document
	case documentFormat - 1:
	default:
		return nil, fmt.Errorf("stream document has format %d; this version of sluice reads formats %d and %d",
			version.Format, documentFormat-1, documentFormat)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return nil, fmt.Errorf("stream document: %w", err)
	}
	d := &definition{
		ID: doc.ID, Topic: doc.Topic, Created: time.UnixMilli(doc.Created).UTC(), OnDemand: doc.OnDemand,
		RetentionHours: doc.RetentionHours, MaxRecordBytes: doc.MaxRecordBytes, Tags: doc.Tags,
		Monitoring: ShardMetricsOf(doc.Monitoring), Policy: doc.Policy, WarmMiBps: doc.WarmMiBps,
		CountUpdates: fromMillis(doc.CountUpdates), ModeUpdates: fromMillis(doc.ModeUpdates),
	}
	if doc.Encryption != nil {
		d.Encryption = doc.Encryption.encryption()
	}
	keys := make([]HashKey, len(doc.Keys))
	for i, text := range doc.Keys {
		var ok bool
		if keys[i], ok = hashKeyFromHex(text); !ok {
			return nil, fmt.Errorf("stream document: hash key %q", clip(text))
		}
	}
	encoded := doc.document.Shards
	for i := range doc.Shards {
		encoded = append(encoded, doc.Shards[i].current(i, d.Created))
	}
	d.Shards = make([]Shard, 0, len(encoded))
	next := 0
	for i, ds := range encoded {
		shard, err := ds.shard(next, keys, d.Created)
		if err != nil {
			return nil, fmt.Errorf("stream document: shard %d: %w", i, err)
		}
		d.Shards = append(d.Shards, shard)
		next = shard.Index + 1
	}
	d.setOpened()
	return d, nil
}

// current is the shard in the present format, as far as it makes sense.
func (s documentShardV1) current(index int, created time.Time) documentShard {
	ds := make(documentShard, documentPlaces)
	ds[placeFrom], ds[placeWidth] = int64(s.From), int64(s.To)-int64(s.From)
	ds[placeCreated] = s.Created - created.Unix()
	if s.Closed != 0 {
		ds[placeClosed] = s.Closed - created.UnixMilli() + 1
	}
	for i, p := range s.Parents {
		if i == 2 || p >= int64(index) || p < 0 {
			return nil // refused as damaged
		}
		ds[placeParent+i] = int64(index) - p
	}
	return ds
}

// shard decodes a shard that has the number next if none are missing.
func (ds documentShard) shard(next int, keys []HashKey, created time.Time) (Shard, error) {
	if len(ds) > documentPlaces {
		return Shard{}, fmt.Errorf("%d numbers", len(ds))
	}
	var n [documentPlaces]int64
	copy(n[:], ds)
	from, to := n[placeFrom], n[placeFrom]+n[placeWidth]
	index := int64(next) + n[placeGap]
	const longest = secondsMask // far from what a sequence number or a time could not hold
	switch {
	case n[placeGap] < 0 || n[placeGap] > maxShardIndex || index > maxShardIndex:
		return Shard{}, fmt.Errorf("number %d", index)
	case from < 0 || from >= int64(len(keys)) || n[placeWidth] <= 0 || n[placeWidth] > int64(len(keys)) || to > int64(len(keys)):
		return Shard{}, fmt.Errorf("hash keys %d to %d of %d", from, to, len(keys))
	case max(n[placeCreated], -n[placeCreated]) > longest || max(n[placeClosed], -n[placeClosed]) > 1000*longest:
		return Shard{}, fmt.Errorf("created after %d, closed after %d", n[placeCreated], n[placeClosed])
	}
	s := Shard{
		ID: ShardID(int(index)), Index: int(index), Range: HashRange{Start: keys[from], End: MaxHashKey},
		Created: time.Unix(created.Unix()+n[placeCreated], 0).UTC(),
	}
	if to < int64(len(keys)) {
		s.Range.End = keys[to].Previous()
	}
	if n[placeClosed] != 0 {
		s.Closed = created.Add(time.Duration(n[placeClosed]-1) * time.Millisecond)
	}
	for i, parent := range []*string{&s.Parent, &s.AdjacentParent} {
		back := n[placeParent+i]
		if back < 0 || back > index || i == 1 && back != 0 && s.Parent == "" {
			return Shard{}, fmt.Errorf("parent %d", index-back)
		}
		if back != 0 {
			*parent = ShardID(int(index - back))
		}
	}
	return s, nil
}

// setOpened fills in when the shards began to take records: as soon as those before them did no longer. Where
// these are no more, that is longer ago than anything is kept, and a zero time says so.
func (d *definition) setOpened() {
	for i := range d.Shards {
		s := &d.Shards[i]
		parents := s.Parents()
		s.Opened = time.Time{}
		if len(parents) == 0 {
			s.Opened = d.Created
		}
		for _, id := range parents {
			if index, ok := ParseShardID(id); ok {
				if place, there := placeOf(d.Shards, index); there && d.Shards[place].Closed.After(s.Opened) {
					s.Opened = d.Shards[place].Closed
				}
			}
		}
	}
}

// clone is a copy that may be changed.
func (d *definition) clone() *definition {
	c := *d
	c.Tags = maps.Clone(d.Tags)
	c.CountUpdates, c.ModeUpdates = slices.Clone(d.CountUpdates), slices.Clone(d.ModeUpdates)
	c.Shards = slices.Clone(d.Shards)
	return &c
}

func toMillis(times []time.Time) (millis []int64) {
	for _, t := range times {
		millis = append(millis, t.UnixMilli())
	}
	return millis
}

func fromMillis(millis []int64) (times []time.Time) {
	for _, m := range millis {
		times = append(times, time.UnixMilli(m).UTC())
	}
	return times
}

func (k HashKey) hex() string { return fmt.Sprintf("%016x%016x", k.Hi, k.Lo) }

func hashKeyFromHex(text string) (HashKey, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return HashKey{}, false
	}
	return HashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}, true
}
