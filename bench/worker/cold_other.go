//go:build !linux

package worker

import "errors"

func forget(string) error {
	return errors.New("what is in the page cache can be told to go on Linux only")
}
