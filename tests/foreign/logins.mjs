// Tries each case of the JSON file that is the second argument; prints for each "in", or the StatusCode of the refusal.
import { AsyncLocalStorage } from "node:async_hooks";
import { readFileSync } from "node:fs";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { AttributeIds, MessageSecurityMode, OPCUAClient, SecurityPolicy, UserTokenType } from "node-opcua-client";
import { MessageBuilderBase } from "node-opcua-transport";

const AT_ONCE = 6;
const [endpoint, file, scratch] = process.argv.slice(2);
const { cases, serverCertificate } = JSON.parse(readFileSync(file, "utf8"));
const manager = new OPCUACertificateManager({ rootFolder: scratch, automaticallyAcceptUnknownCertificate: true });
await manager.initialize();

// The code of an ERR message that ends a connection is decoded, and then kept from whoever connects: taken here.
const attempts = new AsyncLocalStorage();
const report = MessageBuilderBase.prototype._report_error;
MessageBuilderBase.prototype._report_error = function (statusCode, message) {
  const attempt = attempts.getStore();
  if (attempt) attempt.code ??= statusCode.name;
  return report.call(this, statusCode, message);
};

function identity(user) {
  if (user.name) return { type: UserTokenType.UserName, userName: user.name, password: user.password };
  if (user.certificate) {
    return {
      type: UserTokenType.Certificate,
      certificateData: readFileSync(user.der),
      privateKey: readFileSync(user.key, "latin1"),
    };
  }
  return { type: UserTokenType.Anonymous };
}

async function attempt({ policy, mode, application, uri, user }) {
  const client = OPCUAClient.create({
    endpointMustExist: false,
    securityPolicy: SecurityPolicy[policy],
    securityMode: MessageSecurityMode[mode],
    serverCertificate: readFileSync(serverCertificate),
    certificateFile: application.certificate,
    privateKeyFile: application.key,
    clientCertificateManager: manager,
    connectionStrategy: { maxRetry: 0, initialDelay: 50 },
    transportTimeout: 60000,
  });
  if (uri) client._getApplicationUri = () => uri;
  client.on("backoff", () => {});
  try {
    await client.connect(endpoint);
    const session = await client.createSession(identity(user));
    const value = await session.read({ nodeId: "i=2259", attributeId: AttributeIds.Value });
    await session.close();
    return value.statusCode.isGood() ? "in" : value.statusCode.name;
  } catch (error) {
    const told = error.response?.responseHeader?.serviceResult?.name;
    return told ?? attempts.getStore().code ?? String(error.message);
  } finally {
    await client.disconnect().catch(() => {});
  }
}

const results = [];
let next = 0;
async function work() {
  for (let at = next++; at < cases.length; at = next++) {
    results[at] = await attempts.run({}, () => attempt(cases[at]));
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
await manager.dispose();
console.log(JSON.stringify(results));
process.exit(0);
