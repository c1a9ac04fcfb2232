// Tries each case of the JSON file that is the second argument; prints for each "in", or the reason of the refusal.
import { readFileSync } from "node:fs";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { AttributeIds, MessageSecurityMode, OPCUAClient, SecurityPolicy, UserTokenType } from "node-opcua-client";

const [endpoint, file, scratch] = process.argv.slice(2);
const cases = JSON.parse(readFileSync(file, "utf8"));
const manager = new OPCUACertificateManager({ rootFolder: scratch, automaticallyAcceptUnknownCertificate: true });
await manager.initialize();

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

async function attempt({ policy, mode, application, user }) {
  const client = OPCUAClient.create({
    endpointMustExist: false,
    securityPolicy: SecurityPolicy[policy],
    securityMode: MessageSecurityMode[mode],
    certificateFile: application.certificate,
    privateKeyFile: application.key,
    clientCertificateManager: manager,
    connectionStrategy: { maxRetry: 0, initialDelay: 50 },
    transportTimeout: 8000,
  });
  client.on("backoff", () => {});
  try {
    await client.connect(endpoint);
    const session = await client.createSession(identity(user));
    const value = await session.read({ nodeId: "i=2259", attributeId: AttributeIds.Value });
    await session.close();
    return value.statusCode.isGood() ? "in" : value.statusCode.name;
  } catch (error) {
    return String(error.response?.responseHeader?.serviceResult?.name ?? error.message);
  } finally {
    await client.disconnect().catch(() => {});
  }
}

const results = [];
for (const one of cases) results.push(await attempt(one));
await manager.dispose();
console.log(JSON.stringify(results));
process.exit(0);
