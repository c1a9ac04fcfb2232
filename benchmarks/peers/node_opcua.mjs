// node-opcua as it comes: `node node_opcua.mjs ORDER`, with the protocol of control.py.
import { DataType, OPCUACertificateManager, OPCUAServer, VariantArrayType } from "node-opcua";
import { createInterface } from "node:readline";
import { join } from "node:path";

const order = JSON.parse(process.argv[2]);
const [CLUSTERS, PACKS] = [20, 25];
const pad = (n) => String(n).padStart(2, "0");

const certificates = new OPCUACertificateManager({
  automaticallyAcceptUnknownCertificate: true, rootFolder: join(order.state, "node-opcua"),
});
const server = new OPCUAServer({
  port: 0, hostname: "127.0.0.1", serverCertificateManager: certificates, maxConnectionsPerEndpoint: 200,
  serverCapabilities: {
    maxSessions: 100, maxMonitoredItemsPerCall: 10000, maxMonitoredItemsPerSubscription: 100000, maxMonitoredItems: 100000,
  },
});
await server.initialize();
const space = server.engine.addressSpace;
const own = space.getOwnNamespace();
const perPack = order.cells / (CLUSTERS * PACKS);
const [names, variables, arrays] = [[], [], []];
for (let c = 1; c <= CLUSTERS; c++) {
  const cluster = `BMS.Stack1.Cluster${pad(c)}`;
  for (let p = 1; p <= PACKS; p++) {
    const pack = own.addObject({
      organizedBy: space.rootFolder.objects, browseName: `${cluster}.Pack${pad(p)}`, nodeId: `s=${cluster}.Pack${pad(p)}`,
    });
    for (let k = 1; k <= perPack; k++) {
      const name = `${cluster}.Pack${pad(p)}.Cell${pad(k)}.Voltage`;
      names.push(name);
      variables.push(own.addVariable({
        componentOf: pack, browseName: name, nodeId: `s=${name}`, dataType: "Float",
        value: { dataType: DataType.Float, value: 3.3 },
      }));
    }
  }
  const value = new Float32Array(order.cells / CLUSTERS).fill(3.3);
  arrays.push(`${cluster}.CellVoltages`);
  own.addVariable({
    organizedBy: space.rootFolder.objects, browseName: `${cluster}.CellVoltages`, nodeId: `s=${cluster}.CellVoltages`,
    dataType: "Float", valueRank: 1, value: { dataType: DataType.Float, arrayType: VariantArrayType.Array, value },
  });
}
await server.start();
const url = `opc.tcp://127.0.0.1:${new URL(server.getEndpointUrl()).port}`;
const used = process.cpuUsage();
console.log("READY " + JSON.stringify({ url, namespace: own.index, cells: names, arrays, cpu_s: (used.user + used.system) / 1e6 }));

let timer = null;
let n = 0;
const change = () => {
  n++;
  for (let at = 0; at < variables.length; at++)
    variables[at].setValueFromSource({ dataType: DataType.Float, value: 3.3 + ((n * 7 + at) % 1000) / 1000 });
};
for await (const line of createInterface({ input: process.stdin })) {
  clearInterval(timer);
  if (line === "run") timer = setInterval(change, 1000);
}
process.exit(0);
