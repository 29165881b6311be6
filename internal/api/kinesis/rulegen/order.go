package main

import (
	"slices"
	"strings"
)

// AWS tells of several members that are wrong in an order that is not the model's. Answers that people have recorded
// agree with the order in which a Java 7 HashMap of 16 buckets holds the members' names; of those that share a bucket,
// the last one of the model comes first. Members for which there is no record are ordered by the same rule.

// ordersAsSeen has what was recorded otherwise: the members that come before another one with which they share a bucket.
var ordersAsSeen = map[string][2]string{
	"SplitShard":  {"StreamName", "ShardToSplit"},
	"MergeShards": {"ShardToMerge", "AdjacentShardToMerge"},
}

// enumsAsSeen has sets that AWS is seen to tell in another order than the model's.
var enumsAsSeen = map[string][]string{
	"ShardIteratorType": {"AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"},
}

// order is the order in which AWS tells of a structure's members, as indexes into them.
func order(operation string, s *shape) []int {
	indexes := make([]int, len(s.Members))
	for i := range indexes {
		indexes[i] = len(indexes) - 1 - i
	}
	slices.SortStableFunc(indexes, func(a, b int) int {
		if x, y := bucket(s.Members[a].name), bucket(s.Members[b].name); x != y {
			return x - y
		}
		switch seen := ordersAsSeen[operation]; {
		case s.Members[a].name == seen[0] && s.Members[b].name == seen[1]:
			return -1
		case s.Members[b].name == seen[0] && s.Members[a].name == seen[1]:
			return 1
		}
		return 0
	})
	return indexes
}

// bucket is where a Java 7 HashMap puts the name of a member, which there begins with a small letter.
func bucket(member string) int {
	var hash uint32
	for _, c := range []byte(strings.ToLower(member[:1]) + member[1:]) {
		hash = hash*31 + uint32(c)
	}
	hash ^= hash>>20 ^ hash>>12
	hash ^= hash>>7 ^ hash>>4
	return int(hash & 15)
}
