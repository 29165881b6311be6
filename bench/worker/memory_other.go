//go:build !linux

package worker

import "errors"

func memory() (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }
