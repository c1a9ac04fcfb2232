// A discovery server: tells its certificate (file), then what registers, what FindServers finds (and that it looked, in
// a file beside the first), and what goes offline.
import { writeFileSync } from "node:fs";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { OPCUAClient } from "node-opcua-client";
import { OPCUADiscoveryServer } from "node-opcua-server-discovery";

const [port, scratch, file] = process.argv.slice(2);
const manager = new OPCUACertificateManager({ rootFolder: scratch, automaticallyAcceptUnknownCertificate: true });
await manager.initialize();
const server = new OPCUADiscoveryServer({ port: Number(port), hostname: "127.0.0.1", serverCertificateManager: manager });
const said = [];
const event = (name, test) => new Promise((done) => server.on(name, (found, flag) => {
  said.push([name, found.serverUri, found.isOnline]);
  if (test(found, flag)) done(found);
}));
const registered = event("onRegisterServer", () => true);
const gone = event("onUnregisterServer", () => true);
await server.start();
writeFileSync(file, server.getCertificate());
const found = await registered;
const client = OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 1 } });
await client.connect(server.getEndpointUrl());
let servers = [];
for (let tries = 0; tries < 200 && servers.length < 2; tries++) { // it tells of a server a little before it lists it
  await new Promise((done) => setTimeout(done, 100));
  servers = await client.findServers({});
}
await client.disconnect();
writeFileSync(`${file}.found`, "");
await gone;
await server.shutdown();
console.log(JSON.stringify({
  said,
  names: found.serverNames.map((name) => name.text),
  urls: found.discoveryUrls,
  capabilities: (found.discoveryConfiguration ?? []).map((one) => one.serverCapabilities),
  found: servers.map((one) => ({ uri: one.applicationUri, urls: one.discoveryUrls })),
}));
process.exit(0);
