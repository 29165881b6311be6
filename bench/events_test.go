package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestTheNumbersOfAnEventsRecordsAreFound(t *testing.T) {
	event := []byte(`{"Records":[`)
	want := []int{0, 7, 1 << 40}
	for _, n := range want {
		data := binary.BigEndian.AppendUint64(nil, uint64(n))
		event = fmt.Appendf(event, `{"SequenceNumber":"1","Data":%q,"PartitionKey":"k"},`,
			base64.StdEncoding.EncodeToString(append(data, "what follows"...)))
	}
	for _, n := range want {
		i, rest, err := nextIndex(event)
		if err != nil || i != n {
			t.Fatalf("found %d, %v, want %d", i, err, n)
		}
		event = rest
	}
	if i, _, err := nextIndex(event); i >= 0 || err != nil {
		t.Errorf("behind the last: %d, %v", i, err)
	}
	if _, _, err := nextIndex([]byte(`"Data":"AAA`)); err == nil {
		t.Error("data that are cut off are taken")
	}
}
