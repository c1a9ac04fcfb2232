// The current alarm display of node-opcua, which knows standard types only: fills its list by ConditionRefresh, then
// acknowledges and confirms everything in it.
import { acknowledgeAllConditions, confirmAllConditions, installAlarmMonitoring, uninstallAlarmMonitoring } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

const expected = Number(args[0]);

async function until(condition) {
  for (let i = 0; i < 100 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
}

await withSession(async (session) => {
  const list = await installAlarmMonitoring(session);
  const rows = () => list.alarms().map((alarm) => ({
    condition: alarm.conditionId.toString(),
    name: alarm.fields.conditionName.value,
    active: alarm.fields.activeState.id.value,
    acked: alarm.fields.ackedState.id.value,
    confirmed: alarm.fields.confirmedState.id.value,
    retain: alarm.getRetain(),
    severity: alarm.fields.severity.value,
    comment: alarm.fields.comment.value?.text,
  }));
  await until(() => list.length >= expected);
  const standing = rows();
  await acknowledgeAllConditions(session, "all seen");
  await until(() => rows().every((alarm) => alarm.acked));
  await confirmAllConditions(session, "all done");
  await until(() => rows().every((alarm) => alarm.confirmed));
  const answered = rows();
  await uninstallAlarmMonitoring(session);
  return { standing, answered };
});
