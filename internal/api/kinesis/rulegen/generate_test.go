package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheCommittedRulesAreThoseOfTheModel(t *testing.T) {
	path := os.Getenv("SLUICE_TEST_KINESIS_MODEL")
	if path == "" {
		t.Skip("SLUICE_TEST_KINESIS_MODEL is not set to the path of AWS's service model")
	}
	want, err := run(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../rules.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("rules.go is not what the model says (-model +rules.go):\n%s", diff)
	}
}

// What people have recorded of AWS's answers to requests in which everything is wrong, for the members of that time.
func TestMembersComeInTheOrderThatWasRecordedOfAWS(t *testing.T) {
	for operation, want := range map[string]string{
		"PutRecord":                     "SequenceNumberForOrdering PartitionKey ExplicitHashKey Data StreamName",
		"PutRecords":                    "Records StreamName",
		"GetShardIterator":              "ShardId ShardIteratorType StartingSequenceNumber StreamName",
		"GetRecords":                    "Limit ShardIterator",
		"DescribeStream":                "Limit ExclusiveStartShardId StreamName",
		"ListStreams":                   "Limit ExclusiveStartStreamName",
		"SplitShard":                    "NewStartingHashKey StreamName ShardToSplit",
		"MergeShards":                   "ShardToMerge AdjacentShardToMerge StreamName",
		"AddTagsToStream":               "Tags StreamName",
		"RemoveTagsFromStream":          "TagKeys StreamName",
		"ListTagsForStream":             "Limit ExclusiveStartTagKey StreamName",
		"CreateStream":                  "ShardCount StreamName",
		"IncreaseStreamRetentionPeriod": "RetentionPeriodHours StreamName",
	} {
		model := []string{"StreamName", "Data", "PartitionKey", "ExplicitHashKey", "SequenceNumberForOrdering", "Records",
			"Limit", "ExclusiveStartShardId", "ShardIterator", "ShardToSplit", "NewStartingHashKey", "ShardToMerge",
			"AdjacentShardToMerge", "Tags", "TagKeys", "ExclusiveStartTagKey", "ShardCount", "RetentionPeriodHours",
			"ShardId", "ShardIteratorType", "StartingSequenceNumber", "ExclusiveStartStreamName"}
		var s shape
		for _, name := range model {
			if slices.Contains(strings.Fields(want), name) {
				s.Members = append(s.Members, struct{ name, shape string }{name, ""})
			}
		}
		var got []string
		for _, i := range order(operation, &s) {
			got = append(got, s.Members[i].name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", operation, strings.Join(got, " "), want)
		}
	}
}

func TestAModelThatSaysWhatRulesCannotIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no operations": `{}`,
		"fractions":     `{"operations":{"X":{"input":{"shape":"I"}}},"shapes":{"I":{"members":{"A":{"shape":"D"}}},"D":{"type":"double","min":1}}}`,
		"nothing above 0": `{"operations":{"X":{"input":{"shape":"I"}}},"shapes":{"I":{"members":{"A":{"shape":"N"}}},` +
			`"N":{"type":"integer","max":0}}}`,
	} {
		path := t.TempDir() + "/model.json"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
