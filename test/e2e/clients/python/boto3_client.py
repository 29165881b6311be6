"""boto3 as it comes, told by JSON lines on standard input what to call. clients.md beside this folder describes
the lines. Endpoint, region and credentials come from the usual AWS_ variables."""
import base64
import datetime
import json
import re
import sys

import boto3
import botocore.exceptions

client = boto3.client("kinesis")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def say(**line):
    print(json.dumps(line), flush=True)


def method(operation):
    """PutRecord is put_record to boto3."""
    return re.sub("(?<!^)(?=[A-Z])", "_", operation).lower()


def to_sdk(value):
    """What a line holds, as boto3 takes it."""
    if isinstance(value, list):
        return [to_sdk(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$time" in value:
        return EPOCH + datetime.timedelta(milliseconds=value["$time"])
    return {k: to_sdk(v) for k, v in value.items()}


def from_sdk(value):
    """The other way round."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return {"$time": round((value - EPOCH) / datetime.timedelta(milliseconds=1))}
    if isinstance(value, list):
        return [from_sdk(v) for v in value]
    if isinstance(value, dict):
        return {k: from_sdk(v) for k, v in value.items() if k != "ResponseMetadata"}
    return value


def subscribe(arguments, records):
    """Ends after that many records, or with 0 when the server ends the subscription."""
    events = client.subscribe_to_shard(**arguments)["EventStream"]
    seen = 0
    for message in events:
        event = message["SubscribeToShardEvent"]
        say(event=from_sdk(event))
        seen += len(event["Records"])
        if 0 < records <= seen:
            break
    events.close()
    say(output={})


def obey(request):
    arguments = to_sdk(request["input"])
    if "call" in request:
        say(output=from_sdk(getattr(client, method(request["call"]))(**arguments)))
    elif "wait" in request:
        waiter = client.get_waiter(method(request["wait"]))
        waiter.wait(**arguments)
        say(output={})
    else:
        subscribe(arguments, request["records"])


say(ready=f"boto3 {boto3.__version__}")
for text in sys.stdin:
    try:
        obey(json.loads(text))
    except botocore.exceptions.ClientError as e:
        say(error={"type": type(e).__name__, "message": e.response["Error"]["Message"],
                   "status": e.response["ResponseMetadata"]["HTTPStatusCode"]})
    except botocore.exceptions.BotoCoreError as e:
        say(error={"type": type(e).__name__, "message": str(e), "status": 0})
