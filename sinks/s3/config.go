// Package s3 is the sink for Amazon S3 and for object stores that speak its protocol: MinIO, Ceph, R2 and others.
package s3

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config says where the object store is and how to use it.
type Config struct {
	// Endpoint is the address of the store, such as https://s3.eu-central-1.amazonaws.com or
	// http://127.0.0.1:9000. Without a scheme it is https.
	Endpoint string `yaml:"endpoint" env:"ENDPOINT"`

	// AccessKey and SecretKey sign the requests.
	AccessKey string `yaml:"access_key" env:"ACCESS_KEY"`
	SecretKey string `yaml:"secret_key" env:"SECRET_KEY"`

	// SessionToken goes with temporary credentials.
	SessionToken string `yaml:"session_token" env:"SESSION_TOKEN"`

	// Region is the one that requests are signed for, and in which buckets are created. When empty, the
	// endpoint's name or the store tells it.
	Region string `yaml:"region" env:"REGION"`

	// PathStyle puts the bucket's name into the path of the URL (true) or before the host name (false). When
	// not set, Amazon's and Google's endpoints get it before the host name, all others into the path.
	PathStyle *bool `yaml:"path_style" env:"PATH_STYLE"`

	// CAFile is a file with certificates in PEM form that are trusted beside the system's.
	CAFile string `yaml:"ca_file" env:"CA_FILE"`

	// InsecureSkipVerify accepts any certificate. Whoever can reach the connection can then read and change
	// what is delivered.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify" env:"INSECURE_SKIP_VERIFY"`

	// CreateBuckets creates a bucket that is not there when the first object is put into it.
	CreateBuckets bool `yaml:"create_buckets" env:"CREATE_BUCKETS"`

	// Timeout ends an upload that makes no progress for that long: the store neither takes bytes nor answers.
	// Zero means DefaultTimeout.
	Timeout time.Duration `yaml:"timeout" env:"TIMEOUT"`

	// SpoolDir is a directory for the content of objects under way that are larger than SpoolMemory. The
	// directory for temporary files when empty.
	SpoolDir string `yaml:"spool_dir" env:"SPOOL_DIR"`
}

var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// DefaultTimeout is how long an upload may stand still.
const DefaultTimeout = time.Minute

// SpoolMemory is how much of an object under way is held in memory. Larger ones are written to a file in the
// spool directory first, because the protocol wants to know the size before the content.
const SpoolMemory = 4 << 20

// Enabled reports whether an object store is configured at all.
func (c *Config) Enabled() bool { return c.Endpoint != "" }

// Validate returns all that is wrong with the options, by the names they have in the file.
func (c *Config) Validate() error {
	var errs []error
	if _, err := c.endpoint(); err != nil {
		errs = append(errs, err)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		errs = append(errs, errors.New("access_key and secret_key: both have to be set"))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %s is negative", c.Timeout))
	}
	if c.CAFile != "" && c.InsecureSkipVerify {
		errs = append(errs, errors.New("ca_file and insecure_skip_verify: only one of them makes sense"))
	} else if _, err := c.roots(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// endpoint takes the address apart. The result has a scheme and a host, and nothing else.
func (c *Config) endpoint() (*url.URL, error) {
	if c.Endpoint == "" {
		return nil, errors.New("endpoint: has to be set")
	}
	raw := c.Endpoint
	if !schemePattern.MatchString(raw) {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The error of net/url repeats the address, which may hold a password by mistake.
		return nil, errors.New("endpoint: not an address such as https://host or http://host:port")
	case u.User != nil:
		return nil, errors.New("endpoint: no user or password belongs here; use access_key and secret_key")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint: %q starts with neither http:// nor https://", c.Endpoint)
	case u.Hostname() == "":
		return nil, fmt.Errorf("endpoint: %q names no host", c.Endpoint)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("endpoint: %q has more than a host and a port; bucket and prefix are set elsewhere", c.Endpoint)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// String shows the options without the secrets, also for %v and %+v.
func (c Config) String() string {
	return fmt.Sprintf("{endpoint: %s, access_key: %s, region: %s, create_buckets: %t}",
		c.Endpoint, c.AccessKey, c.Region, c.CreateBuckets)
}
