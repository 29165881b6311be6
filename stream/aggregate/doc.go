// Package aggregate takes apart, and makes, the aggregated records of the Amazon Kinesis Producer Library (KPL): one
// record of a stream that holds many of a user's. It stands on its own, so that programs that read streams can use it.
//
// The format (KPL, "KPL Aggregated Record Format"): the four bytes F3 89 9A C2, a protocol buffer, and the MD5 of the
// protocol buffer. The protocol buffer has a table of partition keys, one of explicit hash keys, and the user records,
// which name their keys by their places in the tables:
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Tag    { required string key = 1; optional string value = 2; }
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
//
// Sluice itself never aggregates, and GetRecords gives records as they were put. Those who want the user's records take
// them apart: sluice tail, delivery streams that read a data stream, and whoever uses this package.
package aggregate
