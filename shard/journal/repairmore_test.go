package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestRepairLosesNothingOfABlockOfWhichOnlyTheHeaderIsDamaged(t *testing.T) {
	mem, values := compressedDir(t, 120)
	name := "/data/" + compressedName(1, 0)
	for pos := int64(segmentHeaderBytes); pos < segmentHeaderBytes+blockHeaderBytes; pos++ {
		left := mem.CrashClone(0)
		flip(t, left, name, pos)
		plan, err := Repair(repairOptions(left), agree)
		if err != nil || len(plan.Damage) == 0 || len(plan.Lost) > 0 {
			t.Fatalf("byte %d: %+v, %v", pos, plan, err)
		}
		e := mustOpen(t, harmOptions(left))
		wantValues(t, e, "a", values)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestABlockInARecordHidesNoneThatFollow: anybody can put what looks like a block's header into a record.
func TestABlockInARecordHidesNoneThatFollow(t *testing.T) {
	forged := make([]byte, blockHeaderBytes)
	(&blockHeader{stored: 1 << 20, decoded: 1 << 20, pos: segmentHeaderBytes, base: 1}).put(forged)
	file, pos := bytes.Repeat([]byte{0}, segmentHeaderBytes), int64(segmentHeaderBytes)
	bodies := [][]byte{sampleFrame(), append(sampleFrame(), forged...), sampleFrame(), sampleFrame()}
	var second int
	for i, frames := range bodies {
		if i == 1 {
			second = len(file)
		}
		n := int64(len(frames))
		h := blockHeader{stored: n, decoded: n, sum: crc32.Checksum(frames, castagnoli), pos: pos, base: shard.Offset(i)}
		head := make([]byte, blockHeaderBytes)
		h.put(head)
		file, pos = append(append(file, head...), frames...), pos+n
	}
	file[second+20] ^= 1
	var got [][]byte
	err := eachBlock(bytes.NewReader(file), int64(len(file)), segmentHeaderBytes, func(h *blockHeader, _ int64, frames []byte) {
		got = append(got, bytes.Clone(frames))
	}, func(int64, error) {})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got); n < 3 || !bytes.Equal(got[0], bodies[0]) || !bytes.Equal(got[n-2], bodies[2]) || !bytes.Equal(got[n-1], bodies[3]) {
		t.Fatalf("%d blocks: %q", len(got), got)
	}
}

func TestRepairLeavesStrangeJournalFilesAlone(t *testing.T) {
	mem, _ := compressedDir(t, 120)
	for _, name := range []string{"0017.j", "99999999999999.j", "abc.j"} {
		if err := writeFile(mem, "/data/journal", name, make([]byte, blockBytes)); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := Repair(repairOptions(mem), agree)
	if err != nil || !plan.Sound() {
		t.Fatalf("%+v, %v", plan, err)
	}
}

func TestARepairThatHasNoRoomForTheOriginalsChangesNothing(t *testing.T) {
	mem, _ := compressedDir(t, 120)
	flip(t, mem, "/data/"+compressedName(1, 0), 100)
	full := vfs.Inject(mem)
	full.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, compressedSuffix) {
			return fmt.Errorf("write: %w", syscall.ENOSPC)
		}
		return nil
	})
	if _, err := Repair(repairOptions(full), agree); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	names, err := mem.List("/data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "repair-") || name == repairName {
			t.Errorf("%s is there", name)
		}
	}
}

func TestRepairWritesSegmentsWhereFormatIsMissing(t *testing.T) {
	mem, values := compressedDir(t, 120)
	flip(t, mem, "/data/"+compressedName(1, 0), segmentHeaderBytes+20)
	if err := mem.Remove("/data/" + formatName); err != nil {
		t.Fatal(err)
	}
	if plan, err := Repair(repairOptions(mem), agree); err != nil || len(plan.Made) == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	e := mustOpen(t, harmOptions(mem))
	defer e.Close()
	wantValues(t, e, "a", values)
}
