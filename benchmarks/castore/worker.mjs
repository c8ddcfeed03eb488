// castore (TypeScript) behind the same requests as worker.py: see there.
import { createInterface } from "node:readline";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EventStore, EventType } from "@castore/core";
import { DynamoDBSingleTableEventStorageAdapter } from "@castore/event-storage-adapter-dynamodb";

const [endpoint, prefix] = process.argv.slice(2);
const TableName = `${prefix}-castore`;
const NOTE = "Meets on Tuesdays; prefers letters to calls, and calls to mail. ".repeat(3);
const meter = { on: false, requests: [], units: 0 };

const client = new DynamoDBClient({ endpoint, region: "us-east-1" });
client.middlewareStack.add(
  (next, context) => async (args) => {
    if (!meter.on) return next(args);
    args.input.ReturnConsumedCapacity = "TOTAL";
    meter.requests.push(context.commandName.replace(/Command$/, ""));
    const answer = await next(args);
    for (const used of [answer.output.ConsumedCapacity ?? []].flat()) meter.units += used.CapacityUnits;
    return answer;
  },
  { step: "initialize", name: "meter" },
);

const store = new EventStore({
  eventStoreId: "BENCH",
  eventTypes: [new EventType({ type: "Changed" })],
  eventStorageAdapter: new DynamoDBSingleTableEventStorageAdapter({ tableName: TableName, dynamoDBClient: client }),
  reducer: (state, event) => ({
    aggregateId: event.aggregateId,
    version: event.version,
    name: event.payload.name,
    total: (state?.total ?? 0) + event.payload.n,
  }),
});

const changed = (number) => {
  const padded = String(number).padStart(6, "0");
  return { name: `Ada Lovelace ${padded}`, email: `ada.${padded}@example.com`, note: NOTE, n: number };
};
const details = (stream, version) => ({
  aggregateId: stream,
  version,
  type: "Changed",
  payload: changed(version),
});

const peer = {
  async create_tables() {
    const key = (AttributeName, KeyType) => ({ AttributeName, KeyType });
    const attribute = (AttributeName, AttributeType) => ({ AttributeName, AttributeType });
    await client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: "PAY_PER_REQUEST",
        KeySchema: [key("aggregateId", "HASH"), key("version", "RANGE")],
        AttributeDefinitions: [
          attribute("aggregateId", "S"),
          attribute("version", "N"),
          attribute("eventStoreId", "S"),
          attribute("timestamp", "S"),
        ],
        GlobalSecondaryIndexes: [
          {
            IndexName: "initialEvents",
            KeySchema: [key("eventStoreId", "HASH"), key("timestamp", "RANGE")],
            Projection: { ProjectionType: "KEYS_ONLY" },
          },
        ],
      }),
    );
  },
  async append(stream, events, after = 0) {
    if (events === 1) {
      await store.pushEvent(details(stream, after + 1));
      return;
    }
    const group = Array.from({ length: events }, (_, n) => store.groupEvent(details(stream, after + n + 1)));
    await EventStore.pushEventGroup(...group);
  },
  async fill(stream, events, snapshotAt = 0) {
    if (snapshotAt) throw { missing: "no snapshots on DynamoDB" };
    for (let version = 0; version < events; version++) await peer.append(stream, 1, version);
  },
  async change(stream) {
    const { aggregate } = await store.getAggregate(stream);
    if (aggregate.total < 0) throw new Error(aggregate.total);
    await store.pushEvent(details(stream, aggregate.version + 1));
  },
  async load(stream) {
    const { aggregate } = await store.getAggregate(stream);
    return [aggregate.version, aggregate.name, aggregate.total];
  },
  async read_all() {
    let count = 0;
    for (let n = 0; n < 200; n++) count += (await store.getEvents(`many-${n}`)).events.length;
    return count;
  },
};

const time = async (method, calls) => {
  const wall = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  for (const call of calls) await peer[method](...call);
  const used = process.cpuUsage(cpu);
  return { cpu: (used.user + used.system) / 1e6, wall: Number(process.hrtime.bigint() - wall) / 1e9 };
};

const requests = {
  time,
  call: (method, args) => peer[method](...args),
  async cost(method, calls) {
    Object.assign(meter, { on: true, requests: [], units: 0 });
    try {
      await time(method, calls);
    } finally {
      meter.on = false;
    }
    return { requests: meter.requests, units: meter.units };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await requests[request.do](...request.with)) ?? null };
  } catch (error) {
    answer = error.missing ? error : { error: `${error.name}: ${error.message}`.slice(0, 300) };
  }
  console.log(JSON.stringify(answer));
}
