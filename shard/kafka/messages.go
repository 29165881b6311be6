package kafka

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed-462d9463/sluice/shard"
)

// What kafka-go does not have, or has in versions without topic ids, or decodes into more than we want. The layouts are
// those of Apache Kafka's protocol guide.

// Versions of the requests that are spoken. Kafka 3.3 and later have all of them.
const (
	produceVersion          = 8
	fetchVersion            = 11
	listOffsetsVersion      = 5
	metadataVersion         = 12
	createTopicsVersion     = 7
	deleteTopicsVersion     = 6
	createPartitionsVersion = 1
	describeConfigsVersion  = 2
	initProducerVersion     = 1
	findCoordinatorVersion  = 2
	deleteRecordsVersion    = 1
	saslHandshakeVersion    = 1
	saslAuthenticateVersion = 1
	apiVersionsVersion      = 0
)

var spoken = map[protocol.ApiKey]int16{
	protocol.Produce: produceVersion, protocol.Fetch: fetchVersion, protocol.ListOffsets: listOffsetsVersion,
	protocol.Metadata: metadataVersion, protocol.CreateTopics: createTopicsVersion, protocol.DeleteTopics: deleteTopicsVersion,
	protocol.CreatePartitions: createPartitionsVersion, protocol.DescribeConfigs: describeConfigsVersion,
	protocol.InitProducerId: initProducerVersion, protocol.FindCoordinator: findCoordinatorVersion,
	protocol.DeleteRecords: deleteRecordsVersion,
}

var errMalformed = errors.New("a broker's answer is malformed")

func (d *decoder) end() error {
	if d.bad {
		return errMalformed
	}
	return nil
}

// deleteRecords, which kafka-go lacks, in the form that its protocol package wants.
type deleteRecordsRequest struct {
	Topics    []deleteRecordsTopic `kafka:"min=v0,max=v1"`
	TimeoutMs int32                `kafka:"min=v0,max=v1"`
}

type deleteRecordsTopic struct {
	Name       string                   `kafka:"min=v0,max=v1"`
	Partitions []deleteRecordsPartition `kafka:"min=v0,max=v1"`
}

type deleteRecordsPartition struct {
	Index  int32 `kafka:"min=v0,max=v1"`
	Offset int64 `kafka:"min=v0,max=v1"`
}

type deleteRecordsResponse struct {
	ThrottleTimeMs int32                         `kafka:"min=v0,max=v1"`
	Topics         []deleteRecordsResponseTopics `kafka:"min=v0,max=v1"`
}

type deleteRecordsResponseTopics struct {
	Name       string                           `kafka:"min=v0,max=v1"`
	Partitions []deleteRecordsResponsePartition `kafka:"min=v0,max=v1"`
}

type deleteRecordsResponsePartition struct {
	Index        int32 `kafka:"min=v0,max=v1"`
	LowWatermark int64 `kafka:"min=v0,max=v1"`
	ErrorCode    int16 `kafka:"min=v0,max=v1"`
}

// ApiKey implements protocol.Message.
func (*deleteRecordsRequest) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }

// ApiKey implements protocol.Message.
func (*deleteRecordsResponse) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }

func init() { protocol.Register(&deleteRecordsRequest{}, &deleteRecordsResponse{}) }

// brokerInfo, topicInfo and partitionInfo are what a Metadata answer says.
type brokerInfo struct {
	id   int32
	host string
	port int32
}

type topicInfo struct {
	code       int16
	name       string
	id         topicID
	partitions []partitionInfo
}

type partitionInfo struct {
	index    int32
	leader   int32
	replicas int
}

type metadata struct {
	brokers    []brokerInfo
	controller int32 // whom to ask for topics to be made or deleted
	topics     []topicInfo
}

// encodeMetadata asks for topics by name: all if names is nil.
func encodeMetadata(names []string) []byte {
	var e encoder
	if names == nil {
		e.b = append(e.b, 0)
	} else {
		e.compactLen(len(names))
		for _, name := range names {
			e.id(topicID{})
			e.compactStr(name)
			e.noTags()
		}
	}
	e.bool(false) // no automatic creation
	e.bool(false)
	e.noTags()
	return e.b
}

func parseMetadata(b []byte) (*metadata, error) {
	d := decoder{b: b}
	m := &metadata{}
	d.tags()
	d.i32()
	for range d.count(d.compactLen(), 10) {
		m.brokers = append(m.brokers, brokerInfo{id: d.i32(), host: d.compactStr(), port: d.i32()})
		d.compactStr()
		d.tags()
	}
	d.compactStr()
	m.controller = d.i32()
	for range d.count(d.compactLen(), 26) {
		t := topicInfo{code: d.i16(), name: d.compactStr(), id: d.id()}
		d.i8()
		for range d.count(d.compactLen(), 18) {
			d.i16()
			p := partitionInfo{index: d.i32(), leader: d.i32()}
			d.i32()
			p.replicas = d.count(d.compactLen(), 4)
			d.take(4 * p.replicas)
			d.take(4 * d.count(d.compactLen(), 4))
			d.take(4 * d.count(d.compactLen(), 4))
			d.tags()
			t.partitions = append(t.partitions, p)
		}
		d.i32()
		d.tags()
		m.topics = append(m.topics, t)
	}
	return m, d.end()
}

