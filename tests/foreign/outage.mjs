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
const heard = { values: [], events: [], overflows: 0 };
let last;
let finish;
const finished = new Promise((done) => { finish = done; });
function look() {
  if (last !== undefined && heard.values.at(-1) === last && heard.events.at(-1) === last) finish();
}

const options = { samplingInterval: 0, queueSize: 10000, discardOldest: true };
const value = await subscription.monitor(
  { nodeId: "ns=2;s=guarded.value", attributeId: AttributeIds.Value }, options, TimestampsToReturn.Both,
);
value.on("changed", ({ value: { value: number }, statusCode }) => {
  if (statusCode.value & 0x80) heard.overflows += 1;
  if (number >= 1) heard.values.push(number);
  look();
});
const filter = constructEventFilter(["EventType", "Message"]);
const events = await subscription.monitor(
  { nodeId: "i=2253", attributeId: AttributeIds.EventNotifier }, { ...options, filter }, TimestampsToReturn.Both,
);
events.on("changed", ([type, message]) => {
  if (type.value.toString() === "ns=0;i=2041") heard.events.push(Number(message.value.text));
  look();
});
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  last = Number(line);
  break;
}
look();
await finished;
await session.close();
await client.disconnect();
console.log(JSON.stringify(heard));
process.exit(0);
