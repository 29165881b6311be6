// Package firehose is delivery streams: records that were put to one, or written to the data stream that it
// reads, are collected into objects in a bucket, every record in exactly one of them.
//
// A record's way: it is durable in a log, the delivery stream's own or a shard's, before anyone here sees it. A
// delivery (delivery.go) scans it, which adds its offset and size to the batch, until the batch is large or old
// enough; logs the intent to make an object of the batch (state.go, FORMAT.md); reads the records once more,
// through delimiter and encoder, into the bucket (upload.go, content.go), as often as it takes; and logs that
// this is done. Whoever finds an open intent after a crash repeats it, to the same key and with the same
// content. Only then may the record leave the delivery stream's own log.
//
// So what is in memory is offsets. A backlog, be the bucket away for days, costs disk.
package firehose
