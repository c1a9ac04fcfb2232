// Works a condition through its states as an operator would, with node-opcua's own alarm functions. The caller raises
// and clears the alarm whenever it sees that the last step was done; this script acknowledges and confirms.
import { AttributeIds, callConditionRefresh, constructEventFilter, ofType, SimpleAttributeOperand, TimestampsToReturn, Variant, DataType } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

const [conditionId, type, answersText, stepsText, ...notifiers] = args;
const answers = JSON.parse(answersText); // number of the event → function that answers it
const steps = Number(stepsText);
const fields = ["EventId", "EventType", "Retain", "ActiveState.Id", "AckedState.Id", "ConfirmedState.Id", "ClientUserId", "Comment"];

function flags(event) {
  return ["ActiveState.Id", "AckedState.Id", "ConfirmedState.Id", "Retain"].map((f) => (event[f] ? "T" : "F")).join("");
}

await withSession(async (session) => {
  const lists = {};
  const refreshes = {};
  const calls = [];
  let standing;
  let finished;
  const done = new Promise((resolve) => (finished = resolve));
  let work = Promise.resolve();

  async function answer(event, act) {
    const status = await session[act](conditionId, event.EventId, `${act} by node-opcua`);
    calls.push(`${act} ${status.name}`);
  }

  // a comment on the condition that the refresh showed tells the caller to go on
  async function sayReady() {
    const comment = { text: "ready", locale: "en" };
    const inputArguments = [
      new Variant({ dataType: DataType.ByteString, value: standing.eventId }),
      new Variant({ dataType: DataType.LocalizedText, value: comment }),
    ];
    const result = await session.call({ objectId: standing.objectId, methodId: "i=9029", inputArguments });
    calls.push(`AddComment ${result.statusCode.name}`);
  }

  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 50, requestedLifetimeCount: 600, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
  });
  for (const [index, notifier] of notifiers.entries()) {
    lists[notifier] = [];
    const filter = constructEventFilter(fields, ofType(type));
    filter.selectClauses.push(new SimpleAttributeOperand({ typeDefinitionId: "i=2782", browsePath: [], attributeId: AttributeIds.NodeId }));
    const item = await subscription.monitor(
      { nodeId: notifier, attributeId: AttributeIds.EventNotifier },
      { queueSize: 1000, discardOldest: true, filter, samplingInterval: 0 },
      TimestampsToReturn.Both,
    );
    item.on("changed", (values) => {
      const event = Object.fromEntries(fields.map((f, i) => [f, values[i]?.value]));
      const kind = event.EventType.toString();
      if (kind === "ns=0;i=2787") refreshes[notifier] = [];
      else if (kind === "ns=0;i=2788") {
        refreshes[notifier].push("end");
        if (notifiers.every((n) => refreshes[n]?.at(-1) === "end")) work = work.then(sayReady);
      } else if (refreshes[notifier] && refreshes[notifier].at(-1) !== "end") {
        refreshes[notifier].push(event.EventId.toString("hex"));
        standing = { objectId: values[fields.length].value, eventId: event.EventId };
      }
      else if (values[fields.length]?.value?.toString() === conditionId) {
        const state = flags(event);
        lists[notifier].push({ id: event.EventId.toString("hex"), state, user: event.ClientUserId, comment: event.Comment?.text });
        const act = answers[lists[notifier].length - 1];
        if (index === 0 && act) work = work.then(() => answer(event, act));
        if (notifiers.every((n) => lists[n].length >= steps)) finished();
      }
    });
  }
  const refreshed = (await callConditionRefresh(session, subscription.subscriptionId)).name;
  const limit = setTimeout(finished, 20000);
  await done;
  clearTimeout(limit);
  await work;
  await subscription.terminate();
  return { refreshed, refreshes, lists, calls };
});
