// castore (TypeScript) behind the same requests as worker.py: see there.
import { createInterface } from "node:readline";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EventStore, EventType, isEventAlreadyExistsError } from "@castore/core";
import { DynamoDBSingleTableEventStorageAdapter } from "@castore/event-storage-adapter-dynamodb";

const [endpoint, prefix] = process.argv.slice(2);
const TableName = `${prefix}-castore`;
const NOTE = "Meets on Tuesdays; prefers letters to calls, and calls to mail. ".repeat(3);
const READS = new Set(["Query", "Scan", "GetItem", "BatchGetItem"]);
const DUELS = 20;
const meter = { on: false, requests: [], read: 0, written: 0 };

const bytes = (item) =>
  Object.entries(item).reduce((sum, [name, value]) => {
    if (value.N !== undefined) return sum + name.length + Math.ceil(value.N.length / 2) + 1;
    const text = value.S ?? JSON.stringify(value.M ?? value);
    return sum + name.length + Buffer.byteLength(text);
  }, 0);
// DynamoDB Local counts a transaction too low. AWS: two units a KB for each item, and here one for the index's entry.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
const transaction = (puts) =>
  puts.reduce((sum, { Put: { Item } }) => sum + 2 * Math.ceil(bytes(Item) / 1024) + (Item.eventStoreId ? 1 : 0), 0);

const client = new DynamoDBClient({ endpoint, region: "us-east-1" });
client.middlewareStack.add(
  (next, context) => async (args) => {
    if (!meter.on) return next(args);
    const name = context.commandName.replace(/Command$/, "");
    args.input.ReturnConsumedCapacity = "TOTAL";
    meter.requests.push(name);
    const answer = await next(args);
    const used = [answer.output.ConsumedCapacity ?? []].flat().reduce((sum, one) => sum + one.CapacityUnits, 0);
    if (READS.has(name)) meter.read += used;
    else meter.written += name === "TransactWriteItems" ? transaction(args.input.TransactItems) : used;
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
  async snapshot() {
    throw { missing: "no snapshots on DynamoDB" };
  },
  place: (stream) => [TableName, "aggregateId", `BENCH#${stream}`],
  async change(stream) {
    const { aggregate } = await store.getAggregate(stream);
    if (aggregate.total < 0) throw new Error(aggregate.total);
    await store.pushEvent(details(stream, aggregate.version + 1));
  },
  async load(stream) {
    const { aggregate } = await store.getAggregate(stream);
    return [aggregate.version, aggregate.name, aggregate.total];
  },
  async read_streams(streams) {
    let count = 0;
    for (const stream of streams) count += (await store.getAggregate(stream)).aggregate.version;
    return count;
  },
  async scan() {
    throw { missing: "no feed of all events: its index lists aggregates" };
  },
};


const spend = async (work) => {
  const wall = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  await work();
  const used = process.cpuUsage(cpu);
  return { cpu: (used.user + used.system) / 1e6, wall: Number(process.hrtime.bigint() - wall) / 1e9 };
};
const metered = async (work) => {
  Object.assign(meter, { on: true, requests: [], read: 0, written: 0 });
  try {
    const spent = await work();
    return { requests: meter.requests, read: meter.read, written: meter.written, ...spent };
  } finally {
    meter.on = false;
  }
};
// Runs a command again while it loses its race, after the same pauses as the other peers.
const persist = async (stream) => {
  for (let attempt = 0; ; attempt++) {
    try {
      return await peer.change(stream);
    } catch (error) {
      if (!isEventAlreadyExistsError(error)) throw error;
    }
    await new Promise((done) => setTimeout(done, Math.random() * Math.min(320, 10 * 2 ** attempt)));
  }
};

const requests = {
  call: (method, args) => peer[method](...args),
  time: (method, calls) =>
    spend(async () => {
      for (const call of calls) await peer[method](...call);
    }),
  cost: (method, calls) =>
    metered(async () => {
      for (const call of calls) await peer[method](...call);
    }),
  async fill(stream, events) {
    for (let version = 0; version < events; version++) await peer.append(stream, 1, version);
  },
  async duel(stream) {
    const wins = [];
    for (let number = 0; number < DUELS; number++) {
      const both = await Promise.allSettled([1, 2].map(() => peer.append(`${stream}-${number}`, 1)));
      wins.push(both.filter((one) => one.status === "fulfilled").length);
    }
    return wins;
  },
  race: (stream, writers, each) =>
    metered(() =>
      spend(() =>
        Promise.all(
          Array.from({ length: writers }, async () => {
            for (let done = 0; done < each; done++) await persist(stream);
          }),
        ),
      ),
    ),
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
