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

// documentFormat is the version of the document that this code writes and reads. A document of another
// version is refused: better no stream than one misunderstood.
const documentFormat = 1

// document is a stream's definition as the catalog keeps it. Hash keys stand in their own list, each once,
// because neighbors share them: so a stream of 10,000 shards fits the catalog's limit of 1 MiB.
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
	// Keys are the shards' boundaries in ascending order, 32 hexadecimal digits each, the last one excepted,
	// which is 2^128 and left out.
	Keys   []string        `json:"keys"`
	Shards []documentShard `json:"shards"` // by number
}

// documentShard takes the hash keys from Keys[From] up to, not including, Keys[To].
type documentShard struct {
	From    int   `json:"f"`
	To      int   `json:"t"`
	Created int64 `json:"c"`           // seconds since 1970
	Closed  int64 `json:"x,omitempty"` // milliseconds since 1970; 0 while open
	Parents []int `json:"p,omitempty"` // numbers of the shards that it replaced, two after a merge
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
	Shards         []Shard
}

func (d *definition) document() document {
	doc := document{
		Format: documentFormat, ID: d.ID, Topic: d.Topic, Created: d.Created.UnixMilli(), OnDemand: d.OnDemand,
		RetentionHours: d.RetentionHours, MaxRecordBytes: d.MaxRecordBytes, Tags: d.Tags,
		Policy: d.Policy,
	}
	if d.Monitoring != 0 {
		doc.Monitoring = d.Monitoring.Names()
	}
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
	for i := range d.Shards {
		s := &d.Shards[i]
		from, _ := slices.BinarySearchFunc(keys, s.Range.Start, HashKey.Compare)
		to := len(keys)
		if s.Range.End != MaxHashKey {
			to, _ = slices.BinarySearchFunc(keys, s.Range.End.Next(), HashKey.Compare)
		}
		ds := documentShard{From: from, To: to, Created: s.Created.Unix()}
		if !s.Open() {
			ds.Closed = s.Closed.UnixMilli()
		}
		for _, parent := range s.Parents() {
			index, _ := ParseShardID(parent)
			ds.Parents = append(ds.Parents, index)
		}
		doc.Shards = append(doc.Shards, ds)
	}
	return doc
}

// clone is a copy that can be changed.
func (d *definition) clone() *definition {
	c := *d
	c.Tags = maps.Clone(d.Tags)
	c.Shards = slices.Clone(d.Shards)
	return &c
}

// decodeDefinition reads a document. What it returns has not been checked to make a shard map.
func decodeDefinition(value []byte) (*definition, error) {
	var doc document
	if err := json.Unmarshal(value, &doc); err != nil {
		return nil, fmt.Errorf("stream document: %w", err)
	}
	if doc.Format != documentFormat {
		return nil, fmt.Errorf("stream document has format %d; this version of sluice reads format %d", doc.Format, documentFormat)
	}
	d := &definition{
		ID: doc.ID, Topic: doc.Topic, Created: time.UnixMilli(doc.Created).UTC(), OnDemand: doc.OnDemand,
		RetentionHours: doc.RetentionHours, MaxRecordBytes: doc.MaxRecordBytes, Tags: doc.Tags,
		Monitoring: ShardMetricsOf(doc.Monitoring), Policy: doc.Policy,
		Shards: make([]Shard, len(doc.Shards)),
	}
	keys := make([]HashKey, len(doc.Keys))
	for i, text := range doc.Keys {
		var ok bool
		if keys[i], ok = hashKeyFromHex(text); !ok {
			return nil, fmt.Errorf("stream document: hash key %q", clip(text))
		}
	}
	for i, ds := range doc.Shards {
		shard, err := ds.shard(i, keys)
		if err != nil {
			return nil, fmt.Errorf("stream document: shard %d: %w", i, err)
		}
		d.Shards[i] = shard
	}
	return d, nil
}

func (ds documentShard) shard(index int, keys []HashKey) (Shard, error) {
	if ds.From < 0 || ds.From >= len(keys) || ds.To <= ds.From || ds.To > len(keys) || len(ds.Parents) > 2 {
		return Shard{}, fmt.Errorf("hash keys %d to %d of %d, %d parents", ds.From, ds.To, len(keys), len(ds.Parents))
	}
	s := Shard{
		ID: ShardID(index), Index: index, Range: HashRange{Start: keys[ds.From], End: MaxHashKey},
		Created: time.Unix(ds.Created, 0).UTC(),
	}
	if ds.To < len(keys) {
		s.Range.End = keys[ds.To].Previous()
	}
	if ds.Closed != 0 {
		s.Closed = time.UnixMilli(ds.Closed).UTC()
	}
	for i, p := range ds.Parents {
		if p < 0 || p >= index {
			return Shard{}, fmt.Errorf("parent %d", p)
		}
		if i == 0 {
			s.Parent = ShardID(p)
		} else {
			s.AdjacentParent = ShardID(p)
		}
	}
	return s, nil
}

func (k HashKey) hex() string { return fmt.Sprintf("%016x%016x", k.Hi, k.Lo) }

func hashKeyFromHex(text string) (HashKey, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return HashKey{}, false
	}
	return HashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}, true
}
