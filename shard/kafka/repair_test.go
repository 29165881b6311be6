package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// sealAs seals a batch with other attributes than ours have.
func sealAs(w *batchWriter, attrs int16) []byte {
	b := w.seal(-1, -1, -1)
	binary.BigEndian.PutUint16(b[attrsAt:], uint16(attrs))
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attrsAt:], castagnoli))
	return b
}

// repaired gives a batch the length and the checksum that it should have.
func repaired(set []byte) []byte {
	set = bytes.Clone(set)
	if len(set) >= batchHeaderBytes {
		set[magicAt] = 2
		length := int(binary.BigEndian.Uint32(set[8:])) + 12
		if length < batchHeaderBytes || length > len(set) {
			length = len(set)
			binary.BigEndian.PutUint32(set[8:], uint32(length-12))
		}
		binary.BigEndian.PutUint32(set[crcAt:], crc32.Checksum(set[attrsAt:length], castagnoli))
	}
	return set
}
