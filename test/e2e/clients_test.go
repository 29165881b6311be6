package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func awsEnv() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_DEFAULT_REGION=" + region,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
}

func TestUnmodifiedBoto3DrivesEveryOperation(t *testing.T) {
	python := tool(t, "venv/bin/python")
	onEachEngine(t, func(t *testing.T, e engine) {
		s := e.startServer(t)
		t.Log(run(t, awsEnv(), python, "clients/boto3_all.py", s.endpoint(), s.buckets()))
	})
}

// cli is the AWS CLI on a server, in one process for all of its commands.
type cli struct {
	t      *testing.T
	server *server
	in     io.Writer
	out    *bufio.Reader
}

func startCLI(t *testing.T, s *server) cli {
	t.Helper()
	in, out := converser(t, place{endpoint: s.endpoint(), region: region}, []string{"AWS_PAGER="}, tool(t, "venv/bin/python"), "clients/python/cli_client.py")
	t.Log(hear[reply](t, out).Ready)
	return cli{t, s, in, out}
}

// printed is what a command came to.
type printed struct {
	Code        int
	Out, Errors string
}

func (c cli) run(args ...string) printed {
	c.t.Helper()
	tell(c.t, c.in, args)
	return hear[printed](c.t, c.out)
}

// do runs a command that must succeed, and returns its JSON answer.
func (c cli) do(args ...string) object {
	c.t.Helper()
	p := c.run(append(args, "--output", "json")...)
	if p.Code != 0 {
		c.t.Fatalf("aws %s: exit code %d\n%s", strings.Join(args, " "), p.Code, p.Errors)
	}
	answer := object{}
	if strings.TrimSpace(p.Out) != "" {
		if err := json.Unmarshal([]byte(p.Out), &answer); err != nil {
			c.t.Fatalf("aws %s printed %q", strings.Join(args, " "), p.Out)
		}
	}
	return answer
}

// refused runs a command that must fail, and mention code.
func (c cli) refused(code string, args ...string) {
	c.t.Helper()
	if p := c.run(args...); p.Code == 0 || !strings.Contains(p.Errors, code) {
		c.t.Errorf("aws %s: want %s, got exit code %d\n%s", strings.Join(args, " "), code, p.Code, p.Errors)
	}
}

func TestUnmodifiedAWSCLIDrivesEveryOperation(t *testing.T) {
	c := startCLI(t, startServer(t))

	c.do("kinesis", "create-stream", "--stream-name", "cli", "--shard-count", "1")
	c.do("kinesis", "wait", "stream-exists", "--stream-name", "cli")
	description := c.do("kinesis", "describe-stream", "--stream-name", "cli")["StreamDescription"].(map[string]any)
	arn := description["StreamARN"].(string)
	if want := "arn:aws:kinesis:" + region + ":" + account + ":stream/cli"; arn != want {
		t.Errorf("StreamARN %s, want %s", arn, want)
	}
	summary := c.do("kinesis", "describe-stream-summary", "--stream-arn", arn)["StreamDescriptionSummary"].(map[string]any)
	if summary["OpenShardCount"].(float64) != 1 {
		t.Errorf("summary %v", summary)
	}
	if names := c.do("kinesis", "list-streams")["StreamNames"].([]any); len(names) != 1 {
		t.Errorf("streams %v", names)
	}
	shard := c.do("kinesis", "list-shards", "--stream-name", "cli")["Shards"].([]any)[0].(map[string]any)["ShardId"].(string)
	// Version 1 of the CLI, which pip installs, takes data as it is.
	first := c.do("kinesis", "put-record", "--stream-name", "cli", "--partition-key", "k", "--data", "one")
	c.do("kinesis", "put-records", "--stream-name", "cli", "--records",
		`[{"Data":"two","PartitionKey":"a"},{"Data":"three","PartitionKey":"b"}]`)
	for _, start := range []struct {
		kind string
		more []string
		want int
	}{
		{"TRIM_HORIZON", nil, 3},
		{"LATEST", nil, 0},
		{"AT_SEQUENCE_NUMBER", []string{"--starting-sequence-number", first["SequenceNumber"].(string)}, 3},
		{"AFTER_SEQUENCE_NUMBER", []string{"--starting-sequence-number", first["SequenceNumber"].(string)}, 2},
		{"AT_TIMESTAMP", []string{"--timestamp", "2020-01-01T00:00:00Z"}, 3},
	} {
		args := append([]string{
			"kinesis", "get-shard-iterator", "--stream-name", "cli", "--shard-id", shard, "--shard-iterator-type", start.kind,
		}, start.more...)
		iterator := c.do(args...)["ShardIterator"].(string)
		if got := c.do("kinesis", "get-records", "--shard-iterator", iterator)["Records"].([]any); len(got) != start.want {
			t.Errorf("%s: %d records, want %d", start.kind, len(got), start.want)
		}
	}
	c.refused("ResourceNotFoundException", "kinesis", "describe-stream", "--stream-name", "nowhere")

	c.control(arn)
	c.delivery()

	c.do("kinesis", "delete-stream", "--stream-name", "cli", "--enforce-consumer-deletion")
	c.do("kinesis", "wait", "stream-not-exists", "--stream-name", "cli")
}

