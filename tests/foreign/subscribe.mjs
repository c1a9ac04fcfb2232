// Monitors the given nodes for some seconds and tells what arrived, per node: `stamps` are its source times, `notes` all
// of it as [server time, source time, is it Good]. A fourth argument is the trigger of a DataChangeFilter:
// StatusValueTimestamp tells every scan, also one that did not change the value.
import { AttributeIds, DataChangeFilter, DataChangeTrigger, DeadbandType, TimestampsToReturn } from "node-opcua-client";
import { readFileSync } from "node:fs";
import { withSession, args } from "./client.mjs";

const nodes = JSON.parse(readFileSync(args[0], "utf8"));
const seconds = Number(args[1]);
const interval = Number(args[2]);
const filter = args[3] && new DataChangeFilter({ trigger: DataChangeTrigger[args[3]], deadbandType: DeadbandType.None });

await withSession(async (session) => {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: interval, requestedLifetimeCount: 100, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  const stamps = new Map(); // node → source times
  const notes = new Map();
  const statuses = {};
  const group = await subscription.monitorItems(
    nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })),
    { samplingInterval: 0, queueSize: 10, discardOldest: true, ...(filter && { filter }) },
    TimestampsToReturn.Both,
  );
  group.on("changed", (item, value, index) => {
    const node = nodes[index];
    if (!stamps.has(node)) {
      stamps.set(node, []);
      notes.set(node, []);
    }
    const at = value.sourceTimestamp?.getTime() ?? 0;
    stamps.get(node).push(at);
    notes.get(node).push([value.serverTimestamp?.getTime() ?? 0, at, value.statusCode.value === 0]);
    statuses[value.statusCode.name] = (statuses[value.statusCode.name] ?? 0) + 1;
  });
  await new Promise((done) => setTimeout(done, seconds * 1000));
  await subscription.terminate();
  return { items: nodes.length, statuses, stamps: Object.fromEntries(stamps), notes: Object.fromEntries(notes) };
});
