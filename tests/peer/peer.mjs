// Microsoft's JavaScript client on command: one line of JSON in (the arguments), one out (what it saw).
import { webcrypto } from "node:crypto";
import {
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} from "@azure/event-hubs";

// Node before 20 keeps to itself what the client looks for.
globalThis.crypto ??= webcrypto;

const [command, connection, hub, text] = process.argv.slice(2);
const given = text ? JSON.parse(text) : {};
const options = {
  retryOptions: { maxRetries: 3, retryDelayInMs: 200, timeoutInMs: 10000 },
  ...(given.endpoint ? { customEndpointAddress: given.endpoint } : {}),
};
if (given.websocket) {
  // Node has a WebSocket of its own from version 22 on; before, one is brought along.
  const { default: WebSocket } = await import("ws");
  options.webSocketOptions = { webSocket: WebSocket };
}

const say = (value) => console.log(JSON.stringify(value));
const seen = (event) => ({
  // The client reads a body as JSON wherever it can.
  body: Buffer.isBuffer(event.body) ? event.body.toString() : String(event.body),
  sequence: event.sequenceNumber,
  offset: event.offset,
  key: event.partitionKey ?? null,
  properties: event.properties ?? {},
  time: event.enqueuedTimeUtc.getTime(),
});

async function send() {
  const producer = new EventHubProducerClient(connection, hub, options);
  for (const { bodies, ...where } of given.batches) {
    const batch = await producer.createBatch(where);
    for (const body of bodies) {
      if (!batch.tryAdd({ body: Buffer.from(body), properties: { from: "js" } })) throw new Error("full");
    }
    await producer.sendBatch(batch);
  }
  await producer.close();
  say({ sent: true });
}

async function properties() {
  const consumer = new EventHubConsumerClient(given.group ?? "$Default", connection, hub, options);
  const whole = await consumer.getEventHubProperties();
  const parts = [];
  for (const id of whole.partitionIds) parts.push(await consumer.getPartitionProperties(id));
  await consumer.close();
  say({ name: whole.name, ids: whole.partitionIds, parts });
}

// Reads `count` events of a partition; with `level`, as its owner; errors are told, not thrown.
async function receive() {
  const consumer = new EventHubConsumerClient(given.group ?? "$Default", connection, hub, options);
  const events = [];
  const errors = [];
  const from = given.from === "latest" ? latestEventPosition : (given.from ?? earliestEventPosition);
  await new Promise((done) => {
    const subscription = consumer.subscribe(
      given.partition,
      {
        processEvents: async (batch) => {
          // Told aside, since cuts and thefts before that are told in another way.
          if (events.length === 0 && batch.length > 0) console.error("reading");
          for (const event of batch) events.push(seen(event));
          if (events.length >= given.count) done();
        },
        processError: async (error) => {
          // After some tries the client throws all their errors at once.
          const last = error.errors?.at(-1) ?? error;
          errors.push({ code: last.code ?? null, message: last.message, tries: error.errors?.length ?? 1 });
          if (given.stop) done();
        },
      },
      { startPosition: from, ownerLevel: given.level, maxBatchSize: 50, maxWaitTimeInSeconds: 1 },
    );
    setTimeout(done, given.patience ?? 45000, subscription).unref?.();
  });
  say({ events, errors });
  await consumer.close();
}

// What the store of checkpoints holds, as the SDK reads it; then events from there on through the SDK's own
// processor, which claims, saves and releases in it.
async function checkpoints() {
  const { BlobCheckpointStore } = await import("@azure/eventhubs-checkpointstore-blob");
  const { ContainerClient } = await import("@azure/storage-blob");
  const container = new ContainerClient(given.storage, given.container);
  if (given.create) {
    await container.createIfNotExists();
    return say({ created: true });
  }
  const store = new BlobCheckpointStore(container);
  const names = [given.namespace, hub, given.group];
  const before = { checkpoints: await store.listCheckpoints(...names), ownerships: await store.listOwnership(...names) };
  const events = [];
  if (given.count) {
    const consumer = new EventHubConsumerClient(given.group, connection, hub, store, options);
    await new Promise((done) => {
      consumer.subscribe(
        {
          processEvents: async (batch, context) => {
            for (const event of batch) events.push({ partition: context.partitionId, ...seen(event) });
            if (batch.length > 0) await context.updateCheckpoint(batch.at(-1));
            if (events.length >= given.count) done();
          },
          processError: async (error) => console.error(error.message),
        },
        { startPosition: earliestEventPosition, maxBatchSize: 50, maxWaitTimeInSeconds: 1 },
      );
      setTimeout(done, 45000).unref?.();
    });
    await consumer.close();
  }
  say({ ...before, events });
}

await { send, properties, receive, checkpoints }[command]();
process.exit(0);