// control runs what changes a stream, as one types it.
func (c cli) control(arn string) {
	c.t.Helper()
	t := c.t
	c.do("kinesis", "add-tags-to-stream", "--stream-name", "cli", "--tags", "team=web,stage=test")
	c.do("kinesis", "tag-resource", "--resource-arn", arn, "--tags", "owner=me")
	c.do("kinesis", "remove-tags-from-stream", "--stream-name", "cli", "--tag-keys", "stage")
	c.do("kinesis", "untag-resource", "--resource-arn", arn, "--tag-keys", "owner")
	check(t, get[string](t, c.do("kinesis", "list-tags-for-stream", "--stream-name", "cli"), "Tags", 0, "Value"), "web")
	check(t, get[string](t, c.do("kinesis", "list-tags-for-resource", "--resource-arn", arn), "Tags", 0, "Key"), "team")

	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"read","Effect":"Allow","Principal":{"AWS":"111122223333"},` +
		`"Action":["kinesis:DescribeStreamSummary","kinesis:GetRecords"],"Resource":"` + arn + `"}]}`
	c.do("kinesis", "put-resource-policy", "--resource-arn", arn, "--policy", policy)
	check(t, get[string](t, c.do("kinesis", "get-resource-policy", "--resource-arn", arn), "Policy"), policy)
	c.do("kinesis", "delete-resource-policy", "--resource-arn", arn)

	c.do("kinesis", "increase-stream-retention-period", "--stream-name", "cli", "--retention-period-hours", "48")
	c.do("kinesis", "decrease-stream-retention-period", "--stream-name", "cli", "--retention-period-hours", "30")
	c.do("kinesis", "enable-enhanced-monitoring", "--stream-name", "cli", "--shard-level-metrics", "ALL")
	c.do("kinesis", "disable-enhanced-monitoring", "--stream-name", "cli", "--shard-level-metrics", "ALL")
	c.do("kinesis", "update-max-record-size", "--stream-arn", arn, "--max-record-size-in-ki-b", "2048")
	c.do("kinesis", "start-stream-encryption", "--stream-name", "cli", "--encryption-type", "KMS", "--key-id", "alias/aws/kinesis")
	c.do("kinesis", "stop-stream-encryption", "--stream-name", "cli", "--encryption-type", "KMS", "--key-id", "alias/aws/kinesis")
	check(t, number(t, c.do("kinesis", "describe-limits"), "OpenShardCount"), 1)
	c.do("kinesis", "update-account-settings", "--minimum-throughput-billing-commitment", "Status=ENABLED")
	settings := c.do("kinesis", "describe-account-settings")
	check(t, get[string](t, settings, "MinimumThroughputBillingCommitment", "Status"), "ENABLED")

	registered := c.do("kinesis", "register-stream-consumer", "--stream-arn", arn, "--consumer-name", "reader")
	consumer := get[string](t, registered, "Consumer", "ConsumerARN")
	described := c.do("kinesis", "describe-stream-consumer", "--consumer-arn", consumer)
	check(t, get[string](t, described, "ConsumerDescription", "StreamARN"), arn)
	check(t, len(get[[]any](t, c.do("kinesis", "list-stream-consumers", "--stream-arn", arn), "Consumers")), 1)
	c.do("kinesis", "deregister-stream-consumer", "--consumer-arn", consumer)

	c.do("kinesis", "split-shard", "--stream-name", "cli", "--shard-to-split", first, "--new-starting-hash-key", halfHashKeys)
	c.do("kinesis", "merge-shards", "--stream-name", "cli", "--shard-to-merge", second, "--adjacent-shard-to-merge", "shardId-000000000002")
	c.do("kinesis", "update-shard-count", "--stream-name", "cli", "--target-shard-count", "2", "--scaling-type", "UNIFORM_SCALING")
	latest := c.do("kinesis", "list-shards", "--stream-name", "cli", "--shard-filter", "Type=AT_LATEST")
	check(t, len(get[[]any](t, latest, "Shards")), 2)
	c.do("kinesis", "update-stream-mode", "--stream-arn", arn, "--stream-mode-details", "StreamMode=ON_DEMAND")
	c.do("kinesis", "update-stream-warm-throughput", "--stream-name", "cli", "--warm-throughput-mi-bps", "10")
	c.do("kinesis", "wait", "stream-exists", "--stream-name", "cli")
	summary := c.do("kinesis", "describe-stream-summary", "--stream-name", "cli")
	check(t, number(t, summary, "StreamDescriptionSummary", "RetentionPeriodHours"), 30)
	check(t, number(t, summary, "StreamDescriptionSummary", "MaxRecordSizeInKiB"), 2048)
	check(t, number(t, summary, "StreamDescriptionSummary", "WarmThroughput", "TargetMiBps"), 10)
}

func (c cli) delivery() {
	t := c.t
	t.Helper()
	c.do("firehose", "create-delivery-stream", "--delivery-stream-name", "cli-delivery",
		"--extended-s3-destination-configuration",
		`{"RoleARN":"`+roleARN+`","BucketARN":"arn:aws:s3:::cli-bucket","BufferingHints":{"SizeInMBs":1,"IntervalInSeconds":1}}`)
	described := c.do("firehose", "describe-delivery-stream", "--delivery-stream-name", "cli-delivery")
	if status := described["DeliveryStreamDescription"].(map[string]any)["DeliveryStreamStatus"]; status != "ACTIVE" {
		t.Errorf("delivery stream is %v", status)
	}
	if names := c.do("firehose", "list-delivery-streams")["DeliveryStreamNames"].([]any); len(names) != 1 {
		t.Errorf("delivery streams %v", names)
	}
	c.do("firehose", "put-record", "--delivery-stream-name", "cli-delivery", "--record", `{"Data":"a line\n"}`)
	c.do("firehose", "put-record-batch", "--delivery-stream-name", "cli-delivery", "--records",
		`[{"Data":"a line\n"},{"Data":"a line\n"}]`)
	eventually(t, "the objects hold three lines", func() error {
		if linesIn(t, filepath.Join(c.server.buckets(), "cli-bucket"))["a line"] != 3 {
			return errNotYet
		}
		return nil
	})
	c.do("firehose", "delete-delivery-stream", "--delivery-stream-name", "cli-delivery")
	c.refused("ResourceNotFoundException", "firehose", "describe-delivery-stream", "--delivery-stream-name", "cli-delivery")
}
