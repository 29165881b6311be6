package firehose

import (
	"fmt"
	"runtime"
)

// Config holds what may be tuned. The zero value of a field means its default.
type Config struct {
	// Uploads is how many objects are encoded and uploaded at once, over all delivery streams; those that
	// are slow or failing have four times as many places beside. No more are encoded at a time than there are
	// CPUs. Default: the number of CPUs in use.
	Uploads int `yaml:"uploads" env:"UPLOADS"`
	// OpenObjects is how many objects of one delivery stream may be decided on and not yet in their bucket.
	// Whatever is waiting behind them stays in the log. Default 4.
	OpenObjects int `yaml:"open_objects" env:"OPEN_OBJECTS"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Uploads == 0 {
		c.Uploads = runtime.GOMAXPROCS(0)
	}
	if c.OpenObjects == 0 {
		c.OpenObjects = 4
	}
	return c
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Uploads < 0 || c.Uploads > 1024 {
		return fmt.Errorf("uploads: %d is not between 1 and 1024", c.Uploads)
	}
	if c.OpenObjects < 0 || c.OpenObjects > 64 {
		return fmt.Errorf("open_objects: %d is not between 1 and 64", c.OpenObjects)
	}
	return nil
}
