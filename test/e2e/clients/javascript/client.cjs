// The AWS SDK for JavaScript v3 as it comes, told by JSON lines on standard input what to call. clients.md beside
// this folder describes the lines. Endpoint, region and credentials come from the usual AWS_ variables.
"use strict";
const kinesis = require("@aws-sdk/client-kinesis");
const { version } = require("@aws-sdk/client-kinesis/package.json");
const { createInterface } = require("node:readline");

const client = new kinesis.KinesisClient();

function print(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// toSDK turns what a line holds into what the SDK takes.
function toSDK(value) {
  if (Array.isArray(value)) return value.map(toSDK);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return Uint8Array.from(Buffer.from(value.$bytes, "base64"));
  if ("$time" in value) return new Date(value.$time);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toSDK(v)]));
}

// fromSDK is the other way round.
function fromSDK(value) {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Date) return { $time: value.getTime() };
  if (Array.isArray(value)) return value.map(fromSDK);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).filter(([k, v]) => k !== "$metadata" && v !== undefined).map(([k, v]) => [k, fromSDK(v)]));
}

async function call(operation, input) {
  print({ output: fromSDK(await client.send(new kinesis[operation + "Command"](input))) });
}

async function wait(what, input) {
  await kinesis["waitUntil" + what]({ client, maxWaitTime: 60 }, input);
  print({ output: {} });
}

// subscribe ends after that many records, or with 0 when the server ends the subscription.
async function subscribe(input, records) {
  const answer = await client.send(new kinesis.SubscribeToShardCommand(input));
  let seen = 0;
  for await (const message of answer.EventStream) {
    const event = message.SubscribeToShardEvent;
    if (event === undefined) throw new Error("not an event: " + JSON.stringify(message));
    print({ event: fromSDK(event) });
    seen += event.Records.length;
    if (records > 0 && seen >= records) break;
  }
  print({ output: {} });
}

// The type is that of the class that the SDK throws, if it has one for the error.
function failed(error) {
  const known = kinesis[error.name];
  print({
    error: {
      type: known && error instanceof known ? error.name : error.constructor.name + " " + error.name,
      message: error.message,
      status: error.$metadata?.httpStatusCode ?? 0,
    },
  });
}

async function main() {
  print({ ready: "AWS SDK for JavaScript " + version });
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line);
    const input = toSDK(request.input);
    try {
      if (request.call) await call(request.call, input);
      else if (request.wait) await wait(request.wait, input);
      else await subscribe(input, request.records);
    } catch (error) {
      failed(error);
    }
  }
  client.destroy();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
