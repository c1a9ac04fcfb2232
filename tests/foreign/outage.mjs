// Listens to a variable and to the Server's events over a line that breaks; what it does then is node-opcua's own doing.
// Prints "ready"; reads the last number that will come; prints what has arrived, in order, once that number has.
import { createInterface } from "node:readline";
import {
  AttributeIds, constructEventFilter, MessageSecurityMode, OPCUAClient, SecurityPolicy, TimestampsToReturn,
} from "node-opcua-client";

const client = OPCUAClient.create({
  endpointMustExist: false,
  securityMode: MessageSecurityMode.None,
  securityPolicy: SecurityPolicy.None,
  connectionStrategy: { maxRetry: -1, initialDelay: 100, maxDelay: 500 },
  requestedSessionTimeout: 600000,
  keepSessionAlive: true,
});
await client.connect(process.argv[2]);
const session = await client.createSession();
const subscription = await session.createSubscription2({
  requestedPublishingInterval: 100, requestedLifetimeCount: 10000, requestedMaxKeepAliveCount: 20,
  maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
});
// node-opcua asks with Publish while it still asks with Republish, and may be told one message by both. What the server
// says is judged by sequence numbers: a repeated message must be the same one.
const messages = new Map();
let overflows = 0;
let republished = 0;
let contradictions = 0;
let last;
let finish;
const finished = new Promise((done) => { finish = done; });
function look() {
  const found = [...messages.values()];
  if (last === undefined) return;
  if (found.some((m) => m.values.includes(last)) && found.some((m) => m.events.includes(last))) finish();
}

subscription.on("raw_notification", ({ sequenceNumber, notificationData }) => {
  const message = { values: [], events: [] };
  for (const part of notificationData ?? []) {
    for (const { value } of part.monitoredItems ?? []) {
      if (value.statusCode.value & 0x80) overflows += 1;
      if (value.value.value >= 1) message.values.push(value.value.value);
    }
    for (const { eventFields: [type, text] } of part.events ?? []) {
      if (type.value.toString() === "ns=0;i=2041") message.events.push(Number(text.value.text));
    }
  }
  if (!message.values.length && !message.events.length) return;
  const before = messages.get(sequenceNumber);
  if (before) republished += 1;
  if (before && JSON.stringify(before) !== JSON.stringify(message)) contradictions += 1;
  messages.set(sequenceNumber, message);
  look();
});
const options = { samplingInterval: 0, queueSize: 10000, discardOldest: true };
await subscription.monitor(
  { nodeId: "ns=2;s=guarded.value", attributeId: AttributeIds.Value }, options, TimestampsToReturn.Both,
);
const filter = constructEventFilter(["EventType", "Message"]);
await subscription.monitor(
  { nodeId: "i=2253", attributeId: AttributeIds.EventNotifier }, { ...options, filter }, TimestampsToReturn.Both,
);
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  last = Number(line);
  break;
}
look();
await finished;
await session.close();
await client.disconnect();
const inOrder = [...messages].sort(([a], [b]) => a - b).map(([, message]) => message);
console.log(JSON.stringify({
  values: inOrder.flatMap((m) => m.values), events: inOrder.flatMap((m) => m.events), overflows, republished, contradictions,
}));
process.exit(0);
