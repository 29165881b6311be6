package journal

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/seed-462d9463/sluice/shard"
)

// Where segments are. Logs whose ids are next to each other share a directory: one for each would make a start read,
// and a checkpoint sync, as many directories as there are logs.
const (
	shardsDir        = "shards"
	logsPerDir       = 64
	segmentSuffix    = ".seg"
	compressedSuffix = ".segz"
)

// dirOf returns the number of the directory that a log's segments are in.
func dirOf(id uint64) uint64 { return id / logsPerDir }

func dirName(n uint64) string { return path.Join(shardsDir, strconv.FormatUint(n, 10)) }

func logDir(id uint64) string { return dirName(dirOf(id)) }

func segmentName(id uint64, base shard.Offset) string {
	return path.Join(logDir(id), fmt.Sprintf("%d-%020d%s", id, base, segmentSuffix))
}

func compressedName(id uint64, base shard.Offset) string {
	return path.Join(logDir(id), fmt.Sprintf("%d-%020d%s", id, base, compressedSuffix))
}

// parseSegmentName tells which segment a file in a directory of segments is; not ok if it is none.
func parseSegmentName(name string) (key fileKey, ok bool) {
	rest, compressed := strings.CutSuffix(name, compressedSuffix)
	if !compressed {
		if rest, ok = strings.CutSuffix(name, segmentSuffix); !ok {
			return fileKey{}, false
		}
	}
	number, digits, ok := strings.Cut(rest, "-")
	if !ok || len(digits) != 20 {
		return fileKey{}, false
	}
	id, ok := parseNumber(number)
	if !ok {
		return fileKey{}, false
	}
	base, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return fileKey{}, false
	}
	return fileKey{id, shard.Offset(base), compressed}, true
}

// parseNumber parses a number as dirName and segmentName write it, and no other way: or a file would be taken for one
// that is missing.
func parseNumber(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && (s[0] != '0' || s == "0")
}
