// Collects alarm events with a standard OfType filter at several notifiers, from the moment at which it writes the
// first file until the second one exists.
import { existsSync, writeFileSync } from "node:fs";
import { AttributeIds, constructEventFilter, ofType, TimestampsToReturn } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

const [subscribed, finished, ...notifiers] = args;
const standard = ["EventId", "EventType", "SourceName", "Time", "Severity", "Message", "ConditionName", "ActiveState.Id", "AckedState.Id", "Retain"];
const own = ["StackIndex", "ClusterIndex", "PackIndex", "CellIndex", "Value", "Limit", "Unit"];

function plain(value) {
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (value?.text !== undefined) return value.text;
  return value !== null && typeof value === "object" ? value.toString() : value;
}

await withSession(async (session) => {
  const namespaces = (await session.read({ nodeId: "i=2255", attributeId: AttributeIds.Value })).value.value;
  const types = namespaces.indexOf("http://opcua-bms.org/UA/BMS/");
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100, requestedLifetimeCount: 600, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  const filter = constructEventFilter([...standard, ...own.map((name) => `${types}:${name}`)], ofType("AlarmConditionType"));
  const events = {};
  for (const notifier of notifiers) {
    events[notifier] = [];
    const item = await subscription.monitor(
      { nodeId: notifier, attributeId: AttributeIds.EventNotifier },
      { queueSize: 1000, discardOldest: true, filter, samplingInterval: 0 },
      TimestampsToReturn.Both,
    );
    item.on("changed", (values) =>
      events[notifier].push(Object.fromEntries([...standard, ...own].map((name, i) => [name, plain(values[i]?.value)]))));
  }
  writeFileSync(subscribed, "");
  for (let tries = 0; tries < 600 && !existsSync(finished); tries++) await new Promise((done) => setTimeout(done, 100));
  await subscription.terminate();
  return { events };
});
