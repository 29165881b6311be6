package file

import (
	"fmt"
	"strings"

	"github.com/seed-462d9463/sluice/sinks"
)

// maxName is the longest file name that the usual file systems take, in bytes.
const maxName = 255

// Path tells where in the bucket's directory the object with this key is: '/' separates its parts, on every
// system. Ordinary keys are their own paths. What a file system would not keep as it is, is escaped:
//
//	%           is written %25
//	.  and  ..  as a whole part are written %2E and %2E%2E
//	an empty part (from a '/' at either end, or two in a row) is written % alone
//
// So the path is never empty, absolute or one that leaves the directory, two keys never share a path, and the
// key is found again by splitting at '/' and then undoing the percent-encoding of each part. A key with a part
// that is longer than 255 bytes when escaped is refused with sinks.ErrInvalidKey.
func Path(key string) (string, error) {
	if err := sinks.CheckKey(key); err != nil {
		return "", err
	}
	parts := strings.Split(key, "/")
	for i, part := range parts {
		switch part {
		case "":
			part = "%"
		case ".":
			part = "%2E"
		case "..":
			part = "%2E%2E"
		default:
			part = strings.ReplaceAll(part, "%", "%25")
		}
		if len(part) > maxName {
			return "", sinks.Permanent(fmt.Errorf("%w: a part of it is %d bytes long as a file name, at most %d are allowed",
				sinks.ErrInvalidKey, len(part), maxName))
		}
		parts[i] = part
	}
	return strings.Join(parts, "/"), nil
}
