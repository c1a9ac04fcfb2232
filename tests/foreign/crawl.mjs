// Browses the whole address space from Objects in batches and reads what a client needs to know of every node.
import { AttributeIds, BrowseDirection, NodeClass, TimestampsToReturn } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

const BATCH = 100;
const prefix = args[0] ?? ""; // only nodes of the site are judged, everything is read

await withSession(async (session) => {
  const seen = new Map(); // NodeId text → {nodeClass, typeDefinition}
  const problems = [];
  let queue = ["i=85"];
  seen.set("i=85", { nodeClass: NodeClass.Object });
  let references = 0;
  const started = Date.now();
  while (queue.length) {
    const batch = queue.splice(0, BATCH);
    const results = await session.browse(
      batch.map((nodeId) => ({
        nodeId,
        browseDirection: BrowseDirection.Forward,
        referenceTypeId: "HierarchicalReferences",
        includeSubtypes: true,
        nodeClassMask: 0,
        resultMask: 63,
      })),
    );
    for (let i = 0; i < results.length; i++) {
      let result = results[i];
      if (!result.statusCode.isGood()) problems.push(`browse ${batch[i]}: ${result.statusCode.name}`);
      for (;;) {
        for (const reference of result.references ?? []) {
          references++;
          const id = reference.nodeId.toString();
          if (!seen.has(id)) {
            seen.set(id, { nodeClass: reference.nodeClass, typeDefinition: reference.typeDefinition?.toString(), name: reference.browseName.toString() });
            queue.push(id);
          }
        }
        if (!result.continuationPoint?.length) break;
        result = await session.browseNext(result.continuationPoint, false);
      }
    }
  }
  const browsed = Date.now() - started;

  const ours = [...seen].filter(([id]) => id.includes(prefix));
  const statuses = {};
  const attributes = [AttributeIds.NodeClass, AttributeIds.BrowseName, AttributeIds.DisplayName, AttributeIds.Description];
  for (let at = 0; at < ours.length; at += BATCH) {
    const batch = ours.slice(at, at + BATCH);
    const values = await session.read(batch.flatMap(([nodeId]) => attributes.map((attributeId) => ({ nodeId, attributeId }))));
    batch.forEach(([nodeId, known], i) => {
      const [nodeClass, , displayName, description] = values.slice(i * attributes.length, (i + 1) * attributes.length);
      if (!nodeClass.statusCode.isGood()) problems.push(`${nodeId}: bad reference (${nodeClass.statusCode.name})`);
      else if (nodeClass.value.value !== known.nodeClass) problems.push(`${nodeId}: class ${nodeClass.value.value} is not ${known.nodeClass}`);
      if (!displayName.value?.value?.text) problems.push(`${nodeId}: no display name`);
      known.described = Boolean(description.value?.value?.text);
    });
  }
  const variables = ours.filter(([, known]) => known.nodeClass === NodeClass.Variable);
  for (let at = 0; at < variables.length; at += BATCH) {
    const batch = variables.slice(at, at + BATCH);
    const values = await session.read(
      batch.flatMap(([nodeId]) =>
        [AttributeIds.Value, AttributeIds.DataType, AttributeIds.ValueRank].map((attributeId) => ({ nodeId, attributeId })),
      ),
      0,
      TimestampsToReturn.Both,
    );
    batch.forEach(([nodeId, known], i) => {
      const [value, dataType, valueRank] = values.slice(i * 3, i * 3 + 3);
      statuses[value.statusCode.name] = (statuses[value.statusCode.name] ?? 0) + 1;
      if (!dataType.statusCode.isGood() || dataType.value.value.isEmpty()) problems.push(`${nodeId}: no data type`);
      if (!valueRank.statusCode.isGood()) problems.push(`${nodeId}: no value rank`);
      if (!known.typeDefinition || known.typeDefinition === "ns=0;i=0") problems.push(`${nodeId}: no type definition`);
      const property = known.typeDefinition === "ns=0;i=68";
      if (!property && !known.described) problems.push(`${nodeId}: no description`);
      if (value.statusCode.isGood() && value.value.isArray?.() === false && valueRank.value.value === 1 && value.value.value !== null)
        problems.push(`${nodeId}: a scalar with value rank 1`);
    });
  }
  return {
    nodes: seen.size, ours: ours.length, variables: variables.length, references, statuses,
    problems: problems.slice(0, 50), problemCount: problems.length,
    ids: ours.length < 30000 ? ours.map(([id]) => id) : [],
    browseMs: browsed, totalMs: Date.now() - started,
  };
});
