// Package all chooses among the sinks that Sluice has.
package all

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/file"
	"github.com/seed-462d9463/sluice/sinks/s3"
)

// Config says where buckets are.
type Config struct {
	// DataDir is Sluice's data directory. Buckets are directories below its subdirectory "buckets", unless an
	// object store is configured.
	DataDir string `yaml:"-" env:"-"`

	// S3 is the object store that buckets are in if its endpoint is set. Objects under way are spooled below
	// DataDir unless it says otherwise.
	S3 s3.Config `yaml:"s3" envPrefix:"S3_"`
}

// Validate returns what is wrong with the options.
func (c *Config) Validate() error {
	if c.S3.Enabled() {
		if err := c.S3.Validate(); err != nil {
			return fmt.Errorf("s3: %w", err)
		}
		return nil
	}
	if c.DataDir == "" {
		return errors.New("s3: endpoint has to be set where there is no data directory")
	}
	// Someone who sets keys wants them to be used.
	if c.S3.AccessKey != "" || c.S3.SecretKey != "" {
		return errors.New("s3: access_key and secret_key are set, but endpoint is not")
	}
	return nil
}

// BucketsDir is the directory of buckets when no object store is configured.
func (c *Config) BucketsDir() string { return filepath.Join(c.DataDir, "buckets") }

// Open returns the opener of the configured kind. The caller closes it.
func Open(config Config) (sinks.OpenCloser, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if !config.S3.Enabled() {
		opener, err := file.New(config.BucketsDir())
		if err != nil {
			return nil, err
		}
		return nothingToClose{opener}, nil
	}
	if config.S3.SpoolDir == "" && config.DataDir != "" {
		config.S3.SpoolDir = filepath.Join(config.DataDir, "spool")
	}
	return s3.New(config.S3)
}

// nothingToClose is an opener that holds nothing.
type nothingToClose struct{ sinks.Opener }

func (nothingToClose) Close() error { return nil }
