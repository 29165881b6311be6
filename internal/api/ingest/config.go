package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/edge"
)

// Config is what an operator sets for ingestion by HTTP.
type Config struct {
	// MaxBodyBytes is how large a request's body may be, after decompression.
	MaxBodyBytes int `yaml:"max_body_bytes" env:"MAX_BODY_BYTES"`

	// Origins are the sites whose pages may write without a key, where none is needed: on a node without credentials
	// and keys. Pages of this machine always may.
	Origins []string `yaml:"origins" env:"ORIGINS"`

	// Keys are who may write. With any, or with credentials, nobody else may.
	Keys []Key `yaml:"keys" env:"-"`
}

// Key is an API key, and what it is good for.
type Key struct {
	// Name is what the key is called in logs and metrics.
	Name string `yaml:"name"`
	// Key is the secret: 16 to 256 letters, digits and characters of "-._~". SHA256 may be given instead, in
	// hexadecimal, so that the file does not hold the key.
	Key    string `yaml:"key"`
	SHA256 string `yaml:"key_sha256"`
	// Streams are the names of the streams that the key may write to; "*" in a name stands for any characters.
	Streams []string `yaml:"streams"`
	// Origins are the sites whose pages may use the key, as https://shop.example, https://*.shop.example for those
	// below it, or "*" for all. None: no page may, which is for keys that servers use.
	Origins []string `yaml:"origins"`
	// RecordsPerSecond and BytesPerSecond bound what is written with the key; 0 does not.
	RecordsPerSecond int64 `yaml:"records_per_second"`
	BytesPerSecond   int64 `yaml:"bytes_per_second"`
	// Account and Region are where the streams are; the node's own if empty.
	Account string `yaml:"account"`
	Region  string `yaml:"region"`
}

const (
	defaultMaxBodyBytes = 16 << 20
	leastMaxBodyBytes   = 1 << 10
	mostMaxBodyBytes    = 64 << 20

	shortestKey = 16
	longestKey  = 256
	longestName = 64
	maxRate     = 1 << 40
)

// DefaultConfig has no keys.
func DefaultConfig() Config { return Config{MaxBodyBytes: defaultMaxBodyBytes} }

// Validate says everything that is wrong. It never repeats a key.
func (c *Config) Validate() error {
	var problems []error
	if c.MaxBodyBytes < leastMaxBodyBytes || c.MaxBodyBytes > mostMaxBodyBytes {
		problems = append(problems, fmt.Errorf("max_body_bytes: %d, must be from %d to %d", c.MaxBodyBytes, leastMaxBodyBytes, mostMaxBodyBytes))
	}
	if err := edge.ValidateOrigins(c.Origins); err != nil {
		problems = append(problems, fmt.Errorf("origins: %w", err))
	}
	names, secrets := map[string]bool{}, map[digest]bool{}
	for i := range c.Keys {
		k := &c.Keys[i]
		report := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("keys[%d]: "+format, append([]any{i}, args...)...))
		}
		if !isKeyName(k.Name) {
			report("name: %q must have 1 to %d letters, digits and characters of \"-_.\"", k.Name, longestName)
		} else if names[k.Name] {
			report("name: %q is given twice", k.Name)
		}
		names[k.Name] = true
		if secret, err := k.digest(); err != nil {
			report("%w", err)
		} else if secrets[secret] {
			report("the key is given twice")
		} else {
			secrets[secret] = true
		}
		if err := k.validateScope(); err != nil {
			report("%w", err)
		}
	}
	return errors.Join(problems...)
}

func (k *Key) validateScope() error {
	var problems []error
	if len(k.Streams) == 0 {
		problems = append(problems, errors.New(`streams: names are needed, or "*"`))
	}
	for _, pattern := range k.Streams {
		if _, err := path.Match(pattern, ""); err != nil || strings.Trim(pattern, nameCharacters+"*") != "" || pattern == "" {
			problems = append(problems, fmt.Errorf(`streams: %q is no stream's name, with "*" or without`, pattern))
		}
	}
	if err := edge.ValidateOrigins(k.Origins); err != nil {
		problems = append(problems, fmt.Errorf("origins: %w", err))
	}
	for _, rate := range []struct {
		name  string
		value int64
	}{{"records_per_second", k.RecordsPerSecond}, {"bytes_per_second", k.BytesPerSecond}} {
		if rate.value < 0 || rate.value > maxRate {
			problems = append(problems, fmt.Errorf("%s: %d, must be from 0 to %d", rate.name, rate.value, int64(maxRate)))
		}
	}
	if k.Account != "" && (len(k.Account) != 12 || strings.Trim(k.Account, "0123456789") != "") {
		problems = append(problems, fmt.Errorf("account: %q is not twelve digits", k.Account))
	}
	if len(k.Region) > 32 || strings.Trim(k.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		problems = append(problems, fmt.Errorf("region: %q is not a region's name", k.Region))
	}
	return errors.Join(problems...)
}

const (
	alphanumeric   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	nameCharacters = alphanumeric + "_.-"  // of streams, and of keys' names
	keyCharacters  = alphanumeric + "-._~" // they need no escape in a URL
)

func isKeyName(name string) bool {
	return name != "" && len(name) <= longestName && strings.Trim(name, nameCharacters) == ""
}

// digest is the SHA-256 of the key.
func (k *Key) digest() (digest, error) {
	if (k.Key == "") == (k.SHA256 == "") {
		return digest{}, errors.New("one of key and key_sha256 is needed")
	}
	if k.Key != "" {
		if len(k.Key) < shortestKey || len(k.Key) > longestKey || strings.Trim(k.Key, keyCharacters) != "" {
			return digest{}, fmt.Errorf("key: it must have %d to %d letters, digits and characters of \"-._~\"", shortestKey, longestKey)
		}
		return digestOf(k.Key), nil
	}
	var d digest
	if n, err := hex.Decode(d[:], []byte(k.SHA256[:min(len(k.SHA256), 2*len(d))])); err != nil || n != len(d) || len(k.SHA256) != 2*len(d) {
		return digest{}, errors.New("key_sha256: it must be the key's SHA-256 in 64 hexadecimal digits")
	}
	return d, nil
}
