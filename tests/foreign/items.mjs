// Monitored items with filters, index ranges, triggering, modes and events; told as values per item name.
import {
  AttributeIds, DataChangeFilter, DataChangeTrigger, DeadbandType, MonitoringMode, TimestampsToReturn,
  constructEventFilter, ofType, ClientMonitoredItem, ContentFilter, DataType, FilterOperator, LiteralOperand, resolveNodeId,
} from "node-opcua-client";
import { NumericRange } from "node-opcua-numeric-range";
import { withSession, args } from "./client.mjs";

const [tag, levels, line, seconds] = [args[0], args[1], args[2], Number(args[3])];

await withSession(async (session) => {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100, requestedLifetimeCount: 100, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  const seen = {};
  const plain = (value) => (value?.length !== undefined && typeof value !== "string" ? Array.from(value) : value);
  const watch = async (name, nodeId, options = {}, mode = MonitoringMode.Reporting, item = {}) => {
    const monitored = ClientMonitoredItem.create(
      subscription,
      { nodeId, attributeId: AttributeIds.Value, ...item },
      { samplingInterval: 0, queueSize: 20, discardOldest: true, ...options },
      TimestampsToReturn.Both,
      mode,
    );
    seen[name] = [];
    monitored.on("changed", (value) =>
      seen[name].push(Array.isArray(value) ? value.map((v) => plain(v.value)) : plain(value.value.value)));
    await new Promise((done, failed) => {
      monitored.on("initialized", done);
      monitored.on("err", (message) => failed(new Error(`${name}: ${message}`)));
    });
    return monitored;
  };
  const band = (deadbandType, deadbandValue) =>
    new DataChangeFilter({ trigger: DataChangeTrigger.StatusValue, deadbandType, deadbandValue });
  const trigger = await watch("all", tag);
  await watch("absolute", tag, { filter: band(DeadbandType.Absolute, 2.0) });
  await watch("percent", tag, { filter: band(DeadbandType.Percent, 3.0) });
  await watch("part", levels, {}, MonitoringMode.Reporting, { indexRange: new NumericRange("1:2") });
  const linked = await watch("linked", levels, { queueSize: 1 }, MonitoringMode.Sampling);
  await watch("silent", tag, {}, MonitoringMode.Disabled);
  await watch("events", line, { filter: constructEventFilter(["Message", "Severity"], ofType("SystemEventType")) },
    MonitoringMode.Reporting, { attributeId: AttributeIds.EventNotifier });
  const literal = (dataType, value) => new LiteralOperand({ value: { dataType, value } });
  const type = (name) => literal(DataType.NodeId, resolveNodeId(name));
  const related = constructEventFilter(["Message"], new ContentFilter({
    elements: [{
      filterOperator: FilterOperator.RelatedTo,
      filterOperands: [
        type("BaseObjectType"), type("BaseVariableType"), type("HasComponent"), literal(DataType.UInt32, 1),
        literal(DataType.Boolean, true), literal(DataType.Boolean, true),
      ],
    }],
  }));
  await watch("related", resolveNodeId("Server"), { filter: related }, MonitoringMode.Reporting,
    { attributeId: AttributeIds.EventNotifier });
  const triggering = await subscription.setTriggering(trigger, [linked], []);
  console.log("READY");
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const listed = await subscription.getMonitoredItems();
  await subscription.terminate();
  return {
    seen,
    addResults: (triggering.addResults ?? []).map((code) => code.name),
    serverHandles: listed.serverHandles.length,
  };
});
