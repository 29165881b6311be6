package aggregate

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reference reads the protocol buffer of an aggregated record with the library for protocol buffers, slowly.
type reference struct {
	message               protoreflect.MessageDescriptor
	keys, hashes, records protoreflect.FieldDescriptor
	key, hash, data       protoreflect.FieldDescriptor
}

func newReference(t testing.TB) *reference {
	field := func(name string, number int32, label descriptorpb.FieldDescriptorProto_Label, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: &label, Type: &kind}
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	const (
		optional = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		required = descriptorpb.FieldDescriptorProto_LABEL_REQUIRED
		repeated = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		text     = descriptorpb.FieldDescriptorProto_TYPE_STRING
		number   = descriptorpb.FieldDescriptorProto_TYPE_UINT64
		blob     = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		message  = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("aggregate.proto"), Syntax: new("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("AggregatedRecord"), Field: []*descriptorpb.FieldDescriptorProto{
				field("partition_key_table", 1, repeated, text, ""), field("explicit_hash_key_table", 2, repeated, text, ""),
				field("records", 3, repeated, message, ".Record"),
			}},
			{Name: new("Tag"), Field: []*descriptorpb.FieldDescriptorProto{
				field("key", 1, required, text, ""), field("value", 2, optional, text, ""),
			}},
			{Name: new("Record"), Field: []*descriptorpb.FieldDescriptorProto{
				field("partition_key_index", 1, required, number, ""), field("explicit_hash_key_index", 2, optional, number, ""),
				field("data", 3, required, blob, ""), field("tags", 4, repeated, message, ".Tag"),
			}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	record := file.Messages().ByName("Record").Fields()
	all := file.Messages().ByName("AggregatedRecord")
	return &reference{
		all, all.Fields().ByNumber(1), all.Fields().ByNumber(2), all.Fields().ByNumber(3),
		record.ByNumber(1), record.ByNumber(2), record.ByNumber(3),
	}
}

func (ref *reference) read(message []byte) ([]Record, bool) {
	m := dynamicpb.NewMessage(ref.message)
	if proto.Unmarshal(message, m) != nil {
		return nil, false
	}
	keys, hashes, list := m.Get(ref.keys).List(), m.Get(ref.hashes).List(), m.Get(ref.records).List()
	for i := range hashes.Len() {
		if _, ok := ParseHashKey(hashes.Get(i).String()); !ok {
			return nil, false
		}
	}
	var records []Record
	for i := range list.Len() {
		r := list.Get(i).Message()
		key, hash := r.Get(ref.key).Uint(), r.Get(ref.hash).Uint()
		if key >= uint64(keys.Len()) || r.Has(ref.hash) && hash >= uint64(hashes.Len()) {
			return nil, false
		}
		u := Record{PartitionKey: []byte(keys.Get(int(key)).String()), Data: r.Get(ref.data).Bytes(), SubSequence: i}
		if r.Has(ref.hash) {
			u.ExplicitHashKey = append([]byte{}, hashes.Get(int(hash)).String()...)
		}
		records = append(records, u)
	}
	return records, len(records) > 0
}

// Whatever the protocol buffer is, the reader sees in it what the library for protocol buffers sees.
func FuzzReader(f *testing.F) {
	for _, data := range vectors(f) {
		f.Add(data[len(magic) : len(data)-16])
	}
	for _, message := range []string{
		"\x1a\x04\x08\x00\x1a\x00\x0a\x01k",                             // the table behind its use
		"\x0a\x01k\x1a\x08\x08\x01\x08\x00\x1a\x01x\x1a\x00",            // fields twice
		"\x0a\x01k\x1a\x08\x08\x00\x1a\x00\x22\x02\x0a\x00",             // a tag
		"\x0a\x01k\x23\x08\x01\x24\x1a\x04\x08\x00\x1a\x00",             // a group
		"\x08\x01\x0a\x01k\x1a\x06\x08\x00\x1a\x00\x20\x01",             // kinds that fields do not have
		"\x0a\x01\xff\x1a\x04\x08\x00\x1a\x00",                          // not UTF-8
		"\x0a\x01k\x1a\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", // a long way to say 0
	} {
		f.Add([]byte(message))
	}
	ref := newReference(f)
	var r Reader
	f.Fuzz(func(t *testing.T, message []byte) {
		want, ok := ref.read(message)
		if got := r.Read(wrap(message)); got != ok {
			t.Fatalf("aggregated: %v, by the library %v", got, ok)
		}
		if r.Len() != len(want) {
			t.Fatalf("%d records, by the library %d", r.Len(), len(want))
		}
		n := 0
		for u := range r.Records() {
			w := want[n]
			if !bytes.Equal(u.PartitionKey, w.PartitionKey) || !bytes.Equal(u.Data, w.Data) || u.SubSequence != n ||
				!bytes.Equal(u.ExplicitHashKey, w.ExplicitHashKey) || (u.ExplicitHashKey == nil) != (w.ExplicitHashKey == nil) {
				t.Fatalf("record %d: %+v, by the library %+v", n, u, w)
			}
			n++
		}
		if n != len(want) {
			t.Fatalf("%d records are yielded, there are %d", n, len(want))
		}
		// As a record of its own it is hardly ever an aggregated one; it must not panic.
		r.Read(message)
	})
}
