"""Drives every operation that Sluice has through unmodified boto3, and checks the answers.

usage: boto3_all.py ENDPOINT BUCKETS_DIR     (credentials and region from the usual AWS_ variables)
"""
import datetime
import gzip
import pathlib
import sys
import time

import boto3
import botocore.exceptions

endpoint, buckets = sys.argv[1], pathlib.Path(sys.argv[2])
kinesis = boto3.client("kinesis", endpoint_url=endpoint)
firehose = boto3.client("firehose", endpoint_url=endpoint)
ROLE = "arn:aws:iam::000000000000:role/delivery"


def refused(code, call, **arguments):
    """The call must fail with this error code; returns the message."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, f"want {code}, got {e}"
        return e.response["Error"]["Message"]
    raise AssertionError(f"want {code}, got an answer")


def eventually(what, check):
    """Polls until check() is true, for two minutes at most."""
    end = time.monotonic() + 120
    while not check():
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.05)


def read_all(stream, shard, **start):
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **start)["ShardIterator"]
    records = []
    while True:
        answer = kinesis.get_records(ShardIterator=iterator)
        records += answer["Records"]
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return records
        iterator = answer["NextShardIterator"]
        time.sleep(0.25)  # a shard answers five reads a second


def streams():
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    kinesis.create_stream(StreamName="boto", ShardCount=3, Tags={"team": "web"})
    kinesis.get_waiter("stream_exists").wait(StreamName="boto")
    message = refused("ResourceInUseException", kinesis.create_stream, StreamName="boto", ShardCount=1)
    assert message == "Stream boto under account 000000000000 already exists.", message

    description = kinesis.describe_stream(StreamName="boto")["StreamDescription"]
    assert description["StreamStatus"] == "ACTIVE" and len(description["Shards"]) == 3
    assert description["StreamCreationTimestamp"] >= before
    assert description["RetentionPeriodHours"] == 24 and description["EncryptionType"] == "NONE"
    page = kinesis.describe_stream(StreamName="boto", Limit=2)["StreamDescription"]
    assert page["HasMoreShards"] and len(page["Shards"]) == 2
    page = kinesis.describe_stream(StreamName="boto", ExclusiveStartShardId=page["Shards"][-1]["ShardId"])["StreamDescription"]
    assert not page["HasMoreShards"] and len(page["Shards"]) == 1

    arn = description["StreamARN"]
    summary = kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 3 and summary["StreamName"] == "boto", summary

    ranges = [(int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
              for s in kinesis.list_shards(StreamName="boto")["Shards"]]
    assert ranges[0][0] == 0 and ranges[-1][1] == 2**128 - 1
    assert all(a[1] + 1 == b[0] for a, b in zip(ranges, ranges[1:]))
    first = kinesis.list_shards(StreamName="boto", MaxResults=1)
    rest = kinesis.list_shards(NextToken=first["NextToken"])
    assert len(first["Shards"]) == 1 and len(rest["Shards"]) == 2

    kinesis.create_stream(StreamName="boto-on-demand", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    kinesis.get_waiter("stream_exists").wait(StreamName="boto-on-demand")
    assert len(kinesis.list_shards(StreamName="boto-on-demand")["Shards"]) == 4
    assert kinesis.list_streams(Limit=1)["HasMoreStreams"]
    names = [n for p in kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 1}) for n in p["StreamNames"]]
    assert names == ["boto", "boto-on-demand"], names
    kinesis.delete_stream(StreamName="boto-on-demand")
    kinesis.get_waiter("stream_not_exists").wait(StreamName="boto-on-demand")


def records():
    middle = str(2**127)
    put = kinesis.put_record(StreamName="boto", Data=b"zero", PartitionKey="k", ExplicitHashKey=middle)
    shard, zero = put["ShardId"], put["SequenceNumber"]
    assert put.get("EncryptionType", "NONE") == "NONE"
    payloads = [b"", bytes(range(256)), "üñïcödé 💣".encode(), b"x" * 100_000]
    answer = kinesis.put_records(StreamName="boto", Records=[
        {"Data": p, "PartitionKey": f"key-{i}", "ExplicitHashKey": middle} for i, p in enumerate(payloads)])
    assert answer["FailedRecordCount"] == 0 and {r["ShardId"] for r in answer["Records"]} == {shard}
    between = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.01)
    last = kinesis.put_record(StreamName="boto", Data=b"last", PartitionKey="k", ExplicitHashKey=middle)["SequenceNumber"]

    everything = read_all("boto", shard, ShardIteratorType="TRIM_HORIZON")
    assert [r["Data"] for r in everything] == [b"zero", *payloads, b"last"]
    assert everything[1]["PartitionKey"] == "key-0"
    numbers = [int(r["SequenceNumber"]) for r in everything]
    assert numbers == sorted(set(numbers)) and numbers[0] == int(zero) and numbers[-1] == int(last)
    at = read_all("boto", shard, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=zero)
    after = read_all("boto", shard, ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=zero)
    assert len(at) == 6 and len(after) == 5
    assert [r["Data"] for r in read_all("boto", shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=between)] == [b"last"]
    assert read_all("boto", shard, ShardIteratorType="LATEST") == []

    latest = kinesis.get_shard_iterator(StreamName="boto", ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    kinesis.put_record(StreamName="boto", Data=b"newer", PartitionKey="k", ExplicitHashKey=middle)
    assert [r["Data"] for r in kinesis.get_records(ShardIterator=latest)["Records"]] == [b"newer"]

    message = refused("ResourceNotFoundException", kinesis.put_record, StreamName="nowhere", Data=b"x", PartitionKey="k")
    assert message == "Stream nowhere under account 000000000000 not found.", message
    refused("InvalidArgumentException", kinesis.get_records, ShardIterator="nonsense")
    refused("ValidationException", kinesis.put_record, StreamName="bo to", Data=b"x", PartitionKey="k")


def delivery_stream(name, source=None, **destination):
    arguments = {"DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": {
        "RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{name}-bucket",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1}, **destination}}
    if source:
        arguments |= {"DeliveryStreamType": "KinesisStreamAsSource",
                      "KinesisStreamSourceConfiguration": {"KinesisStreamARN": source, "RoleARN": ROLE}}
    return firehose.create_delivery_stream(**arguments)["DeliveryStreamARN"]


def objects(name):
    bucket = buckets / f"{name}-bucket"
    return sorted(p for p in bucket.rglob("*") if p.is_file()) if bucket.exists() else []


def delivery():
    newline = {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord", "Parameters": [
        {"ParameterName": "Delimiter", "ParameterValue": "\\n"}]}]}
    arn = delivery_stream("boto-direct", CompressionFormat="GZIP", ProcessingConfiguration=newline,
                          Prefix="logs/!{timestamp:yyyy}/!{timestamp:MM-dd}/", ErrorOutputPrefix="errors/")
    assert arn == "arn:aws:firehose:eu-central-1:000000000000:deliverystream/boto-direct", arn
    source = kinesis.describe_stream(StreamName="boto")["StreamDescription"]["StreamARN"]
    delivery_stream("boto-stream", source=source)

    description = firehose.describe_delivery_stream(DeliveryStreamName="boto-direct")["DeliveryStreamDescription"]
    assert description["DeliveryStreamStatus"] == "ACTIVE" and description["DeliveryStreamType"] == "DirectPut"
    s3 = description["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert s3["CompressionFormat"] == "GZIP" and s3["BufferingHints"] == {"SizeInMBs": 1, "IntervalInSeconds": 1}
    assert firehose.list_delivery_streams()["DeliveryStreamNames"] == ["boto-direct", "boto-stream"]
    assert firehose.list_delivery_streams(Limit=1)["HasMoreDeliveryStreams"]
    by_type = firehose.list_delivery_streams(DeliveryStreamType="KinesisStreamAsSource")["DeliveryStreamNames"]
    assert by_type == ["boto-stream"], by_type

    assert firehose.put_record(DeliveryStreamName="boto-direct", Record={"Data": b"first"})["RecordId"]
    answer = firehose.put_record_batch(DeliveryStreamName="boto-direct", Records=[{"Data": b"%d" % i} for i in range(500)])
    assert answer["FailedPutCount"] == 0 and len({r["RecordId"] for r in answer["RequestResponses"]}) == 500
    kinesis.put_records(StreamName="boto", Records=[{"Data": b"<%d>" % i, "PartitionKey": str(i)} for i in range(100)])

    def direct():
        return b"".join(gzip.decompress(p.read_bytes()) for p in objects("boto-direct"))
    eventually("direct puts are delivered", lambda: direct().count(b"\n") == 501)
    assert sorted(direct().split()) == sorted([b"first", *(b"%d" % i for i in range(500))])
    year = datetime.datetime.now(datetime.timezone.utc).strftime("%Y")
    assert all(f"/logs/{year}/" in str(p) and p.name.startswith("boto-direct-1-") and p.suffix == ".gz"
               for p in objects("boto-direct")), objects("boto-direct")

    def streamed():
        return b"".join(p.read_bytes() for p in objects("boto-stream"))
    eventually("the stream is delivered", lambda: streamed().count(b">") == 100)
    # Delivery begins at the latest record: what was written before the delivery stream existed is not in it.
    assert len(streamed()) == sum(len(b"<%d>" % i) for i in range(100))

    message = refused("ResourceInUseException", firehose.create_delivery_stream, DeliveryStreamName="boto-direct",
                      ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::another"})
    assert "boto-direct" in message, message
    refused("ResourceNotFoundException", firehose.put_record, DeliveryStreamName="nowhere", Record={"Data": b"x"})
    refused("InvalidArgumentException", firehose.put_record, DeliveryStreamName="boto-stream", Record={"Data": b"x"})
    refused("InvalidArgumentException", firehose.create_delivery_stream, DeliveryStreamName="no-lambda",
            ExtendedS3DestinationConfiguration={
                "RoleARN": ROLE, "BucketARN": "arn:aws:s3:::b",
                "ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Lambda"}]}})

    for name in "boto-direct", "boto-stream":
        firehose.delete_delivery_stream(DeliveryStreamName=name)
    eventually("delivery streams are gone", lambda: firehose.list_delivery_streams()["DeliveryStreamNames"] == [])


streams()
records()
delivery()
kinesis.delete_stream(StreamName="boto")
kinesis.get_waiter("stream_not_exists").wait(StreamName="boto")
print("boto3: every operation answered as it should")
