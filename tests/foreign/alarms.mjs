// Collects alarm events with a standard OfType filter at one notifier while the caller injects faults.
import { AttributeIds, constructEventFilter, ofType, TimestampsToReturn } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

const [notifier, secondsText] = args;
const fields = ["EventId", "EventType", "SourceName", "Time", "Severity", "Message", "ConditionName", "ActiveState.Id", "AckedState.Id", "Retain", "ConditionType", "BranchId"];

await withSession(async (session) => {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100, requestedLifetimeCount: 600, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  const filter = constructEventFilter(fields, ofType("AlarmConditionType"));
  const events = [];
  const item = await subscription.monitor(
    { nodeId: notifier, attributeId: AttributeIds.EventNotifier },
    { queueSize: 1000, discardOldest: true, filter, samplingInterval: 0 },
    TimestampsToReturn.Both,
  );
  item.on("changed", (values) => {
    const row = {};
    values.forEach((v, i) => {
      const value = v?.value;
      row[fields[i]] = Buffer.isBuffer(value) ? value.toString("hex") : value?.text ?? (value?.toString && typeof value === "object" ? value.toString() : value);
    });
    events.push(row);
  });
  process.stderr.write("SUBSCRIBED\n");
  await new Promise((done) => setTimeout(done, Number(secondsText) * 1000));
  await subscription.terminate();
  return { events };
});
