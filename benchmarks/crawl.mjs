// Crawls a server: every reference of every node browsed, every Value read, in batches: `node crawl.mjs URL BATCH MOST`.
import {
  AttributeIds, BrowseDirection, MessageSecurityMode, NodeClass, OPCUAClient, SecurityPolicy,
} from "node-opcua";

const [url, batchText, mostText] = process.argv.slice(2);
const [BATCH, MOST] = [Number(batchText), Number(mostText)];
const client = OPCUAClient.create({
  endpointMustExist: false, securityMode: MessageSecurityMode.None, securityPolicy: SecurityPolicy.None,
  connectionStrategy: { maxRetry: 1 },
});
await client.connect(url);
const session = await client.createSession();
const started = Date.now();
const seen = new Set(["i=84"]);
const variables = [];
const queue = ["i=84"];
let references = 0;
for (let at = 0; at < queue.length; ) {
  const batch = queue.slice(at, at + BATCH);
  at += batch.length;
  const results = await session.browse(batch.map((nodeId) => ({
    nodeId, browseDirection: BrowseDirection.Both, referenceTypeId: "i=31", includeSubtypes: true,
    nodeClassMask: 0, resultMask: 63,
  })));
  for (let result of results) {
    for (;;) {
      for (const reference of result.references ?? []) {
        references++;
        const id = reference.nodeId.toString();
        if (seen.size >= MOST || seen.has(id)) continue;
        seen.add(id);
        queue.push(id);
        if (reference.nodeClass === NodeClass.Variable) variables.push(id);
      }
      if (!result.continuationPoint?.length) break;
      result = await session.browseNext(result.continuationPoint, false);
    }
  }
}
const browsed = Date.now();
for (let at = 0; at < variables.length; at += BATCH)
  await session.read(variables.slice(at, at + BATCH).map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })));
const read = Date.now();
const used = process.cpuUsage();
await session.close();
await client.disconnect();
console.log(JSON.stringify({
  nodes: seen.size, references, values: variables.length, browse_s: (browsed - started) / 1e3, read_s: (read - browsed) / 1e3,
  client_cpu_s: (used.user + used.system) / 1e6,
}));
