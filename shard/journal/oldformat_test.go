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