type setting struct{ name, value string }

func encodeCreateTopic(name string, partitions, replication int, settings []setting, timeoutMs int32) []byte {
	var e encoder
	e.compactLen(1)
	e.compactStr(name)
	e.i32(int32(partitions))
	e.i16(int16(replication))
	e.compactLen(0)
	e.compactLen(len(settings))
	for _, s := range settings {
		e.compactStr(s.name)
		e.compactStr(s.value)
		e.noTags()
	}
	e.noTags()
	e.i32(timeoutMs)
	e.bool(false)
	e.noTags()
	return e.b
}

// parseCreateTopic returns the id of the one topic that was to be made.
func parseCreateTopic(b []byte) (topicID, error) {
	d := decoder{b: b}
	d.tags()
	d.i32()
	if d.count(d.compactLen(), 20) == 0 {
		return topicID{}, errMalformed
	}
	d.compactStr()
	id, code, detail := d.id(), d.i16(), d.compactStr()
	if err := d.end(); err != nil {
		return id, err
	}
	return id, asError(code, detail)
}

func encodeDeleteTopic(id topicID, timeoutMs int32) []byte {
	var e encoder
	e.compactLen(1)
	e.b = append(e.b, 0) // no name
	e.id(id)
	e.noTags()
	e.i32(timeoutMs)
	e.noTags()
	return e.b
}

func parseDeleteTopic(b []byte) error {
	d := decoder{b: b}
	d.tags()
	d.i32()
	if d.count(d.compactLen(), 20) == 0 {
		return errMalformed
	}
	d.compactStr()
	d.id()
	code, detail := d.i16(), d.compactStr()
	if err := d.end(); err != nil {
		return err
	}
	return asError(code, detail)
}

// produced is what became of one partition's batch.
type produced struct {
	topic     string
	partition int32
	code      int16
	detail    string
	base      shard.Offset
}

// batchToSend is a batch with its place.
type batchToSend struct {
	topic     string
	partition int32
	bytes     []byte
}

// encodeProduce returns the request in pieces, so that the batches need not be copied.
func encodeProduce(batches []batchToSend, timeoutMs int32) [][]byte {
	e := encoder{}
	e.i16(-1) // no transaction
	e.i16(-1) // all in-sync replicas
	e.i32(timeoutMs)
	e.i32(int32(len(batches)))
	var pieces [][]byte
	for _, b := range batches {
		e.str(b.topic)
		e.i32(1)
		e.i32(b.partition)
		e.i32(int32(len(b.bytes)))
		pieces = append(pieces, e.b, b.bytes)
		e.b = nil
	}
	return pieces
}

func parseProduced(b []byte) ([]produced, error) {
	d := decoder{b: b}
	var out []produced
	for range d.count(int(d.i32()), 6) {
		topic := d.str()
		for range d.count(int(d.i32()), 36) {
			p := produced{topic: topic, partition: d.i32(), code: d.i16(), base: shard.Offset(d.i64())}
			d.i64()
			d.i64()
			for range d.count(int(d.i32()), 6) {
				d.i32()
				if text := d.nullableStr(); p.detail == "" {
					p.detail = text
				}
			}
			if text := d.nullableStr(); text != "" {
				p.detail = text
			}
			out = append(out, p)
		}
	}
	d.i32()
	return out, d.end()
}

func (d *decoder) nullableStr() string {
	n := d.i16()
	if n == -1 {
		return ""
	}
	return string(d.take(int(n)))
}

// fetched is what one partition answered to a Fetch.
type fetched struct {
	topic     string
	partition int32
	code      int16
	high      shard.Offset // all before it is durable
	set       []byte       // batches, the last one perhaps cut
}

func parseFetched(b []byte) ([]fetched, error) {
	d := decoder{b: b}
	d.i32()
	if code := d.i16(); code != 0 {
		return nil, asError(code, "")
	}
	d.i32()
	var out []fetched
	for range d.count(int(d.i32()), 6) {
		topic := d.str()
		for range d.count(int(d.i32()), 42) {
			f := fetched{topic: topic, partition: d.i32(), code: d.i16(), high: shard.Offset(d.i64())}
			d.i64()
			d.i64()
			if aborted := d.i32(); aborted > 0 {
				d.take(16 * d.count(int(aborted), 16))
			}
			d.i32()
			f.set = d.nullableBytes()
			out = append(out, f)
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return out, nil
}
