// Browses everything from Objects in batches and reads what a client shows of every node: one row per NodeId.
// Names are by namespace URI, so that clients which number namespaces differently say the same.
import { AttributeIds, BrowseDirection, NodeClass } from "node-opcua-client";
import { withSession } from "./client.mjs";

const BATCH = 200;

await withSession(async (session) => {
  const started = Date.now();
  const namespaces = (await session.read({ nodeId: "i=2255", attributeId: AttributeIds.Value })).value.value;
  const prefix = (index) => (index === 0 ? "" : `nsu=${namespaces[index]};`);
  const text = (id) => prefix(id.namespace) + id.toString().replace(/^ns=\d+;/, "");
  const nodes = {};
  const problems = [];
  const bad = (id, what, status) => {
    if (!status.isGood()) problems.push(`${what} of ${id}: ${status.name}`);
  };

  const ids = new Map([["i=85", "i=85"]]); // what the server calls it, by our text
  nodes["i=85"] = { children: [] };
  let queue = ["i=85"];
  while (queue.length) {
    const batch = queue.splice(0, BATCH);
    const results = await session.browse(
      batch.map((key) => ({
        nodeId: ids.get(key), browseDirection: BrowseDirection.Forward, referenceTypeId: "HierarchicalReferences",
        includeSubtypes: true, nodeClassMask: 0, resultMask: 63,
      })),
    );
    for (let i = 0; i < results.length; i++) {
      let result = results[i];
      for (;;) {
        bad(batch[i], "browse", result.statusCode);
        for (const reference of result.references ?? []) {
          const key = text(reference.nodeId);
          nodes[batch[i]].children.push([text(reference.referenceTypeId), key]);
          if (ids.has(key)) continue;
          ids.set(key, reference.nodeId);
          queue.push(key);
          const type = reference.typeDefinition.isEmpty() ? "" : text(reference.typeDefinition);
          nodes[key] = { children: [], told: [reference.nodeClass, reference.browseName.name], type };
        }
        if (!result.continuationPoint?.length) break;
        result = await session.browseNext(result.continuationPoint, false);
      }
    }
  }

  async function read(keys, attributes) {
    const rows = [];
    for (let at = 0; at < keys.length; at += BATCH) {
      const wanted = keys.slice(at, at + BATCH).flatMap((key) => attributes.map((attributeId) => ({ nodeId: ids.get(key), attributeId })));
      const values = await session.read(wanted);
      while (values.length) rows.push(values.splice(0, attributes.length));
    }
    return rows;
  }
  const every = Object.keys(nodes);
  const common = [AttributeIds.NodeClass, AttributeIds.BrowseName, AttributeIds.DisplayName, AttributeIds.Description];
  (await read(every, common)).forEach(([nodeClass, browseName, displayName, description], i) => {
    const row = nodes[every[i]];
    bad(every[i], "NodeClass", nodeClass.statusCode);
    bad(every[i], "BrowseName", browseName.statusCode);
    bad(every[i], "DisplayName", displayName.statusCode);
    row.class = nodeClass.value.value;
    row.name = prefix(browseName.value.value?.namespaceIndex ?? 0) + browseName.value.value?.name;
    row.display = displayName.value.value?.text ?? "";
    row.description = description.value.value?.text ?? "";
    const [toldClass, toldName] = row.told ?? [row.class, browseName.value.value.name];
    if (toldClass !== row.class || toldName !== browseName.value.value?.name) problems.push(`${every[i]} is not what its reference says`);
    delete row.told;
    row.children.sort((a, b) => (a.join() < b.join() ? -1 : 1));
  });
  const variables = every.filter((key) => nodes[key].class === NodeClass.Variable);
  (await read(variables, [AttributeIds.Value, AttributeIds.DataType, AttributeIds.ValueRank])).forEach(([value, dataType, rank], i) => {
    const row = nodes[variables[i]];
    bad(variables[i], "DataType", dataType.statusCode);
    bad(variables[i], "ValueRank", rank.statusCode);
    row.dataType = dataType.value.value ? text(dataType.value.value) : "";
    row.rank = rank.value.value;
    row.status = value.statusCode.value;
    const content = value.value?.value;
    row.unit = content?.constructor?.name === "EUInformation" ? [content.unitId, content.displayName.text, content.namespaceUri] : null;
    row.range = content?.constructor?.name === "Range" ? [content.low, content.high] : null;
  });
  return { namespaces, nodes, problems: problems.slice(0, 50), seconds: (Date.now() - started) / 1000 };
});
