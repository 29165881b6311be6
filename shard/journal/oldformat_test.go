package journal

import (
	"errors"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
)

func TestADirectoryOfAnEarlierFormatIsLeftAlone(t *testing.T) {
	s := buildSmall(t, true)
	mem := s.mem.CrashClone(0)
	f, err := mem.Open("/data/FORMAT", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("1"), int64(len("sluice-journal "))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	var damage *shard.CorruptError
	e, err := Open(harmOptions(mem))
	if err == nil {
		err = e.Close()
	}
	if !errors.Is(err, errOldFormat) || errors.As(err, &damage) {
		t.Errorf("open: %v", err)
	}
	if _, err := Repair(repairOptions(mem), agree); !errors.Is(err, errOldFormat) {
		t.Errorf("repair: %v", err)
	}
}

// Its batches are no valid ones to this version, but data.
func TestADirectoryOfAnEarlierFormatIsLeftAloneWithoutItsFormat(t *testing.T) {
	mem, _, found := journalOnly(t, 3, 0)
	f, err := mem.Open("/data/journal/0000.j", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found {
		if _, err := f.WriteAt([]byte{1, 0}, b.pos+8); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close(), mem.Remove("/data/FORMAT")); err != nil {
		t.Fatal(err)
	}
	e, err := openTiny(mem)
	if err == nil {
		err = e.Close()
	}
	var damage *shard.CorruptError
	if !errors.As(err, &damage) || damage.File != "/data/FORMAT" {
		t.Errorf("open: %v, want that FORMAT is missing", err)
	}
	if _, err := Repair(repairOptions(mem), agree); !errors.Is(err, errOldFormat) {
		t.Errorf("repair: %v", err)
	}
}
