package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard/kafka"
)

func load(t *testing.T, yaml string, environment map[string]string) (Config, error) {
	t.Helper()
	file := ""
	if yaml != "" {
		file = filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(Default(), file, environment)
}

func TestWithoutAnySettingTheDefaultsAreValid(t *testing.T) {
	c, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Error(diff)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if warnings := c.Warnings(); len(warnings) != 0 {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestTheEnvironmentStandsOverTheFile(t *testing.T) {
	c, err := load(t, `
# what an operator would write
listen: 127.0.0.1:1
admin: 127.0.0.1:2
region: eu-central-1
shutdown_grace: 3s
limits: off
streams:
  clicks: {limits: aws, write_records: 5}
firehose: {uploads: 7}
log: {journal_files: 3}
logging: {level: debug, format: json}
s3: {endpoint: "https://store", access_key: a, secret_key: b, path_style: true}
credentials:
  - {access_key_id: file, secret_access_key: one}
  - {access_key_id: other, secret_access_key: two, account: "123456789012"}
`, map[string]string{
		"SLUICE_ADMIN": "127.0.0.1:3", "SLUICE_LIMITS": "aws", "SLUICE_LOGGING_LEVEL": "warn",
		"SLUICE_FIREHOSE_UPLOADS": "9", "SLUICE_LOG_JOURNAL_FILES": "5", "SLUICE_S3_ENDPOINT": "http://there:9000",
		"SLUICE_S3_TIMEOUT": "7s", "SLUICE_ACCESS_KEY_ID": "file", "SLUICE_SECRET_ACCESS_KEY": "from the environment",
		"LISTEN": "not ours",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	want := Default()
	want.Listen, want.Admin, want.Region, want.ShutdownGrace = "127.0.0.1:1", "127.0.0.1:3", "eu-central-1", 3*time.Second
	want.Logging = LoggingConfig{Level: "warn", Format: "json"}
	want.Credentials = []Credential{
		{AccessKeyID: "file", SecretAccessKey: "from the environment"},
		{AccessKeyID: "other", SecretAccessKey: "two", Account: "123456789012"},
	}
	five, yes := 5, true
	want.Streams.Streams = c.Streams.Streams
	want.Firehose.Uploads, want.Log.Embedded.JournalFiles = 9, 5
	want.Buckets.S3.Endpoint, want.Buckets.S3.AccessKey, want.Buckets.S3.SecretKey = "http://there:9000", "a", "b"
	want.Buckets.S3.PathStyle, want.Buckets.S3.Timeout = &yes, 7*time.Second
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if got := c.Streams.Streams["clicks"]; got.Limits != "aws" || !reflect.DeepEqual(got.WriteRecords, &five) {
		t.Errorf("the stream's own settings: %+v", got)
	}
}

func TestMistakesInTheFileAreToldWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"an unknown key", "listen: a:1\nlisten_address: b:2\n", `sluice.yaml:2: there is no setting "listen_address" here`},
		{"an unknown key inside", "logging:\n  level: info\n  tint: red\n", `sluice.yaml:3: there is no setting "tint" here`},
		{"an unknown key of a stream", "streams:\n  a:\n    limit: off\n", `sluice.yaml:3: there is no setting "limit" here`},
		{"a key twice", "data: a\nadmin: b\ndata: c\n", `sluice.yaml:3: "data" is set already in line 1`},
		{"a wrong kind", "region: r\nlog:\n  journal_files: many\n", `sluice.yaml:3: "many" is not a whole number`},
		{"a duration without a unit", "log:\n  scrub_interval: 0\n", `sluice.yaml:2: "0" is not a duration like 30s or 1h30m`},
		{"a wrong duration", "\nshutdown_grace: soon\n", `sluice.yaml:2: "soon" is not a duration like 30s or 1h30m`},
		{"broken YAML", "listen: [\n", "sluice.yaml:"},
		{"two documents", "listen: a:1\n---\nlisten: b:2\n", "sluice.yaml:2: a second document"},
		{"two mistakes", "one: 1\ntwo: 2\n", "sluice.yaml:2: there is no setting \"two\" here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.yaml, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAFileOfCommentsSetsNothing(t *testing.T) {
	c, err := load(t, "# nothing here\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInTheEnvironmentNameTheVariable(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"SLUICE_SHUTDOWN_GRACE", "soon", `: "soon" is not a duration like 30s or 1h30m`},
		{"SLUICE_LOG_JOURNAL_FILES", "many", `: "many" is not a whole number`},
		{"SLUICE_RETENTION_BYTES", "1 GB", `: "1 GB" is not a whole number`},
		{"SLUICE_S3_PATH_STYLE", "perhaps", `: "perhaps" is not true or false`},
		{"SLUICE_TLS_SELF_SIGNED", "maybe", `: "maybe" is not true or false`},
		{"SLUICE_ACCESS_KEY_ID", "alone", ""},
	} {
		_, err := load(t, "", map[string]string{c.variable: c.value})
		if err == nil || !strings.Contains(err.Error(), c.variable+c.want) {
			t.Errorf("%s=%s: %v", c.variable, c.value, err)
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // empty: valid
	}{
		{"localhost", func(c *Config) { c.Listen = "localhost:0" }, ""},
		{"IPv6 loopback", func(c *Config) { c.Listen = "[::1]:0" }, ""},
		{"all interfaces without credentials", func(c *Config) { c.Listen = ":4566" }, "SLUICE_ACCESS_KEY_ID"},
		{"another address without credentials", func(c *Config) { c.Listen = "192.0.2.1:4566" }, "no credentials are set"},
		{"IPv6 any without credentials", func(c *Config) { c.Listen = "[::]:4566" }, "no credentials are set"},
		{"all interfaces with credentials", func(c *Config) {
			c.Listen, c.Credentials = "0.0.0.0:4566", []Credential{{AccessKeyID: "a", SecretAccessKey: "b"}}
		}, ""},
		{"admin on all interfaces", func(c *Config) { c.Admin = "0.0.0.0:4567" }, ""},
		{"no port", func(c *Config) { c.Listen = "127.0.0.1" }, "listen:"},
		{"no admin port", func(c *Config) { c.Admin = "127.0.0.1" }, "admin:"},
		{"one address for both", func(c *Config) { c.Listen, c.Admin = "127.0.0.1:80", "127.0.0.1:80" }, "admin: 127.0.0.1:80 and listen: 127.0.0.1:80 overlap"},
		{"one of all addresses for both", func(c *Config) { c.Listen, c.Admin = "127.0.0.1:80", ":80" }, "admin: :80 and listen: 127.0.0.1:80 overlap"},
		{"any port for both", func(c *Config) { c.Listen, c.Admin = "127.0.0.1:0", "127.0.0.1:0" }, ""},
		{"half a key pair", func(c *Config) { c.Credentials = []Credential{{AccessKeyID: "a"}} }, "credentials[0]"},
		{"a key twice", func(c *Config) {
			c.Credentials = []Credential{{AccessKeyID: "a", SecretAccessKey: "b"}, {AccessKeyID: "a", SecretAccessKey: "c"}}
		}, "credentials[1]: access_key_id \"a\" is given twice"},
		{"a pair's account", func(c *Config) {
			c.Credentials = []Credential{{AccessKeyID: "a", SecretAccessKey: "b", Account: "me"}}
		}, "twelve digits"},
		{"account", func(c *Config) { c.Account = "1" }, "account:"},
		{"region", func(c *Config) { c.Region = "Middle Earth" }, "region:"},
		{"no data", func(c *Config) { c.Data = "" }, "data:"},
		{"log engine", func(c *Config) { c.Log.Engine = "paper" }, `log: engine: "paper", must be "embedded" or "kafka"`},
		{"Kafka", func(c *Config) { c.Log.Engine = "kafka" }, ""},
		{"no broker", func(c *Config) { c.Log.Engine, c.Log.Kafka.Brokers = "kafka", nil }, "log: kafka: brokers"},
		{"Kafka's settings without Kafka", func(c *Config) { c.Log.Kafka.Replication = -1 }, "log: kafka: replication"},
		{"log level", func(c *Config) { c.Logging.Level = "loud" }, "logging.level"},
		{"log format", func(c *Config) { c.Logging.Format = "xml" }, "logging.format"},
		{"grace", func(c *Config) { c.ShutdownGrace = -1 }, "shutdown_grace"},
		{"limits", func(c *Config) { c.Streams.Limits = "none" }, "limits:"},
		{"engine", func(c *Config) { c.Log.Embedded.JournalFiles = 1 }, "log: journal_files"},
		{"firehose", func(c *Config) { c.Firehose.Uploads = -1 }, "firehose: uploads"},
		{"keys without a store", func(c *Config) { c.Buckets.S3.AccessKey = "a" }, "s3:"},
		{"a store without keys", func(c *Config) { c.Buckets.S3.Endpoint = "http://a" }, "s3: access_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Default()
			c.change(&config)
			err := config.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

func TestAddressesThatOthersReachAreWarnedAbout(t *testing.T) {
	c := Default()
	c.Listen, c.Admin = "0.0.0.0:0", "0.0.0.0:0"
	if got := c.Warnings(); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestSettingsOfAnEngineThatIsNotInUseAreWarnedAbout(t *testing.T) {
	c := Default()
	c.Log.Kafka.TopicPrefix = "p"
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0], "without engine: kafka") {
		t.Errorf("%q", got)
	}
	c.Log.Engine = "kafka"
	if got := c.Warnings(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	c.Log.Embedded.JournalFiles++
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0], "with engine: kafka") {
		t.Errorf("%q", got)
	}
}

func TestKafkaIsConfiguredByFileAndEnvironment(t *testing.T) {
	c, err := load(t, `
log:
  engine: kafka
  kafka:
    brokers: [one:9092, "two:9093"]
    topic_prefix: first.
    tls: {enabled: true, ca_file: /ca.pem}
    sasl: {mechanism: plain, user: sluice}
`, map[string]string{
		"SLUICE_LOG_KAFKA_BROKERS": "three:9094,four:9095", "SLUICE_LOG_KAFKA_SASL_MECHANISM": "scram-sha-512",
		"SLUICE_LOG_KAFKA_SASL_PASSWORD": "secret", "SLUICE_LOG_KAFKA_TLS_SERVER_NAME": "kafka.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := kafka.DefaultConfig()
	want.Brokers, want.TopicPrefix = []string{"three:9094", "four:9095"}, "first."
	want.TLS = kafka.TLSConfig{Enabled: true, CAFile: "/ca.pem", ServerName: "kafka.example"}
	want.SASL = kafka.SASLConfig{Mechanism: "scram-sha-512", User: "sluice", Password: "secret"}
	if diff := cmp.Diff(LogConfig{"kafka", Default().Log.Embedded, want}, c.Log); diff != "" {
		t.Error(diff)
	}
	told := c.RecordsIn()
	for _, part := range []string{"three:9094, four:9095", "first.", "TLS", "sluice", "scram-sha-512"} {
		if !strings.Contains(told, part) {
			t.Errorf("%q does not mention %s", told, part)
		}
	}
	if strings.Contains(told, "secret") {
		t.Errorf("%q tells the password", told)
	}
}

func TestTheExampleForKafkaIsRight(t *testing.T) {
	c, err := Load(Default(), filepath.Join("..", "..", "deploy", "kafka", "sluice.yaml"),
		map[string]string{"SLUICE_LOG_KAFKA_SASL_PASSWORD": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "log: kafka: tls: ca_file: open /etc/sluice/kafka-ca.pem") {
		t.Errorf("%v, and no word of the file with certificates, which is not there", err)
	}
	c.Log.Kafka.TLS.CAFile = ""
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if warnings := c.Warnings(); c.Log.Engine != engineKafka || len(warnings) != 0 {
		t.Errorf("engine %s, warnings %q", c.Log.Engine, warnings)
	}
}

func TestVariablesThatAreNoSettingAreFound(t *testing.T) {
	environment := map[string]string{
		"SLUICE_LISTN": "x", "SLUICE_LISTEN": "x", "SLUICE_CONFIG": "x", "SLUICE_S3_ENDPOINT": "x", "PATH": "x", "SLUICE_PORT": "4566",
	}
	if diff := cmp.Diff([]string{"SLUICE_LISTN", "SLUICE_PORT"}, UnknownVariables(environment)); diff != "" {
		t.Error(diff)
	}
	for _, service := range []string{"SERVICE_", "ADMIN_", ""} { // as Kubernetes sets them for services "sluice-service" and so on
		for name, value := range map[string]string{
			"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "4566", "SERVICE_PORT_API": "4566", "PORT": "tcp://10.0.0.1:4566",
			"PORT_4566_TCP": "tcp://10.0.0.1:4566", "PORT_4566_TCP_ADDR": "10.0.0.1",
		} {
			environment[EnvPrefix+service+name] = value
		}
		want := []string{"SLUICE_LISTN", "SLUICE_PORT"}
		if service == "" {
			want = want[:1]
		}
		if diff := cmp.Diff(want, UnknownVariables(environment)); diff != "" {
			t.Errorf("with service %q: %s", service, diff)
		}
	}
}

func TestEverySettingIsInTheReference(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	reference := string(page)
	var c Config
	fields, err := env.GetFieldParamsWithOptions(&c, env.Options{Environment: map[string]string{}, Prefix: EnvPrefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if !strings.Contains(reference, "`"+f.Key+"`") {
			t.Errorf("docs/configuration.md does not have the variable %s", f.Key)
		}
	}
	for _, key := range yamlKeys(reflect.TypeOf(c), "") {
		if !strings.Contains(reference, "`"+key+"`") {
			t.Errorf("docs/configuration.md does not have the setting %s", key)
		}
	}
}

// yamlKeys lists the settings of a file by their paths.
func yamlKeys(of reflect.Type, path string) (keys []string) {
	for field := range of.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		inner := field.Type
		switch {
		case name == "-":
			continue
		case options == "inline":
			keys = append(keys, yamlKeys(inner, path)...)
			continue
		}
		switch inner.Kind() {
		case reflect.Struct:
			keys = append(keys, yamlKeys(inner, path+name+".")...)
		case reflect.Map:
			if inner.Elem().Kind() != reflect.Struct {
				keys = append(keys, path+name)
				continue
			}
			keys = append(keys, yamlKeys(inner.Elem(), path+name+".NAME.")...)
		case reflect.Slice:
			if inner.Elem().Kind() != reflect.Struct {
				keys = append(keys, path+name)
				continue
			}
			keys = append(keys, yamlKeys(inner.Elem(), path+name+"[].")...)
		default:
			keys = append(keys, path+name)
		}
	}
	return keys
}

func TestPasswordForKafkaThatCanBeReadOnTheWayIsWarnedAbout(t *testing.T) {
	c := Default()
	c.Log.Engine = "kafka"
	c.Log.Kafka.SASL = kafka.SASLConfig{Mechanism: "plain", User: "u", Password: "secret"}
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0], "can be read") || strings.Contains(got[0], "secret") {
		t.Errorf("%q", got)
	}
	c.Log.Kafka.TLS.Enabled = true
	if got := c.Warnings(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
