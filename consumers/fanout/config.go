package fanout

import "fmt"

// Config is what an operator sets for consumers.
type Config struct {
	// ConsumerQuota is how many consumers may be registered with one stream; 0 for any number. AWS allows 20.
	ConsumerQuota int `yaml:"consumer_quota" env:"CONSUMER_QUOTA"`
}

// DefaultConfig has AWS's quota.
func DefaultConfig() Config { return Config{ConsumerQuota: 20} }

// Validate says what is wrong.
func (c *Config) Validate() error {
	if c.ConsumerQuota < 0 {
		return fmt.Errorf("consumer_quota: %d, must be 0 or more", c.ConsumerQuota)
	}
	return nil
}
