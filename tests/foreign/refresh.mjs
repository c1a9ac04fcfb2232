// Asks for the alarm list as two clients do, each at a notifier of its own, and then in every way that is refused.
import { AttributeIds, constructEventFilter, DataType, ofType, OPCUAClient, SimpleAttributeOperand, TimestampsToReturn, Variant } from "node-opcua-client";
import { endpoint, withSession, args } from "./client.mjs";

const [value, expectedText, ...notifiers] = args;
const expected = Number(expectedText);
const fields = ["EventId", "EventType", "Time", "Severity", "Message", "Retain", "ActiveState.Id", "AckedState.Id"];
const REFRESH = "i=3875", REFRESH2 = "i=12912";

const call = async (session, methodId, ...ids) => {
  const inputArguments = ids.map((id) => new Variant({ dataType: DataType.UInt32, value: id }));
  return (await session.call({ objectId: "i=2782", methodId, inputArguments })).statusCode.name;
};

const subscribe = (session, interval = 100) => session.createSubscription2({
  requestedPublishingInterval: interval, requestedLifetimeCount: 600, requestedMaxKeepAliveCount: 10,
  maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
});

function filter() {
  const chosen = constructEventFilter(fields, ofType("AlarmConditionType"));
  chosen.selectClauses.push(new SimpleAttributeOperand({ typeDefinitionId: "i=2782", browsePath: [], attributeId: AttributeIds.NodeId }));
  return chosen;
}

const watch = (subscription, nodeId, queueSize) => subscription.monitor(
  { nodeId, attributeId: AttributeIds.EventNotifier },
  { queueSize, discardOldest: true, filter: filter(), samplingInterval: 0 },
  TimestampsToReturn.Both,
);

const plain = (v) => Buffer.isBuffer(v) ? v.toString("hex") : v?.text ?? (v instanceof Date ? v.toISOString() : v !== null && typeof v === "object" ? v.toString() : v);

// everything between RefreshStart and RefreshEnd
async function list(session, notifier) {
  const subscription = await subscribe(session);
  const item = await watch(subscription, notifier, 1000);
  const rows = [];
  let finished;
  const done = new Promise((resolve) => (finished = resolve));
  item.on("changed", (values) => {
    const kind = values[1].value.toString();
    if (kind === "ns=0;i=2788") finished();
    else if (kind !== "ns=0;i=2787") rows.push(values.map((v) => plain(v?.value)));
  });
  const refreshed = await call(session, REFRESH, subscription.subscriptionId);
  const limit = setTimeout(finished, 20000);
  await done;
  clearTimeout(limit);
  await subscription.terminate();
  return { refreshed, rows };
}

await withSession(async (session) => {
  const other = OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 1, initialDelay: 100 } });
  await other.connect(endpoint);
  const second = await other.createSession();
  const lists = await Promise.all([list(session, notifiers[0]), list(second, notifiers[1])]);

  const results = {};
  const bare = await subscribe(session);
  results.nothing = await call(session, REFRESH, bare.subscriptionId);
  const values = await bare.monitor({ nodeId: value, attributeId: AttributeIds.Value }, { samplingInterval: 1000, queueSize: 1 }, TimestampsToReturn.Both);
  await new Promise((resolve) => values.once("changed", resolve));
  results.valuesOnly = await call(session, REFRESH, bare.subscriptionId);
  results.valueItem = await call(session, REFRESH2, bare.subscriptionId, values.monitoredItemId);
  results.unknownItem = await call(session, REFRESH2, bare.subscriptionId, 999999);
  results.unknownSubscription = await call(session, REFRESH, 999999);
  results.others = await call(second, REFRESH, bare.subscriptionId);
  results.othersItem = await call(second, REFRESH2, bare.subscriptionId, values.monitoredItemId);
  const slow = await subscribe(session, 3000);
  const narrow = await watch(slow, notifiers[0], 2); // fewer than there are: the refresh goes on over several publishes
  const busy = expected > 2;
  results.first = await call(session, REFRESH, slow.subscriptionId);
  results.again = busy ? await call(session, REFRESH, slow.subscriptionId) : "";
  results.againItem = busy ? await call(session, REFRESH2, slow.subscriptionId, narrow.monitoredItemId) : "";
  await slow.terminate();
  await bare.terminate();
  await second.close();
  await other.disconnect();
  return { lists, results };
});
