//go:build !linux

package worker

import "errors"

func memory() (free, total int64, err error) {
	return 0, 0, errors.New("the page cache can be filled on Linux only")
}
